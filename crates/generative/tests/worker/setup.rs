//! A miner's worker between stand-ins.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_auth::StakeTable;
use adit_auth::epistula::Policy;
use adit_generative::check::Checker;
use adit_generative::service::Services;
use adit_generative::task::{Address, Config, Event, Request, Store, Task, TaskId};
use adit_generative::webhook::Webhook;
use adit_generative::worker::{Rules, Worker};
use adit_generative::{Modality, Usd};
use adit_journal::{Journal, Limits};
use adit_keys::Keypair;
use adit_outbound::{AddressGuard, Client};
use adit_provenance::signing::{Authority, Claim};
use adit_provenance::{Era, TrustAnchors, Verifier};
use adit_settings::Environment;
use adit_stand_in::media::{MP4, PNG};
use adit_stand_in::providers::{Providers, Service};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::stream;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// No test waits longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Options {
    pub(crate) fail_over: bool,
    pub(crate) save_locally: bool,
    /// Private hosts that webhooks may be on.
    pub(crate) webhooks: &'static str,
    pub(crate) timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fail_over: false,
            save_locally: false,
            webhooks: "127.0.0.1",
            timeout: Duration::from_secs(30),
        }
    }
}

/// A request at the webhook.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) path: String,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Delivery {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

#[derive(Debug, Default)]
struct Validator {
    deliveries: Vec<Delivery>,
    answers: VecDeque<Answer>,
}

#[derive(Debug)]
enum Answer {
    Words(u16, String),
    /// To another path of the same host.
    Redirect,
    /// The connection breaks when everything has arrived.
    Lost,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Words(status, words) => (StatusCode::from_u16(status).unwrap(), words).into_response(),
            Self::Redirect => Redirect::temporary("/elsewhere").into_response(),
            Self::Lost => {
                let broken = stream::once(async { Err::<Bytes, _>(io::Error::other("as the test asked")) });
                Body::from_stream(broken).into_response()
            }
        }
    }
}

pub(crate) struct Bench {
    pub(crate) providers: Providers,
    pub(crate) picture: Vec<u8>,
    pub(crate) clip: Vec<u8>,
    folder: TempDir,
    validator: Arc<Mutex<Validator>>,
    validator_pair: Keypair,
    miner_seed: [u8; 32],
    webhook_url: String,
    worker: Option<Running>,
    make: Box<dyn Fn(Store) -> Worker>,
}

struct Running {
    store: Store,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

impl Bench {
    pub(crate) async fn new(options: Options) -> Self {
        let authority = Authority::new("Test").unwrap();
        let signer = authority.signer("OpenAI").unwrap();
        let sign = |file| signer.sign_bytes(&Claim::now("model"), file).unwrap();
        let (picture, clip) = (sign(PNG), sign(MP4));
        let providers = Providers::start(picture.clone(), clip.clone()).await.unwrap();
        providers.polls(0);

        let validator = Arc::new(Mutex::new(Validator::default()));
        let shared = Arc::clone(&validator);
        let receive = move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let mut validator = shared.lock().unwrap();
            validator.deliveries.push(Delivery { path: uri.path().to_owned(), headers, body });
            let right = || Answer::Words(200, "Binary content received".to_owned());
            std::future::ready(validator.answers.pop_front().unwrap_or_else(right))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let webhook_url = format!("http://{}/generative_callback", listener.local_addr().unwrap());
        let app = Router::new().fallback(receive).layer(axum::extract::DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

        let miner_seed = [34; 32];
        let pairs = [
            ("IMAGE_SERVICE", "stabilityai".to_owned()),
            ("VIDEO_SERVICE", "runway".to_owned()),
            ("OPEN_ROUTER_API_KEY", "sk-test".to_owned()),
            ("STABILITY_API_KEY", "sk-test".to_owned()),
            ("RUNWAYML_API_KEY", "key_test".to_owned()),
            ("ADIT_OPENROUTER_BASE_URL", providers.url(Service::OpenRouter)),
            ("ADIT_STABILITY_BASE_URL", providers.url(Service::StabilityAi)),
            ("RUNWAYML_BASE_URL", providers.url(Service::Runway)),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
        let environment = Environment::layered(pairs, None).unwrap();
        let services = Services::from_environment(&environment, SystemTime::now()).unwrap();
        let anchors = TrustAnchors::default().trusting("test", authority.certificate()).unwrap();
        let guard = AddressGuard::public_only().allowing(options.webhooks).unwrap();
        let client = Client::new(guard).unwrap();
        let make = move |store| {
            let checker = Checker::Here(Era::ALL.map(|era| Verifier::new(&anchors, era).unwrap()).to_vec());
            let webhook = Webhook::new(Arc::new(Keypair::from_seed(&miner_seed)), client.clone());
            let rules = Rules {
                concurrency: 5,
                timeout: options.timeout,
                fail_over: options.fail_over,
                keep: Duration::from_secs(86_400),
                save_locally: options.save_locally,
            };
            Worker::new(store, services.clone(), checker, webhook, rules)
        };
        let mut bench = Self {
            providers,
            picture,
            clip,
            folder: tempfile::tempdir().unwrap(),
            validator,
            validator_pair: Keypair::generate(),
            miner_seed,
            webhook_url,
            worker: None,
            make: Box::new(make),
        };
        bench.start().await;
        bench
    }

    async fn start(&mut self) {
        let store = self.open().await;
        self.work(store);
    }

    /// Where what happens is recorded.
    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("journal.sqlite")
    }

    pub(crate) async fn open(&self) -> Store {
        let store = Store::open(Config {
            database: Address::Sqlite(self.folder.path().join("tasks.db")),
            output_dir: self.folder.path().join("media"),
            queue: 100,
            daily_budget: None,
            journal: Some(Journal::open(&self.journal(), Limits::default()).unwrap()),
        });
        store.await.unwrap()
    }

    pub(crate) fn work(&mut self, store: Store) {
        let worker = Arc::new((self.make)(store.clone()));
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(worker.run(async {
            let _ = stopped.await;
        }));
        self.worker = Some(Running { store, stop, done });
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    pub(crate) async fn stop(&mut self) {
        let Running { store, stop, done } = self.worker.take().unwrap();
        stop.send(()).unwrap();
        done.await.unwrap();
        store.close().await.unwrap();
    }

    fn store(&self) -> &Store {
        &self.worker.as_ref().unwrap().store
    }

    pub(crate) fn media_folder(&self) -> PathBuf {
        self.folder.path().join("media")
    }

    pub(crate) async fn ask(&self, modality: Modality, prompt: &str) -> TaskId {
        self.put(self.store(), modality, prompt).await
    }

    pub(crate) async fn put(&self, store: &Store, modality: Modality, prompt: &str) -> TaskId {
        let request = Request {
            prompt: prompt.to_owned(),
            parameters: serde_json::json!({}),
            webhook_url: self.webhook_url.clone(),
        };
        let validator = self.validator_pair.hotkey().to_string();
        store.accept(modality, validator, request, None).await.unwrap().id
    }

    /// A picture that is paid for and on disk, and not yet checked.
    pub(crate) async fn fetched(&self, store: &Store, prompt: &str) -> TaskId {
        let id = self.put(store, Modality::Image, prompt).await;
        let mut claim = store.claim_queued(Modality::Image).await.unwrap().unwrap();
        store.call(&mut claim, "stabilityai", "m", Usd(30_000)).await.unwrap();
        let mut writer = store.output().create(id, Modality::Image).await.unwrap();
        writer.write(&self.picture).await.unwrap();
        let media = writer.finish("png").await.unwrap();
        store.apply(&mut claim, Event::Fetched { media, cost: None }).await.unwrap();
        id
    }

    pub(crate) async fn task(&self, id: TaskId) -> Task {
        self.store().ledger().task(id).await.unwrap()
    }

    pub(crate) async fn until(&self, id: TaskId, wanted: impl Fn(&Task) -> bool) -> Task {
        let mut changes = self.store().changes();
        let waiting = async {
            loop {
                let task = self.task(id).await;
                if wanted(&task) {
                    return task;
                }
                changes.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        match waited {
            Ok(task) => task,
            Err(_) => panic!("it stays {:?}", self.task(id).await),
        }
    }

    pub(crate) async fn ended(&self, id: TaskId) -> Task {
        self.until(id, |task| task.state.is_end()).await
    }

    pub(crate) fn answer_next(&self, status: u16, words: &str) {
        self.answer(Answer::Words(status, words.to_owned()));
    }

    pub(crate) fn redirect_next(&self) {
        self.answer(Answer::Redirect);
    }

    pub(crate) fn lose_the_next_answer(&self) {
        self.answer(Answer::Lost);
    }

    fn answer(&self, answer: Answer) {
        self.validator.lock().unwrap().answers.push_back(answer);
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.validator.lock().unwrap().deliveries.clone()
    }

    /// As the validator checks it: by a registered hotkey, without regard to stake.
    pub(crate) fn check_signature(&self, delivery: &Delivery) {
        let miner = Keypair::from_seed(&self.miner_seed).hotkey();
        let stakes = StakeTable::new(HashMap::from([(miner, 0.0)]), SystemTime::now());
        let policy = Policy { own_hotkey: self.validator_pair.hotkey(), min_stake: None };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let claim = policy.check_headers(&delivery.headers, Some(&stakes), now).unwrap();
        assert_eq!(claim.check_body(&delivery.body).unwrap().signer, miner);
    }
}

//! What a collector of spans gets of a miner, and that one which is away or hangs is nobody's trouble.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use adit_auth::{Dialect, Spelling, sign_headers, unix_nanos};
use adit_generative::Modality;
use adit_generative::task::Request;
use adit_http_server::ClipHost;
use adit_keys::{Hotkey, Keypair};
use adit_synthetic::{Match, MatchFormat};
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode as SpanStatus};
use prost::Message as _;

use crate::generator::Desk;
use crate::process::{Miner, PATIENCE};

const MINER: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const SECRET: &str = "Bearer hush";

/// Takes what is posted to `/v1/traces`.
struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>,
}

impl Collector {
    async fn start() -> Self {
        let taken = Arc::<Mutex<Vec<_>>>::default();
        let keep = Arc::clone(&taken);
        let take = move |headers: HeaderMap, body: Bytes| async move {
            keep.lock().unwrap().push((headers, ExportTraceServiceRequest::decode(body).unwrap()));
        };
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { address, taken }
    }

    fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        let of_resource = taken.iter().flat_map(|(_, request)| &request.resource_spans);
        of_resource.flat_map(|spans| &spans.scope_spans).flat_map(|spans| spans.spans.clone()).collect()
    }
}

/// A live miner without a stake gate, which sends spans there at once.
fn miner(collector: SocketAddr, data: &Path) -> Miner {
    Miner::start(|command: &mut Command| {
        command
            .env("BLACKLIST_ENABLED", "false")
            .env("ADIT_HOTKEY", MINER)
            .env("ADIT_PREDICTOR", "baseline")
            .env("ADIT_ALLOWED_HOSTS", "127.0.0.1")
            .env("ADIT_DATA_DIR", data)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}/"))
            .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hush, x-team=miners")
            .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    })
}

/// Sends a signed challenge; the answer's head and body.
fn challenge(miner: &Miner, validator: &Keypair, id: &str, url: &str) -> String {
    let body = serde_json::json!({"challenge_id": id, "video_url": url}).to_string();
    let nonce = unix_nanos(SystemTime::now()).to_string();
    let own: Hotkey = MINER.parse().unwrap();
    let headers = sign_headers(validator, Dialect::Score, Spelling::Both, &nonce, &own, body.as_bytes());
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap())).collect();
    let request = format!(
        "POST /challenge HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    miner.exchange(request.as_bytes())
}

async fn clip_host() -> (tempfile::TempDir, ClipHost) {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    let drawn = Match::new(3, MatchFormat { width: 160, height: 90, fps: 25, seconds: 1 });
    let ffmpeg = adit_media::Ffmpeg::find(None).await.unwrap();
    drawn.write_clip(&ffmpeg, &clip, tokio::time::Instant::now() + PATIENCE).await.unwrap();
    let host = ClipHost::start(&clip, Ipv4Addr::LOCALHOST.into()).await.unwrap();
    (folder, host)
}

fn attributes(of: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    of.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

fn failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == SpanStatus::Error)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_a_span_with_a_child_for_each_stage() {
    let collector = Collector::start().await;
    let data = tempfile::tempdir().unwrap();
    let (_folder, host) = clip_host().await;
    let validator = Keypair::generate();
    let mut miner = miner(collector.address, data.path());
    miner.wait_ready();
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let answer = challenge(&miner, &validator, "good", &host.url());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = challenge(&miner, &validator, "bad", "http://127.0.0.1:9/gone?token=signed");
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    // Whom the gate refuses is no challenge.
    assert!(miner.get("/challenge").starts_with("HTTP/1.1 405"));
    let (code, log) = miner.terminate();
    assert_eq!(code, Some(0), "{log:#?}");

    let spans = collector.spans();
    let roots: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id.is_empty()).collect();
    let root = |id: &str| {
        let found = roots.iter().find(|root| attributes(&root.attributes)["challenge.id"] == id);
        found.unwrap_or_else(|| panic!("{spans:#?}"))
    };
    let (good, bad) = (root("good"), root("bad"));
    assert_eq!((roots.len(), good.name.as_str()), (2, "challenge"));
    let validator = validator.hotkey().to_string();
    let expected = |id: &str, outcome: &str, status: &str| -> BTreeMap<String, String> {
        [
            ("challenge.id", id),
            ("validator", &validator),
            ("dialect", "score"),
            ("mode", "soccer_action"),
            ("outcome", outcome),
            ("http.response.status_code", status),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    };
    assert_eq!(attributes(&good.attributes), expected("good", "answered", "200"));
    assert_eq!(attributes(&bad.attributes), expected("bad", "media_failed", "500"));
    assert_eq!((failed(good), failed(bad)), (false, true));

    for (root, stages) in [
        (good, &["gate", "read", "queue", "fetch", "predict", "write"][..]),
        (bad, &["gate", "read", "queue", "fetch"]),
    ] {
        let mut children: Vec<&Span> =
            spans.iter().filter(|span| span.parent_span_id == root.span_id).collect();
        children.sort_by_key(|child| child.start_time_unix_nano);
        let names: Vec<_> = children.iter().map(|child| child.name.as_str()).collect();
        assert_eq!(names, stages);
        assert!(root.start_time_unix_nano >= began - 1_000_000, "{root:#?}");
        for child in children {
            assert_eq!(child.trace_id, root.trace_id);
            assert!(child.attributes.is_empty(), "{child:#?}");
            assert!(child.start_time_unix_nano >= root.start_time_unix_nano, "{child:#?}");
            // The sum of microseconds that were rounded down each.
            assert!(child.end_time_unix_nano <= root.end_time_unix_nano + 2_000, "{child:#?} {root:#?}");
        }
    }
    let taken = collector.taken.lock().unwrap();
    for (headers, request) in taken.iter() {
        assert_eq!(
            (&headers["authorization"], &headers["x-team"]),
            (&SECRET.parse().unwrap(), &"miners".parse().unwrap())
        );
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let resource = attributes(&request.resource_spans[0].resource.as_ref().unwrap().attributes);
        assert_eq!(resource["service.name"], "adit-private-track");
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        assert!(!format!("{request:?}").contains("token=") && !format!("{resource:?}").contains(MINER));
    }
    // The log is as without: a line of two events for each challenge, and no word of a span.
    let of_challenges: Vec<_> =
        miner.started_with.iter().chain(&log).filter(|line| line.contains("challenge=")).collect();
    assert_eq!(of_challenges.len(), 4, "{log:#?}");
    assert!(log.iter().all(|line| !line.contains("hush") && !line.contains("span")), "{log:#?}");
}

/// Two tasks that another process took on: one that is delivered, one whose picture the validator refuses.
#[test]
fn a_task_is_one_trace_with_a_child_for_each_step() {
    let desk = Desk::new("//Miner//hot");
    desk.sign_media();
    let collector = desk.runtime.block_on(Collector::start());
    let webhook = desk.runtime.block_on(async {
        let refuse = async || (StatusCode::BAD_REQUEST, "Missing task-id header");
        let router = Router::new()
            .route("/takes", post(async || "Binary content received"))
            .route("/refuses", post(refuse));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await });
        address
    });
    let validator = Keypair::generate().hotkey().to_string();
    let [good, bad] = desk.runtime.block_on(async {
        let store = desk.tasks().await;
        let accept = async |path: &str| {
            let request = Request {
                prompt: "a lighthouse".to_owned(),
                parameters: serde_json::Value::Null,
                webhook_url: format!("http://{webhook}/{path}?token=hidden"),
            };
            store.accept(Modality::Image, validator.clone(), request, None).await.unwrap().id
        };
        let tasks = [accept("takes").await, accept("refuses").await];
        store.close().await.unwrap();
        tasks
    });
    let mut miner = desk.serve(|command| {
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.address))
            .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    });
    let deadline = Instant::now() + PATIENCE;
    while collector.spans().iter().filter(|span| span.name == "task").count() < 2 {
        assert!(Instant::now() < deadline, "{:#?}", collector.spans());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(miner.terminate().0, Some(0));

    let spans = collector.spans();
    for (task, outcome) in [(good, "delivered"), (bad, "refused")] {
        let of_task: Vec<&Span> = spans.iter().filter(|span| span.trace_id == task.as_bytes()).collect();
        let roots: Vec<&Span> =
            of_task.iter().copied().filter(|span| span.parent_span_id.is_empty()).collect();
        assert_eq!(roots.len(), 1, "{spans:#?}");
        let root = roots[0];
        let id = task.to_string();
        let expected = [
            ("task.id", id.as_str()),
            ("modality", "image"),
            ("validator", &validator),
            ("service", "openrouter"),
            ("outcome", outcome),
            ("attempts", "1"),
            ("deliveries", "1"),
        ];
        let mut said = attributes(&root.attributes);
        assert!(said.remove("model").is_some_and(|model| !model.is_empty()), "{root:#?}");
        assert!(said.remove("cost_micro_usd").is_some_and(|cost| cost != "0"), "{root:#?}");
        assert_eq!(said, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        assert_eq!(failed(root), outcome != "delivered");

        let mut children: Vec<&Span> =
            of_task.into_iter().filter(|span| span.parent_span_id == root.span_id).collect();
        children.sort_by_key(|child| child.end_time_unix_nano);
        let names: Vec<_> = children.iter().map(|child| child.name.as_str()).collect();
        assert_eq!(names, ["call", "fetched", "checked", "try", "answered"]);
        let answer = if outcome == "delivered" { "acknowledged" } else { "refused" };
        assert_eq!(attributes(&children[4].attributes)["answer"], answer);
        let failures: Vec<_> = children.iter().map(|child| failed(child)).collect();
        assert_eq!(failures, [false, false, false, false, outcome != "delivered"]);
        assert!(children.iter().all(|child| child.start_time_unix_nano >= root.start_time_unix_nano));
    }
    let told = format!("{spans:?}");
    assert!(!told.contains("hidden") && !told.contains("lighthouse"), "{told}");
}

/// What a miner does whose collector is `collector`: it answers, says what is wrong once, and stops in time.
async fn goes_on_without(collector: SocketAddr, why: &str) {
    let data = tempfile::tempdir().unwrap();
    let (_folder, host) = clip_host().await;
    let validator = Keypair::generate();
    let mut miner = miner(collector, data.path());
    miner.wait_ready();
    for id in ["a", "b", "c"] {
        let began = Instant::now();
        assert!(challenge(&miner, &validator, id, &host.url()).starts_with("HTTP/1.1 200"));
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        // Each in a batch of its own.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let began = Instant::now();
    let (code, log) = miner.terminate();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(code, Some(0), "{log:#?}");
    let said: Vec<_> =
        log.iter().filter(|line| line.contains("WARNING: spans do not reach the collector")).collect();
    assert!(said.len() <= 1 && said.iter().all(|line| line.contains(why)), "{log:#?}");
    let at_the_end = log.iter().any(|line| line.contains("not all spans were delivered"));
    assert!(!said.is_empty() || at_the_end, "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_is_said_once_and_delays_nothing() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    goes_on_without(nobody, "cannot reach 127.0.0.1:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_delays_neither_an_answer_nor_the_end() {
    // It takes connections and never answers.
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    goes_on_without(listener.local_addr().unwrap(), "127.0.0.1:").await;
}

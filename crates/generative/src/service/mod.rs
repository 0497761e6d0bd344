//! The paid services that make pictures and videos: OpenAI, OpenRouter, Stability AI and Runway, as one
//! [`Service`].
//!
//! A generation is up to four steps, and whoever drives them writes down what came out of one before the next:
//!
//! 1. [`Service::plan`] makes the provider's request of a prompt and its parameters. Pure.
//! 2. [`Service::start`] makes the paid call. It answers the media, or where they are, or a [`JobId`].
//! 3. [`Service::poll`] asks how a job is doing.
//! 4. [`Service::fetch`] brings the media of a job into a file, as they are: re-encoding would cost their C2PA data.
//!
//! [`ServiceError::kind`] decides what may follow a failure. What matters most is whether money may have been spent:
//! a call that certainly was not carried out may be repeated ([`Kind::is_repeatable`]), one that may have been is
//! [`Kind::InDoubt`] and must not be; [`Service::reconcile`] asks the provider then, where it can be asked.
//!
//! Nothing here repeats anything, keeps anything or sleeps. [`Services`] is what the operator has configured.

mod catalogue;
mod error;
mod exchange;
mod open_router;
mod openai;
mod parameters;
mod plan;
mod runway;
mod selection;
mod stability;

use std::fmt;
use std::time::{Duration, SystemTime};

use adit_outbound::Client;
use adit_provenance::Format;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

pub use catalogue::Flaw;
pub use error::{FetchMediaError, Kind, ServiceError, Step};
pub use plan::{Body, Part, Plan, PlanError};
pub use selection::{Info, Services, SetupError, Slot, Unusable};

use crate::{Modality, Usd};
use parameters::Parameters;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// <https://platform.openai.com>
    OpenAi,
    /// <https://openrouter.ai>
    OpenRouter,
    /// <https://platform.stability.ai>
    StabilityAi,
    /// <https://dev.runwayml.com>
    Runway,
}

impl Provider {
    /// In the order in which the first that can is taken where the operator names none.
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::OpenRouter, Self::StabilityAi, Self::Runway];

    /// The name in `IMAGE_SERVICE` and `VIDEO_SERVICE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenRouter => "openrouter",
            Self::StabilityAi => "stabilityai",
            Self::Runway => "runway",
        }
    }

    /// The provider of such a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }

    /// Whether it makes such media at all.
    #[must_use]
    pub fn makes(self, modality: Modality) -> bool {
        match self {
            Self::OpenAi | Self::OpenRouter => true,
            Self::StabilityAi => modality == Modality::Image,
            Self::Runway => modality == Modality::Video,
        }
    }

    /// How long to leave a job alone between two polls.
    #[must_use]
    pub fn poll_interval(self) -> Duration {
        Duration::from_secs(match self {
            Self::OpenAi => 5,
            Self::OpenRouter => 10,
            Self::StabilityAi | Self::Runway => 6,
        })
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenAi => "OpenAI",
            Self::OpenRouter => "OpenRouter",
            Self::StabilityAi => "Stability AI",
            Self::Runway => "Runway",
        })
    }
}

/// A provider's name of a job: 1 to 200 visible ASCII characters that stay one segment of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

impl JobId {
    /// `None` for what is no job's name.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"/\\?#%".contains(&byte);
        let one_segment = !matches!(text, "" | "." | "..") && text.len() <= 200 && text.bytes().all(fits);
        one_segment.then(|| Self(text.to_owned()))
    }

    /// As the provider gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for JobId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text).ok_or("no job id")
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

/// Where finished media are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// At a link, which may hold a signature and lasts some minutes to a day.
    Url(String),
    /// At the content endpoint of a job.
    Content(JobId),
}

impl fmt::Debug for Location {
    /// Not the link: whoever has it has the media.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(_) => f.write_str("Url(…)"),
            Self::Content(id) => f.debug_tuple("Content").field(id).finish(),
        }
    }
}

/// What a paid call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// The media themselves, known to be of the kind that was asked for.
    Media(Bytes),
    /// Media that are to be fetched.
    Located(Location),
    /// A job that is to be polled. Save its name first.
    Job(JobId),
}

/// How a job is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Not done yet.
    Working,
    /// Done.
    Ready(Location),
}

/// What a provider knows of a call that is in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reconciled {
    /// It was carried out: this is its job.
    Found(JobId),
    /// It cannot say.
    Unknown,
}

/// What an answer to a poll says.
enum Polled {
    Working,
    Ready(Location),
    Failed { code: String, said: String },
}

impl Polled {
    fn failed(code: &Value, said: &Value) -> Self {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            // As `{"message": …}`, which is what some providers put in place of a text.
            other => other["message"].as_str().map_or_else(|| other.to_string(), str::to_owned),
        };
        Self::Failed { code: text(code), said: text(said) }
    }
}

/// Why the answer to a paid call is of no use.
enum Unreadable {
    /// It is not what this provider answers.
    Shape,
    /// It is, but there are no media in it.
    NoMedia,
    /// The media are not what they should be.
    Garbage(&'static str),
    /// The model answered in words.
    Words(String),
}

fn decode(base64: &str) -> Result<Bytes, Unreadable> {
    let bytes = STANDARD.decode(base64).map_err(|_| Unreadable::Garbage("the picture is not Base64"))?;
    if is_of(&bytes, Modality::Image) {
        Ok(bytes.into())
    } else {
        Err(Unreadable::Garbage("it is no picture"))
    }
}

/// Whether a file that begins so is a picture or a video, as was asked for.
fn is_of(head: &[u8], modality: Modality) -> bool {
    use Format::{Avi, Avif, Bmp, Gif, Heic, Jpeg, Mov, Mp4, Png, ThreeGp, Tiff, WebM, WebP};
    match Format::detect(head) {
        Png | Jpeg | WebP | Gif | Bmp | Tiff | Heic | Avif => modality == Modality::Image,
        Mov | ThreeGp | Mp4 | WebM | Avi => modality == Modality::Video,
        _ => false,
    }
}

/// What is configured for one modality of a service.
#[derive(Debug, Clone)]
struct Model {
    name: String,
    /// A picture, or a second of video.
    price: Option<Usd>,
}

/// One provider with the operator's account.
#[derive(Clone)]
pub struct Service {
    provider: Provider,
    base_url: String,
    own_api: bool,
    key: SecretString,
    authorization: HeaderValue,
    image: Option<Model>,
    video: Option<Model>,
    /// For the provider's API, which the operator has named.
    api: Client,
    /// For links, which the provider chooses.
    media: Client,
}

/// What a provider says of a key.
#[derive(Debug, Clone)]
pub enum KeyState {
    /// It takes it.
    Accepted,
    /// It does not, or the account has no money left: the operator must act.
    Refused(ServiceError),
    /// It has not said.
    Unknown(ServiceError),
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Service {
    /// Whose it is.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// The provider's request for `prompt`, which is sent as it is. `parameters` are those of the validator, with
    /// tier and aspect among them; those that a provider does not know are left out.
    ///
    /// # Errors
    /// [`PlanError`]: nothing can be asked of this provider so.
    pub fn plan(
        &self,
        modality: Modality,
        prompt: &str,
        parameters: &Map<String, Value>,
    ) -> Result<Plan, PlanError> {
        let Some(Model { name, price }) = self.model(modality) else {
            return Err(PlanError::Modality { provider: self.provider, modality });
        };
        let plan = match (self.provider, modality) {
            (Provider::OpenAi, Modality::Image) => openai::image,
            (Provider::OpenAi, Modality::Video) => openai::video,
            (Provider::OpenRouter, Modality::Image) => open_router::image,
            (Provider::OpenRouter, Modality::Video) => open_router::video,
            (Provider::StabilityAi, _) => stability::image,
            (Provider::Runway, _) => runway::video,
        };
        plan(prompt, Parameters(parameters), name, *price)
    }

    /// Why money spent on this model on this day would be lost, if that is known. A request may name a model that
    /// the settings do not.
    #[must_use]
    pub fn flaw(&self, modality: Modality, model: &str, today: SystemTime) -> Option<Flaw> {
        catalogue::flaw(self.provider, modality, model, self.own_api, today)
    }

    /// Makes the paid call, once. What it answers is to be saved before anything else is done. A future that is
    /// dropped before it is done leaves the call in doubt.
    ///
    /// # Errors
    /// [`ServiceError`]; one that is [`Kind::InDoubt`] may have been carried out, also when `deadline` passed.
    pub async fn start(&self, plan: &Plan, deadline: Instant) -> Result<Started, ServiceError> {
        let answer = self.pay(plan, deadline).await?;
        let read = match (plan.modality, self.provider) {
            (Modality::Video, _) => {
                let id = serde_json::from_slice::<Value>(&answer.body).ok();
                let id = id.as_ref().and_then(|answer| JobId::new(answer["id"].as_str()?));
                id.map(Started::Job).ok_or(Unreadable::Shape)
            }
            (Modality::Image, Provider::OpenAi) => openai::pictures(&answer.body),
            (Modality::Image, Provider::OpenRouter) => open_router::picture(&answer.body),
            (Modality::Image, Provider::StabilityAi | Provider::Runway) => {
                if is_of(&answer.body, Modality::Image) {
                    Ok(Started::Media(answer.body.clone()))
                } else {
                    Err(Unreadable::Shape)
                }
            }
        };
        read.map_err(|unreadable| self.unreadable(unreadable, &answer))
    }

    /// Asks for a job. Repeating it costs nothing.
    ///
    /// # Errors
    /// [`ServiceError`]; [`Kind::Failed`] and [`Kind::Policy`] say that the job has ended without media.
    pub async fn poll(&self, id: &JobId, deadline: Instant) -> Result<Progress, ServiceError> {
        let path = match self.provider {
            Provider::OpenAi | Provider::OpenRouter => format!("/videos/{}", id.0),
            Provider::StabilityAi | Provider::Runway => format!("/v1/tasks/{}", id.0),
        };
        let answer = self.ask(Step::Poll, Method::GET, &path, deadline).await?;
        let polled = match self.provider {
            Provider::OpenAi => openai::progress(id, &answer),
            Provider::OpenRouter => open_router::progress(id, &answer),
            Provider::StabilityAi | Provider::Runway => runway::progress(&answer),
        };
        match polled {
            Ok(Polled::Working) => Ok(Progress::Working),
            Ok(Polled::Ready(location)) => Ok(Progress::Ready(location)),
            Ok(Polled::Failed { code, said }) => Err(self.job_failed(&code, &said)),
            Err(_) => Err(self.error(Step::Poll, Kind::Transient, "its answer names no status")),
        }
    }

    /// Writes the media at `location` to `file` as they come, and returns how many bytes they have; at most 64 MiB
    /// for a picture and 1 GiB for a video. Repeating it costs nothing, from an empty file. Making the file durable
    /// is the caller's.
    ///
    /// # Errors
    /// [`FetchMediaError`]; after [`Kind::Expired`] a poll may give a new link.
    pub async fn fetch(
        &self,
        location: &Location,
        modality: Modality,
        file: &mut (impl AsyncWrite + Unpin),
        deadline: Instant,
    ) -> Result<u64, FetchMediaError> {
        self.download(location, modality, file, deadline).await
    }

    /// Asks whether a call that is in doubt was carried out. `asked` is when it was made. Of the four only OpenAI
    /// lists its jobs; an idempotency key is documented by none. A job that is found may be known already, where
    /// another task had the same prompt: the caller looks.
    ///
    /// # Errors
    /// [`ServiceError`]: the question itself failed. Repeating it costs nothing.
    pub async fn reconcile(
        &self,
        plan: &Plan,
        asked: SystemTime,
        deadline: Instant,
    ) -> Result<Reconciled, ServiceError> {
        if (self.provider, plan.modality) != (Provider::OpenAi, Modality::Video) {
            return Ok(Reconciled::Unknown);
        }
        let list = self.ask(Step::Reconcile, Method::GET, "/videos?limit=100&order=desc", deadline).await?;
        Ok(openai::find(&list, plan, asked).map_or(Reconciled::Unknown, Reconciled::Found))
    }

    /// Asks whether the provider accepts the key. It costs nothing.
    pub async fn key_state(&self, deadline: Instant) -> KeyState {
        let path = match self.provider {
            Provider::OpenAi => "/models",
            Provider::OpenRouter => "/key",
            Provider::StabilityAi => "/v1/user/balance",
            Provider::Runway => "/v1/organization",
        };
        match self.ask(Step::Account, Method::GET, path, deadline).await {
            Ok(_) => KeyState::Accepted,
            Err(error) if matches!(error.kind, Kind::Auth | Kind::Quota) => KeyState::Refused(error),
            Err(error) => KeyState::Unknown(error),
        }
    }

    /// The model for requests that name none, where this service makes such a thing at all.
    #[must_use]
    pub fn model_name(&self, modality: Modality) -> Option<&str> {
        self.model(modality).map(|model| &*model.name)
    }

    fn model(&self, modality: Modality) -> Option<&Model> {
        match modality {
            Modality::Image => self.image.as_ref(),
            Modality::Video => self.video.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_stays_one_segment_of_a_path() {
        for good in ["job-abc123", "video_1", "11111111-1111-4111-8111-111111111111", "a=b+c:d"] {
            assert_eq!(JobId::new(good).map(String::from).as_deref(), Some(good));
        }
        let long = "x".repeat(201);
        for bad in ["", ".", "..", "../balance", "a/b", "a?b", "a#b", "a%2fb", "a b", "a\nb", "ü", &long] {
            assert_eq!(JobId::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_saved_reads_back_and_is_checked_again() {
        for location in [
            Location::Url("https://cdn.example/a?s=1".to_owned()),
            Location::Content(JobId::new("job-1").unwrap()),
        ] {
            let saved = serde_json::to_string(&location).unwrap();
            assert_eq!(serde_json::from_str::<Location>(&saved).unwrap(), location);
        }
        assert!(serde_json::from_str::<JobId>(r#""../balance""#).is_err());
        assert_eq!(serde_json::to_value(Kind::InDoubt).unwrap(), "in_doubt");
        assert_eq!(serde_json::to_value(Provider::StabilityAi).unwrap(), Provider::StabilityAi.name());
    }
}

//! One challenge, from its request to the model's answer: what the model needs is fetched, and no more.

use std::sync::Arc;

use adit_media::{Media, MediaError, PictureSource};
use adit_predictor::{Answer, Need, OipError, PredictError, Predictor, Subject, Task, Wanted};
use axum::http::StatusCode;
use tokio::time::Instant;

use crate::record::Trace;
use crate::wire::request::{ChallengeFrame, ChallengeRequest, Subject as Asked};

/// Most frames of a `frames` challenge. They are pictures in memory, and no validator sends any yet.
const MAX_FRAMES: usize = 256;
/// Most bytes that the pictures of one challenge may have together.
const MAX_PICTURE_BYTES: usize = 256 * 1024 * 1024;

/// Why there is no answer, for the caller and for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Predict(#[from] PredictError),
    #[error("the queue is full")]
    QueueFull,
    #[error("the predictor is not loaded yet")]
    NotReady,
    #[error("no answer within {0:.0} s")]
    OutOfTime(f64),
    #[error("{0}")]
    Request(String),
}

impl Failure {
    /// A validator treats every status from 400 alike (section 1.4); the kinds are for the operator.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::QueueFull | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::OutOfTime(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Predict(
                PredictError::Deadline { .. } | PredictError::Busy { .. } | PredictError::OutOfTime,
            ) => StatusCode::GATEWAY_TIMEOUT,
            Self::Predict(
                PredictError::NotReady { .. }
                | PredictError::Stopped
                | PredictError::Server(OipError::NoneUp(_)),
            ) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Request(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Media(_) | Self::Predict(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the caller is told. The whole stays in the log: it may hold paths, and what this host can
    /// reach is nobody's business.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Media(error) | Self::Predict(PredictError::Media(error)) => error.for_caller(),
            Self::Predict(_) => "Prediction failed".to_owned(),
            other => other.to_string(),
        }
    }

    /// A short name for a metric's label.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Media(_) | Self::Predict(PredictError::Media(_)) => "media_failed",
            Self::QueueFull => "queue_full",
            Self::NotReady | Self::Predict(PredictError::NotReady { .. } | PredictError::Stopped) => {
                "not_ready"
            }
            Self::OutOfTime(_)
            | Self::Predict(
                PredictError::Deadline { .. } | PredictError::Busy { .. } | PredictError::OutOfTime,
            ) => "out_of_time",
            Self::Request(_) => "bad_request",
            Self::Predict(_) => "prediction_failed",
        }
    }
}

/// Fetches what the model needs and asks it. Dropping the future stops both.
#[derive(Debug)]
pub(crate) struct Solver {
    pub(crate) media: Media,
    pub(crate) predictor: Arc<Predictor>,
    /// What a `video_url` challenge asks for.
    pub(crate) mode: Wanted,
}

impl Solver {
    pub(crate) async fn solve(
        &self,
        request: &ChallengeRequest,
        deadline: Instant,
        trace: &Trace,
    ) -> Result<Answer, Failure> {
        let need = self.predictor.need().ok_or(Failure::NotReady)?;
        let fetching = trace.stage("fetch");
        let subject = match request.subject() {
            Asked::Picture(url) => {
                let picture = self.media.picture(PictureSource::Url(url), deadline).await?;
                Subject::Pictures(vec![(0, picture)])
            }
            Asked::Video(url) => self.clip(url, need, deadline, trace).await?,
            Asked::Frames(frames) => self.pictures(frames, deadline).await?,
        };
        drop(fetching);
        let _predicting = trace.stage("predict");
        let (challenge_id, wanted) = (request.challenge_id.clone(), self.wanted(request));
        Ok(self.predictor.predict(Task { challenge_id, wanted, subject }, deadline).await?)
    }

    /// What a challenge asks for.
    pub(crate) fn wanted(&self, request: &ChallengeRequest) -> Wanted {
        match request.subject() {
            Asked::Picture(_) => Wanted::CardGrades,
            Asked::Video(_) => self.mode,
            Asked::Frames(_) => Wanted::SoccerActions,
        }
    }

    async fn clip(
        &self,
        url: &str,
        need: Need,
        deadline: Instant,
        trace: &Trace,
    ) -> Result<Subject, Failure> {
        let subject = match need {
            Need::Images | Need::Link => {
                let (wanted, needs) = (self.mode.name(), "a challenge about objects");
                return Err(PredictError::Mismatch { wanted, needs, given: "a clip" }.into());
            }
            Need::FrameCount => Subject::FrameCount(self.media.frame_count(url, deadline).await?),
            Need::File => Subject::File(self.media.file(url, deadline).await?),
            // They go on arriving while the model looks at the first of them.
            Need::Frames(format) => Subject::Frames(self.media.frames(url, format, deadline).await?),
        };
        match &subject {
            Subject::FrameCount(info) => trace.clip(info),
            Subject::File(file) => trace.clip(file.info()),
            Subject::Frames(frames) => trace.clip(frames.info()),
            Subject::Pictures(_) | Subject::Images(_) | Subject::Link { .. } => {}
        }
        Ok(subject)
    }

    async fn pictures(&self, frames: &[ChallengeFrame], deadline: Instant) -> Result<Subject, Failure> {
        if frames.len() > MAX_FRAMES {
            return Err(Failure::Request(format!("{} frames; at most {MAX_FRAMES} are taken", frames.len())));
        }
        let mut pictures = Vec::with_capacity(frames.len());
        let mut bytes = 0;
        for frame in frames {
            let id = u64::try_from(frame.frame_id)
                .map_err(|_| Failure::Request(format!("frame_id {} is too large", frame.frame_id)))?;
            // Upstream's helper prefers the data that is at hand to another fetch.
            let source = match (&frame.data, &frame.url) {
                (Some(data), _) if !data.is_empty() => PictureSource::Base64(data),
                (_, url) => PictureSource::Url(url.as_deref().unwrap_or_default()),
            };
            let picture = self.media.picture(source, deadline).await?;
            bytes += picture.bytes.len();
            if bytes > MAX_PICTURE_BYTES {
                return Err(Failure::Request(format!("the frames have more than {MAX_PICTURE_BYTES} bytes")));
            }
            pictures.push((id, picture));
        }
        Ok(Subject::Pictures(pictures))
    }
}

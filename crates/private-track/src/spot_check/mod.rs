//! The spot check of an image: it is asked again what was answered live, as Score's checker asks it, and must be
//! worth the same (private-track reference, section 7).
//!
//! [`jobs_from_journal`] says what was answered, [`check`] asks again, and a [`Verdict`] is what Score's checker
//! prints. Running the image, and fetching the clips beforehand, is left to the caller.

mod job;
mod verdict;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use adit_http_server::{ClipHost, path_and_query};
use adit_outbound::Client;
use adit_scoring::soccer::Era;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use serde_json::json;
use url::Url;

pub use job::{Job, JobError, jobs_from_journal, read_jobs};
pub use verdict::{Reason, Status, Verdict};

use crate::rehearsal::{Terms, ask, ready};
use job::Live;

/// The host that the check puts in place of the clip's own.
pub const VIDEO_PROXY: &str = "video-proxy";
/// Hosts that a clip may have.
pub const VIDEO_HOSTS: [&str; 2] = ["scoredata.me", VIDEO_PROXY];
/// The check's limit on one answer.
pub const SPOT_CHECK_BUDGET: Duration = Duration::from_secs(120);
/// How long the check waits for `GET /docs` to answer 200.
pub const READY_LIMIT: Duration = Duration::from_secs(300);

/// How an image is checked.
#[derive(Debug, Clone)]
pub struct Check {
    /// Base URL of the image under test, such as `http://miner:8000`. It runs with security off.
    pub miner: String,
    /// Base URL of another container of the image, which answers first what has no live answer.
    pub first: Option<String>,
    /// The folder with the clips.
    pub clips: PathBuf,
    /// Where the clips are served.
    pub listen: SocketAddr,
    /// The name or address by which the image reaches that.
    pub alias: String,
    /// Hosts that a clip may have, compared exactly. The clip of a job is never fetched from there.
    pub hosts: Vec<String>,
    /// How long the image may take to be ready.
    pub ready_limit: Duration,
    /// How long it may take for an answer.
    pub budget: Duration,
}

impl Check {
    /// As Score's cluster does it: clips at `video-proxy`, port 80 of every interface.
    #[must_use]
    pub fn new(miner: impl Into<String>, clips: impl Into<PathBuf>) -> Self {
        Self {
            miner: miner.into(),
            first: None,
            clips: clips.into(),
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80)),
            alias: VIDEO_PROXY.to_owned(),
            hosts: VIDEO_HOSTS.map(str::to_owned).to_vec(),
            ready_limit: READY_LIMIT,
            budget: SPOT_CHECK_BUDGET,
        }
    }

    /// The URL, where the check allows it.
    fn allowed(&self, video_url: &str) -> Option<Url> {
        let url = Url::parse(video_url).ok()?;
        let good = matches!(url.scheme(), "http" | "https");
        (good && self.hosts.iter().any(|host| Some(host.as_str()) == url.host_str())).then_some(url)
    }
}

/// The jobs' clips, served for as long as this lives.
struct Served {
    /// Each job's URL, where the check allows it.
    urls: Vec<Option<Url>>,
    base: String,
    _host: ClipHost,
}

impl Served {
    async fn new(plan: &Check, jobs: &[Job]) -> Result<Self, JobError> {
        let urls: Vec<Option<Url>> = jobs.iter().map(|job| plan.allowed(&job.video_url)).collect();
        let mut clips = HashMap::new();
        for (job, url) in jobs.iter().zip(&urls) {
            if let Some(url) = url {
                clips.insert(path_and_query(url).to_owned(), job.clip_in(&plan.clips)?);
            }
        }
        let host = ClipHost::serve(clips, plan.listen).await?;
        Ok(Self { urls, base: base(&plan.alias, host.address().port()), _host: host })
    }

    fn body(&self, job: &Job, url: &Url) -> Bytes {
        checker_body(&job.challenge_id, &format!("{}{}", self.base, path_and_query(url)))
    }
}

/// What a job's new answer is compared with: its live answer, else what the first container says, so that an image
/// which nothing was asked of yet can be compared with itself. The reason where there is none.
async fn live(client: &Client, plan: &Check, served: &Served, job: &Job, url: &Url) -> Result<Live, Reason> {
    if let Ok(live) = Live::of(job) {
        return Ok(live);
    }
    let Some(first) = &plan.first else { return Err(Reason::NoResponse) };
    let terms = Terms { era: Era::Head, truth: None, budget: plan.budget };
    let (_, outcome) = ask(client, first, headers(job), served.body(job, url), terms).await;
    Live::from_outcome(&outcome).ok_or_else(|| Reason::of(&outcome, false))
}

/// Asks the image each job again, in turn, and says of each how it did, in the same order.
///
/// # Errors
/// Where a job's clip or its live answer is not what it should be, or the clips cannot be served. Nothing was sent
/// then.
pub async fn check(client: &Client, plan: &Check, jobs: &[Job]) -> Result<Vec<Verdict>, JobError> {
    for job in jobs.iter().filter(|job| job.live.is_some() || plan.first.is_none()) {
        Live::of(job)?;
    }
    let served = Served::new(plan, jobs).await?;
    let mut ready_all = served.urls.iter().any(Option::is_some);
    for miner in [Some(&plan.miner), plan.first.as_ref()].into_iter().flatten() {
        ready_all = ready_all && ready(client, miner, plan.ready_limit).await;
    }

    let mut verdicts = Vec::with_capacity(jobs.len());
    for (job, url) in jobs.iter().zip(&served.urls) {
        let known = Live::of(job).ok();
        verdicts.push(match url {
            None => Verdict::failed(job, known.as_ref(), Reason::VideoUrlRejected),
            Some(_) if !ready_all => Verdict::failed(job, known.as_ref(), Reason::MinerNotReady),
            Some(url) => match live(client, plan, &served, job, url).await {
                Err(reason) => Verdict::failed(job, None, reason),
                Ok(live) => {
                    let truth = Some(live.truth(job));
                    let terms = Terms { era: Era::Head, truth, budget: plan.budget };
                    let body = served.body(job, url);
                    let (took, outcome) = ask(client, &plan.miner, headers(job), body, terms).await;
                    Verdict::of(job, &live, &outcome, took)
                }
            },
        });
    }
    Ok(verdicts)
}

/// Where the image finds the clips.
fn base(alias: &str, port: u16) -> String {
    if port == 80 { format!("http://{alias}") } else { format!("http://{alias}:{port}") }
}

/// Nothing is signed: the image runs with security off.
fn headers(job: &Job) -> HeaderMap {
    let mut headers =
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    if let Ok(hotkey) = HeaderValue::try_from(&job.miner_hotkey) {
        headers.insert(HeaderName::from_static("x-miner-hotkey"), hotkey);
    }
    headers
}

/// The challenge in the checker's words.
pub(crate) fn checker_body(challenge_id: &str, video_url: &str) -> Bytes {
    let body = json!({
        "challenge_id": challenge_id, "video_url": video_url, "image_url": null, "frames": null,
    });
    Bytes::from(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_in_the_checkers_words() {
        assert_eq!(
            checker_body("c", &format!("{}/a.mp4?b=c", base(VIDEO_PROXY, 80))),
            r#"{"challenge_id":"c","video_url":"http://video-proxy/a.mp4?b=c","image_url":null,"frames":null}"#
        );
        assert_eq!(base("127.0.0.1", 8080), "http://127.0.0.1:8080");
    }

    #[test]
    fn hosts_are_compared_exactly() {
        let plan = Check::new("http://miner:8000", "clips");
        for (url, allowed) in [
            ("https://scoredata.me/a.mp4", true),
            ("http://SCOREDATA.me:8443/a.mp4", true),
            ("http://video-proxy/a.mp4", true),
            ("https://cdn.scoredata.me/a.mp4", false),
            ("https://notscoredata.me/a.mp4", false),
            ("ftp://scoredata.me/a.mp4", false),
            ("/a.mp4", false),
        ] {
            assert_eq!(plan.allowed(url).is_some(), allowed, "{url}");
        }
    }
}

//! What is asked again: a list of jobs, and the journal that it comes from.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use adit_journal::Entry;
use adit_journal::record::{Challenge, Ended};
use adit_predictor::Wanted;
use adit_python::json::Json;
use adit_scoring::soccer::{self, Era, Event};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::rehearsal::{Outcome, comparable};
use crate::wire::response::{self, ReadError};

/// Largest list of jobs in bytes.
const MAX_LIST: u64 = 64 * 1024 * 1024;

/// One challenge to ask again. A list of them is a JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Whose image it is.
    pub miner_hotkey: String,
    /// The challenge.
    pub challenge_id: String,
    /// The clip's URL in the challenge. The image gets its path and query, at the checker's host.
    pub video_url: String,
    /// The clip: a file name in the folder of the clips.
    pub clip: String,
    /// The live answer as it was recorded. What it may lack is `processing_time`. `None` where nothing was asked
    /// yet (see [`Check::first`](super::Check::first)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Box<RawValue>>,
    /// What really happens in the clip, where known. Else the live answer stands in for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<Vec<Event>>,
    /// What the live answer was worth by that truth, 0 to 1, where Score said. Without a truth it is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_score: Option<f64>,
}

impl Job {
    /// The clip's file, which must be in the folder itself.
    pub(super) fn clip_in(&self, folder: &Path) -> Result<PathBuf, JobError> {
        if Path::new(&self.clip).file_name() == Some(self.clip.as_ref()) {
            Ok(folder.join(&self.clip))
        } else {
            Err(JobError::ClipName { challenge_id: self.challenge_id.clone(), clip: self.clip.clone() })
        }
    }
}

/// Why nothing can be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The list cannot be read.
    #[error("cannot read the list of jobs {path}: {source}", path = .path.display())]
    List {
        /// The list.
        path: PathBuf,
        /// What the system or the JSON reader says.
        source: io::Error,
    },
    /// The clip is not beside the list.
    #[error("the clip {clip:?} of challenge {challenge_id:?} is no plain file name")]
    ClipName {
        /// The challenge.
        challenge_id: String,
        /// The name.
        clip: String,
    },
    /// The live answer is none that validators accept.
    #[error("the live answer to challenge {challenge_id:?} is no answer: {source}")]
    Live {
        /// The challenge.
        challenge_id: String,
        /// What they say.
        source: ReadError,
    },
    /// There is no live answer.
    #[error("challenge {challenge_id:?} has no live answer to compare with")]
    NoLive {
        /// The challenge.
        challenge_id: String,
    },
    /// The clips cannot be served.
    #[error(transparent)]
    ClipHost(#[from] adit_http_server::ClipHostError),
}

/// Reads a list of jobs, 64 MiB at most.
///
/// # Errors
/// [`JobError::List`].
pub fn read_jobs(path: &Path) -> Result<Vec<Job>, JobError> {
    let read = || {
        let mut text = String::new();
        File::open(path)?.take(MAX_LIST + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_LIST {
            return Err(io::Error::other("it is larger than 64 MiB"));
        }
        Ok(serde_json::from_str(&text)?)
    };
    read().map_err(|source| JobError::List { path: path.to_owned(), source })
}

/// A live answer, read.
#[derive(Debug)]
pub(super) struct Live {
    events: Vec<Event>,
    /// What the new answer is compared with.
    pub(super) answer: String,
}

impl Live {
    pub(super) fn of(job: &Job) -> Result<Self, JobError> {
        let refused = |source| JobError::Live { challenge_id: job.challenge_id.clone(), source };
        let none = || JobError::NoLive { challenge_id: job.challenge_id.clone() };
        let text = job.live.as_ref().ok_or_else(none)?.get();
        let mut whole = Json::parse(text.as_bytes()).map_err(|error| refused(error.into()))?;
        if let Json::Object(answer) = &mut whole {
            answer.entry("processing_time".to_owned()).or_insert(Json::Int(0));
        }
        let read = response::read(Era::Head, whole.to_text().as_bytes()).map_err(refused)?;
        Ok(Self { events: read.soccer_events(), answer: comparable(text.as_bytes()) })
    }

    /// An answer that stands for one that was given live.
    pub(super) fn from_outcome(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Answered { predictions, answer, .. } => {
                Some(Self { events: predictions.clone(), answer: answer.clone() })
            }
            _ => None,
        }
    }

    /// What answers are scored by.
    pub(super) fn truth<'a>(&'a self, job: &'a Job) -> &'a [Event] {
        job.truth.as_deref().unwrap_or(&self.events)
    }

    /// What the live answer is worth.
    pub(super) fn score(&self, job: &Job) -> f64 {
        let known = job.original_score.filter(|_| job.truth.is_some());
        known.unwrap_or_else(|| soccer::judge(Era::Head, &self.events, self.truth(job)).score)
    }
}

/// The newest soccer challenges of a journal that were answered from a clip, newest first and each once; at most
/// `most`, and only those that `image` answered where one is given. Their clips are to be put at `1.mp4`, `2.mp4`, …
///
/// # Errors
/// Where the journal cannot be read.
pub fn jobs_from_journal(
    entries: impl IntoIterator<Item = io::Result<Entry>>,
    image: Option<&str>,
    most: usize,
) -> io::Result<Vec<Job>> {
    let mut newest: VecDeque<Job> = VecDeque::new();
    for entry in entries {
        let Some(job) = job(&entry?, image) else { continue };
        newest.retain(|known| known.challenge_id != job.challenge_id);
        newest.push_front(job);
        newest.truncate(most);
    }
    for (at, job) in newest.iter_mut().enumerate() {
        job.clip = format!("{}.mp4", at + 1);
    }
    Ok(newest.into())
}

fn job(entry: &Entry, image: Option<&str>) -> Option<Job> {
    let record: Challenge = entry.read()?;
    let asked = record.outcome == Ended::Answered && record.mode == Wanted::SoccerActions.name();
    if !asked || image.is_some_and(|image| record.image.as_deref() != Some(image)) {
        return None;
    }
    Some(Job {
        miner_hotkey: record.miner_hotkey?,
        challenge_id: record.challenge_id,
        video_url: record.video_url?,
        clip: String::new(),
        live: Some(record.answer?),
        truth: None,
        original_score: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job() -> Job {
        serde_json::from_value(json!({
            "miner_hotkey": "5Hot", "challenge_id": "c", "video_url": "http://h/c.mp4", "clip": "1.mp4",
            "live": {"challenge_id": "c", "predictions": []},
        }))
        .unwrap()
    }

    #[test]
    fn a_list_reads_back_with_every_digit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.json");
        let mut job = job();
        let digits = r#"{"predictions":[{"frame":1,"action":"pass","confidence":0.10000000000000002}]}"#;
        job.live = Some(RawValue::from_string(digits.to_owned()).unwrap());
        job.truth = Some(vec![Event::new(5u64, "goal")]);
        std::fs::write(&path, serde_json::to_string(&[job]).unwrap()).unwrap();
        let read = read_jobs(&path).unwrap();
        assert_eq!((read.len(), read[0].live.as_ref().unwrap().get()), (1, digits));
        assert_eq!(read[0].truth.as_deref(), Some(&[Event::new(5u64, "goal")][..]));
        assert_eq!(read[0].original_score, None);
    }

    #[test]
    fn a_list_that_is_none_says_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.json");
        let refused = |path: &Path| {
            let error = read_jobs(path).unwrap_err();
            assert!(error.to_string().contains("jobs.json"), "{error}");
        };
        refused(&path);
        std::fs::write(&path, "{}").unwrap();
        refused(&path);
        File::create(&path).unwrap().set_len(MAX_LIST + 1).unwrap();
        refused(&path);
    }

    #[test]
    fn a_clip_is_a_file_beside_the_list() {
        for (name, good) in [
            ("1.mp4", true),
            ("../1.mp4", false),
            ("/etc/passwd", false),
            ("a/1.mp4", false),
            ("", false),
            ("1.mp4/", false),
        ] {
            let job = Job { clip: name.to_owned(), ..job() };
            assert_eq!(job.clip_in(Path::new("/clips")).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn a_live_answer_that_validators_refuse_is_refused() {
        for live in ["[]", "{}", r#"{"challenge_id":"c","predictions":[{"frame":-1,"action":"x"}]}"#] {
            let job = Job { live: Some(RawValue::from_string(live.to_owned()).unwrap()), ..job() };
            let error = Live::of(&job).unwrap_err();
            assert!(matches!(error, JobError::Live { .. }), "{error}");
        }
    }

    /// A record of challenge `id` with some fields changed.
    fn entry(id: &str, change: Value) -> Entry {
        let mut fields = json!({
            "challenge_id": id, "miner_hotkey": "5Hot", "sender": "5Val", "mode": "soccer_action",
            "video_url": format!("http://h/{id}.mp4"), "outcome": "answered", "latency_ms": 5,
            "predictor": "baseline", "image": "repo@sha256:1", "answer": {"challenge_id": id, "predictions": []},
        });
        for (key, value) in change.as_object().unwrap() {
            fields[key] = value.clone();
        }
        let fields = RawValue::from_string(fields.to_string()).unwrap();
        Entry { id: 0, at_ms: 1, event: "challenge".to_owned(), key: None, who: None, outcome: None, fields }
    }

    fn picked(entries: Vec<Entry>, image: Option<&str>, most: usize) -> Vec<String> {
        let jobs = jobs_from_journal(entries.into_iter().map(Ok), image, most).unwrap();
        jobs.into_iter().map(|job| format!("{} {} {}", job.challenge_id, job.clip, job.video_url)).collect()
    }

    #[test]
    fn the_newest_are_taken_and_each_once() {
        let url = |n: u8| json!({ "video_url": format!("http://h/{n}") });
        let all = || vec![entry("a", url(1)), entry("b", url(2)), entry("c", url(3)), entry("a", url(4))];
        assert_eq!(
            picked(all(), None, 9),
            ["a 1.mp4 http://h/4", "c 2.mp4 http://h/3", "b 3.mp4 http://h/2"]
        );
        assert_eq!(picked(all(), None, 2).len(), 2);
        assert_eq!(picked(all(), None, 0).len(), 0);
    }

    #[test]
    fn only_what_can_be_asked_again_is_taken() {
        for change in [
            json!({"mode": "cricket_delivery"}),
            json!({"outcome": "failed", "status": 500}),
            json!({"outcome": "of a later version"}),
            json!({"video_url": null}),
            json!({"answer": null, "answer_too_large": 300_000}),
            json!({"miner_hotkey": null}),
        ] {
            assert!(picked(vec![entry("a", change.clone())], None, 9).is_empty(), "{change}");
        }
        let other = Entry { event: "started".to_owned(), ..entry("a", json!({})) };
        assert!(picked(vec![other], None, 9).is_empty());
        assert_eq!(picked(vec![entry("a", json!({"of a later version": 1}))], None, 9).len(), 1);
    }

    #[test]
    fn only_that_images_answers_are_taken() {
        let all = || {
            vec![entry("a", json!({})), entry("b", json!({"image": null})), entry("c", json!({"image": "x"}))]
        };
        assert_eq!(picked(all(), Some("repo@sha256:1"), 9), ["a 1.mp4 http://h/a.mp4"]);
        assert_eq!(picked(all(), None, 9).len(), 3);
    }
}

//! What is told of tasks: each step that is in the database, when it is there. To the journal, and as spans to whoever
//! collects them.

use std::ops::Range;
use std::path::PathBuf;

use adit_journal::Journal;
use adit_journal::record::{MAX_TEXT, TaskMedia, TaskStep, bounded};
use url::Url;

use super::machine::{State, Task, UnixMs};
use super::output::OutputDir;
use super::spans;

/// A step of a task.
#[derive(Debug)]
pub(super) struct Step {
    /// As [`Event::step`](super::Event::step) has it.
    pub(super) name: &'static str,
    /// How a delivery went.
    pub(super) answer: Option<&'static str>,
    /// What the C2PA check said.
    pub(super) verdict: Option<String>,
    /// When a worker was at it; `None` where it came about by itself.
    pub(super) worked: Option<Range<UnixMs>>,
}

impl Step {
    /// One that nobody's work led to.
    pub(super) fn by_itself(name: &'static str) -> Self {
        Self { name, answer: None, verdict: None, worked: None }
    }
}

/// Tells of steps.
#[derive(Debug, Clone)]
pub(super) struct Steps {
    journal: Option<Journal>,
    /// Where media are, for whoever has them.
    output: Option<OutputDir>,
}

impl Steps {
    pub(super) fn new(journal: Option<Journal>, output: Option<OutputDir>) -> Self {
        Self { journal, output }
    }

    /// A task that is new. One that can come to nothing has been given up already.
    pub(super) fn accepted(&self, task: &Task) {
        let Some(journal) = &self.journal else { return };
        let new = Task { failure: None, state: State::Accepted, ..task.clone() };
        let parameters = &task.request.parameters;
        let url = Url::parse(&task.request.webhook_url).ok();
        journal.record(&TaskStep {
            prompt: Some(bounded(&task.request.prompt, MAX_TEXT)),
            parameters: (!parameters.is_null()).then(|| bounded(&parameters.to_string(), MAX_TEXT)),
            webhook_host: url.as_ref().and_then(Url::host_str).map(|host| bounded(host, MAX_TEXT)),
            ..record("accepted", &new, &new)
        });
        if task.state != State::Accepted {
            journal.record(&record("given_up", &new, task));
        }
    }

    /// A step that made the one of the other.
    pub(super) fn happened(&self, step: Step, before: &Task, after: &Task) {
        if let Some(worked) = &step.worked {
            spans::of_step(&step, worked, after);
        }
        if before.state != after.state {
            spans::of_task(after);
        }
        let Some(journal) = &self.journal else { return };
        journal.record(&TaskStep {
            media: self.media(after),
            answer: step.answer.map(str::to_owned),
            verdict: step.verdict.map(|verdict| bounded(&verdict, MAX_TEXT)),
            ..record(step.name, before, after)
        });
    }

    fn media(&self, task: &Task) -> Option<TaskMedia> {
        let media = task.media.as_ref()?;
        let path = self.output.as_ref()?.file_of(task)?;
        let path: PathBuf = std::path::absolute(&path).unwrap_or(path);
        Some(TaskMedia {
            path: path.display().to_string(),
            content_type: media.content_type(task.modality).to_owned(),
            bytes: media.bytes,
            sha256: media.sha256.clone(),
        })
    }
}

/// A step without what only some have.
pub(super) fn record(name: &str, before: &Task, after: &Task) -> TaskStep {
    let note = match name {
        "given_up" => &after.failure,
        "retry" | "doubt" | "postponed" | "answered" | "expired" => &after.note,
        "orphaned" if before.state != after.state => &after.note,
        _ => &None,
    };
    TaskStep {
        task: after.id.to_string(),
        modality: after.modality.as_str().to_owned(),
        // Where nobody had to sign, it is any text.
        validator: bounded(&after.signed_by, 128),
        step: name.to_owned(),
        state: after.state.as_str().to_owned(),
        attempt: after.attempt,
        service: after.service.clone(),
        model: after.model.clone(),
        spent_micro_usd: after.spent.0.saturating_sub(before.spent.0),
        cost_micro_usd: after.cost().0,
        tries: after.tries,
        note: note.clone(),
        ..TaskStep::default()
    }
}

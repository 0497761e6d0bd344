//! What a deployment says while it goes on: the guide's lines, a bar where there is a terminal, or JSON at
//! the end.

use std::fmt::Display;
use std::time::Duration;

use adit_docker::Progress;
use adit_journal::Journal;
use adit_journal::record::{MAX_TEXT, Pushed, bounded};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::failure::Failure;

/// The steps, as JSON and failures name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Preflight,
    Repository,
    Upload,
    Build,
    Push,
    Share,
    SpotCheck,
    Deploy,
    Secret,
    Health,
    Commit,
    Publish,
    Start,
}

impl Step {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Repository => "repository",
            Self::Upload => "upload",
            Self::Build => "build",
            Self::Push => "push",
            Self::Share => "share",
            Self::SpotCheck => "spot-check",
            Self::Deploy => "deploy",
            Self::Secret => "secret",
            Self::Health => "health",
            Self::Commit => "commit",
            Self::Publish => "publish",
            Self::Start => "start",
        }
    }
}

/// Where a deployment stands, and how it is told.
pub(crate) struct Say {
    json: bool,
    step: Step,
    steps: Vec<Value>,
    warnings: Vec<String>,
    /// Where each step is recorded, and of what.
    recorded: Option<(Journal, String)>,
}

impl Say {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, step: Step::Preflight, steps: Vec::new(), warnings: Vec::new(), recorded: None }
    }

    /// Records each step from here on, as one of the push of `what`.
    pub(crate) fn record_in(&mut self, journal: Option<Journal>, what: &str) {
        self.recorded = journal.map(|journal| (journal, what.to_owned()));
    }

    fn record(&self, step: Step, done: bool, detail: &str) {
        if let Some((journal, what)) = &self.recorded {
            journal.record(&Pushed {
                what: what.clone(),
                step: step.name().to_owned(),
                done,
                detail: Some(bounded(detail, MAX_TEXT)),
            });
        }
    }

    /// The step that goes on from here.
    pub(crate) fn begin(&mut self, step: Step, line: impl Display) {
        self.step = step;
        self.line(line);
    }

    pub(crate) fn line(&self, line: impl Display) {
        if !self.json {
            println!("{line}");
        }
    }

    /// The step is done, or held already. `facts` go into the JSON.
    pub(crate) fn done(&mut self, line: impl Display, already: bool, facts: Value) {
        self.line(format_args!("✓ {line}"));
        self.record(self.step, true, &line.to_string());
        if already {
            self.line("  (it was so already)");
        }
        let status = if already { "held" } else { "done" };
        self.steps.push(json!({"step": self.step.name(), "status": status, "facts": facts}));
    }

    pub(crate) fn skipped(&mut self, step: Step, line: impl Display) {
        self.line(format_args!("⊘ {line}"));
        self.steps.push(json!({"step": step.name(), "status": "skipped", "facts": {}}));
    }

    /// What is no failure but should be known.
    pub(crate) fn warn(&mut self, text: impl Display) {
        let text = text.to_string();
        if !self.json {
            println!("⚠ {text}");
        }
        self.warnings.push(text);
    }

    /// What to do by hand.
    pub(crate) fn by_hand(&mut self, step: Step, text: impl Display) {
        self.line(format_args!("→ {text}"));
        self.record(step, false, &text.to_string());
        self.steps
            .push(json!({"step": step.name(), "status": "by hand", "facts": {"todo": text.to_string()}}));
    }

    /// The end, of whichever kind.
    pub(crate) fn end(mut self, failure: Option<&Failure>) {
        if let Some(failure) = failure {
            let (what, hint) = failure.parts();
            let step = self.step.name();
            self.record(self.step, false, what);
            if self.json {
                let facts = json!({"error": what, "hint": hint});
                self.steps.push(json!({"step": step, "status": "failed", "facts": facts}));
            } else {
                eprintln!("✗ {what}");
                eprintln!("  step: {step}");
                if let Some(hint) = hint {
                    eprintln!("  hint: {hint}");
                }
            }
        } else {
            self.line("Done!");
        }
        if self.json {
            let result = json!({"ok": failure.is_none(), "steps": self.steps, "warnings": self.warnings});
            println!("{result:#}");
        }
    }

    /// A bar for a build or a transfer; without a terminal none.
    pub(crate) fn bar(&self) -> Bar {
        let target = if self.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.enable_steady_tick(Duration::from_millis(120));
        // Both are literals that the library accepts.
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        Bar { bar, layers: Vec::new(), json: self.json }
    }
}

/// One line that changes: the newest of a build, or the bytes of all layers together.
pub(crate) struct Bar {
    bar: ProgressBar,
    layers: Vec<(String, u64, u64)>,
    json: bool,
}

impl Bar {
    pub(crate) fn show(&mut self, progress: Progress) {
        match progress {
            Progress::Line(line) => {
                tracing::debug!("{line}");
                // Docker's word, and Podman's.
                let step = line.starts_with("Step ") || line.starts_with("STEP ");
                let telling = step || tracing::enabled!(tracing::Level::INFO);
                if telling && !is_bookkeeping(&line) {
                    self.print(&line);
                }
                self.bar.set_message(line);
            }
            Progress::Layer { id, status, bytes } => {
                tracing::debug!("{id} {status}");
                let Some((now, all)) = bytes else { return };
                if id.is_empty() {
                    // Of a push it is not told which layer it is.
                    self.bar.set_message(format!("{status}: {} of {}", size(now), size(all)));
                    return;
                }
                match self.layers.iter_mut().find(|(other, _, _)| *other == id) {
                    Some(layer) => (layer.1, layer.2) = (now, all),
                    None => self.layers.push((id, now, all)),
                }
                let sum = |of: fn(&(String, u64, u64)) -> u64| self.layers.iter().map(of).sum::<u64>();
                let (now, all) = (sum(|layer| layer.1.min(layer.2)), sum(|layer| layer.2));
                self.bar.set_message(format!("{status}: {} of {}", size(now), size(all)));
            }
        }
    }

    /// A line above the bar, cut to one line of most terminals.
    fn print(&self, line: &str) {
        let line: String = format!("  {line}").chars().take(100).collect();
        match (self.json, self.bar.is_hidden()) {
            (true, _) => {}
            (false, true) => println!("{line}"),
            (false, false) => self.bar.println(line),
        }
    }
}

/// What the builder says of its own containers and layers.
fn is_bookkeeping(line: &str) -> bool {
    [" --->", "--> ", "Removing intermediate container", "Successfully "]
        .iter()
        .any(|start| line.starts_with(start))
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Bytes for a reader: in kB, MB or GB, as registries count them.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 100_000 {
        format!("{:.1} kB", bytes as f64 / 1e3)
    } else if bytes < 1_000_000_000 {
        format!("{:.1} MB", bytes as f64 / 1e6)
    } else {
        format!("{:.1} GB", bytes as f64 / 1e9)
    }
}

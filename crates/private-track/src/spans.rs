//! A challenge as spans, for whoever collects them: one of the whole and a child for each stage.
//!
//! They are made when it has ended, out of the times that were taken for the record, and only where somebody listens to
//! [`SPANS`]. No URL is in them.

use std::time::SystemTime;

use adit_journal::SPANS;

use crate::record::Trace;

/// What is told of a challenge.
pub(crate) struct Told<'a> {
    /// Its bounded name.
    pub(crate) id: &'a str,
    /// Who sent it, where known.
    pub(crate) validator: &'a str,
    /// By which message form, where signed.
    pub(crate) dialect: &'a str,
    pub(crate) mode: &'static str,
}

impl Told<'_> {
    /// Tells it after its end; `status` is that of the answer, where there was one.
    pub(crate) fn end(&self, outcome: &'static str, status: Option<u16>, trace: &Trace) {
        let took = trace.elapsed();
        let root = tracing::info_span!(
            target: SPANS,
            parent: None,
            "challenge",
            started_us = tracing::field::Empty,
            took_us = tracing::field::Empty,
            failed = outcome != "answered",
            "challenge.id" = self.id,
            validator = self.validator,
            dialect = self.dialect,
            mode = self.mode,
            outcome,
            "http.response.status_code" = status,
        );
        if root.is_disabled() {
            return;
        }
        let micros = |at: SystemTime| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
        };
        let started = SystemTime::now().checked_sub(took).map_or(0, micros);
        root.record("started_us", started);
        root.record("took_us", u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        for stage in trace.stages() {
            tracing::info_span!(
                target: SPANS,
                parent: &root,
                "stage",
                otel.name = stage.name,
                started_us = started.saturating_add(stage.from_us),
                took_us = stage.took_us,
            );
        }
    }
}

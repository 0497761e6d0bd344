//! A task as spans: one of the whole when it has ended, and one of each piece of work that led to a step, when it is done.
//!
//! A task outlives the process and may be worked on by several hosts. So its spans are named after it: the trace by its
//! UUID, the whole by the UUID's last 64 bits. A dead letter that is delivered again ends twice, and is told of twice.

use std::ops::Range;

use adit_journal::SPANS;
use uuid::Uuid;

use super::machine::{State, Task, UnixMs};
use super::steps::Step;

/// The piece of work that led to a step, by whoever had the task.
pub(super) fn of_step(step: &Step, worked: &Range<UnixMs>, after: &Task) {
    let is_setback = matches!(step.name, "retry" | "doubt" | "given_up" | "expired");
    let is_refusal = step.answer.is_some_and(|answer| answer != "acknowledged");
    tracing::info_span!(
        target: SPANS,
        parent: None,
        "step",
        otel.name = step.name,
        trace_id = after.id.as_u128(),
        parent_id = span_id(after.id),
        started_us = micros(worked.start),
        took_us = micros(worked.end.saturating_sub(worked.start)),
        failed = is_setback || is_refusal,
        attempt = after.attempt,
        answer = step.answer,
    );
}

/// The whole, if it has ended.
pub(super) fn of_task(task: &Task) {
    let Some(ended_at) = task.ended_at else { return };
    tracing::info_span!(
        target: SPANS,
        parent: None,
        "task",
        trace_id = task.id.as_u128(),
        span_id = span_id(task.id),
        started_us = micros(task.accepted_at),
        took_us = micros(ended_at.saturating_sub(task.accepted_at)),
        failed = task.state != State::Delivered,
        "task.id" = task.id.to_string(),
        modality = task.modality.as_str(),
        validator = adit_journal::record::bounded(&task.signed_by, 128),
        service = task.service,
        model = task.model,
        outcome = task.state.as_str(),
        attempts = task.attempt,
        deliveries = task.tries,
        cost_micro_usd = task.cost().0,
    );
}

/// Of the whole. A random UUID's last 64 bits are not 0: its variant is among them.
fn span_id(task: Uuid) -> u64 {
    task.as_u64_pair().1
}

fn micros(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0).saturating_mul(1000)
}

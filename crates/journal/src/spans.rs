//! What spans of what has happened look like, for whoever makes them and whoever sends them on.

/// Target of all spans. Their level is INFO, and they are made where somebody listens to it, of what is over.
///
/// A span says itself when it began, as `started_us` (Unix microseconds), how long it took, as `took_us`, and with `failed`
/// whether it came to nothing. `otel.name` is its name where it is not the `tracing` span's own. It has no URL and no
/// prompt.
///
/// A whole of which several processes tell has names that they agree on: `trace_id` (128 bits) and `span_id` (64 bits),
/// both not 0. Its parts say the same `trace_id`, and its `span_id` as `parent_id`.
pub const SPANS: &str = "spans";

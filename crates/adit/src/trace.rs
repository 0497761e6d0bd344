//! Spans to an OpenTelemetry collector, where `OTEL_EXPORTER_OTLP_ENDPOINT` names one: OTLP over HTTP with protobuf, through
//! the workspace's one HTTP client.
//!
//! The libraries tell of what has ended in `tracing` spans of one target, with the times that they took themselves
//! ([`SPANS`]). So a span is whole when it closes, and is handed to a bounded queue, which drops what does not fit. A
//! thread of the SDK's empties it.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use adit_journal::SPANS;
use adit_outbound::{AddressGuard, Client, Limits};
use adit_settings::{Environment, var};
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context as OtelContext, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider};
use secrecy::ExposeSecret as _;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use crate::failure::Failure;

/// Time for one delivery, and for all tries of one batch.
const DELIVERY: Duration = Duration::from_secs(5);
/// Most bytes of a collector's answer.
const MAX_ANSWER: u64 = 1 << 20;
/// How long the end of the program waits for what is left.
const LAST: Duration = Duration::from_secs(3);
/// How often the log says that nothing is delivered.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Sends spans until it is dropped; then what is left, for which it waits 3 s at most.
pub(crate) struct Exporting {
    provider: SdkTracerProvider,
}

impl Exporting {
    /// As the settings say; `None` where no collector is named. `service` is what spans are filed under unless
    /// `OTEL_SERVICE_NAME` says otherwise.
    pub(crate) fn start(env: &Environment, service: &'static str) -> Result<Option<Self>, Failure> {
        let Some(base) = env.text(&var::OTLP_ENDPOINT)? else { return Ok(None) };
        let base = base.trim_end_matches('/');
        let is_url = Url::parse(base).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_url {
            return Err(env.invalid(&var::OTLP_ENDPOINT, "an http or https URL").into());
        }
        let headers = env.secret(&var::OTLP_HEADERS)?;
        let headers = headers.map_or(Some(HeaderMap::new()), |text| self::headers(text.expose_secret()));
        let headers = headers.ok_or_else(|| {
            Failure::new(format!("`{}` is no list of key=value", var::OTLP_HEADERS.name))
                .hint("values are percent-encoded: authorization=Bearer%20…")
        })?;
        let client = Delivery::new(headers)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(format!("{base}/v1/traces"))
            .with_timeout(DELIVERY)
            .build()
            .map_err(|error| Failure::new(format!("spans cannot be sent: {error}")))?;
        let service = env.text(&var::OTLP_SERVICE)?.unwrap_or(service);
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource =
            Resource::builder().with_service_name(service.to_owned()).with_attribute(version).build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_id_generator(Ids::default())
            .with_resource(resource);
        Ok(Some(Self { provider: provider.build() }))
    }

    /// Takes the spans that are for it, and nothing else.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let only = Targets::new().with_target(SPANS, Level::INFO);
        Spans { tracer: self.provider.tracer("adit") }.with_filter(only)
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        if self.provider.shutdown_with_timeout(LAST).is_err() {
            tracing::warn!("not all spans were delivered before the end");
        }
    }
}

/// `key=value,…` with percent-encoded values.
fn headers(text: &str) -> Option<HeaderMap> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let mut value = HeaderValue::from_bytes(&percent_decoded(value.trim())?).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    };
    pairs.map(header).collect()
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    Some(bytes)
}

/// Posts what the SDK's thread hands over, on that thread.
struct Delivery {
    client: Client,
    runtime: Runtime,
    headers: HeaderMap,
    said: Mutex<Option<Instant>>,
}

impl Delivery {
    fn new(headers: HeaderMap) -> Result<Self, Failure> {
        // The operator's own collector may be anywhere.
        let client = Client::new(AddressGuard::unrestricted())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime, headers, said: Mutex::default() })
    }

    fn deliver(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let mut headers = parts.headers;
        headers.extend(self.headers.clone());
        let posted = self.runtime.block_on(async {
            let limits = Limits::new(Instant::now() + DELIVERY, MAX_ANSWER);
            self.client.post(&parts.uri.to_string(), headers, body, &limits).await
        });
        let answer = posted.inspect_err(|error| self.say(error))?;
        if !answer.status.is_success() {
            self.say(&format_args!("it answers {}", answer.status));
        }
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    /// Once a minute at most: a collector that is away is away for every batch.
    fn say(&self, why: &dyn fmt::Display) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            *said = Some(Instant::now());
            tracing::warn!("spans do not reach the collector (OTEL_EXPORTER_OTLP_ENDPOINT): {why}");
        }
    }
}

/// Without the headers.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}

impl HttpClient for Delivery {
    fn send_bytes<'this, 'sent>(
        &'this self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sent>>
    where
        'this: 'sent,
        Self: 'sent,
    {
        Box::pin(async move { self.deliver(request) })
    }
}

thread_local! {
    /// The names of the next span that this thread makes.
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Names a span as it says itself, or by chance. The SDK has no other way to give a span its id.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}

/// Makes spans of `tracing` those of OpenTelemetry.
struct Spans {
    tracer: SdkTracer,
}

/// What a span says of itself, until it closes.
#[derive(Default)]
struct Fields {
    name: Cow<'static, str>,
    started_us: u64,
    took_us: u64,
    failed: bool,
    /// Where it has names that other processes know it by.
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    parent_id: Option<SpanId>,
    attributes: Vec<KeyValue>,
    /// Those of its children, which close before it does and need its id.
    children: Vec<Fields>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.attributes.push(KeyValue::new(field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "otel.name" => self.name = value.to_owned().into(),
            name => self.attributes.push(KeyValue::new(name, value.to_owned())),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "failed" => self.failed = value,
            name => self.attributes.push(KeyValue::new(name, value)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "started_us" => self.started_us = value,
            "took_us" => self.took_us = value,
            "span_id" => self.span_id = Some(value.into()),
            "parent_id" => self.parent_id = Some(value.into()),
            name => self.attributes.push(KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX))),
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match field.name() {
            "trace_id" => self.trace_id = Some(value.into()),
            name => self.attributes.push(KeyValue::new(name, value.to_string())),
        }
    }
}

impl Spans {
    /// Hands a span over, and its children with it.
    fn send(&self, fields: Fields, kind: SpanKind, parent: &OtelContext) {
        let at = |micros| SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros));
        let at = |micros| at(micros).unwrap_or(SystemTime::UNIX_EPOCH);
        let Fields { name, started_us, took_us, failed, trace_id, span_id, attributes, children, .. } =
            fields;
        NEXT.set(trace_id.zip(span_id));
        let mut span = self
            .tracer
            .span_builder(name)
            .with_kind(kind)
            .with_start_time(at(started_us))
            .with_attributes(attributes)
            .start_with_context(&self.tracer, parent);
        NEXT.set(None);
        if failed {
            span.set_status(Status::error(""));
        }
        let parent = OtelContext::new().with_remote_span_context(span.span_context().clone());
        span.end_with_timestamp(at(started_us.saturating_add(took_us)));
        for child in children {
            self.send(child, SpanKind::Internal, &parent);
        }
    }
}

impl<S> Layer<S> for Spans
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields { name: span.name().into(), ..Fields::default() };
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(fields) = span.extensions_mut().remove::<Fields>() else { return };
        match span.parent() {
            Some(parent) => {
                if let Some(of_parent) = parent.extensions_mut().get_mut::<Fields>() {
                    of_parent.children.push(fields);
                }
            }
            None => match fields.trace_id.zip(fields.parent_id) {
                Some((trace, parent)) => {
                    let state = TraceState::default();
                    let parent = SpanContext::new(trace, parent, TraceFlags::SAMPLED, true, state);
                    let parent = OtelContext::new().with_remote_span_context(parent);
                    self.send(fields, SpanKind::Internal, &parent);
                }
                None => self.send(fields, SpanKind::Server, &OtelContext::new()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_specification_has_them() {
        let read = headers(" authorization=Bearer%20a%3Db , x-team = miners,").unwrap();
        assert_eq!(
            (read["authorization"].as_bytes(), read["x-team"].as_bytes()),
            (&b"Bearer a=b"[..], &b"miners"[..])
        );
        assert!(read["authorization"].is_sensitive());
        assert!(headers("").unwrap().is_empty());
        for wrong in ["authorization", "a b=c", "a=%", "a=%zz", "a=%0a"] {
            assert!(headers(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_setting_that_is_wrong_is_named_without_its_value() {
        for (name, value) in
            [("OTEL_EXPORTER_OTLP_HEADERS", "hush"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")]
        {
            let mut pairs = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")];
            pairs.retain(|(other, _)| *other != name);
            pairs.push((name, value));
            let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            let env = Environment::layered(pairs, None).unwrap();
            let Err(failure) = Exporting::start(&env, "adit-test") else { panic!("{name} is taken") };
            assert!(failure.to_string().contains(name), "{failure}");
            assert!(!failure.to_string().contains("hush"), "{failure}");
        }
    }
}

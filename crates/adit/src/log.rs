//! The log on stderr, and beside it the spans that a collector gets. The log has one event a line, `<time> INFO: text key=value`, with the level's name as the
//! guide's users know it (`WARNING`).

use std::fmt;
use std::io::{self, IsTerminal as _};

use adit_settings::{Environment, var};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, layer};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::failure::Failure;
use crate::trace::Exporting;

/// Starts it. `-v` asks for `info`, `-vv` for `debug`; a server, whose name for its spans is `service`, logs at `ADIT_LOG` at
/// least.
pub(crate) fn start(
    env: &Environment,
    verbose: u8,
    service: Option<&'static str>,
) -> Result<Option<Exporting>, Failure> {
    let wanted = level(env)?;
    let asked = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // The libraries below us log only what we say is worth a line.
    let ours = if service.is_some() { wanted.max(asked) } else { asked };
    let filter = tracing_subscriber::filter::Targets::new()
        .with_default(LevelFilter::WARN.min(ours))
        .with_target("adit", ours)
        .with_target("worker", ours);
    let exporting = service.map_or(Ok(None), |service| Exporting::start(env, service))?;
    // Each layer has its own filter: what one of them takes costs the other nothing.
    let lines = layer().event_format(Line).with_ansi(colours()).with_writer(io::stderr).with_filter(filter);
    tracing_subscriber::registry()
        .with(lines)
        .with(exporting.as_ref().map(Exporting::layer))
        .try_init()
        .map_err(Failure::new)?;
    Ok(exporting)
}

/// `ADIT_LOG`, else what the generative miner's own setting says, else `info`.
fn level(env: &Environment) -> Result<LevelFilter, Failure> {
    if let (None, Some(theirs)) = (env.written(&var::LOG)?, env.text(&var::BT_LOGGING_LEVEL)?) {
        let word = theirs.trim().to_lowercase();
        let word = if word == "warning" { "warn" } else { &word };
        return word
            .parse()
            .map_err(|_| env.invalid(&var::BT_LOGGING_LEVEL, "error, warning, info, debug or trace").into());
    }
    Ok(env.parsed(&var::LOG, "error, warn, info, debug or trace")?)
}

/// On a terminal, unless `NO_COLOR` (no-color.org) says otherwise: a log file holds plain text.
fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut writer)?;
        let level = match *event.metadata().level() {
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::ERROR => "ERROR",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "TRACE",
        };
        write!(writer, " {level}: ")?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

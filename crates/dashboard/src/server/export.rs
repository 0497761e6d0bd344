//! Tables as files. They leave piece by piece, so their length costs no memory.

use std::sync::Arc;

use adit_journal::{Entry, Reader};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use crate::page::Filter;
use crate::{Miner, SourceError, Sources};

/// Most rows of a file.
const MOST_ROWS: usize = 100_000;
/// Rows, and bytes of their entries, that are read at once.
const ROWS_AT_ONCE: u32 = 500;
const BYTES_AT_ONCE: usize = 1 << 20;

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Json,
}

impl Format {
    /// By the ending of a name, and the name without it.
    pub(crate) fn split(name: &str) -> (&str, Option<Self>) {
        if let Some(stem) = name.strip_suffix(".csv") {
            (stem, Some(Self::Csv))
        } else if let Some(stem) = name.strip_suffix(".json") {
            (stem, Some(Self::Json))
        } else {
            (name, None)
        }
    }
}

/// A row's cells, in the order of the columns.
pub(crate) type Row = Vec<Value>;
pub(crate) type Columns = &'static [&'static str];

/// A table that is at hand.
pub(crate) fn table(format: Format, name: &str, columns: Columns, rows: Vec<Row>) -> Response {
    respond(format, name, columns, stream::iter([Ok(rows)]))
}

/// A part of a journal: its events, and what a row of each is.
pub(crate) struct Journal {
    pub(crate) miner: Miner,
    pub(crate) event: &'static str,
    pub(crate) row: fn(&Reader, &Entry) -> Option<Row>,
}

/// The entries that a filter means, of each part after the other.
pub(crate) fn journals(
    format: Format,
    name: &str,
    columns: Columns,
    sources: &Arc<Sources>,
    parts: Vec<Journal>,
    filter: Filter,
) -> Response {
    let (sources, filter) = (Arc::clone(sources), Arc::new(filter));
    let rows =
        stream::iter(parts).flat_map(move |part| read(Arc::clone(&sources), part, Arc::clone(&filter)));
    respond(format, name, columns, rows)
}

fn read(
    sources: Arc<Sources>,
    part: Journal,
    filter: Arc<Filter>,
) -> impl Stream<Item = Result<Vec<Row>, SourceError>> {
    let Journal { miner, event, row } = part;
    stream::unfold(Some(None::<i64>), move |before| {
        let (sources, filter) = (Arc::clone(&sources), Arc::clone(&filter));
        async move {
            let before = before?;
            let reading = sources.read(miner, move |reader| {
                let mut find = filter.find(event);
                find.before = before;
                find.limit = ROWS_AT_ONCE;
                let (mut rows, mut bytes, mut last, mut seen) = (Vec::new(), 0, None, 0);
                reader.each(&find, |entry| {
                    bytes += entry.fields.get().len();
                    last = Some(entry.id);
                    seen += 1;
                    rows.extend(row(reader, &entry));
                    bytes < BYTES_AT_ONCE
                })?;
                Ok((rows, last.filter(|_| seen == ROWS_AT_ONCE || bytes >= BYTES_AT_ONCE)))
            });
            match reading.await {
                Ok(Some((rows, last))) => Some((Ok(rows), last.map(Some))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }
    })
}

fn respond(
    format: Format,
    name: &str,
    columns: Columns,
    rows: impl Stream<Item = Result<Vec<Row>, SourceError>> + Send + 'static,
) -> Response {
    let (head, foot) = match format {
        Format::Csv => {
            (csv_rows(columns, &[columns.iter().map(|&name| name.into()).collect()]), Bytes::new())
        }
        Format::Json => (Bytes::from_static(b"["), Bytes::from_static(b"\n]\n")),
    };
    let bounded = rows.scan(MOST_ROWS, |left, rows| {
        std::future::ready((*left > 0).then(|| {
            rows.map(|mut rows| {
                rows.truncate(*left);
                *left -= rows.len();
                rows
            })
        }))
    });
    let mut first = true;
    let pieces = bounded.map(move |rows| {
        Ok::<_, SourceError>(match format {
            Format::Csv => csv_rows(columns, &rows?),
            Format::Json => json_rows(columns, rows?, &mut first),
        })
    });
    let whole = stream::iter([Ok(head)]).chain(pieces).chain(stream::iter([Ok(foot)]));
    let mut response = Response::new(Body::from_stream(whole));
    let (kind, ending) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
        Format::Json => ("application/json", "json"),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let letters: String =
        name.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
    if let Ok(place) = HeaderValue::try_from(format!("attachment; filename=\"adit-{letters}.{ending}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, place);
    }
    response
}

/// One that cannot be made.
pub(crate) fn failed(error: &SourceError) -> Response {
    let mut response = Response::new(Body::from(format!("{error}\n")));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn csv_rows(columns: Columns, rows: &[Row]) -> Bytes {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for row in rows {
        let cells = row.iter().take(columns.len()).map(cell);
        // Nothing that a Vec is written to fails.
        let _ = writer.write_record(cells);
    }
    writer.into_inner().unwrap_or_default().into()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => guarded(text),
        other => other.to_string(),
    }
}

/// A spreadsheet takes what begins so for a formula, and a stranger may have written it.
fn guarded(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && text.parse::<f64>().is_ok();
    if formula && !number { format!("'{text}") } else { text.to_owned() }
}

fn json_rows(columns: Columns, rows: Vec<Row>, first: &mut bool) -> Bytes {
    let mut text = String::new();
    for row in rows {
        let row: Map<String, Value> = columns.iter().map(|&name| name.to_owned()).zip(row).collect();
        text.push_str(if std::mem::take(first) { "\n" } else { ",\n" });
        text.push_str(&Value::Object(row).to_string());
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_made_text() {
        for text in ["=1+1", "+cmd|x", "-x", "@SUM(A1)", "\tx", "\rx", "-", "+1+1"] {
            assert_eq!(guarded(text), format!("'{text}"));
        }
        for text in ["-12.5", "+3", "1e5", "a=b", "", "-1e-3"] {
            assert_eq!(guarded(text), text);
        }
    }

    #[test]
    fn the_ending_says_the_form() {
        assert_eq!(Format::split("12.csv"), ("12", Some(Format::Csv)));
        assert_eq!(Format::split("12.json"), ("12", Some(Format::Json)));
        assert_eq!(Format::split("12"), ("12", None));
    }
}

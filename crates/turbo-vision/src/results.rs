//! What validators gave a miner, from the evaluations that they publish (sections 9.5 and 9.8).

use std::time::Duration;

use adit_outbound::{Client, FetchError, Limits};
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

/// Largest index that is read: it lists every evaluation of every miner.
const MAX_INDEX: u64 = 256 << 20;
const MAX_EVALUATION: u64 = 4 << 20;
/// Evaluations that are fetched at once.
const CONCURRENCY: usize = 8;
/// Time for one of them.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where an evaluation lies, and what its place says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    url: String,
    /// The Manifest's element, `/` written as `_`.
    pub element: String,
    /// The miner.
    pub hotkey: String,
    /// The block of the commitment that was evaluated, where the place tells.
    pub commit_block: Option<u64>,
    /// The block of the challenge.
    pub block: u64,
}

/// One evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Where it lies.
    pub place: Place,
    /// The Manifest's element, as it is written there.
    pub element: String,
    /// What the miner got for it.
    pub score: Option<f64>,
    /// Whether its answer came fast enough.
    pub latency_pass: Option<bool>,
    /// How long the answer took, in milliseconds.
    pub latency_p95_ms: Option<f64>,
    /// Whether the chute answered.
    pub success: Option<bool>,
    /// What went wrong where it did not.
    pub error: Option<String>,
    /// The model's revision.
    pub revision: Option<String>,
    /// The validator's hotkey.
    pub validator: Option<String>,
    /// What each pillar was worth.
    pub breakdown: Value,
}

/// Why results cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultsError {
    /// The index or an evaluation was not delivered.
    #[error("cannot fetch {what} of the validators' results: {source}")]
    Fetch {
        /// Which of them.
        what: &'static str,
        /// What went wrong.
        source: FetchError,
    },
    /// It is no such document.
    #[error("{what} of the validators' results is not what it should be: {why}")]
    Shape {
        /// Which of them.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// The evaluations of a miner that an index lists, the newest first.
///
/// # Errors
/// Where the index cannot be had by `deadline`, or is none.
pub async fn places(
    client: &Client,
    index: &Url,
    hotkey: &str,
    deadline: Instant,
) -> Result<Vec<Place>, ResultsError> {
    let what = "the index";
    let limits = Limits::new(deadline, MAX_INDEX);
    let fetched = |source| ResultsError::Fetch { what, source };
    let body = client.get(index.as_str(), &limits).await.map_err(fetched)?.bytes().await.map_err(fetched)?;
    let listed: Value = serde_json::from_slice(&body)
        .map_err(|error| ResultsError::Shape { what, why: error.to_string() })?;
    if !listed.is_array() && !listed["entries"].is_array() {
        return Err(ResultsError::Shape { what, why: "it is no list".to_owned() });
    }
    let mut places: Vec<Place> = adit_manifest::index::urls(index, &listed)
        .into_iter()
        .filter_map(|url| place(&url))
        .filter(|place| place.hotkey == hotkey)
        .collect();
    places.sort_by(|a, b| b.block.cmp(&a.block).then_with(|| a.url.cmp(&b.url)));
    Ok(places)
}

/// Reads `…/<element>/<hotkey>[/<commit block>]/evaluation/<block>-<challenge>.json`.
fn place(url: &str) -> Option<Place> {
    let (folders, name) = url.split_once("/evaluation/")?;
    let (block, _) = name.split_once('-')?;
    let mut folders = folders.rsplit('/');
    let last = folders.next()?;
    let commit_block = last.parse().ok();
    let hotkey = if commit_block.is_some() { folders.next()? } else { last };
    Some(Place {
        url: url.to_owned(),
        element: folders.next()?.to_owned(),
        hotkey: hotkey.to_owned(),
        commit_block,
        block: block.parse().ok()?,
    })
}

/// Fetches evaluations, in the order of their places. One that cannot be had does not spoil the others.
pub async fn evaluations(client: &Client, places: Vec<Place>) -> Vec<Result<Evaluation, ResultsError>> {
    stream::iter(places).map(|place| evaluation(client, place)).buffered(CONCURRENCY).collect().await
}

async fn evaluation(client: &Client, place: Place) -> Result<Evaluation, ResultsError> {
    let what = "an evaluation";
    let limits = Limits::new(Instant::now() + PATIENCE, MAX_EVALUATION);
    let fetched = |source| ResultsError::Fetch { what, source };
    let body = client.get(&place.url, &limits).await.map_err(fetched)?.bytes().await.map_err(fetched)?;
    let lines: Value = serde_json::from_slice(&body)
        .map_err(|error| ResultsError::Shape { what, why: error.to_string() })?;
    read(place, &lines)
        .ok_or_else(|| ResultsError::Shape { what, why: "it has no line with a payload".to_owned() })
}

/// A file holds a list of signed lines, of which the last is the newest.
fn read(place: Place, lines: &Value) -> Option<Evaluation> {
    let line = lines.as_array()?.iter().rev().find(|line| line["payload"].is_object())?;
    let payload = &line["payload"];
    let run = &payload["telemetry"]["run"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Evaluation {
        element: text(&payload["element_id"]).unwrap_or_else(|| place.element.clone()),
        score: payload["composite_score"].as_f64().or_else(|| payload["metrics"]["composite_score"].as_f64()),
        latency_pass: payload["latency_pass"].as_bool(),
        latency_p95_ms: payload["p95_latency_ms"].as_f64(),
        success: run["success"].as_bool(),
        error: text(&run["error"]),
        revision: text(&payload["telemetry"]["miner"]["revision"]),
        validator: text(&line["hotkey"]),
        breakdown: payload["metrics"]["acc_breakdown"].clone(),
        place,
    })
}

/// Who won each element, by the newest snapshot that is published: the element and the winner's hotkey.
///
/// # Errors
/// Where the index or the snapshot cannot be had by `deadline`, or is none.
pub async fn winners(
    client: &Client,
    index: &Url,
    deadline: Instant,
) -> Result<Vec<(String, Option<String>)>, ResultsError> {
    let what = "the winners";
    let limits = Limits::new(deadline, MAX_INDEX);
    let fetched = |source| ResultsError::Fetch { what, source };
    let read = |body: &[u8]| -> Result<Value, ResultsError> {
        serde_json::from_slice(body).map_err(|error| ResultsError::Shape { what, why: error.to_string() })
    };
    let body = client.get(index.as_str(), &limits).await.map_err(fetched)?.bytes().await.map_err(fetched)?;
    let newest = adit_manifest::index::urls(index, &read(&body)?).pop();
    let newest =
        newest.ok_or_else(|| ResultsError::Shape { what, why: "the index lists none".to_owned() })?;
    let body = client.get(&newest, &limits).await.map_err(fetched)?.bytes().await.map_err(fetched)?;
    let snapshot = read(&body)?;
    let winners = snapshot["winners"]
        .as_object()
        .ok_or_else(|| ResultsError::Shape { what, why: "there is no `winners` in it".to_owned() })?;
    Ok(winners
        .iter()
        .map(|(element, winner)| (element.clone(), winner["winner_hotkey"].as_str().map(str::to_owned)))
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_tells_whose_evaluation_it_is() {
        let of = |path: &str| place(&format!("https://results.example/manako/{path}"));
        let found = of("manak0_Detect-fire/5Hot/008087000/evaluation/008088000-ab12.json").unwrap();
        assert_eq!((found.element.as_str(), found.hotkey.as_str()), ("manak0_Detect-fire", "5Hot"));
        assert_eq!((found.commit_block, found.block), (Some(8_087_000), 8_088_000));
        // Without the commitment's block, as earlier ones are.
        let found = of("manak0_Detect-fire/5Hot/evaluation/008088000-ab12.json").unwrap();
        assert_eq!((found.hotkey.as_str(), found.commit_block), ("5Hot", None));
        for other in ["e/5Hot/responses/000000001-a.json", "e/5Hot/evaluation/latest.json", "x.json"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn an_evaluation_is_its_newest_line() {
        let line = |score: f64| {
            json!({"version": "1", "signature": "00", "hotkey": "5Val", "payload": {
                "element_id": "manak0/Detect-fire", "composite_score": score, "latency_pass": true,
                "p95_latency_ms": 41.5, "metrics": {"acc_breakdown": {"map50": 0.5}},
                "telemetry": {"miner": {"revision": "ab"}, "run": {"success": true, "error": null}},
            }})
        };
        let place = place("https://r.example/manako/e/5Hot/000000007/evaluation/000000009-a.json").unwrap();
        let read = |lines: Value| super::read(place.clone(), &lines);
        let found = read(json!([line(0.25), line(0.5)])).unwrap();
        assert_eq!((found.score, found.latency_pass, found.success), (Some(0.5), Some(true), Some(true)));
        assert_eq!(found.breakdown, json!({"map50": 0.5}));
        assert_eq!(found.validator.as_deref(), Some("5Val"));
        for nothing in [json!([]), json!({}), json!([{"payload": null}]), json!("x")] {
            assert_eq!(read(nothing), None);
        }
    }
}

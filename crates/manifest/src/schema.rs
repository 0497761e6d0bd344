//! Fields out of a document, as pydantic reads them in its lax mode: `"77"` is an integer, `1` a number, keys that
//! no field has are dropped, and null is refused where a field is not nullable.

use std::collections::BTreeMap;

use adit_python::repr;
use adit_python::scalar::{Refusal, Scalar};
use indexmap::IndexMap;
use serde::de::value::{Error as VariantError, StrDeserializer};
use serde::{Deserialize, de::DeserializeOwned};

use crate::manifest::{Clip, Element, EvalWindow, Manifest, Metrics, Pillar, Preproc, Salt, Tee};
use crate::{ManifestError, yaml::Value};

/// What is wrong, and where.
#[derive(Debug)]
struct Invalid {
    /// The way from the value at hand, such as `[2].id`.
    at: String,
    why: String,
}

impl Invalid {
    fn new(why: impl Into<String>) -> Self {
        Self { at: String::new(), why: why.into() }
    }

    /// The same, seen from one step further out.
    fn within(mut self, step: &str) -> Self {
        self.at.insert_str(0, step);
        self
    }
}

impl From<Refusal> for Invalid {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.to_string())
    }
}

type Read<T> = Result<T, Invalid>;
type Map = IndexMap<String, Value>;

/// Reads a whole document.
///
/// # Errors
/// [`ManifestError::Field`] for the first field that validators would refuse.
pub(crate) fn read(document: &Value) -> Result<Manifest, ManifestError> {
    manifest(document).map_err(|Invalid { at, why }| ManifestError::Field {
        field: if at.is_empty() { "document".to_owned() } else { shown(at.trim_start_matches('.')) },
        reason: shown(&why),
    })
}

/// Words of the document's author, fit for a terminal and a log.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn manifest(value: &Value) -> Read<Manifest> {
    let map = map(value)?;
    Ok(Manifest {
        window_id: required(map, "window_id", text)?,
        version: required(map, "version", number)?,
        expiry_block: required(map, "expiry_block", integer)?,
        elements: required(map, "elements", |value| list(value, element))?,
        tee: required(map, "tee", tee)?,
        signature: optional(map, "signature", text)?,
    })
}

fn tee(value: &Value) -> Read<Tee> {
    Ok(Tee { trusted_share_gamma: required(map(value)?, "trusted_share_gamma", number)? })
}

fn element(value: &Value) -> Read<Element> {
    let map = map(value)?;
    let element = Element {
        id: required(map, "id", text)?,
        track: optional(map, "track", variant)?,
        first_block: optional(map, "first_block", integer)?,
        window_block: optional(map, "window_block", integer)?,
        eval_window: optional(map, "eval_window", eval_window)?,
        weight: optional(map, "weight", number)?,
        clips: or(map, "clips", Vec::new(), |value| list(value, clip))?,
        metrics: optional(map, "metrics", metrics)?,
        preproc: optional(map, "preproc", preproc)?,
        latency_p95_ms: optional(map, "latency_p95_ms", integer)?,
        service_rate_fps: optional(map, "service_rate_fps", integer)?,
        pgt_recipe_hash: optional(map, "pgt_recipe_hash", text)?,
        ground_truth: or(map, "ground_truth", false, boolean)?,
        baseline_theta: or(map, "baseline_theta", 0.0, not_negative)?,
        delta_floor: or(map, "delta_floor", 0.0, not_negative)?,
        beta: or(map, "beta", 1.0, not_negative)?,
        max_model_size_mb: optional(map, "max_model_size_mb", not_negative)?,
        onnx_model: optional(map, "onnx_model", boolean)?,
        salt: or(map, "salt", Salt::default(), salt)?,
        keypoint_template: optional(map, "keypoint_template", variant)?,
        objects: optional(map, "objects", |value| list(value, text))?,
        challenge_type_version: optional(map, "challenge_type_version", text)?,
        groundtruth_type: optional(map, "groundtruth_type", variant)?,
    };
    if element.category().is_none() && !element.is_private() {
        let why = format!("`{}` begins like no category of elements that are not private", element.id);
        return Err(Invalid::new(why).within(".id"));
    }
    Ok(element)
}

fn clip(value: &Value) -> Read<Clip> {
    let map = map(value)?;
    Ok(Clip { hash: required(map, "hash", text)?, weight: required(map, "weight", number)? })
}

fn metrics(value: &Value) -> Read<Metrics> {
    Ok(Metrics { pillars: required(map(value)?, "pillars", pillars)? })
}

fn pillars(value: &Value) -> Read<BTreeMap<Pillar, f64>> {
    let mut pillars = BTreeMap::new();
    let mut sum = 0.0;
    for (name, value) in map(value)? {
        let weight = number(value).map_err(|invalid| invalid.within(&format!(".{name}")))?;
        pillars.insert(named(name)?, weight);
        sum += weight;
    }
    // The comparison is exact with validators, and the order of the file decides how it is rounded.
    if sum == 1.0 {
        Ok(pillars)
    } else {
        Err(Invalid::new(format!("the weights sum to {}, not to 1.0", repr(sum))))
    }
}

fn preproc(value: &Value) -> Read<Preproc> {
    let map = map(value)?;
    Ok(Preproc {
        fps: required(map, "fps", integer)?,
        resize_long: required(map, "resize_long", integer)?,
        norm: required(map, "norm", variant)?,
    })
}

fn salt(value: &Value) -> Read<Salt> {
    let map = map(value)?;
    Ok(Salt {
        offsets: or(map, "offsets", Vec::new(), |value| list(value, integer))?,
        strides: or(map, "strides", Vec::new(), |value| list(value, integer))?,
    })
}

/// Whole days or days with a fraction: a float stays one, and text is an integer if it can be.
fn eval_window(value: &Value) -> Read<EvalWindow> {
    match (value.scalar(), value.scalar().integer()) {
        (Scalar::Number(_), _) | (_, Err(_)) => number(value).map(EvalWindow::Fraction),
        (_, Ok(_)) => integer(value).map(EvalWindow::Whole),
    }
}

fn text(value: &Value) -> Read<String> {
    Ok(value.scalar().text()?)
}

fn boolean(value: &Value) -> Read<bool> {
    Ok(value.scalar().boolean()?)
}

/// Validators take integers of any size; no block, rate or length is beyond 64 bits.
fn integer(value: &Value) -> Read<i64> {
    i64::try_from(value.scalar().integer()?).map_err(|_| Invalid::new("Input should fit into 64 bits"))
}

/// Validators take NaN and infinity in some places; but then their canonical text is not JSON.
fn number(value: &Value) -> Read<f64> {
    let number = value.scalar().number()?;
    if number.is_finite() { Ok(number) } else { Err(Refusal::FiniteNumber.into()) }
}

fn not_negative(value: &Value) -> Read<f64> {
    let number = number(value)?;
    if number >= 0.0 { Ok(number) } else { Err(Refusal::GreaterThanEqual(0).into()) }
}

/// One of an enum's names.
fn variant<T: DeserializeOwned>(value: &Value) -> Read<T> {
    match value {
        Value::Text(name) => named(name),
        _ => Err(Refusal::StringType.into()),
    }
}

fn named<'a, T: Deserialize<'a>>(name: &'a str) -> Read<T> {
    T::deserialize(StrDeserializer::<VariantError>::new(name))
        .map_err(|error| Invalid::new(error.to_string()))
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Read<T>) -> Read<Vec<T>> {
    let Value::List(items) = value else { return Err(Invalid::new("Input should be a valid list")) };
    let read = |(at, item)| read(item).map_err(|invalid| invalid.within(&format!("[{at}]")));
    items.iter().enumerate().map(read).collect()
}

fn map(value: &Value) -> Read<&Map> {
    match value {
        Value::Map(map) => Ok(map),
        _ => Err(Invalid::new("Input should be a mapping")),
    }
}

fn field<T>(map: &Map, key: &str, read: impl Fn(&Value) -> Read<T>) -> Read<Option<T>> {
    map.get(key).map(read).transpose().map_err(|invalid| invalid.within(&format!(".{key}")))
}

/// A field that has to be there.
fn required<T>(map: &Map, key: &str, read: impl Fn(&Value) -> Read<T>) -> Read<T> {
    field(map, key, read)?.ok_or_else(|| Invalid::new("Field required").within(&format!(".{key}")))
}

/// A field that may be missing, but not null.
fn or<T>(map: &Map, key: &str, default: T, read: impl Fn(&Value) -> Read<T>) -> Read<T> {
    Ok(field(map, key, read)?.unwrap_or(default))
}

/// A field that may be missing or null.
fn optional<T>(map: &Map, key: &str, read: impl Fn(&Value) -> Read<T>) -> Read<Option<T>> {
    let read = |value: &Value| if *value == Value::Null { Ok(None) } else { read(value).map(Some) };
    Ok(field(map, key, read)?.flatten())
}

#[cfg(test)]
mod tests {
    use crate::{EvalWindow, Manifest, Norm, Pillar, Track};

    /// A Manifest of one element with these fields.
    fn with(fields: &str) -> Result<Manifest, String> {
        let text = format!(
            "{{window_id: w, version: 1, expiry_block: 5, tee: {{trusted_share_gamma: 0}}, elements: [{{{fields}}}]}}"
        );
        Manifest::parse(text.as_bytes()).map_err(|error| {
            error.to_string().strip_prefix("the Manifest cannot be used: ").unwrap().to_owned()
        })
    }

    fn error(fields: &str) -> String {
        with(&format!("id: Detect, {fields}")).unwrap_err()
    }

    #[test]
    fn days_stay_as_they_are_written() {
        for (text, days) in [
            ("3", EvalWindow::Whole(3)),
            ("3.0", EvalWindow::Fraction(3.0)),
            ("'3.0'", EvalWindow::Whole(3)),
            ("'2.5'", EvalWindow::Fraction(2.5)),
            ("'1e3'", EvalWindow::Fraction(1000.0)),
            ("true", EvalWindow::Whole(1)),
        ] {
            let manifest = with(&format!("id: Detect, eval_window: {text}")).unwrap();
            assert_eq!(manifest.elements[0].eval_window, Some(days), "{text}");
        }
    }

    #[test]
    fn names_are_taken_as_they_are_spelled_and_only_a_track_may_be_any() {
        let manifest =
            with("id: Detect, track: Private, preproc: {fps: 5, resize_long: 640.0, norm: none}").unwrap();
        let element = &manifest.elements[0];
        assert_eq!(element.track, Some(Track::Other("Private".to_owned())));
        assert_eq!(element.preproc.as_ref().unwrap().norm, Norm::None);
        assert!(
            error("groundtruth_type: Soccer_action")
                .starts_with("elements[0].groundtruth_type: unknown variant")
        );
        assert!(
            error("metrics: {pillars: {iOU: 1}}").starts_with("elements[0].metrics.pillars: unknown variant")
        );
    }

    #[test]
    fn weights_sum_to_one_exactly_in_the_order_of_the_file() {
        assert_eq!(
            error("metrics: {pillars: {iou: 0.7, count: 0.2, role: 0.1}}"),
            "elements[0].metrics.pillars: the weights sum to 0.9999999999999999, not to 1.0"
        );
        let manifest = with("id: Detect, metrics: {pillars: {role: '0.1', count: 0.2, iou: 0.7}}").unwrap();
        let pillars: Vec<_> = manifest.elements[0].pillars().collect();
        assert_eq!(pillars, [(Pillar::Iou, 0.7), (Pillar::Count, 0.2), (Pillar::Role, 0.1)]);
        assert_eq!(
            error("metrics: {pillars: {}}"),
            "elements[0].metrics.pillars: the weights sum to 0.0, not to 1.0"
        );
    }

    #[test]
    fn null_is_refused_where_a_default_is_not_null() {
        for field in ["clips", "salt", "ground_truth", "baseline_theta", "delta_floor", "beta"] {
            assert!(
                error(&format!("{field}: null")).starts_with(&format!("elements[0].{field}: Input")),
                "{field}"
            );
        }
        assert!(with("id: Detect, weight: null, metrics: null, objects: ~, onnx_model: null").is_ok());
    }

    #[test]
    fn an_error_says_where_and_why() {
        for (fields, message) in [
            ("baseline_theta: -1", "baseline_theta: Input should be greater than or equal to 0"),
            ("max_model_size_mb: -0.1", "max_model_size_mb: Input should be greater than or equal to 0"),
            ("weight: .inf", "weight: Input should be a finite number"),
            ("first_block: 9223372036854775808", "first_block: Input should fit into 64 bits"),
            ("objects: [a, 5]", "objects[1]: Input should be a valid string"),
            ("clips: [{hash: x}]", "clips[0].weight: Field required"),
            ("challenge_type_version: 1.0", "challenge_type_version: Input should be a valid string"),
            ("ground_truth: 2", "ground_truth: Input should be a valid boolean, unable to interpret input"),
            ("salt: []", "salt: Input should be a mapping"),
        ] {
            assert_eq!(error(fields), format!("elements[0].{message}"));
        }
        assert_eq!(
            Manifest::parse(b"").unwrap_err().to_string(),
            "the Manifest cannot be used: document: Input should be a mapping"
        );
    }

    #[test]
    fn an_error_holds_little_of_the_document_and_no_control_characters() {
        let long = "x".repeat(100_000);
        for fields in [
            format!("track: public, id: \"\\e[2J{long}\""),
            format!("id: Detect, metrics: {{pillars: {{\"\\e[2J{long}\": x}}}}"),
            format!("id: Detect, groundtruth_type: \"\\e[2J{long}\""),
        ] {
            let error = with(&fields).unwrap_err();
            assert!(error.contains("[2Jxxx") && error.len() < 1000 && !error.contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn only_a_private_element_may_be_of_no_category() {
        assert_eq!(with("id: TCGGrading, track: private").unwrap().elements[0].category(), None);
        assert_eq!(
            with("id: BallDetect, track: public").unwrap_err(),
            "elements[0].id: `BallDetect` begins like no category of elements that are not private"
        );
    }
}

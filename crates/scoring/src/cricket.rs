//! Cricket deliveries: 23 measurements and labels of one ball.
//!
//! Private-track reference, sections 1.3 and 5.1. Lengths are metres from the base of the batter's middle stump
//! (x towards the bowler, y to the right in the main view, z up), angles degrees, speed km/h. Reading an answer
//! around the delivery is left to the track.

use adit_python::scalar::{Kind, Refusal, Scalar, Value};
use adit_python::{Decimal, decimal, is_space};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap};

use crate::{FieldScore, FieldVerdict, closeness};

/// One field of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name on the wire.
    pub name: &'static str,
    /// A second name that the schema takes where the first is absent.
    pub alias: Option<&'static str>,
    /// What it holds.
    pub kind: Kind,
    /// Its part of the score; all weights sum to 1.
    pub weight: f64,
    /// For a measurement, the distance at which it earns nothing; `None` for a label, which must be equal.
    pub tolerance: Option<f64>,
}

const fn label(name: &'static str, alias: Option<&'static str>, kind: Kind) -> Field {
    Field { name, alias, kind, weight: 0.0, tolerance: None }
}

const fn measure(name: &'static str, alias: Option<&'static str>, weight: f64, tolerance: f64) -> Field {
    Field { name, alias, kind: Kind::Number, weight, tolerance: Some(tolerance) }
}

/// The fields of a delivery in the schema's order, in which errors are reported.
pub static FIELDS: [Field; 23] = [
    label("match", None, Kind::Text),
    label("matchid", None, Kind::Integer),
    label("inningsid", Some("innings_id"), Kind::Integer),
    label("overid", Some("over_id"), Kind::Integer),
    label("ball_in_over", Some("ball"), Kind::Integer),
    label("ballid", None, Kind::Integer),
    label("xlsx_overs", None, Kind::TextOrNumber),
    label("scorecard_overs", Some("overs"), Kind::TextOrNumber),
    measure("kph", None, 0.04, 3.0),
    measure("release_y", Some("rel_y"), 0.03, 0.15),
    measure("release_z", Some("rel_z"), 0.03, 0.15),
    measure("bounce_x", None, 0.23, 0.25),
    measure("bounce_y", None, 0.03, 0.15),
    measure("impact_x", None, 0.03, 0.25),
    measure("impact_y", None, 0.03, 0.15),
    measure("impact_z", None, 0.03, 0.15),
    measure("interception_distance", Some("inter_d"), 0.02, 0.25),
    measure("stump_y", None, 0.18, 0.12),
    measure("stump_z", None, 0.11, 0.12),
    measure("swing_angle", Some("swing_deg"), 0.11, 2.0),
    measure("deviation", Some("deviation_deg"), 0.13, 2.0),
    label("runs", None, Kind::Integer),
    label("wickets", Some("wkts"), Kind::Integer),
];

/// One delivery; each of [`FIELDS`] may be absent. Serialised with all fields, absent ones as null.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    values: [Option<Value>; FIELDS.len()],
}

/// A field that the schema refuses.
#[derive(Clone, Copy, Debug)]
pub struct FieldRefusal {
    /// The field.
    pub field: &'static Field,
    /// The name it was given under: its own or its alias.
    pub key: &'static str,
    /// What is wrong with its value.
    pub refusal: Refusal,
}

impl Delivery {
    /// Reads a delivery from a document of which `get` tells the value of a key. All fields are read, those
    /// refused are absent.
    pub fn read<'a>(get: impl Fn(&str) -> Option<Scalar<'a>>) -> (Self, Vec<FieldRefusal>) {
        let mut delivery = Self::default();
        let mut refusals = Vec::new();
        for (value, field) in delivery.values.iter_mut().zip(&FIELDS) {
            let Some((key, scalar)) = field.given(&get) else {
                continue;
            };
            if scalar == Scalar::Null {
                continue;
            }
            match field.kind.read(scalar) {
                Ok(read) => *value = Some(read),
                Err(refusal) => refusals.push(FieldRefusal { field, key, refusal }),
            }
        }
        (delivery, refusals)
    }

    /// The value of a field; `None` too for a name that is no field's.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.iter().find(|(field, _)| field.name == name)?.1
    }

    /// Sets a measurement, or a label that is a number. Returns false for a name that is no such field's.
    pub fn set_number(&mut self, name: &str, number: f64) -> bool {
        let Some(at) = FIELDS.iter().position(|field| field.name == name) else {
            return false;
        };
        match FIELDS[at].kind.read(Scalar::Number(number)) {
            Ok(value) => self.values[at] = Some(value),
            Err(_) => return false,
        }
        true
    }

    /// All fields with their values, in the order of [`FIELDS`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static Field, Option<&Value>)> {
        FIELDS.iter().zip(self.values.iter().map(Option::as_ref))
    }
}

impl Field {
    /// The key and value under which a document gives this field; its own name wins over the alias.
    pub fn given<'a>(&self, get: impl Fn(&str) -> Option<Scalar<'a>>) -> Option<(&'static str, Scalar<'a>)> {
        [Some(self.name), self.alias].into_iter().flatten().find_map(|key| Some((key, get(key)?)))
    }

    /// What a predicted value earns; nothing where either side is absent.
    fn score(&self, predicted: Option<&Value>, actual: Option<&Value>) -> f64 {
        let (Some(predicted), Some(actual)) = (predicted, actual) else {
            return 0.0;
        };
        match (self.tolerance, predicted, actual) {
            (Some(tolerance), Value::Number(predicted), Value::Number(actual)) => {
                closeness((predicted - actual).abs(), tolerance)
            }
            (Some(_), ..) => 0.0,
            (None, ..) => f64::from(u8::from(LabelForm::of(predicted) == LabelForm::of(actual))),
        }
    }
}

/// A label in the form in which a validator compares it: as a decimal number where it is one, else as text in
/// lower case with single blanks.
#[derive(PartialEq)]
enum LabelForm {
    Number(Decimal),
    Text(String),
}

impl LabelForm {
    fn of(value: &Value) -> Self {
        let text = match value {
            Value::Text(text) => {
                let lower = text.to_lowercase();
                let words: Vec<&str> = lower.split(is_space).filter(|word| !word.is_empty()).collect();
                words.join(" ")
            }
            Value::Integer(value) => value.to_string(),
            Value::Number(value) => format!("{value:e}").to_lowercase(),
        };
        decimal(&text).map_or(Self::Text(text), Self::Number)
    }
}

/// Scores a delivery as a validator does. No prediction (an answer of another kind) earns nothing, and so does a
/// field that the ground truth lacks.
#[must_use]
pub fn score(prediction: Option<&Delivery>, truth: &Delivery) -> FieldVerdict {
    FieldVerdict::of(
        truth
            .iter()
            .map(|(field, actual)| {
                let predicted = prediction.and_then(|delivery| delivery.get(field.name));
                FieldScore { name: field.name, weight: field.weight, score: field.score(predicted, actual) }
            })
            .collect(),
    )
}

impl Serialize for Delivery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(FIELDS.len()))?;
        for (field, value) in self.iter() {
            match value {
                None => map.serialize_entry(field.name, &())?,
                Some(Value::Text(text)) => map.serialize_entry(field.name, text)?,
                Some(Value::Integer(integer)) => map.serialize_entry(field.name, integer)?,
                Some(Value::Number(number)) => map.serialize_entry(field.name, number)?,
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Delivery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = serde_json::Map::deserialize(deserializer)?;
        let (delivery, refusals) = Self::read(|key| map.get(key).map(Scalar::from));
        match refusals.first() {
            Some(FieldRefusal { key, refusal, .. }) => Err(D::Error::custom(format!("{key}: {refusal}"))),
            None => Ok(delivery),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Delivery, FIELDS, score};

    fn delivery(document: serde_json::Value) -> Delivery {
        serde_json::from_value(document).unwrap()
    }

    fn field_score(name: &str, predicted: serde_json::Value, actual: serde_json::Value) -> f64 {
        let of = |value| delivery(serde_json::Map::from_iter([(name.to_owned(), value)]).into());
        let verdict = score(Some(&of(predicted)), &of(actual));
        verdict.fields.iter().find(|field| field.name == name).unwrap().score
    }

    #[test]
    fn the_weights_sum_to_1() {
        let total: f64 = FIELDS.iter().map(|field| field.weight).sum();
        assert!((total - 1.0).abs() < 1e-12, "{total}");
    }

    #[test]
    fn a_measurement_exactly_at_its_tolerance_earns_nothing() {
        assert_eq!(field_score("stump_y", json!(0.62), json!(0.5)), 0.0);
        assert!(field_score("stump_y", json!(0.619), json!(0.5)) > 0.0);
    }

    #[test]
    fn labels_are_compared_without_case_blanks_and_decimal_spelling() {
        for (name, left, right) in [
            ("match", json!("  england\u{1c}V\tindia "), json!("England v India")),
            ("xlsx_overs", json!("12.30"), json!(12.3)),
            ("xlsx_overs", json!("1e1"), json!(10)),
            ("xlsx_overs", json!("١٢"), json!("1_2")),
            ("matchid", json!("7.0"), json!(7)),
        ] {
            assert_eq!(field_score(name, left.clone(), right.clone()), 1.0, "{left} and {right}");
        }
        assert_eq!(field_score("xlsx_overs", json!("-0"), json!(0)), 0.0);
    }

    #[test]
    fn an_alias_counts_only_where_the_name_is_absent() {
        assert_eq!(delivery(json!({"rel_y": 1})), delivery(json!({"release_y": 1})));
        assert_eq!(delivery(json!({"rel_y": 1, "release_y": null})), Delivery::default());
    }

    #[test]
    fn a_delivery_is_written_with_every_field() {
        let mut delivery = Delivery::default();
        assert!(delivery.set_number("kph", 120.5));
        assert!(!delivery.set_number("speed", 120.5));
        let written = serde_json::to_value(&delivery).unwrap();
        assert_eq!(written.as_object().unwrap().len(), FIELDS.len());
        assert_eq!(written["kph"], json!(120.5));
    }

    #[test]
    fn a_field_of_the_wrong_type_is_refused_by_name() {
        let error = serde_json::from_value::<Delivery>(json!({"wkts": 1.5})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "wkts: Input should be a valid integer, got a number with a fractional part"
        );
    }
}

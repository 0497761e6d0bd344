//! Trading cards: five grades from 1 to 10.
//!
//! Private-track reference, sections 1.3 and 5.2. Reading an answer around the grades is left to the track.

use adit_python::scalar::{Refusal, Scalar};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeStruct};

use crate::{FieldScore, FieldVerdict, closeness};

/// A grade this far from the truth earns nothing; one point away earns half.
const TOLERANCE: f64 = 2.0;

/// The grades of one card. Serialised as the wire has it: `{"Header":{"card_grade"},"Grading_Features":{…}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grades {
    /// The grade of the whole card.
    pub card_grade: Grade,
    /// The four subgrades.
    pub features: Features,
}

/// The subgrades of one card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Surface.
    pub subgrade_surface: Grade,
    /// Centering.
    pub subgrade_centering: Grade,
    /// Edges.
    pub subgrade_edges: Grade,
    /// Corners.
    pub subgrade_corners: Grade,
}

/// A grade from 1 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Grade(u8);

impl Grade {
    /// A grade, or `None` outside 1 to 10.
    #[must_use]
    pub fn new(value: u8) -> Option<Self> {
        (1..=10).contains(&value).then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// Reads a grade as a validator does: a number, or text that Python's `float()` takes, rounded down.
    ///
    /// # Errors
    /// [`Refusal::ValueError`] for what is no finite number (booleans too), [`Refusal::GreaterThanEqual`] and
    /// [`Refusal::LessThanEqual`] outside 1 to 10.
    pub fn read(scalar: Scalar<'_>) -> Result<Self, Refusal> {
        if let Scalar::Bool(_) = scalar {
            return Err(Refusal::ValueError("TCG grades must be numeric"));
        }
        match scalar.python_float().map(f64::floor) {
            Some(grade) if !grade.is_finite() => Err(Refusal::ValueError(NOT_FINITE)),
            Some(grade) if grade < 1.0 => Err(Refusal::GreaterThanEqual(1)),
            Some(grade) if grade > 10.0 => Err(Refusal::LessThanEqual(10)),
            Some(grade) => Ok(Self(grade as u8)),
            None => Err(Refusal::ValueError(NOT_FINITE)),
        }
    }
}

const NOT_FINITE: &str = "TCG grades must be finite numeric values";

impl<'de> Deserialize<'de> for Grade {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Self::read(Scalar::from(&value)).map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    card_grade: Grade,
}

impl Serialize for Grades {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Grades", 2)?;
        document.serialize_field("Header", &Header { card_grade: self.card_grade })?;
        document.serialize_field("Grading_Features", &self.features)?;
        document.end()
    }
}

impl<'de> Deserialize<'de> for Grades {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Document {
            #[serde(rename = "Header")]
            header: Header,
            #[serde(rename = "Grading_Features")]
            features: Features,
        }
        let Document { header, features } = Document::deserialize(deserializer)?;
        Ok(Self { card_grade: header.card_grade, features })
    }
}

/// Scores a card as a validator does. No prediction (an answer of another kind) earns nothing.
#[must_use]
pub fn score(prediction: Option<&Grades>, truth: &Grades) -> FieldVerdict {
    type Pick = fn(&Grades) -> Grade;
    let fields: [(&'static str, f64, Pick); 5] = [
        ("subgrade_surface", 0.25, |grades| grades.features.subgrade_surface),
        ("subgrade_edges", 0.25, |grades| grades.features.subgrade_edges),
        ("subgrade_corners", 0.25, |grades| grades.features.subgrade_corners),
        ("subgrade_centering", 0.10, |grades| grades.features.subgrade_centering),
        ("card_grade", 0.15, |grades| grades.card_grade),
    ];
    let earned = |pick: Pick| {
        prediction.map_or(0.0, |prediction| {
            let distance = pick(prediction).get().abs_diff(pick(truth).get());
            closeness(f64::from(distance), TOLERANCE)
        })
    };
    FieldVerdict::of(
        fields
            .into_iter()
            .map(|(name, weight, pick)| FieldScore { name, weight, score: earned(pick) })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::{Grade, Grades};
    use adit_python::scalar::{Refusal, Scalar};

    #[test]
    fn a_grade_is_rounded_down() {
        for (scalar, grade) in [
            (Scalar::Number(10.99), 10),
            (Scalar::Number(1.999), 1),
            (Scalar::Text("8.9"), 8),
            (Scalar::Text(" 7 "), 7),
            (Scalar::Integer(3), 3),
        ] {
            assert_eq!(Grade::read(scalar).map(Grade::get), Ok(grade), "{scalar:?}");
        }
    }

    #[test]
    fn what_is_no_grade_is_refused_in_the_schemas_words() {
        let not_finite = Refusal::ValueError("TCG grades must be finite numeric values");
        for (scalar, refusal) in [
            (Scalar::Number(0.99), Refusal::GreaterThanEqual(1)),
            (Scalar::Integer(-1), Refusal::GreaterThanEqual(1)),
            (Scalar::Integer(11), Refusal::LessThanEqual(10)),
            (Scalar::Bool(true), Refusal::ValueError("TCG grades must be numeric")),
            (Scalar::Null, not_finite),
            (Scalar::Number(f64::NAN), not_finite),
            (Scalar::Text("mint"), not_finite),
            (Scalar::BrokenText("7\u{fffd}"), not_finite),
            (Scalar::Container, not_finite),
        ] {
            assert_eq!(Grade::read(scalar), Err(refusal), "{scalar:?}");
        }
    }

    #[test]
    fn grades_keep_the_wires_capital_letters() {
        let text = r#"{"Header":{"card_grade":8},"Grading_Features":{"subgrade_surface":7,"subgrade_centering":9,"subgrade_edges":8,"subgrade_corners":10}}"#;
        let grades: Grades = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&grades).unwrap(), text);
    }
}

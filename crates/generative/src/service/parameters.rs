//! A validator's `parameters`, each value read as the miner before us read it in Python.

use adit_python as python;
use serde_json::{Map, Value};

use super::PlanError;

/// The object of a request. A value of null counts as absent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters<'a>(pub(super) &'a Map<String, Value>);

impl Parameters<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// By `int()`: text is parsed, a fraction cut off. Numbers beyond `i64` are of no use to any service.
    pub(super) fn integer(&self, name: &'static str) -> Result<Option<i64>, PlanError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let read = match value {
            Value::Bool(value) => Some(i64::from(*value)),
            Value::Number(number) => number.as_i64().or_else(|| {
                let float = number.as_f64().filter(|float| float.abs() < 9e18)?;
                Some(float as i64)
            }),
            Value::String(text) => python::int(text).and_then(|value| value.try_into().ok()),
            _ => None,
        };
        read.map(Some).ok_or(PlanError::Parameter { name, expected: "a whole number" })
    }

    /// By `bool()`: nothing, zero and what is empty are false; the text `false` is true.
    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        Some(match self.get(name)? {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(object) => !object.is_empty(),
        })
    }

    /// By `str()`, of anything but lists and objects.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, PlanError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        Ok(Some(match value {
            Value::String(text) => text.clone(),
            Value::Bool(true) => "True".to_owned(),
            Value::Bool(false) => "False".to_owned(),
            Value::Number(number) if number.is_f64() => python::repr(number.as_f64().unwrap_or_default()),
            Value::Number(number) => number.to_string(),
            _ => return Err(PlanError::Parameter { name, expected: "text" }),
        }))
    }

    /// The text without blanks around, where there is more than blanks.
    pub(super) fn word(&self, name: &'static str) -> Result<Option<String>, PlanError> {
        let text = self.text(name)?;
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    /// Only if it is text: what is no tier is left to the caller as such.
    pub(super) fn resolution(&self) -> Option<&str> {
        self.get("resolution").map(|value| value.as_str().unwrap_or_default())
    }
}

/// The nearest of `allowed`, which are in rising order; of two as near, the lower.
pub(super) fn nearest(wanted: i64, allowed: &[i64]) -> i64 {
    allowed.iter().copied().min_by_key(|one| one.abs_diff(wanted)).unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_as_python_reads_them() {
        let object = json!({
            "eight": " 8 ", "half": 5.9, "true": true, "word": "x", "list": [1], "big": 1e300, "null": null,
            "zero": 0, "empty": "", "no": "false", "float": 1.0, "blank": " a ",
        });
        let p = Parameters(object.as_object().unwrap());
        assert_eq!(p.integer("eight").unwrap(), Some(8));
        assert_eq!(p.integer("half").unwrap(), Some(5));
        assert_eq!(p.integer("true").unwrap(), Some(1));
        assert_eq!(p.integer("null").unwrap(), None);
        assert_eq!(p.integer("absent").unwrap(), None);
        for bad in ["word", "list", "big"] {
            let error = p.integer(bad).unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("whole number"), "{error}");
        }
        assert_eq!(p.truth("zero"), Some(false));
        assert_eq!(p.truth("empty"), Some(false));
        assert_eq!(p.truth("no"), Some(true));
        assert_eq!(p.truth("null"), None);
        assert_eq!(p.text("float").unwrap().as_deref(), Some("1.0"));
        assert_eq!(p.text("true").unwrap().as_deref(), Some("True"));
        assert_eq!(p.word("blank").unwrap().as_deref(), Some("a"));
        assert_eq!(p.word("empty").unwrap(), None);
        assert!(p.text("list").is_err());
    }

    #[test]
    fn of_two_as_near_the_lower_is_taken() {
        assert_eq!(nearest(5, &[4, 6, 8]), 4);
        assert_eq!(nearest(7, &[4, 6, 8]), 6);
        assert_eq!(nearest(99, &[4, 6, 8]), 8);
        assert_eq!(nearest(i64::MIN, &[4, 6, 8]), 4);
    }
}

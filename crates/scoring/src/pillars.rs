//! A soccer score under the pillar weights of a Manifest element.
//!
//! Private-track reference, section 5: the weights arrive as JSON that a person wrote, so they are read as
//! Python's `float()` reads them and what is no positive number is dropped. [`crate::soccer`] has the score
//! itself.

use adit_python::scalar::Scalar;
use serde_json::Value;

/// The name under which a score is reported when no pillar is weighted.
pub const UNWEIGHTED: &str = "private_track_score";

/// The pillars that stand for the soccer score; any other earns 0.
const SOCCER_PILLARS: [&str; 2] = ["soccer_action", "private_legacy_score"];

/// A score and the pillars that make it up.
#[derive(Clone, Debug, PartialEq)]
pub struct Breakdown {
    /// The weighted sum, from 0 to 1.
    pub score: f64,
    /// The unweighted score of each pillar.
    pub pillars: Vec<(String, f64)>,
}

/// The weights that count, normalised to sum 1: names trimmed, equal names added up, empty names and weights
/// that are no positive number dropped.
pub fn normalise<'a>(raw: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Vec<(String, f64)> {
    let mut weights: Vec<(String, f64)> = Vec::new();
    for (name, value) in raw {
        let name = name.trim_matches(adit_python::is_space);
        let Some(weight) = Scalar::from(value).python_float() else {
            continue;
        };
        if name.is_empty() || weight <= 0.0 {
            continue;
        }
        match weights.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += weight,
            None => weights.push((name.to_owned(), weight)),
        }
    }
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    for (_, weight) in &mut weights {
        *weight /= total;
    }
    weights
}

/// What a challenge scores under an element's pillars. Without any weight that counts, that is the soccer
/// score alone.
pub fn weigh<'a>(soccer_score: f64, raw: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Breakdown {
    let weights = normalise(raw);
    if weights.is_empty() {
        return Breakdown { score: soccer_score, pillars: vec![(UNWEIGHTED.to_owned(), soccer_score)] };
    }
    let mut sum = 0.0;
    let mut pillars = Vec::with_capacity(weights.len());
    for (name, weight) in weights {
        let score = if SOCCER_PILLARS.contains(&name.as_str()) { soccer_score } else { 0.0 };
        sum += weight * score;
        pillars.push((name, score));
    }
    // A weight of NaN or infinity makes the sum NaN, which Python's min() turns into 1.
    let score = if sum.is_nan() { 1.0 } else { sum.clamp(0.0, 1.0) };
    Breakdown { score, pillars }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Breakdown, normalise, weigh};

    fn weights(raw: serde_json::Value) -> Vec<(String, f64)> {
        normalise(raw.as_object().unwrap().iter().map(|(name, weight)| (name.as_str(), weight)))
    }

    #[test]
    fn weights_are_read_as_python_reads_them_and_normalised() {
        let raw =
            json!({" a ": "0.5", "a": true, "b": " 1_0.0 ", "c": null, "d": "x", "e": -1, "f": [1], " ": 2});
        assert_eq!(weights(raw), [("a".to_owned(), 1.5 / 11.5), ("b".to_owned(), 10.0 / 11.5)]);
    }

    #[test]
    fn without_weights_the_score_stands_alone() {
        assert_eq!(
            weigh(0.25, []),
            Breakdown { score: 0.25, pillars: vec![("private_track_score".to_owned(), 0.25)] }
        );
    }

    #[test]
    fn a_weight_that_is_not_a_number_makes_the_score_1_as_in_python() {
        assert_eq!(weigh(0.25, [("soccer_action", &json!("nan"))]).score, 1.0);
    }
}

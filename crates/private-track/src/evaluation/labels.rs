//! What happens in a clip, as its label file says: the challenge's form, the answer of Score's API, or SoccerNet's.

use std::collections::BTreeMap;

use adit_python::scalar::Scalar;
use adit_scoring::soccer::{Era, Event, actions, read_frame};
use serde_json::Value;

/// Labels of SoccerNet that mean one of Score's actions and nothing else, as [`normal`] writes them. What is called alike
/// needs no line here.
const SYNONYMS: [(&str, &str); 6] = [
    ("ball_player_block", "block"),
    ("high_pass", "pass"),
    ("out", "ball_out_of_play"),
    ("player_successful_tackle", "tackle"),
    ("shots_off_target", "shot"),
    ("shots_on_target", "shot"),
];

/// Which label means which action: Score's own names, SoccerNet's synonyms, and what the operator says.
#[derive(Debug, Clone, Default)]
pub struct Mapping(BTreeMap<String, Option<&'static str>>);

/// A mapping that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MappingError {
    /// No `=`.
    #[error("`{0}` is no mapping; write it as LABEL=ACTION, or LABEL= to leave the label out")]
    Form(String),
    /// An action that validators do not know.
    #[error("`{0}` is no action that validators score; `sv actions` lists them")]
    Action(String),
}

impl Mapping {
    /// Adds `LABEL=ACTION`; `LABEL=` leaves the label out.
    ///
    /// # Errors
    /// Where there is no `=`, or no such action.
    pub fn add(&mut self, text: &str) -> Result<(), MappingError> {
        let Some((label, action)) = text.split_once('=').filter(|(label, _)| !label.trim().is_empty()) else {
            return Err(MappingError::Form(text.to_owned()));
        };
        let action = match action.trim() {
            "" => None,
            name => Some(known(&normal(name)).ok_or_else(|| MappingError::Action(name.to_owned()))?),
        };
        self.0.insert(normal(label), action);
        Ok(())
    }

    /// The action that a label means, if it means one that validators score.
    fn action(&self, label: &str) -> Option<&'static str> {
        let label = normal(label);
        match self.0.get(&label) {
            Some(told) => *told,
            None => known(&label).or_else(|| {
                SYNONYMS.iter().find(|(synonym, _)| *synonym == label).map(|(_, action)| *action)
            }),
        }
    }
}

/// A label as Score writes names: lower case, `_` between words.
fn normal(label: &str) -> String {
    label.trim().to_lowercase().replace([' ', '-'], "_")
}

fn known(name: &str) -> Option<&'static str> {
    actions(Era::DocumentEra).iter().map(|rule| rule.name).find(|other| *other == name)
}

/// One row of a label file.
#[derive(Debug, PartialEq)]
struct Row {
    label: String,
    when: When,
}

#[derive(Debug, PartialEq)]
enum When {
    Frame(u128),
    /// In this half of the match, so many milliseconds after its video begins.
    Time {
        half: u8,
        ms: f64,
    },
}

/// A label file, read but not yet brought to the frames of a clip.
#[derive(Debug, PartialEq)]
pub(super) struct Labels(Vec<Row>);

/// What of its labels a clip is judged by, and what was left out.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Truth {
    pub(super) events: Vec<Event>,
    /// How often each label was met that means no action of Score's.
    pub(super) not_scored: BTreeMap<String, usize>,
    /// Labels behind the clip's last frame.
    pub(super) outside: Vec<Event>,
}

/// What a label file may look like, for whoever has another one.
const EXPECTED: &str = r#"expected [{"frame": 45, "action": "pass"}, …] or SoccerNet's {"annotations": [{"gameTime": "1 - 00:05", "label": "PASS", "position": "5120"}, …]}"#;

impl Labels {
    /// Reads a label file.
    ///
    /// # Errors
    /// What is wrong with it, as words to follow its name.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|error| format!("is no JSON: {error}"))?;
        let list = |key: &str| value.get(key).and_then(Value::as_array);
        let rows = if let Some(rows) = value.as_array() {
            each(rows, frame_row)
        } else if let Some(rows) = list("annotations") {
            each(rows, time_row)
        } else if let Some(rows) = list("ground_truth") {
            // Score's API: validators pass over rows that lack one or the other.
            let whole = |row: &&Value| row.get("frame").is_some() && name(row).is_some();
            each(rows.iter().filter(whole), frame_row)
        } else {
            Err("it has no list of labels".to_owned())
        };
        rows.map(Self).map_err(|what| format!("holds no labels: {what}; {EXPECTED}"))
    }

    /// Brings the labels to the frames of a clip. `half` is the half of the match that the clip is, where it is one.
    ///
    /// # Errors
    /// Where times cannot be told, as words to follow the file's name.
    pub(super) fn truth(
        &self,
        half: Option<u8>,
        frames: u64,
        rate: f64,
        mapping: &Mapping,
    ) -> Result<Truth, String> {
        let mut halves = self.0.iter().filter_map(|row| match row.when {
            When::Time { half, .. } => Some(half),
            When::Frame(_) => None,
        });
        let first = halves.next();
        if half.is_none() && halves.any(|other| Some(other) != first) {
            return Err("has labels of both halves, but the clip's name begins with neither 1_ nor 2_".into());
        }
        if first.is_some() && rate <= 0.0 {
            return Err("has times, but the clip does not say its frame rate".into());
        }
        let mut truth = Truth::default();
        for row in &self.0 {
            let frame = match row.when {
                When::Frame(frame) => frame,
                When::Time { half: other, .. } if half.is_some_and(|half| half != other) => continue,
                // Far times stay far: the conversion stops at the largest number.
                When::Time { ms, .. } => (ms / 1000.0 * rate).round() as u128,
            };
            let Some(action) = mapping.action(&row.label) else {
                *truth.not_scored.entry(row.label.clone()).or_default() += 1;
                continue;
            };
            let event = Event::new(frame, action);
            if frame < u128::from(frames) { truth.events.push(event) } else { truth.outside.push(event) }
        }
        Ok(truth)
    }
}

/// Reads each row; an error says which one it is, from 1.
fn each<'a>(
    rows: impl IntoIterator<Item = &'a Value>,
    read: fn(&Value) -> Result<Row, String>,
) -> Result<Vec<Row>, String> {
    let numbered = rows.into_iter().zip(1..);
    numbered.map(|(row, number)| read(row).map_err(|what| format!("row {number} {what}"))).collect()
}

/// The action's name, as Score's API or the challenge's form has it.
fn name(row: &Value) -> Option<&str> {
    let text = |key: &str| row.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    text("type").or_else(|| text("action"))
}

fn frame_row(row: &Value) -> Result<Row, String> {
    let frame = row.get("frame").ok_or("has no `frame`")?;
    let frame = read_frame(Scalar::from(frame)).map_err(|_| format!("has the frame {frame}"))?;
    let label = name(row).ok_or("has no `action`")?.to_owned();
    Ok(Row { label, when: When::Frame(frame) })
}

fn time_row(row: &Value) -> Result<Row, String> {
    let text = |key: &str| row.get(key).and_then(Value::as_str);
    let label = text("label").ok_or("has no `label`")?.to_owned();
    let game = match text("gameTime") {
        Some(time) => Some(game_time(time).ok_or_else(|| format!("has the gameTime {time:?}"))?),
        None => None,
    };
    let position = row.get("position").map(|position| {
        let number = match position {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        let within = number.filter(|ms: &f64| ms.is_finite() && *ms >= 0.0);
        within.ok_or_else(|| format!("has the position {position}"))
    });
    let ms = match (position.transpose()?, game) {
        (Some(ms), _) => ms,
        (None, Some((_, ms))) => ms,
        (None, None) => return Err("has neither `position` nor `gameTime`".to_owned()),
    };
    Ok(Row { label, when: When::Time { half: game.map_or(1, |(half, _)| half), ms } })
}

/// Half and milliseconds of `1 - 05:12`.
fn game_time(text: &str) -> Option<(u8, f64)> {
    let (half, clock) = text.split_once('-')?;
    let (minutes, seconds) = clock.trim().split_once(':')?;
    let (minutes, seconds): (u32, u32) = (minutes.parse().ok()?, seconds.parse().ok()?);
    Some((half.trim().parse().ok()?, (f64::from(minutes) * 60.0 + f64::from(seconds)) * 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<(u128, String)> {
        let truth = truth(text, None).unwrap();
        truth.events.into_iter().map(|event| (event.frame, event.action)).collect()
    }

    fn truth(text: &str, half: Option<u8>) -> Result<Truth, String> {
        Labels::read(text.as_bytes())?.truth(half, 1000, 25.0, &Mapping::default())
    }

    #[test]
    fn the_challenges_form_and_the_apis() {
        let expected = [(24, "pass".to_owned()), (60, "goal".to_owned())];
        assert_eq!(
            events(r#"[{"frame": 24, "action": "pass"}, {"frame": "60", "action": "goal"}]"#),
            expected
        );
        let api = r#"{"task": 7, "ground_truth": [
            {"frame": 24, "type": "pass", "action": null}, {"action": "goal"}, {"frame": 3}, {"frame": 60, "action": "goal"}]}"#;
        assert_eq!(events(api), expected);
    }

    /// As the Ball Action Spotting files have them: milliseconds as text, beside a clock of whole seconds.
    #[test]
    fn soccernets_form() {
        let text = r#"{"UrlLocal": "a/b", "annotations": [
            {"gameTime": "1 - 00:05", "label": "PASS", "position": "5120", "team": "left", "visibility": "visible"},
            {"gameTime": "1 - 00:06", "label": "HIGH PASS", "position": 6000},
            {"gameTime": "1 - 00:07", "label": "PLAYER SUCCESSFUL TACKLE"},
            {"gameTime": "1 - 00:09", "label": "OUT", "position": "9019"},
            {"gameTime": "1 - 00:10", "label": "DRIVE", "position": "10000"},
            {"gameTime": "1 - 00:11", "label": "Ball out of play", "position": "11000"}]}"#;
        let truth = truth(text, None).unwrap();
        let frames: Vec<(u128, &str)> =
            truth.events.iter().map(|event| (event.frame, event.action.as_str())).collect();
        assert_eq!(
            frames,
            [
                (128, "pass"),
                (150, "pass"),
                (175, "tackle"),
                (225, "ball_out_of_play"),
                (275, "ball_out_of_play")
            ]
        );
        assert_eq!(truth.not_scored, BTreeMap::from([("DRIVE".to_owned(), 1)]));
    }

    #[test]
    fn halves_are_told_apart_by_the_clips_name() {
        let text = r#"{"annotations": [{"gameTime": "1 - 00:01", "label": "Goal", "position": "1000"},
            {"gameTime": "2 - 00:02", "label": "Foul", "position": "2000"}]}"#;
        assert_eq!(truth(text, Some(1)).unwrap().events, [Event::new(25u64, "goal")]);
        assert_eq!(truth(text, Some(2)).unwrap().events, [Event::new(50u64, "foul")]);
        assert!(truth(text, None).unwrap_err().contains("both halves"));
    }

    #[test]
    fn what_lies_behind_the_last_frame_is_left_out() {
        let truth =
            truth(r#"[{"frame": 999, "action": "pass"}, {"frame": 1000, "action": "pass"}]"#, None).unwrap();
        assert_eq!((truth.events.len(), truth.outside), (1, vec![Event::new(1000u64, "pass")]));
    }

    #[test]
    fn the_operator_has_the_last_word() {
        let mut mapping = Mapping::default();
        for told in ["DRIVE=take_on", "clearance=", "Throw-In = Pass"] {
            mapping.add(told).unwrap();
        }
        assert_eq!(mapping.action("drive"), Some("take_on"));
        assert_eq!(mapping.action("Clearance"), None);
        assert_eq!(mapping.action("THROW IN"), Some("pass"));
        assert_eq!(mapping.action("end of half"), Some("end_of_half"));
        assert_eq!(mapping.add("DRIVE"), Err(MappingError::Form("DRIVE".into())));
        assert_eq!(mapping.add("DRIVE=dribble"), Err(MappingError::Action("dribble".into())));
    }

    #[test]
    fn the_synonyms_are_normal_and_lead_to_actions() {
        for (label, action) in SYNONYMS {
            assert_eq!((normal(label).as_str(), known(action)), (label, Some(action)));
            assert_eq!(known(label), None);
        }
    }

    #[test]
    fn what_is_no_label_file_is_said_by_row() {
        for (text, words) in [
            ("{", "is no JSON"),
            (r#"{"pass": 45}"#, "no list of labels"),
            (
                r#"[{"frame": 1, "action": "pass"}, {"frame": -1, "action": "pass"}]"#,
                "row 2 has the frame -1",
            ),
            (r#"[{"frame": 1}]"#, "row 1 has no `action`"),
            (r#"{"annotations": [{"label": "PASS"}]}"#, "neither `position` nor `gameTime`"),
            (r#"{"annotations": [{"label": "PASS", "gameTime": "soon"}]}"#, "the gameTime \"soon\""),
            (r#"{"annotations": [{"label": "PASS", "position": "-3"}]}"#, "the position \"-3\""),
        ] {
            let error = truth(text, None).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}

//! Errors about a document's fields in FastAPI's form, and how they are collected while a document is read.
//!
//! What one value may be is said by [`adit_python::scalar`]; which fields a document has is said by
//! [`super::request`] and [`super::response`].

use std::fmt;

use adit_python::json::Json;
use adit_python::scalar::Refusal;

/// The most errors that are reported for one document; upstream has no limit.
pub const MAX_ERRORS: usize = 100;

/// About how many bytes of a refused value are shown back; upstream shows all of it.
pub const MAX_ECHO: usize = 1000;

/// What stands where a value was cut.
const CUT: &str = "…";

/// One step of the way to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loc {
    /// A key, or the name of an alternative of a schema.
    Key(&'static str),
    /// An index in an array, or a position in text.
    Index(usize),
}

impl From<Loc> for Json {
    fn from(loc: Loc) -> Self {
        match loc {
            Loc::Key(key) => Self::from(key),
            Loc::Index(index) => Self::Int(index as i128),
        }
    }
}

/// One error about a field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// pydantic's name of the error, such as `int_parsing`.
    pub kind: &'static str,
    /// The way to the value.
    pub loc: Vec<Loc>,
    /// pydantic's message.
    pub msg: String,
    /// The refused value, cut to about [`MAX_ECHO`] bytes.
    pub input: Json,
    /// What the message was made from, if anything.
    pub ctx: Option<Json>,
}

impl FieldError {
    /// The error as FastAPI shows it: `{type, loc, msg, input, ctx?}`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut entries = vec![
            ("type", Json::from(self.kind)),
            ("loc", Json::Array(self.loc.iter().map(|loc| Json::from(*loc)).collect())),
            ("msg", Json::from(self.msg.as_str())),
            ("input", self.input.clone()),
        ];
        entries.extend(self.ctx.clone().map(|ctx| ("ctx", ctx)));
        Json::object(entries)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for loc in &self.loc {
            match loc {
                Loc::Key(key) => write!(f, "{key}: ")?,
                Loc::Index(index) => write!(f, "{index}: ")?,
            }
        }
        f.write_str(&self.msg)
    }
}

/// All errors on one line, as a log shows them.
pub(super) fn summary(errors: &[FieldError]) -> String {
    errors.iter().map(FieldError::to_string).collect::<Vec<_>>().join("; ")
}

/// The errors found so far, and where the reading is.
#[derive(Debug)]
pub(super) struct Errors {
    path: Vec<Loc>,
    list: Vec<FieldError>,
}

impl Errors {
    /// No errors yet; `root` leads all ways.
    pub(super) fn new(root: &[Loc]) -> Self {
        Self { path: root.to_vec(), list: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<FieldError> {
        self.list
    }

    /// Another collector at the same place, for an alternative that may be dropped.
    pub(super) fn fork(&self) -> Self {
        Self::new(&self.path)
    }

    /// Takes over what a fork found.
    pub(super) fn join(&mut self, fork: Self) {
        self.list.extend(fork.list);
        self.list.truncate(MAX_ERRORS);
    }

    /// Reads something one step further in.
    pub(super) fn at<T>(&mut self, step: Loc, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let value = read(self);
        self.path.pop();
        value
    }

    /// Notes an error about `input`.
    pub(super) fn push(&mut self, kind: &'static str, msg: &str, input: &Json, ctx: Option<Json>) {
        if self.list.len() < MAX_ERRORS {
            let mut room = MAX_ECHO;
            let input = bounded(input, &mut room);
            self.list.push(FieldError { kind, loc: self.path.clone(), msg: msg.to_owned(), input, ctx });
        }
    }

    /// Notes what a schema's field says of `input`.
    pub(super) fn refuse(&mut self, refusal: Refusal, input: &Json) {
        let ctx = match refusal {
            Refusal::GreaterThanEqual(limit) => Some(("ge", Json::Int(limit.into()))),
            Refusal::LessThanEqual(limit) => Some(("le", Json::Int(limit.into()))),
            Refusal::ValueError(_) => Some(("error", Json::object([]))),
            _ => None,
        };
        self.push(refusal.kind(), &refusal.to_string(), input, ctx.map(|ctx| Json::object([ctx])));
    }

    /// Notes what a schema's own check says of `input`.
    pub(super) fn value_error(&mut self, message: &str, input: &Json) {
        let ctx = Json::object([("error", Json::object([]))]);
        self.push("value_error", &format!("Value error, {message}"), input, Some(ctx));
    }

    /// Reads a field that must be there.
    pub(super) fn required<T>(
        &mut self,
        object: &Json,
        key: &'static str,
        read: impl FnOnce(&mut Self, &Json) -> Option<T>,
    ) -> Option<T> {
        self.at(Loc::Key(key), |errors| match object.get(key) {
            Some(value) => read(errors, value),
            None => {
                errors.push("missing", "Field required", object, None);
                None
            }
        })
    }

    /// Reads a field that may be absent or null.
    pub(super) fn optional<T>(
        &mut self,
        object: &Json,
        key: &'static str,
        read: impl FnOnce(&mut Self, &Json) -> Option<T>,
    ) -> Option<T> {
        match object.get(key) {
            None | Some(Json::Null) => None,
            Some(value) => self.at(Loc::Key(key), |errors| read(errors, value)),
        }
    }

    /// Keeps what a field could be read as, or notes why it could not.
    pub(super) fn keep<T>(&mut self, read: Result<T, Refusal>, input: &Json) -> Option<T> {
        read.map_err(|refusal| self.refuse(refusal, input)).ok()
    }

    /// Reads each element of an array. One that is refused is left out; the error list then is not empty.
    pub(super) fn list<T>(
        &mut self,
        value: &Json,
        mut read: impl FnMut(&mut Self, &Json) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Json::Array(items) = value else {
            self.push("list_type", "Input should be a valid list", value, None);
            return None;
        };
        let items = items.iter().enumerate();
        Some(items.filter_map(|(at, item)| self.at(Loc::Index(at), |errors| read(errors, item))).collect())
    }
}

/// A copy of a value that takes about `room` bytes at most; whole where that suffices.
fn bounded(value: &Json, room: &mut usize) -> Json {
    match value {
        Json::String(text) | Json::BrokenString(text) | Json::BigInt(text) if text.len() > *room => {
            let kept = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= *room);
            let kept: String = kept.map(|(_, c)| c).collect();
            *room = 0;
            Json::String(kept + CUT)
        }
        Json::String(text) | Json::BrokenString(text) | Json::BigInt(text) => {
            *room -= text.len();
            value.clone()
        }
        Json::Array(items) => {
            let mut kept = Vec::new();
            for item in items {
                if spent(room) {
                    kept.push(Json::from(CUT));
                    break;
                }
                kept.push(bounded(item, room));
            }
            Json::Array(kept)
        }
        Json::Object(entries) => {
            let mut kept = Vec::new();
            for (key, value) in entries.iter() {
                if spent(room) || key.len() > *room {
                    kept.push((CUT, Json::from(CUT)));
                    break;
                }
                *room -= key.len();
                kept.push((key.as_str(), bounded(value, room)));
            }
            Json::object(kept)
        }
        scalar => scalar.clone(),
    }
}

/// Takes the room of one element's brackets, commas and digits; true if there was none.
fn spent(room: &mut usize) -> bool {
    const ELEMENT: usize = 8;
    *room = room.saturating_sub(ELEMENT);
    *room == 0
}

#[cfg(test)]
mod tests {
    use adit_python::scalar::Refusal;

    use super::{Errors, Json, Loc, MAX_ECHO, MAX_ERRORS};

    fn echo(value: &Json) -> String {
        let mut errors = Errors::new(&[]);
        errors.push("x", "x", value, None);
        errors.into_list()[0].input.to_text()
    }

    #[test]
    fn an_error_has_fastapis_keys_in_its_order() {
        let mut errors = Errors::new(&[Loc::Key("body")]);
        errors.at(Loc::Index(3), |errors| errors.refuse(Refusal::GreaterThanEqual(0), &Json::Int(-1)));
        assert_eq!(
            errors.into_list()[0].to_json().to_text(),
            r#"{"type":"greater_than_equal","loc":["body",3],"msg":"Input should be greater than or equal to 0","input":-1,"ctx":{"ge":0}}"#
        );
    }

    #[test]
    fn a_small_value_is_echoed_whole() {
        let value = Json::parse(br#"{"a":[1,2.5,null,"x"],"b":{}}"#).unwrap();
        assert_eq!(echo(&value), value.to_text());
    }

    #[test]
    fn a_large_value_is_cut() {
        let long = Json::String("é".repeat(1_000_000));
        let wide = Json::Array(vec![Json::Null; 1_000_000]);
        let keys = Json::object([("k".repeat(1_000_000).as_str(), Json::Null)]);
        let deep = Json::parse(("[".repeat(400) + &"]".repeat(400)).as_bytes()).unwrap();
        for value in [long, wide, keys, deep] {
            assert!(echo(&value).len() < 2 * MAX_ECHO);
        }
    }

    #[test]
    fn what_json_cannot_hold_is_echoed_as_text() {
        let value = Json::parse(br#"[NaN,"\ud800"]"#).unwrap();
        assert_eq!(echo(&value), "[\"NaN\",\"\u{fffd}\"]");
    }

    #[test]
    fn the_number_of_errors_is_bounded() {
        let mut errors = Errors::new(&[]);
        for _ in 0..2 * MAX_ERRORS {
            errors.push("x", "x", &Json::Null, None);
        }
        assert_eq!(errors.into_list().len(), MAX_ERRORS);
    }
}

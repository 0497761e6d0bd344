//! Reads the fields of a document and notes what is wrong with them, in pydantic's words.

use std::fmt;

use adit_python::json::Json;
use adit_python::scalar::Refusal;
use indexmap::IndexMap;

use super::Family;

/// The most errors that are noted of one document.
pub const MAX_ERRORS: usize = 100;

/// One step of the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key of the schema.
    Key(&'static str),
    /// A key of the document.
    Entry(String),
    /// An index in a list.
    Index(usize),
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// pydantic's name of the error, such as `int_parsing`.
    pub kind: &'static str,
    /// The way to the value.
    pub loc: Vec<Step>,
    /// pydantic's message.
    pub msg: String,
}

/// Such as `frames[3].boxes[0].x1: Field required`.
impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.loc.iter().enumerate() {
            let dot = if at > 0 { "." } else { "" };
            match step {
                Step::Key(key) => write!(f, "{dot}{key}")?,
                Step::Entry(key) => write!(f, "{dot}{key:?}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        let colon = if self.loc.is_empty() { "" } else { ": " };
        write!(f, "{colon}{}", self.msg)
    }
}

/// The first errors in one line.
pub(super) fn summary(errors: &[FieldError]) -> String {
    const SHOWN: usize = 5;
    let mut shown: Vec<String> = errors.iter().take(SHOWN).map(FieldError::to_string).collect();
    if errors.len() > SHOWN {
        shown.push(format!("and {} more", errors.len() - SHOWN));
    }
    shown.join("; ")
}

/// Where the reading is, and what was wrong on the way.
#[derive(Debug)]
pub struct Reader {
    family: Family,
    path: Vec<Step>,
    errors: Vec<FieldError>,
}

type Read<T> = Option<T>;

impl Reader {
    pub(super) fn new(family: Family) -> Self {
        Self { family, path: Vec::new(), errors: Vec::new() }
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    fn refuse<T>(&mut self, kind: &'static str, msg: impl Into<String>) -> Read<T> {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(FieldError { kind, loc: self.path.clone(), msg: msg.into() });
        }
        None
    }

    fn keep<T>(&mut self, read: Result<T, Refusal>) -> Read<T> {
        read.map_err(|refusal| self.refuse::<T>(refusal.kind(), refusal.to_string())).ok()
    }

    /// Reads something one step further in.
    pub(super) fn at<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let value = read(self);
        self.path.pop();
        value
    }

    /// A document with fields.
    pub(super) fn object(&mut self, value: &Json) -> Read<()> {
        match value {
            Json::Object(_) => Some(()),
            _ => self.refuse("model_type", "Input should be a valid dictionary"),
        }
    }

    /// A field that must be there.
    pub(super) fn required<T>(
        &mut self,
        object: &Json,
        key: &'static str,
        read: impl FnOnce(&mut Self, &Json) -> Read<T>,
    ) -> Read<T> {
        self.at(Step::Key(key), |reader| match object.get(key) {
            Some(value) => read(reader, value),
            None => reader.refuse("missing", "Field required"),
        })
    }

    /// A field that may be left out or null.
    pub(super) fn optional<T>(
        &mut self,
        object: &Json,
        key: &'static str,
        read: impl FnOnce(&mut Self, &Json) -> Read<T>,
    ) -> Read<T> {
        match object.get(key) {
            None | Some(Json::Null) => None,
            Some(value) => self.at(Step::Key(key), |reader| read(reader, value)),
        }
    }

    pub(super) fn list<T>(
        &mut self,
        value: &Json,
        read: impl Fn(&mut Self, &Json) -> Read<T>,
    ) -> Read<Vec<T>> {
        let Json::Array(items) = value else {
            return self.refuse("list_type", "Input should be a valid list");
        };
        let items = items.iter().enumerate();
        Some(items.filter_map(|(at, item)| self.at(Step::Index(at), |reader| read(reader, item))).collect())
    }

    /// An object with any keys.
    pub(super) fn entries<T>(
        &mut self,
        value: &Json,
        read: impl Fn(&mut Self, &Json) -> Read<T>,
    ) -> Read<IndexMap<String, T>> {
        let Json::Object(entries) = value else {
            return self.refuse("dict_type", "Input should be a valid dictionary");
        };
        let mut all = IndexMap::new();
        for (key, value) in entries.iter() {
            if let Some(value) = self.at(Step::Entry(key.clone()), |reader| read(reader, value)) {
                all.insert(key.clone(), value);
            }
        }
        Some(all)
    }

    /// An object of anything.
    pub(super) fn dict(&mut self, value: &Json) -> Read<Json> {
        match value {
            Json::Object(_) => Some(value.clone()),
            _ => self.refuse("dict_type", "Input should be a valid dictionary"),
        }
    }

    pub(super) fn text(&mut self, value: &Json) -> Read<String> {
        self.keep(value.scalar().text())
    }

    pub(super) fn integer(&mut self, value: &Json) -> Read<i128> {
        self.keep(value.scalar().integer())
    }

    pub(super) fn boolean(&mut self, value: &Json) -> Read<bool> {
        self.keep(value.scalar().boolean())
    }

    /// A number. pydantic takes one that is not finite, but then the answer cannot be written.
    pub(super) fn number(&mut self, value: &Json) -> Read<f64> {
        match self.keep(value.scalar().number())? {
            number if number.is_finite() => Some(number),
            _ => self.refuse("finite_number", Refusal::FiniteNumber.to_string()),
        }
    }

    /// As many integers as there are.
    pub(super) fn integers<const N: usize>(&mut self, value: &Json) -> Read<[i128; N]> {
        let Json::Array(items) = value else {
            return self.refuse("tuple_type", "Input should be a valid tuple");
        };
        if items.len() > N {
            let msg = format!("Tuple should have at most {N} items after validation, not {}", items.len());
            return self.refuse("too_long", msg);
        }
        let mut integers = [0; N];
        let mut whole = true;
        for (at, place) in integers.iter_mut().enumerate() {
            let read = self.at(Step::Index(at), |reader| match items.get(at) {
                Some(item) => reader.integer(item),
                None => reader.refuse("missing", "Field required"),
            });
            whole &= read.is_some();
            *place = read.unwrap_or_default();
        }
        whole.then_some(integers)
    }

    pub(super) fn pair(&mut self, value: &Json) -> Read<(i128, i128)> {
        self.integers(value).map(|[x, y]| (x, y))
    }

    pub(super) fn one_of(&mut self, value: &Json, names: &[&str]) -> Read<String> {
        if let Json::String(text) = value
            && names.contains(&text.as_str())
        {
            return Some(text.clone());
        }
        let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        let listed = match quoted.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => quoted.concat(),
        };
        self.refuse("enum", format!("Input should be {listed}"))
    }
}

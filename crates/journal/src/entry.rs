//! One entry, and entries as lines of JSON: the form in which they leave the file.

use std::io::{self, BufRead, Read as _};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::record::Record;

/// Most bytes of the fields of an entry, and of a line that is read.
pub const MAX_LINE: usize = 1 << 20;

/// One event as it was recorded. Its fields are still text, of which no digit has been rounded.
///
/// As JSON it is an object with these keys, in this order; a reader leaves keys alone that it does not know, so what a newer
/// miner wrote can be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up in the order of recording, which the clock need not follow.
    #[serde(default)]
    pub id: i64,
    /// When it was recorded, in Unix milliseconds.
    pub at_ms: i64,
    /// What happened, such as `challenge`.
    pub event: String,
    /// What it happened to: a challenge, a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The hotkey (ss58) of whose doing it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// How it ended, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The particulars, by event.
    pub fields: Box<RawValue>,
}

impl Entry {
    /// The particulars, where it is an entry of this kind and they have its shape.
    #[must_use]
    pub fn read<R: Record>(&self) -> Option<R> {
        if self.event == R::EVENT { serde_json::from_str(self.fields.get()).ok() } else { None }
    }

    /// It as a line, its end included.
    ///
    /// # Errors
    /// Never, as what is in it can be written.
    pub fn to_line(&self) -> serde_json::Result<String> {
        // In JSON these are only ever blanks; what was recorded may bring some.
        let mut line = serde_json::to_string(self)?.replace(['\n', '\r'], " ");
        line.push('\n');
        Ok(line)
    }
}

/// The entries of a reader of lines, in its order. What is no entry is skipped: a line that was torn, one that somebody else
/// wrote, one longer than twice [`MAX_LINE`].
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    ended: bool,
}

const LONGEST: usize = 2 * MAX_LINE;

impl<R: BufRead> Lines<R> {
    /// The entries of a reader.
    pub fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), ended: false }
    }

    /// Whether there was another line; where it is too long, `self.line` is empty.
    fn next_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let read = (&mut self.reader).take(LONGEST as u64).read_until(b'\n', &mut self.line)?;
        if read == LONGEST && self.line.last() != Some(&b'\n') {
            self.line.clear();
            self.reader.skip_until(b'\n')?;
        }
        Ok(read > 0)
    }
}

/// After an error there is nothing more.
impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.next_line() {
                Ok(true) => {
                    if let Ok(entry) = serde_json::from_slice(&self.line) {
                        return Some(Ok(entry));
                    }
                }
                Ok(false) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn entry(fields: &str) -> Entry {
        let fields = RawValue::from_string(fields.to_owned()).unwrap();
        Entry { id: 3, at_ms: 7, event: "e".to_owned(), key: None, who: None, outcome: None, fields }
    }

    fn read(bytes: &[u8]) -> Vec<Value> {
        Lines::new(bytes).map(|entry| serde_json::from_str(entry.unwrap().fields.get()).unwrap()).collect()
    }

    #[test]
    fn the_line_is_as_documented_and_unknown_keys_are_no_obstacle() {
        let mut written = entry(r#"{"n":1}"#);
        assert_eq!(
            written.to_line().unwrap(),
            "{\"id\":3,\"at_ms\":7,\"event\":\"e\",\"fields\":{\"n\":1}}\n"
        );
        written.who = Some("5F".to_owned());
        assert!(written.to_line().unwrap().contains(r#""event":"e","who":"5F","fields""#));
        let newer = br#"{"seq":1,"at_ms":7,"event":"e","fields":{"n":1},"more":[]}"#;
        assert_eq!(read(newer), [json!({"n": 1})]);
    }

    #[test]
    fn a_raw_value_keeps_its_digits_and_stays_on_one_line() {
        let line = entry("{\"x\":\n0.10000000000000000555}").to_line().unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        let read = Lines::new(line.as_bytes()).next().unwrap().unwrap();
        assert_eq!(read.fields.get(), "{\"x\": 0.10000000000000000555}");
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_what_follows_is_found() {
        let line = |letters: usize| entry(&format!("\"{}\"", "x".repeat(letters))).to_line().unwrap();
        let longest = line(LONGEST - line(0).len());
        assert_eq!(longest.len(), LONGEST);
        let longer = line(LONGEST - line(0).len() + 1);
        assert_eq!(read([longest, longer, line(1)].concat().as_bytes()).len(), 2);
    }

    #[test]
    fn an_error_of_the_reader_is_told_once() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let mut entries = Lines::new(io::BufReader::new(Broken));
        assert!(entries.next().unwrap().is_err());
        assert!(entries.next().is_none());
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_whatever_stands_between(
            all in prop::collection::vec((values(), "[^\n{]{0,20}"), 0..6),
            cut in 0_usize..40,
        ) {
            let mut bytes = Vec::new();
            for (fields, foreign) in &all {
                bytes.extend(entry(&fields.to_string()).to_line().unwrap().into_bytes());
                bytes.extend(format!("{foreign}\n").bytes());
            }
            let torn = entry(r#"{"torn": "off"}"#).to_line().unwrap();
            bytes.extend(&torn.as_bytes()[..cut.min(torn.len() - 2)]);
            let expected: Vec<Value> = all.into_iter().map(|(fields, _)| fields).collect();
            prop_assert_eq!(read(&bytes), expected);
        }

        #[test]
        fn no_bytes_make_the_reader_fail(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Lines::new(&*bytes).all(|entry| entry.is_ok()));
        }
    }
}

//! One entry, its line, and the reader of a file of them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Most bytes of a line, its end included.
pub const MAX_LINE: usize = 1 << 20;

/// One event. As it was read, its fields are still text, of which no digit has been rounded.
///
/// Keys that a reader does not know are left alone, so a newer miner's file can be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry<F = Box<RawValue>> {
    /// When it was recorded, in Unix milliseconds.
    pub at_ms: u64,
    /// What happened, such as `challenge`.
    pub event: String,
    /// The particulars, by event.
    pub fields: F,
}

impl Entry {
    /// The fields as a type.
    ///
    /// # Errors
    /// Where they are of another shape.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.fields.get())
    }
}

impl<F: Serialize> Entry<F> {
    /// The whole line; an error where it would have more than `limit` bytes.
    pub(crate) fn to_line(&self, limit: usize) -> serde_json::Result<Vec<u8>> {
        let mut line = Bounded { bytes: Vec::new(), room: limit.saturating_sub(1) };
        serde_json::to_writer(&mut line, self)?;
        let mut line = line.bytes;
        // In JSON these are only ever blanks; a raw value may bring some.
        for byte in &mut line {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        line.push(b'\n');
        Ok(line)
    }
}

struct Bounded {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.room =
            self.room.checked_sub(piece.len()).ok_or_else(|| io::Error::other("the line is too long"))?;
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The entries of a file, oldest first. What is no entry is skipped: a line that a crash tore, one that somebody
/// else wrote, one longer than [`MAX_LINE`].
#[derive(Debug)]
pub struct Entries<R> {
    reader: R,
    line: Vec<u8>,
    ended: bool,
}

impl Entries<BufReader<File>> {
    /// The entries of the file at `path` as it is now: what is recorded meanwhile may be missing.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::new(BufReader::new(File::open(path)?)))
    }
}

impl<R: BufRead> Entries<R> {
    /// The entries of a reader.
    pub fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), ended: false }
    }

    /// Whether there was another line; where it is too long, `self.line` is empty.
    fn next_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let read = (&mut self.reader).take(MAX_LINE as u64).read_until(b'\n', &mut self.line)?;
        if read == MAX_LINE && self.line.last() != Some(&b'\n') {
            self.line.clear();
            self.reader.skip_until(b'\n')?;
        }
        Ok(read > 0)
    }
}

/// After an error there is nothing more.
impl<R: BufRead> Iterator for Entries<R> {
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

    fn entry(fields: Value) -> Entry<Value> {
        Entry { at_ms: 7, event: "e".to_owned(), fields }
    }

    fn read(bytes: &[u8]) -> Vec<Value> {
        Entries::new(bytes).map(|entry| entry.unwrap().read().unwrap()).collect()
    }

    #[test]
    fn the_line_is_as_documented_and_unknown_keys_are_no_obstacle() {
        let line = entry(json!({"n": 1})).to_line(MAX_LINE).unwrap();
        assert_eq!(line, b"{\"at_ms\":7,\"event\":\"e\",\"fields\":{\"n\":1}}\n");
        let newer = br#"{"seq":1,"at_ms":7,"event":"e","fields":{"n":1},"more":[]}"#;
        assert_eq!(read(newer), [json!({"n": 1})]);
    }

    #[test]
    fn a_raw_value_keeps_its_digits_and_stays_on_one_line() {
        let raw = RawValue::from_string("{\"x\":\n0.10000000000000000555}".to_owned()).unwrap();
        let line = Entry { at_ms: 7, event: "e".to_owned(), fields: raw }.to_line(MAX_LINE).unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read = Entries::new(&*line).next().unwrap().unwrap();
        assert_eq!(read.fields.get(), "{\"x\": 0.10000000000000000555}");
    }

    #[test]
    fn a_line_has_at_most_what_is_allowed() {
        let whole = entry(json!("x")).to_line(MAX_LINE).unwrap();
        assert!(entry(json!("x")).to_line(whole.len()).is_ok());
        assert!(entry(json!("x")).to_line(whole.len() - 1).is_err());
        // The longest line can be read, one byte more is skipped, and what follows is found.
        let room = MAX_LINE - whole.len() + 1;
        let longest = entry(json!("x".repeat(room))).to_line(MAX_LINE).unwrap();
        assert_eq!(longest.len(), MAX_LINE);
        let longer = entry(json!("x".repeat(room + 1))).to_line(MAX_LINE + 1).unwrap();
        assert_eq!(read(&[longest, longer, whole].concat()).len(), 2);
    }

    #[test]
    fn an_error_of_the_reader_is_told_once() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let mut entries = Entries::new(BufReader::new(Broken));
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
                bytes.extend(entry(fields.clone()).to_line(MAX_LINE).unwrap());
                bytes.extend(format!("{foreign}\n").bytes());
            }
            let torn = entry(json!({"torn": "off"})).to_line(MAX_LINE).unwrap();
            bytes.extend(&torn[..cut.min(torn.len() - 2)]);
            let expected: Vec<Value> = all.into_iter().map(|(fields, _)| fields).collect();
            prop_assert_eq!(read(&bytes), expected);
        }

        #[test]
        fn no_bytes_make_the_reader_fail(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Entries::new(&*bytes).all(|entry| entry.is_ok()));
        }
    }
}

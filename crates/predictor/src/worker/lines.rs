//! Lines of bounded length from a pipe.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// One line without its newline, or as much of a longer one as the limit allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    /// Whether the line was longer than the limit; the rest comes as the next line.
    pub(super) cut: bool,
}

/// Reads lines; at most `limit` bytes of one are held.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    limit: usize,
    partial: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(pipe: R, limit: usize) -> Self {
        Self { reader: BufReader::new(pipe), limit, partial: Vec::new() }
    }

    /// The next line; `None` at the end of the pipe. A last line without a newline is not a line.
    /// Cancel safe: what was read stays for the next call.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                return Ok(None);
            }
            let room = self.limit - self.partial.len();
            let newline = available.iter().position(|byte| *byte == b'\n');
            let length = newline.unwrap_or(available.len());
            let taken = length.min(room);
            self.partial.extend_from_slice(&available[..taken]);
            let whole = newline.is_some() && length <= room;
            self.reader.consume(taken + usize::from(whole));
            if whole || length > room {
                return Ok(Some(Line { bytes: std::mem::take(&mut self.partial), cut: !whole }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8], limit: usize) -> Vec<(String, bool)> {
        let mut lines = Lines::new(input, limit);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push((String::from_utf8(line.bytes).unwrap(), line.cut));
        }
        seen
    }

    #[tokio::test]
    async fn a_line_as_long_as_the_limit_is_whole() {
        assert_eq!(
            all(b"abcd\n\nef\n", 4).await,
            [("abcd".into(), false), (String::new(), false), ("ef".into(), false)]
        );
    }

    #[tokio::test]
    async fn a_longer_line_is_cut_at_the_limit() {
        assert_eq!(
            all(b"abcdefghij\nk\n", 4).await,
            [("abcd".into(), true), ("efgh".into(), true), ("ij".into(), false), ("k".into(), false)]
        );
    }

    #[tokio::test]
    async fn an_unfinished_line_at_the_end_is_dropped() {
        assert_eq!(all(b"ab\ncd", 4).await, [("ab".into(), false)]);
    }
}

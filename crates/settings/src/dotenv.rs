//! Reading a `.env` file as python-dotenv does, since the guides' programs read the same file.
//!
//! The crates.io readers expand `$NAME` without braces, so that a password such as `pa$word` would
//! change its meaning; python-dotenv expands only `${NAME}` and `${NAME:-default}`.

/// What a file says, and the lines that could not be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Name and value in file order; of equal names the last one counts.
    pub pairs: Vec<(String, String)>,
    /// 1-based numbers of lines that are neither blank, comment nor `NAME=value`.
    pub bad_lines: Vec<usize>,
    /// 1-based numbers of lines that give a name another value than an earlier line.
    pub changing_lines: Vec<usize>,
}

/// Parses the text of a `.env` file.
///
/// `lookup` answers for `${NAME}` with what the process environment says; names that the file
/// itself set earlier come first after it, as in python-dotenv.
pub fn parse(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Parsed {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parsed = Parsed::default();
    let mut rest = text;
    let mut line_number = 1;
    while !rest.is_empty() {
        let statement = Statement::read(rest);
        let consumed = &rest[..statement.length];
        match statement.kind {
            Kind::Blank => {}
            Kind::Bad => parsed.bad_lines.push(line_number),
            Kind::Pair(name, value) => {
                let value = expand(&value, |wanted| {
                    lookup(wanted).or_else(|| {
                        let earlier = parsed.pairs.iter().rev().find(|(name, _)| name == wanted);
                        earlier.map(|(_, value)| value.clone())
                    })
                });
                let before = parsed.pairs.iter().rev().find(|(earlier, _)| *earlier == name);
                if before.is_some_and(|(_, earlier)| *earlier != value) {
                    parsed.changing_lines.push(line_number);
                }
                parsed.pairs.push((name, value));
            }
        }
        line_number += consumed.matches('\n').count();
        rest = &rest[statement.length..];
    }
    parsed
}

/// Removes ` # comment` from an unquoted value. `docker run --env-file` keeps it, so values of the
/// process environment pass through here too.
#[must_use]
pub fn strip_comment(value: &str) -> &str {
    let mut previous_is_blank = false;
    for (at, character) in value.char_indices() {
        if character == '#' && previous_is_blank {
            return value[..at].trim_end();
        }
        previous_is_blank = character.is_whitespace();
    }
    value
}

struct Statement {
    kind: Kind,
    /// Bytes consumed, the line end included.
    length: usize,
}

enum Kind {
    Blank,
    Bad,
    Pair(String, String),
}

impl Statement {
    fn read(text: &str) -> Self {
        let line_end = text.find('\n').map_or(text.len(), |at| at + 1);
        let line = text[..line_end].trim();
        if line.is_empty() || line.starts_with('#') {
            return Self { kind: Kind::Blank, length: line_end };
        }
        let bad = Self { kind: Kind::Bad, length: line_end };
        let Some(equals) = text[..line_end].find('=') else { return bad };
        let name = text[..equals].trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim_start);
        let name = name.strip_prefix('\'').and_then(|n| n.strip_suffix('\'')).unwrap_or(name);
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '#') {
            return bad;
        }
        let after = &text[equals + 1..];
        let value = after.trim_start_matches([' ', '\t']);
        let start = text.len() - value.len();
        let Some(quote) = value.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            let raw = text[equals + 1..line_end].trim_end_matches(['\n', '\r']);
            // A comment may follow an empty value: the blank before it was trimmed above.
            let value = strip_comment(raw).trim();
            return Self { kind: Kind::Pair(name.into(), value.into()), length: line_end };
        };
        // A quoted value may span lines.
        let Some((value, closed)) = unquote(&value[1..], quote) else { return bad };
        let after_quote = start + 1 + closed;
        let tail_end = text[after_quote..].find('\n').map_or(text.len(), |at| after_quote + at + 1);
        let tail = text[after_quote..tail_end].trim();
        if !(tail.is_empty() || tail.starts_with('#')) {
            return bad;
        }
        Self { kind: Kind::Pair(name.into(), value), length: tail_end }
    }
}

/// The value up to the closing quote, and the bytes consumed with that quote.
fn unquote(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return Some((value, at + 1));
        }
        if character != '\\' {
            value.push(character);
            continue;
        }
        let (_, escaped) = characters.next()?;
        match (quote, escaped) {
            ('"', 'n') => value.push('\n'),
            ('"', 'r') => value.push('\r'),
            ('"', 't') => value.push('\t'),
            (_, '\\') => value.push('\\'),
            (_, escaped) if escaped == quote => value.push(quote),
            (_, escaped) => {
                value.push('\\');
                value.push(escaped);
            }
        }
    }
    None
}

fn expand(value: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(open) = rest.find("${") {
        let Some(close) = rest[open..].find('}') else { break };
        let inside = &rest[open + 2..open + close];
        let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
        expanded.push_str(&rest[..open]);
        expanded.push_str(&lookup(name).unwrap_or_else(|| default.to_owned()));
        rest = &rest[open + close + 1..];
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let parsed = parse(text, |name| (name == "HOME").then(|| "/home/op".to_owned()));
        assert_eq!(parsed.bad_lines, Vec::<usize>::new());
        parsed.pairs
    }

    fn one(text: &str) -> String {
        pairs(text).pop().unwrap().1
    }

    #[test]
    fn a_trailing_comment_is_no_part_of_the_value() {
        assert_eq!(one("DOCKERHUB_REPO=pt-solution  # Your private repo name"), "pt-solution");
        assert_eq!(one("A=  # only a comment"), "");
        assert_eq!(one("TOKEN=ab#cd"), "ab#cd");
    }

    #[test]
    fn quotes_keep_blanks_hashes_and_lines() {
        assert_eq!(one("A=\"x # y\"  # z"), "x # y");
        assert_eq!(one("A='it\\'s \\n'"), "it's \\n");
        assert_eq!(one("A=\"one\ntwo\\t\"\nB=3\n"), "3");
        assert_eq!(pairs("A=\"one\ntwo\\t\"\nB=3\n")[0].1, "one\ntwo\t");
    }

    #[test]
    fn only_braces_expand() {
        assert_eq!(one("A=pa$word$1"), "pa$word$1");
        assert_eq!(one("A=${HOME}/w"), "/home/op/w");
        assert_eq!(one("A=${NOPE:-x}y${NOPE}"), "xy");
        assert_eq!(one("B=1\nA=${B}2"), "12");
    }

    #[test]
    fn export_crlf_and_byte_order_mark_are_accepted() {
        assert_eq!(
            pairs("\u{feff}export A = 1 \r\nB=2\r\n"),
            [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())]
        );
    }

    #[test]
    fn a_line_that_is_no_assignment_is_reported_by_number() {
        let parsed = parse("A=1\nnonsense\nB=\"open\nC=2\n", |_| None);
        assert_eq!(parsed.bad_lines, [2, 3]);
        assert_eq!(parsed.pairs.last(), Some(&("C".to_owned(), "2".to_owned())));
    }

    #[test]
    fn a_name_with_two_values_is_reported_by_the_line_of_the_second() {
        let parsed = parse("A=1\nB=2\nexport A='1'\n\nA=3\n", |_| None);
        assert_eq!(parsed.changing_lines, [5]);
        assert_eq!(parsed.pairs.last(), Some(&("A".to_owned(), "3".to_owned())));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,200}|[A-Z=\"'#$\\{\\}\\\\ \n]{0,80}") {
            parse(&text, |_| None);
        }

        #[test]
        fn a_double_quoted_value_comes_back(value in "[^\\\\\"$]{0,40}") {
            prop_assert_eq!(one(&format!("A=\"{value}\"")), value);
        }
    }
}

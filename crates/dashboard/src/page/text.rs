//! How times, sums and names are written.

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn date(at_ms: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(at_ms)
}

/// Such as `2026-08-21T12:00:00.000Z`; empty where the number is no time.
pub(crate) fn iso(at_ms: i64) -> String {
    date(at_ms).map_or_else(String::new, |date| date.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Such as `2026-08-21 12:00:00 UTC`.
pub(crate) fn utc(at_ms: i64) -> String {
    date(at_ms).map_or_else(|| "no time".to_owned(), |date| date.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// Such as `2026-08-21`.
pub(crate) fn day(at_ms: i64) -> String {
    date(at_ms).map_or_else(String::new, |date| date.format("%Y-%m-%d").to_string())
}

/// How long ago, in words. What a clock that is wrong put into the future is told as the time that it is.
pub(crate) fn ago(now_ms: i64, at_ms: i64) -> String {
    match now_ms.saturating_sub(at_ms) {
        since if since < -MINUTE => utc(at_ms),
        ..MINUTE => "just now".to_owned(),
        since @ ..HOUR => format!("{} min ago", since / MINUTE),
        since @ ..DAY => format!("{} h {} min ago", since / HOUR, since % HOUR / MINUTE),
        since => format!("{} d ago", since / DAY),
    }
}

/// A time as an element, relative, with the time itself in its title.
pub(crate) fn time(now_ms: i64, at_ms: i64) -> Markup {
    html! { time datetime=(iso(at_ms)) title=(utc(at_ms)) { (ago(now_ms, at_ms)) } }
}

/// How long something runs by now; not less than nothing.
pub(crate) fn since(now_ms: i64, at_ms: i64) -> String {
    match now_ms.saturating_sub(at_ms).max(0) {
        since @ ..MINUTE => format!("{} s", since / 1000),
        since @ ..HOUR => format!("{} min", since / MINUTE),
        since @ ..DAY => format!("{} h {} min", since / HOUR, since % HOUR / MINUTE),
        since => format!("{} d {} h", since / DAY, since % DAY / HOUR),
    }
}

/// Milliseconds, with a unit that suits.
pub(crate) fn millis(ms: u64) -> String {
    match ms {
        ..1000 => format!("{ms} ms"),
        ..60_000 => format!("{}.{:02} s", ms / 1000, ms % 1000 / 10),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// Microseconds, with a unit that suits.
pub(crate) fn micros(us: u64) -> String {
    match us {
        ..1000 => format!("{us} µs"),
        ..10_000 => format!("{}.{:02} ms", us / 1000, us % 1000 / 10),
        _ => millis(us / 1000),
    }
}

/// Bytes, with a unit that suits.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        ..1024 => format!("{bytes} B"),
        ..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        ..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// US dollars out of millionths: cents where there are some, and what is smaller to the digit.
pub(crate) fn usd(micro: u64) -> String {
    let (whole, part) = (count(micro / 1_000_000), micro % 1_000_000);
    if part % 10_000 == 0 {
        format!("${whole}.{:02}", part / 10_000)
    } else if part % 100 == 0 {
        format!("${whole}.{:04}", part / 100)
    } else {
        format!("${whole}.{part:06}")
    }
}

/// The subnet's token out of billionths.
pub(crate) fn token(rao: u64) -> String {
    format!("{}.{:04} α", count(rao / 1_000_000_000), rao % 1_000_000_000 / 100_000)
}

/// A number with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// At most so many characters of a text, and whether there are more.
pub(crate) fn short(text: &str, characters: usize) -> String {
    let mut rest = text.chars();
    let mut short: String = rest.by_ref().take(characters).collect();
    if rest.next().is_some() {
        short.push('…');
    }
    short
}

/// A hotkey or another long name: its ends, and the whole in the title.
pub(crate) fn name(name: &str) -> Markup {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= 16 {
        return html! { code { (name) } };
    }
    let (head, tail): (String, String) =
        (letters[..6].iter().collect(), letters[letters.len() - 5..].iter().collect());
    html! { code title=(name) { (head) "…" (tail) } }
}

/// A URL without its query, in which a signature may be.
pub(crate) fn url(url: &str) -> String {
    match url.split_once(['?', '#']) {
        Some((place, _)) => format!("{place}?…"),
        None => url.to_owned(),
    }
}

/// How something ended: a sign, the word, and a class for its colour.
pub(crate) fn outcome(word: &str) -> Markup {
    let (class, sign) = match word {
        "answered" | "delivered" | "passed" | "done" | "acknowledged" | "registered" | "PASS" | "online" => {
            ("good", "✓")
        }
        "failed" | "refused" | "expired" | "dead" | "FAIL" | "undeliverable" | "not_registered"
        | "not answering" => ("bad", "✗"),
        "caller_left" | "uncertain" | "unknown" | "retry" | "doubt" | "postponed" | "given_up" | "later"
        | "not_found" | "WARN" | "stopped" | "orphaned" => ("fair", "!"),
        _ => ("plain", "•"),
    };
    html! {
        span.mark.(class) { span aria-hidden="true" { (sign) } " " (word.replace('_', " ")) }
    }
}

/// A share, as per cent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_relative_and_never_negative() {
        let now = 1_700_000_000_000;
        for (at, expected) in [
            (now, "just now"),
            (now + 59_000, "just now"),
            (now - 61_000, "1 min ago"),
            (now - 2 * HOUR - 5 * MINUTE, "2 h 5 min ago"),
            (now - 50 * HOUR, "2 d ago"),
            (now + DAY, "2023-11-15 22:13:20 UTC"),
        ] {
            assert_eq!(ago(now, at), expected);
        }
        assert_eq!(since(now, now + DAY), "0 s");
    }

    #[test]
    fn sums_are_written_with_their_units() {
        assert_eq!(
            [usd(0), usd(1_230_000), usd(40_200), usd(1), usd(12_345_000_000)],
            ["$0.00", "$1.23", "$0.0402", "$0.000001", "$12,345.00"]
        );
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([millis(5), millis(1234), millis(61_000)], ["5 ms", "1.23 s", "1 min 1 s"]);
        assert_eq!([micros(5), micros(1234), micros(1_234_000)], ["5 µs", "1.23 ms", "1.23 s"]);
        assert_eq!(token(1_234_567_890_123), "1,234.5678 α");
    }

    #[test]
    fn a_signature_in_a_url_is_left_out() {
        assert_eq!(url("https://a/b.mp4?X-Amz-Signature=1"), "https://a/b.mp4?…");
        assert_eq!(url("https://a/b.mp4"), "https://a/b.mp4");
    }

    proptest! {
        #[test]
        fn any_time_can_be_written(now: i64, at: i64) {
            prop_assert!(!ago(now, at).contains('-') || ago(now, at).ends_with("UTC"));
            prop_assert!(!since(now, at).starts_with('-'));
            let _ = (iso(at), day(at), utc(at));
        }

        #[test]
        fn any_name_can_be_shortened(text: String) {
            prop_assert!(name(&text).into_string().len() < 200 + 12 * text.len());
        }
    }
}

//! Figures: the middle of several, and how they are written.

use std::time::Duration;

/// The middle one; of an even number, the upper of the two.
pub(crate) fn median<T: Ord + Copy + Default>(mut figures: Vec<T>) -> T {
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// Below one as a fraction.
pub(crate) fn ratio_text(ratio: f64) -> String {
    if ratio < 1.0 { format!("1/{:.1}", 1.0 / ratio) } else { format!("{ratio:.1}") }
}

pub(crate) fn verdict(met: bool) -> &'static str {
    if met { "" } else { "MISSED" }
}

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

pub(crate) fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

//! The table: what was measured, the ratios, and the targets beside them.

use std::fmt;
use std::time::Duration;

use comfy_table::{Table, presets};

use crate::figures::{mebibytes, milliseconds, ratio_text, verdict};

/// What one server showed.
pub(crate) struct Measured {
    /// Requests a second, flat out.
    pub(crate) per_second: f64,
    /// Requests a second of the equal load, under which the latencies were taken.
    pub(crate) equal_load: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Right after the flat-out load, children included.
    pub(crate) resident_kib: u64,
    /// From the start of the process to the first 200 on `/docs`.
    pub(crate) start: Duration,
}

/// Both servers, side by side.
pub(crate) struct Report {
    pub(crate) peer: Measured,
    pub(crate) ours: Measured,
    /// Wall time of `sv --help`.
    pub(crate) help: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, ours) = (&self.peer, &self.ours);
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["what", "peer", "adit", "adit / peer", "target", ""]);
        let mut row = |what: &str, peer: String, ours: String, ratio: f64, target: &str, met: bool| {
            table.add_row([what, &peer, &ours, &ratio_text(ratio), target, verdict(met)]);
        };
        let ratio = ours.per_second / peer.per_second;
        row(
            "requests a second, flat out",
            format!("{:.0}", peer.per_second),
            format!("{:.0}", ours.per_second),
            ratio,
            ">= 8, aim 10",
            ratio >= 8.0,
        );
        let at = format!("at {:.0} requests a second", peer.equal_load);
        let ratio = ours.p50.as_secs_f64() / peer.p50.as_secs_f64();
        row(&format!("p50 {at}"), milliseconds(peer.p50), milliseconds(ours.p50), ratio, "", true);
        let ratio = ours.p99.as_secs_f64() / peer.p99.as_secs_f64();
        row(
            &format!("p99 {at}"),
            milliseconds(peer.p99),
            milliseconds(ours.p99),
            ratio,
            "<= 1/5",
            ratio <= 1.0 / 5.0,
        );
        let ratio = ours.resident_kib as f64 / peer.resident_kib as f64;
        row(
            "resident memory, children included",
            mebibytes(peer.resident_kib),
            mebibytes(ours.resident_kib),
            ratio,
            "<= 1/3",
            ratio <= 1.0 / 3.0,
        );
        let ratio = ours.start.as_secs_f64() / peer.start.as_secs_f64();
        row(
            "start to first 200 on /docs",
            milliseconds(peer.start),
            milliseconds(ours.start),
            ratio,
            "<= 1/10",
            ratio <= 1.0 / 10.0,
        );
        let met = self.help <= Duration::from_millis(10);
        table.add_row(["sv --help", "", &milliseconds(self.help), "", "<= 10 ms", verdict(met)]);
        table.fmt(f)
    }
}

//! The table: what was measured, the ratios, and the targets beside them.

use std::fmt;
use std::time::Duration;

use comfy_table::{Table, presets};

use crate::figures::{milliseconds, ratio_text, verdict};

pub(crate) struct Report(Table);

impl Report {
    pub(crate) fn new() -> Self {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["what", "peer", "adit", "adit / peer", "target", ""]);
        Self(table)
    }

    /// The peer's figure, and ours.
    pub(crate) fn compared(
        &mut self,
        what: &str,
        [peer, ours]: [String; 2],
        ratio: f64,
        target: &str,
        met: bool,
    ) {
        self.0.add_row([what, &peer, &ours, &ratio_text(ratio), target, verdict(met)]);
    }

    /// Two times, of which ours may be `most` of the peer's.
    pub(crate) fn times(&mut self, what: &str, [peer, ours]: [Duration; 2], target: &str, most: f64) {
        let ratio = ours.as_secs_f64() / peer.as_secs_f64();
        self.compared(what, [peer, ours].map(milliseconds), ratio, target, ratio <= most);
    }

    /// What the peer has nothing beside.
    pub(crate) fn alone(&mut self, what: &str, ours: &str, target: &str, met: bool) {
        self.0.add_row([what, "", ours, "", target, verdict(met)]);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

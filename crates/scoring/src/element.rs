//! What a Manifest's element makes of a score, and of the time that it took (Turbo Vision reference, section 9.5).

/// How far a score is from what an element asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// The score that is worth nothing, 0 or more.
    pub baseline_theta: f64,
    /// What every score is worth at least, before the factor: a hopeless model earns it too.
    pub delta_floor: f64,
    /// The factor.
    pub beta: f64,
}

impl Gate {
    /// What a weighted score is worth.
    #[must_use]
    pub fn apply(&self, score: f64) -> f64 {
        self.beta * (score - self.baseline_theta).max(0.0).max(self.delta_floor)
    }
}

/// A miner's time against the element's rate: above 1 it is too slow, and its score 0.
///
/// The validator's text says that a batch of 5 frames has 5 / `service_rate_fps` seconds; its code gives it ten times as
/// many, and the code is what counts. `p95_latency_ms` in milliseconds, `service_rate_fps` in frames a second. Nothing,
/// which lets the miner pass, for a time below 0 or a rate that is not above it.
#[must_use]
pub fn real_time_factor(p95_latency_ms: f64, service_rate_fps: f64) -> Option<f64> {
    let can_be = p95_latency_ms >= 0.0 && service_rate_fps > 0.0;
    can_be.then(|| (p95_latency_ms / 10_000.0) * (service_rate_fps / 5.0))
}

/// The latency that validators call p95, in milliseconds: of few answers often the second longest. 0 for none.
#[must_use]
pub fn p95(latencies_ms: &[f64]) -> f64 {
    let mut ordered = latencies_ms.to_vec();
    ordered.sort_by(f64::total_cmp);
    let place = 0.95 * ordered.len().saturating_sub(1) as f64;
    ordered.get(place as usize).copied().unwrap_or(0.0)
}

/// Whether a miner is quick enough.
#[must_use]
pub fn keeps_up(real_time_factor: f64) -> bool {
    real_time_factor <= 1.0
}

/// Area of a truth's box over that of the image, and the IoU that it takes to find it: small boxes are easier.
const ANCHORS: [(f64, f64); 4] = [(0.0005, 0.30), (0.01, 0.50), (0.05, 0.50), (0.25, 0.70)];

/// The IoU from which an object is found, by the area of its box over that of the image.
#[must_use]
pub fn required_iou(area_ratio: f64) -> f64 {
    let ratio = area_ratio.min(ANCHORS[3].0).max(ANCHORS[0].0);
    for pair in ANCHORS.windows(2) {
        let ((from, low), (until, high)) = (pair[0], pair[1]);
        if (from..=until).contains(&ratio) {
            let way = (ratio.log10() - from.log10()) / (until.log10() - from.log10());
            return low + (high - low) * way;
        }
    }
    ANCHORS[3].1
}

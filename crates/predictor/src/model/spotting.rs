//! From a model's scores of windows to actions at frames.
//!
//! Sums and quotients are of 32-bit floats, in the order written here, so that a program in another language that does
//! the same gives the same confidences to the last digit.

use crate::Action;

use super::spec::{Activation, ClipSpec, SpottingSpec};

/// Which windows show a sampled frame, and which windows a clip needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    length: usize,
    step: usize,
}

impl Windows {
    pub(super) fn of(clip: &ClipSpec) -> Self {
        Self { length: clip.length, step: clip.length - clip.overlap }
    }

    /// The first and the last window that show sampled frame `sample`.
    pub(super) fn showing(self, sample: usize) -> (usize, usize) {
        ((sample + 1).saturating_sub(self.length).div_ceil(self.step), sample / self.step)
    }

    /// The sampled frame that a window begins with.
    pub(super) fn start(self, window: usize) -> usize {
        window * self.step
    }

    /// How many windows show each of `samples` frames: one more only where it shows a frame that none before it does.
    pub(super) fn count(self, samples: usize) -> usize {
        match samples {
            0 => 0,
            samples => 1 + samples.saturating_sub(self.length).div_ceil(self.step),
        }
    }
}

/// What windows say of sampled frames, summed up.
#[derive(Debug)]
pub(super) struct Scores<'a> {
    spec: &'a SpottingSpec,
    windows: Windows,
    classes: usize,
    /// By sampled frame: how many windows spoke of it, and the sums of what they said of each class.
    counts: Vec<u32>,
    sums: Vec<f32>,
}

impl<'a> Scores<'a> {
    pub(super) fn new(spec: &'a SpottingSpec, windows: Windows, classes: usize) -> Self {
        Self { spec, windows, classes, counts: Vec::new(), sums: Vec::new() }
    }

    /// Adds what the model said of one window: `steps` rows with a score a class. Windows come in order.
    pub(super) fn add(&mut self, window: usize, steps: usize, scores: &[f32]) -> Result<(), String> {
        let start = self.windows.start(window);
        if let Some(bad) = scores.iter().position(|score| !score.is_finite()) {
            let frame = start + bad / self.classes * (self.windows.length / steps);
            return Err(format!(
                "its output has {} in it, about sampled frame {frame}: the model or its input is broken",
                scores[bad]
            ));
        }
        let frames_a_step = self.windows.length / steps;
        for (step, row) in scores.chunks_exact(self.classes).enumerate() {
            let sample = start + step * frames_a_step + frames_a_step / 2;
            if self.counts.len() <= sample {
                self.counts.resize(sample + 1, 0);
                self.sums.resize((sample + 1) * self.classes, 0.0);
            }
            self.counts[sample] += 1;
            let sums = &mut self.sums[sample * self.classes..][..self.classes];
            for (sum, score) in sums.iter_mut().zip(activated(row, self.spec.activation)) {
                *sum += score;
            }
        }
        Ok(())
    }

    /// The actions of a clip of which frames `frames` were shown, at `rate` frames a second.
    pub(super) fn actions(&self, labels: &[String], frames: &[u64], rate: f64) -> Vec<Action> {
        let (places, rows) = self.means(frames);
        let rows = smoothed(&rows, self.classes, self.spec.smoothing);
        let mut found: Vec<(u64, usize, f32)> = Vec::new();
        for class in (0..self.classes).filter(|class| Some(*class) != self.spec.background) {
            let of_class: Vec<f32> = rows.iter().skip(class).step_by(self.classes).copied().collect();
            let peaks = peaks(&of_class, self.spec.thresholds[class]);
            let peaks = peaks.into_iter().map(|at| (places[at], of_class[at])).collect();
            let kept = highest(peaks, |a, b| (a.abs_diff(b) as f64) / rate < self.spec.windows[class]);
            found.extend(kept.into_iter().map(|(frame, score)| (frame, class, score)));
        }
        found.sort_by_key(|(frame, class, _)| (*frame, *class));
        found
            .into_iter()
            .map(|(frame, class, score)| Action {
                frame,
                action: labels[class].clone(),
                confidence: f64::from(score),
            })
            .collect()
    }

    /// The frames that were spoken of, and the means of what was said. What was said of no frame, since a window was
    /// filled up, is left out; where that is all, it is taken for the last frame.
    fn means(&self, frames: &[u64]) -> (Vec<u64>, Vec<f32>) {
        let spoken = |samples: std::ops::Range<usize>| samples.filter(|sample| self.counts[*sample] > 0);
        let shown = frames.len().min(self.counts.len());
        let mut samples: Vec<usize> = spoken(0..shown).collect();
        if samples.is_empty() {
            samples = spoken(shown..self.counts.len()).take(1).collect();
        }
        let mut rows = Vec::with_capacity(samples.len() * self.classes);
        for sample in &samples {
            let count = self.counts[*sample] as f32;
            rows.extend(self.sums[sample * self.classes..][..self.classes].iter().map(|sum| sum / count));
        }
        let last = frames.len() - 1;
        (samples.into_iter().map(|sample| frames[sample.min(last)]).collect(), rows)
    }
}

fn activated(row: &[f32], activation: Activation) -> Vec<f32> {
    match activation {
        Activation::None => row.to_vec(),
        Activation::Sigmoid => row.iter().map(|score| sigmoid(*score)).collect(),
        Activation::Softmax => {
            let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f32> = row.iter().map(|score| (score - highest).exp()).collect();
            let sum: f32 = powers.iter().sum();
            powers.into_iter().map(|power| power / sum).collect()
        }
    }
}

pub(super) fn sigmoid(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

/// Each row's mean over `width` rows around it, fewer at the ends.
fn smoothed(rows: &[f32], classes: usize, width: usize) -> Vec<f32> {
    if width == 1 {
        return rows.to_vec();
    }
    let (count, half) = (rows.len() / classes, width / 2);
    let mut means = Vec::with_capacity(rows.len());
    for row in 0..count {
        let around = row.saturating_sub(half)..(row + half + 1).min(count);
        for class in 0..classes {
            let sum = around.clone().fold(0.0, |sum: f32, row| sum + rows[row * classes + class]);
            means.push(sum / around.len() as f32);
        }
    }
    means
}

/// Where a value is at least the threshold, above the one before and no less than the one after: of equal neighbours the
/// first.
fn peaks(values: &[f32], threshold: f32) -> Vec<usize> {
    let lower = |at: usize, than: usize| values.get(at).is_none_or(|value| *value < values[than]);
    let no_higher = |at: usize, than: usize| values.get(at).is_none_or(|value| *value <= values[than]);
    (0..values.len())
        .filter(|at| values[*at] >= threshold)
        .filter(|at| (*at == 0 || lower(at - 1, *at)) && no_higher(at + 1, *at))
        .collect()
}

/// The highest first, those that are close to one already taken left out; of equals the earlier first.
fn highest(mut peaks: Vec<(u64, f32)>, close: impl Fn(u64, u64) -> bool) -> Vec<(u64, f32)> {
    peaks.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut kept: Vec<(u64, f32)> = Vec::new();
    for peak in peaks {
        if !kept.iter().any(|other| close(other.0, peak.0)) {
            kept.push(peak);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use adit_media::Sampling;
    use proptest::prelude::*;

    use super::*;

    fn clip(length: usize, overlap: usize) -> ClipSpec {
        ClipSpec { sampling: Sampling::Every, length, overlap }
    }

    fn spec(classes: usize) -> SpottingSpec {
        SpottingSpec {
            activation: Activation::None,
            output: None,
            background: None,
            smoothing: 1,
            thresholds: vec![0.5; classes],
            windows: vec![1.0; classes],
        }
    }

    /// What one class's scores, a window each, become at a frame a second.
    fn found(spec: &SpottingSpec, clip: &ClipSpec, scores: &[&[f32]], frames: u64) -> Vec<(u64, f64)> {
        let mut sums = Scores::new(spec, Windows::of(clip), 1);
        for (window, scores) in scores.iter().enumerate() {
            sums.add(window, scores.len(), scores).unwrap();
        }
        let frames: Vec<u64> = (0..frames).collect();
        let actions = sums.actions(&["pass".to_owned()], &frames, 1.0);
        actions.iter().map(|action| (action.frame, action.confidence)).collect()
    }

    #[test]
    fn peaks_above_the_threshold_are_actions() {
        let scores: &[f32] = &[0.75, 0.25, 0.5, 0.875, 0.5, 0.25, 0.375, 0.25];
        assert_eq!(found(&spec(1), &clip(8, 0), &[scores], 8), [(0, 0.75), (3, 0.875)]);
    }

    #[test]
    fn of_a_plateau_the_first_frame_is_the_peak() {
        assert_eq!(found(&spec(1), &clip(4, 0), &[&[0.5, 0.75, 0.75, 0.5]], 4), [(1, 0.75)]);
        assert_eq!(found(&spec(1), &clip(4, 0), &[&[0.75; 4]], 4), [(0, 0.75)]);
        // One that rises again is no peak before it does.
        assert_eq!(found(&spec(1), &clip(4, 0), &[&[0.75, 0.75, 1.0, 0.0]], 4), [(0, 0.75), (2, 1.0)]);
    }

    #[test]
    fn within_a_window_the_highest_peak_stays() {
        let mut spec = spec(1);
        spec.windows = vec![3.0];
        let scores: &[f32] = &[0.75, 0.0, 1.0, 0.0, 0.875, 0.5, 0.75, 0.0];
        // Three seconds are not within three.
        assert_eq!(found(&spec, &clip(8, 0), &[scores], 8), [(2, 1.0), (6, 0.75)]);
    }

    #[test]
    fn what_several_windows_say_is_averaged() {
        let scores: [&[f32]; 2] = [&[0.0, 0.0, 0.5, 1.0], &[1.0, 0.5, 0.75, 0.0]];
        assert_eq!(found(&spec(1), &clip(4, 2), &scores, 6), [(2, 0.75)]);
    }

    #[test]
    fn what_is_said_of_filled_up_places_is_dropped() {
        assert_eq!(found(&spec(1), &clip(4, 0), &[&[0.0, 0.75, 1.0, 1.0]], 2), [(1, 0.75)]);
        // A window as a whole stands for its middle, or where the clip has none there for its end.
        assert_eq!(found(&spec(1), &clip(9, 0), &[&[0.75]], 9), [(4, 0.75)]);
        assert_eq!(found(&spec(1), &clip(9, 0), &[&[0.75]], 3), [(2, 0.75)]);
    }

    #[test]
    fn steps_stand_for_the_middle_of_their_frames() {
        assert_eq!(found(&spec(1), &clip(8, 0), &[&[0.0, 0.75, 0.0, 0.5]], 8), [(3, 0.75), (7, 0.5)]);
    }

    #[test]
    fn smoothing_averages_and_is_cut_off_at_the_ends() {
        assert_eq!(smoothed(&[3.0, 0.0, 0.0, 6.0], 1, 3), [1.5, 1.0, 2.0, 3.0]);
        assert_eq!(smoothed(&[1.0, 10.0, 3.0, 30.0], 2, 5), [2.0, 20.0, 2.0, 20.0]);
    }

    #[test]
    fn the_background_is_no_action_and_every_label_has_its_threshold() {
        let mut spec = spec(3);
        spec.background = Some(0);
        spec.thresholds = vec![0.5, 0.25, 0.75];
        let mut scores = Scores::new(&spec, Windows::of(&clip(2, 0)), 3);
        scores.add(0, 2, &[1.0, 0.5, 0.5, 1.0, 0.0, 0.0]).unwrap();
        let labels = ["background", "pass", "goal"].map(str::to_owned);
        let actions = scores.actions(&labels, &[0, 2], 25.0);
        assert_eq!(actions, [Action { frame: 0, action: "pass".to_owned(), confidence: 0.5 }]);
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_place() {
        let spec = spec(1);
        let mut scores = Scores::new(&spec, Windows::of(&clip(4, 2)), 1);
        let error = scores.add(3, 4, &[0.0, 0.0, f32::NAN, 0.0]).unwrap_err();
        assert!(error.contains("NaN") && error.contains("frame 8"), "{error}");
    }

    #[test]
    fn logits_become_probabilities() {
        assert_eq!(activated(&[0.0, 0.0], Activation::Softmax), [0.5, 0.5]);
        assert_eq!(activated(&[1000.0, -1000.0], Activation::Softmax), [1.0, 0.0]);
        assert_eq!(activated(&[0.0, 1000.0, -1000.0], Activation::Sigmoid), [0.5, 1.0, 0.0]);
    }

    proptest! {
        #[test]
        fn windows_cover_a_clip_and_none_is_idle(length in 1_usize..40, overlap in 0_usize..40, samples in 1_usize..300) {
            let windows = Windows::of(&clip(length, overlap % length));
            let count = windows.count(samples);
            for sample in 0..samples {
                let (first, last) = windows.showing(sample);
                let shows = |window: usize| {
                    (windows.start(window)..windows.start(window) + length).contains(&sample)
                };
                prop_assert!(first <= last && first < count, "sample {}: {}..={}", sample, first, last);
                prop_assert!((first..=last).all(shows));
                prop_assert!(!shows(last + 1) && (first == 0 || !shows(first - 1)));
            }
            // The last window shows the last frame, and the one before it does not.
            prop_assert!(windows.start(count - 1) + length >= samples);
            prop_assert!(count == 1 || windows.start(count - 2) + length < samples);
        }

        #[test]
        fn thresholds_after_suppression_are_thresholds_before(
            scores in prop::collection::vec(0_u8..16, 1..80), threshold in 0_u8..16, window in 0.0_f64..20.0,
        ) {
            let scores: Vec<f32> = scores.into_iter().map(|score| f32::from(score) / 16.0).collect();
            let threshold = f32::from(threshold) / 16.0;
            let with = |threshold: f32| {
                let spec = SpottingSpec { thresholds: vec![threshold], windows: vec![window], ..spec(1) };
                found(&spec, &clip(scores.len(), 0), &[&scores], scores.len() as u64)
            };
            let mut after = with(0.0);
            after.retain(|(_, confidence)| *confidence >= f64::from(threshold));
            prop_assert_eq!(after, with(threshold));
        }
    }
}

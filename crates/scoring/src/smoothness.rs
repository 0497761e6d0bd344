//! How smoothly boxes move from frame to frame (Turbo Vision reference, sections 9.4 and 9.5): the area that two frames'
//! boxes cover together, on the canvas of an image.

use crate::objects::{BBox, Detection, Truth};

/// A canvas in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// The canvas of both eras.
pub const CANVAS: Canvas = Canvas { height: 540, width: 960 };

/// A box on the canvas, from the first row and column to those behind the last.
#[derive(Clone, Copy, Debug)]
struct Covered {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

/// What boxes cover of a canvas, from left to right.
fn covered(boxes: impl IntoIterator<Item = BBox>, canvas: Canvas) -> Vec<Covered> {
    let on_canvas = |[x1, y1, x2, y2]: BBox| {
        let (left, right) = slice(x1, x2, canvas.width);
        let (top, bottom) = slice(y1, y2, canvas.height);
        Covered { left, top, right, bottom }
    };
    let boxes = boxes.into_iter().map(on_canvas);
    let mut boxes: Vec<Covered> = boxes.filter(|one| one.left < one.right && one.top < one.bottom).collect();
    boxes.sort_unstable_by_key(|one| one.left);
    boxes
}

/// Of what two frames cover, the part that both do; two frames without boxes are the same.
///
/// Between two rows at which a box begins or ends, every row is like the other.
fn iou(one: &[Covered], other: &[Covered]) -> f64 {
    let mut rows: Vec<usize> = one.iter().chain(other).flat_map(|one| [one.top, one.bottom]).collect();
    rows.sort_unstable();
    rows.dedup();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let (mut both, mut either) = (0, 0);
    for strip in rows.windows(2) {
        let (row, height) = (strip[0], strip[1] - strip[0]);
        runs(one, row, &mut first);
        runs(other, row, &mut second);
        let length = |runs: &[(usize, usize)]| runs.iter().map(|(from, until)| until - from).sum::<usize>();
        let common = common(&first, &second);
        both += common * height;
        either += (length(&first) + length(&second) - common) * height;
    }
    if either == 0 { 1.0 } else { both as f64 / either as f64 }
}

/// The columns of a row that are covered, from left to right, without gaps of nothing between two runs.
fn runs(boxes: &[Covered], row: usize, runs: &mut Vec<(usize, usize)>) {
    runs.clear();
    for one in boxes.iter().filter(|one| (one.top..one.bottom).contains(&row)) {
        match runs.last_mut() {
            Some((_, until)) if *until >= one.left => *until = one.right.max(*until),
            _ => runs.push((one.left, one.right)),
        }
    }
}

/// How many columns are in runs of both.
fn common(mut one: &[(usize, usize)], mut other: &[(usize, usize)]) -> usize {
    let mut columns = 0;
    while let ([(a, a_end), a_rest @ ..], [(b, b_end), b_rest @ ..]) = (one, other) {
        columns += a_end.min(b_end).saturating_sub(*a.max(b));
        if a_end < b_end {
            one = a_rest;
        } else {
            other = b_rest;
        }
    }
    columns
}

/// What `array[from:until]` means in Python for an array of this length: a negative index counts from the end, and what
/// is out of range is cut off.
fn slice(from: i64, until: i64, length: usize) -> (usize, usize) {
    let index = |index: i64| {
        let from_end = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        if index < 0 { length.saturating_sub(from_end) } else { from_end.min(length) }
    };
    (index(from), index(until))
}

/// The IoU of what the boxes of each two frames in a row cover, from 0 to 1.
pub fn transitions<'a, B>(frames: impl IntoIterator<Item = B>, canvas: Canvas) -> Vec<f64>
where
    B: IntoIterator<Item = &'a BBox>,
{
    let mut before: Option<Vec<Covered>> = None;
    let mut ious = Vec::new();
    for boxes in frames {
        let mask = covered(boxes.into_iter().copied(), canvas);
        ious.extend(before.as_ref().map(|before| iou(before, &mask)));
        before = Some(mask);
    }
    ious
}

/// The mean of the transitions over 1 + the mean of their changes: from 0 to 1. 0 for fewer than three frames.
pub fn smoothness<'a, B>(frames: impl IntoIterator<Item = B>, canvas: Canvas) -> f64
where
    B: IntoIterator<Item = &'a BBox>,
{
    let ious = transitions(frames, canvas);
    if ious.len() < 2 {
        return 0.0;
    }
    let changes: f64 = ious.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum();
    let mean = ious.iter().sum::<f64>() / ious.len() as f64;
    mean / (1.0 + changes / (ious.len() - 1) as f64)
}

/// Today's: the mean of the smoothness of each kind of object, label and team together. Frames without a kind are passed
/// over by it, so that the gap closes, and polygons have no part in it. 0 where there are no boxes.
#[must_use]
pub fn smoothness_per_type<'a, F>(frames: impl IntoIterator<Item = F>, canvas: Canvas) -> f64
where
    F: IntoIterator<Item = &'a Detection>,
{
    /// A kind and its boxes, by frame; and the last frame that has any.
    type Kind<'a> = ((&'a str, Option<&'a str>), Vec<Vec<&'a BBox>>, usize);
    let mut kinds: Vec<Kind<'a>> = Vec::new();
    for (number, frame) in frames.into_iter().enumerate() {
        for detection in frame.into_iter().filter(|one| one.polygon.is_none()) {
            let kind = (detection.label.as_str(), detection.team.as_deref());
            match kinds.iter_mut().find(|(known, ..)| *known == kind) {
                None => kinds.push((kind, vec![vec![&detection.bbox]], number)),
                Some((_, frames, last)) => match frames.last_mut() {
                    Some(boxes) if *last == number => boxes.push(&detection.bbox),
                    _ => {
                        frames.push(vec![&detection.bbox]);
                        *last = number;
                    }
                },
            }
        }
    }
    if kinds.is_empty() {
        return 0.0;
    }
    let scores = kinds
        .iter()
        .map(|(_, frames, _)| smoothness(frames.iter().map(|boxes| boxes.iter().copied()), canvas));
    scores.sum::<f64>() / kinds.len() as f64
}

/// The frames of a truth made by a model that are kept (document era): the first, and each that covers at least
/// `min_iou` of what the frame of the number before it covers. Of equal numbers the last counts.
#[must_use]
pub fn steady_truth(truth: &[Truth], min_iou: f64, canvas: Canvas) -> Vec<i64> {
    let mut by_number = std::collections::BTreeMap::new();
    for frame in truth {
        by_number.insert(frame.number, covered(frame.detections.iter().map(|one| one.bbox), canvas));
    }
    let mut kept: Vec<i64> = by_number.keys().take(1).copied().collect();
    for ((before, one), (number, other)) in by_number.iter().zip(by_number.iter().skip(1)) {
        if before + 1 == *number && iou(other, one) >= min_iou {
            kept.push(*number);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn indices_are_pythons() {
        assert_eq!(slice(2, 5, 10), (2, 5));
        assert_eq!(slice(-3, -1, 10), (7, 9));
        assert_eq!(slice(-30, 30, 10), (0, 10));
        assert_eq!(slice(i64::MIN, i64::MAX, 10), (0, 10));
    }

    /// A mask of one byte a pixel.
    fn plain(boxes: &[BBox], canvas: Canvas) -> Vec<bool> {
        let mut plain = vec![false; canvas.height * canvas.width];
        for [x1, y1, x2, y2] in boxes {
            let ((left, right), (top, bottom)) =
                (slice(*x1, *x2, canvas.width), slice(*y1, *y2, canvas.height));
            for row in top..bottom {
                for column in left..right {
                    plain[row * canvas.width + column] = true;
                }
            }
        }
        plain
    }

    proptest! {
        #[test]
        fn areas_are_those_of_masks(
            one in prop::collection::vec(prop::array::uniform4(-50_i64..80), 0..6),
            other in prop::collection::vec(prop::array::uniform4(-50_i64..80), 0..6),
        ) {
            let canvas = Canvas { height: 40, width: 70 };
            let (a, b) = (plain(&one, canvas), plain(&other, canvas));
            let count = |both: fn(bool, bool) -> bool| a.iter().zip(&b).filter(|(a, b)| both(**a, **b)).count();
            let (common, union) = (count(|a, b| a && b), count(|a, b| a || b));
            let expected = if union == 0 { 1.0 } else { common as f64 / union as f64 };
            prop_assert_eq!(iou(&covered(one, canvas), &covered(other, canvas)), expected);
        }
    }
}

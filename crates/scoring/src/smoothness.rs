//! How smoothly boxes move from frame to frame (Turbo Vision reference, sections 9.4 and 9.5): the area that two frames'
//! boxes cover together, on the canvas of an image.

use crate::mask::Mask;
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

/// What boxes cover together.
fn covered(boxes: impl IntoIterator<Item = BBox>, canvas: Canvas) -> Mask {
    let mut mask = Mask::whole(canvas.width, canvas.height);
    for [x1, y1, x2, y2] in boxes {
        let (left, right) = slice(x1, x2, canvas.width);
        let (top, bottom) = slice(y1, y2, canvas.height);
        (top..bottom).for_each(|row| mask.cover(row, left..right));
    }
    mask
}

/// Two frames without boxes are the same.
fn iou(one: &Mask, other: &Mask) -> f64 {
    one.iou(other).unwrap_or(1.0)
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
    let mut before: Option<Mask> = None;
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
/// over by it, so that the gap closes. 0 where there are none.
#[must_use]
pub fn smoothness_per_type(frames: &[Vec<Detection>], canvas: Canvas) -> f64 {
    /// The boxes of one kind, by frame.
    type Frames<'a> = Vec<Vec<&'a BBox>>;
    let mut kinds: Vec<(&str, Option<&str>, Frames<'_>)> = Vec::new();
    for frame in frames {
        let mut in_frame: Vec<usize> = Vec::new();
        for detection in frame {
            let (label, team) = (detection.label.as_str(), detection.team.as_deref());
            let known = kinds.iter().position(|(known, of, _)| (*known, *of) == (label, team));
            let at = known.unwrap_or(kinds.len());
            if known.is_none() {
                kinds.push((label, team, Vec::new()));
            }
            let boxes = &mut kinds[at].2;
            if !in_frame.contains(&at) {
                in_frame.push(at);
                boxes.push(Vec::new());
            }
            if let Some(last) = boxes.last_mut() {
                last.push(&detection.bbox);
            }
        }
    }
    if kinds.is_empty() {
        return 0.0;
    }
    let scores = kinds
        .iter()
        .map(|(_, _, frames)| smoothness(frames.iter().map(|boxes| boxes.iter().copied()), canvas));
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

    proptest! {
        /// Against a mask of one byte a pixel.
        #[test]
        fn a_mask_covers_what_its_boxes_cover(
            boxes in prop::collection::vec(prop::array::uniform4(-150_i64..200), 0..6),
        ) {
            let canvas = Canvas { height: 70, width: 130 };
            let mut plain = vec![false; canvas.height * canvas.width];
            for [x1, y1, x2, y2] in &boxes {
                let ((left, right), (top, bottom)) = (slice(*x1, *x2, canvas.width), slice(*y1, *y2, canvas.height));
                for row in top..bottom {
                    for column in left..right {
                        plain[row * canvas.width + column] = true;
                    }
                }
            }
            let mask = covered(boxes, canvas);
            for (at, covered) in plain.iter().enumerate() {
                prop_assert_eq!(mask.contains(at % canvas.width, at / canvas.width), *covered);
            }
            prop_assert_eq!(mask.count(), plain.iter().filter(|covered| **covered).count());
        }
    }
}

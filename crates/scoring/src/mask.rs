//! Which pixels of an image belong to a shape, a bit each.

use std::ops::Range;

/// The pixels of a shape. Only the part of the image where it can have any is kept.
#[derive(Clone, Debug)]
pub struct Mask {
    width: usize,
    height: usize,
    /// The rows that are kept.
    rows: Range<usize>,
    /// The words of each row that are kept, counted from the image's left side.
    row_words: Range<usize>,
    words: Vec<u64>,
}

impl Mask {
    /// No pixels, in an image of this width and height, of which only these columns and rows can get any.
    pub(crate) fn empty(width: usize, height: usize, columns: Range<usize>, rows: Range<usize>) -> Self {
        let row_words = columns.start / 64..columns.end.min(width).div_ceil(64);
        let rows = rows.start..rows.end.min(height);
        Self { width, height, words: vec![0; rows.len() * row_words.len()], rows, row_words }
    }

    /// No pixels yet, anywhere.
    #[cfg(test)]
    pub(crate) fn whole(width: usize, height: usize) -> Self {
        Self::empty(width, height, 0..width, 0..height)
    }

    /// The image's size as (width, height) in pixels.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// How many pixels belong to the shape.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether a pixel belongs to the shape; outside the image none does.
    #[must_use]
    pub fn contains(&self, x: usize, y: usize) -> bool {
        let word = x / 64;
        self.rows.contains(&y)
            && self.row_words.contains(&word)
            && self.row(y)[word - self.row_words.start] >> (x % 64) & 1 == 1
    }

    /// The words of a row that is kept.
    fn row(&self, y: usize) -> &[u64] {
        &self.words[(y - self.rows.start) * self.row_words.len()..][..self.row_words.len()]
    }

    /// Adds the pixels of these columns to a row; those that are not kept are left out.
    pub(crate) fn cover(&mut self, y: usize, columns: Range<usize>) {
        let kept = self.row_words.start * 64..(self.row_words.end * 64).min(self.width);
        let (left, right) = (columns.start.max(kept.start), columns.end.min(kept.end));
        if left >= right || !self.rows.contains(&y) {
            return;
        }
        let start = (y - self.rows.start) * self.row_words.len();
        let (first, last) = (left / 64, (right - 1) / 64);
        let kept = first - self.row_words.start..=last - self.row_words.start;
        for (at, word) in self.words[start..][kept].iter_mut().enumerate() {
            let begins = (first + at) * 64;
            let from = left.saturating_sub(begins);
            let until = (right - begins).min(64);
            *word |= (u64::MAX << from) & (u64::MAX >> (64 - until));
        }
    }

    /// How many pixels belong to both shapes.
    #[must_use]
    pub fn common(&self, other: &Self) -> usize {
        let both = |one: &Range<usize>, other: &Range<usize>| {
            let start = one.start.max(other.start);
            start..one.end.min(other.end).max(start)
        };
        let words = both(&self.row_words, &other.row_words);
        let part = |mask: &Self| words.start - mask.row_words.start..words.end - mask.row_words.start;
        if words.is_empty() {
            return 0;
        }
        let rows = both(&self.rows, &other.rows).map(|y| {
            let pairs = self.row(y)[part(self)].iter().zip(&other.row(y)[part(other)]);
            pairs.map(|(one, other)| (one & other).count_ones() as usize).sum::<usize>()
        });
        rows.sum()
    }

    /// Intersection over union, from 0 to 1; nothing where neither has a pixel.
    #[must_use]
    pub fn iou(&self, other: &Self) -> Option<f64> {
        let common = self.common(other);
        let union = self.count() + other.count() - common;
        (union > 0).then(|| common as f64 / union as f64)
    }
}

//! Polygons as pixels: the masks that validators draw with OpenCV's `fillPoly`, and how much two of them overlap.
//!
//! A validator of the current era compares two boxes by their corners, but as soon as one of the two has a
//! polygon it fills both as masks and counts pixels (turbo-vision reference, section 9.5). Which pixels belong
//! to a polygon is OpenCV's own choice: the outline is drawn on top of the filling, and edges are walked in
//! fixed-point numbers of 16 bits. This module makes the same choice, pixel for pixel.

use std::cell::OnceCell;

pub use crate::mask::Mask;

/// The longest side of a mask, in pixels. A validator's mask reaches to the furthest point, and points come from
/// a miner; here whatever lies beyond this many pixels is cut off, as `fillPoly` does at an image's edge.
pub const MAX_SIDE: u32 = 8192;

/// The bits behind the point of a fixed-point number.
const SHIFT: u32 = 16;

/// Coordinates are held within this distance of 0, so that products of two of them fit 64 bits.
const FAR: i32 = 1 << 30;

/// A position in pixels, with room for sums.
type Point = (i64, i64);

/// Where a detection is: a box, and the polygon that a model may give in addition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape<'a> {
    /// Left, top, right and bottom in pixels.
    pub bbox: [f64; 4],
    /// The corners as (x, y) in pixels, in order; none and an empty list both mean that only the box counts.
    pub polygon: Option<&'a [(i32, i32)]>,
}

impl Shape<'_> {
    fn has_polygon(&self) -> bool {
        self.polygon.is_some_and(|points| !points.is_empty())
    }

    /// The polygon's corners, or the box's, cut down to whole pixels.
    #[must_use]
    pub fn corners(&self) -> Vec<(i32, i32)> {
        match self.polygon {
            Some(points) if !points.is_empty() => points.to_vec(),
            _ => {
                // A cast of a float keeps to the integer's range, which is all that a mask can show of it.
                let [left, top, right, bottom] = self.bbox.map(|side| side as i32);
                vec![(left, top), (right, top), (right, bottom), (left, bottom)]
            }
        }
    }
}

/// The last column and the last row of an image.
fn last_of((width, height): (usize, usize)) -> Point {
    let last = |side: usize| i64::try_from(side).unwrap_or(i64::MAX) - 1;
    (last(width), last(height))
}

/// Sets the pixels from `left` to `right` of a row; what lies outside is left out.
fn set_row(mask: &mut Mask, y: i64, left: i64, right: i64) {
    let at = |x: i64| usize::try_from(x.max(0)).unwrap_or(usize::MAX);
    if let Ok(y) = usize::try_from(y)
        && right >= 0
    {
        mask.cover(y, at(left)..at(right).saturating_add(1));
    }
}

/// Fills a polygon, its outline included, in a mask of `width` × `height` pixels.
///
/// Each side is taken as at least 1 and at most [`MAX_SIDE`]. The last point joins the first; where the outline
/// crosses itself, parts that it surrounds an even number of times stay empty. Same pixels as OpenCV 4.12's
/// `fillPoly` with its default, 8-connected line.
#[must_use]
pub fn fill_polygon(points: &[(i32, i32)], width: u32, height: u32) -> Mask {
    let points: Vec<Point> = points.iter().map(|&point| near(point)).collect();
    let side = |side: u32| side.clamp(1, MAX_SIDE) as usize;
    // No pixel lies outside the box around the corners.
    let reach = |of: fn(&Point) -> i64| {
        let at = |place: Option<i64>| usize::try_from(place.unwrap_or(0)).unwrap_or(0);
        at(points.iter().map(of).min())..at(points.iter().map(of).max()) + 1
    };
    let mut mask = Mask::empty(side(width), side(height), reach(|at| at.0), reach(|at| at.1));
    draw(&mut mask, &points);
    mask
}

fn draw(mask: &mut Mask, points: &[Point]) {
    let mut edges = Vec::with_capacity(points.len());
    let Some(&last) = points.last() else { return };
    let mut from = last;
    for &to in points {
        edges.extend(draw_edge(mask, from, to));
        from = to;
    }
    if edges.len() >= 2 {
        fill(mask, edges);
    }
}

fn near((x, y): (i32, i32)) -> Point {
    (i64::from(x.clamp(-FAR, FAR)), i64::from(y.clamp(-FAR, FAR)))
}

/// A side of the polygon on its way down, from the row `top` up to, not including, the row `bottom`.
#[derive(Clone, Copy)]
struct Edge {
    top: i64,
    bottom: i64,
    /// Where it is at the row in work, fixed-point.
    x: i64,
    /// What one row adds to `x`, fixed-point.
    slope: i64,
}

/// Draws one side of the outline and gives the edge for the filling; a level side has none.
fn draw_edge(mask: &mut Mask, from: Point, to: Point) -> Option<Edge> {
    let (mut start, mut end) = (from, to);
    if clip(last_of(mask.size()), &mut start, &mut end) {
        draw_line(mask, start, end);
    }
    if from.1 == to.1 {
        return None;
    }
    // The slope comes from the visible part, unless that is level.
    let rows = if start.1 == end.1 { (from.1, to.1) } else { (start.1, end.1) };
    let (start_x, end_x) = (start.0 << SHIFT, end.0 << SHIFT);
    let slope = (end_x - start_x) / (rows.1 - rows.0);
    let (top, bottom, x, row) =
        if from.1 < to.1 { (from.1, to.1, start_x, rows.0) } else { (to.1, from.1, end_x, rows.1) };
    Some(Edge { top, bottom, x: x.saturating_add((top - row).saturating_mul(slope)), slope })
}

/// Which sides of the image a point lies beyond: one bit each for left, right, top and bottom.
fn beyond((x, y): Point, (right, bottom): Point) -> u8 {
    beyond_x(x, right) | u8::from(y < 0) << 2 | u8::from(y > bottom) << 3
}

fn beyond_x(x: i64, right: i64) -> u8 {
    u8::from(x < 0) | u8::from(x > right) << 1
}

const ABOVE_OR_BELOW: u8 = 12;

/// Cuts a line at the image's edges, first above and below, then left and right. Says whether any of it is left;
/// where none is, the ends may still have moved, and OpenCV's slopes depend on that.
fn clip(last: Point, start: &mut Point, end: &mut Point) -> bool {
    let (mut out_start, mut out_end) = (beyond(*start, last), beyond(*end, last));
    let crosses = |a: u8, b: u8| a & b == 0 && a | b != 0;
    if crosses(out_start, out_end) {
        if out_start & ABOVE_OR_BELOW != 0 {
            let row = if out_start < 8 { 0 } else { last.1 };
            *start = (start.0 + (row - start.1) * (end.0 - start.0) / (end.1 - start.1), row);
            out_start = beyond_x(start.0, last.0);
        }
        if out_end & ABOVE_OR_BELOW != 0 {
            let row = if out_end < 8 { 0 } else { last.1 };
            *end = (end.0 + (row - end.1) * (end.0 - start.0) / (end.1 - start.1), row);
            out_end = beyond_x(end.0, last.0);
        }
        if crosses(out_start, out_end) {
            if out_start != 0 {
                let column = if out_start == 1 { 0 } else { last.0 };
                *start = (column, start.1 + (column - start.0) * (end.1 - start.1) / (end.0 - start.0));
                out_start = 0;
            }
            if out_end != 0 {
                let column = if out_end == 1 { 0 } else { last.0 };
                *end = (column, end.1 + (column - end.0) * (end.1 - start.1) / (end.0 - start.0));
                out_end = 0;
            }
        }
    }
    out_start | out_end == 0
}

/// Draws a line of which both ends are inside, from left to right, a pixel a step (Bresenham).
fn draw_line(mask: &mut Mask, start: Point, end: Point) {
    let (start, end) = if end.0 < start.0 { (end, start) } else { (start, end) };
    let (width, height) = (end.0 - start.0, (end.1 - start.1).abs());
    let down = if end.1 < start.1 { -1 } else { 1 };
    let (long, short) = (width.max(height), width.min(height));
    let (mut x, mut y) = start;
    let mut error = long - 2 * short;
    for _ in 0..=long {
        set_row(mask, y, x, x);
        let aside = error < 0;
        error += if aside { 2 * long } else { 0 } - 2 * short;
        x += i64::from(height <= width || aside);
        y += if height > width || aside { down } else { 0 };
    }
}

/// Fills what lies between the edges, row by row, from every odd crossing to the next.
fn fill(mask: &mut Mask, mut edges: Vec<Edge>) {
    edges.sort_unstable_by_key(|edge| edge.top);
    let first = edges.first().map_or(0, |edge| edge.top).max(0);
    let end = edges.iter().map(|edge| edge.bottom).max().unwrap_or(0);
    let mut coming = edges.into_iter().peekable();
    let mut active: Vec<Edge> = Vec::new();
    for row in first..end.min(last_of(mask.size()).1 + 1) {
        active.retain(|edge| edge.bottom > row);
        while let Some(mut edge) = coming.next_if(|edge| edge.top <= row) {
            // Rows above the image are skipped at once: a side may start a billion rows up.
            edge.x = edge.x.saturating_add((row - edge.top).saturating_mul(edge.slope));
            if edge.bottom > row {
                active.push(edge);
            }
        }
        active.sort_unstable_by_key(|edge| edge.x);
        for pair in active.chunks_exact(2) {
            let inside = pair[0].x.saturating_add((1 << SHIFT) - 1) >> SHIFT;
            set_row(mask, row, inside, pair[1].x >> SHIFT);
        }
        for edge in &mut active {
            edge.x = edge.x.saturating_add(edge.slope);
        }
    }
}

/// How much of two boxes is common to both, from 0 to 1; 0 where they share no area.
#[must_use]
pub fn box_iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |[left, top, right, bottom]: [f64; 4]| (right - left).max(0.0) * (bottom - top).max(0.0);
    let common = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    // Most boxes of a frame have nothing in common.
    if common <= 0.0 {
        return 0.0;
    }
    let union = area(a) + area(b) - common;
    if union > 0.0 { common / union } else { 0.0 }
}

/// A shape that is compared with others: filled when it is first needed, and then kept.
#[derive(Debug)]
pub struct Filled<'a> {
    shape: Shape<'a>,
    /// Whether it is compared as a polygon, even with a box.
    polygon: bool,
    mask: OnceCell<Mask>,
}

impl<'a> Filled<'a> {
    /// Fills nothing yet.
    #[must_use]
    pub fn new(shape: Shape<'a>) -> Self {
        Self { shape, polygon: shape.has_polygon(), mask: OnceCell::new() }
    }

    /// A shape that is compared as a polygon, though it may be a box.
    #[must_use]
    pub fn polygon(shape: Shape<'a>) -> Self {
        Self { polygon: true, ..Self::new(shape) }
    }

    /// How much of two shapes is common to both, from 0 to 1, as validators of the current era have it
    /// (turbo-vision reference, section 9.5).
    ///
    /// Two boxes are compared by their corners. Where one of the two has a polygon, both are filled with
    /// [`fill_polygon`] and their pixels counted; nothing where neither has any. How large the image is makes no
    /// difference: a validator's mask reaches to the furthest point at least. Here it does not reach beyond
    /// [`MAX_SIDE`].
    #[must_use]
    pub fn iou(&self, other: &Self) -> Option<f64> {
        if self.polygon || other.polygon {
            self.mask().iou(other.mask())
        } else {
            Some(box_iou(self.shape.bbox, other.shape.bbox))
        }
    }

    fn mask(&self) -> &Mask {
        self.mask.get_or_init(|| {
            let corners = self.shape.corners();
            let reach = |of: fn(&(i32, i32)) -> i32| {
                let furthest = corners.iter().map(of).max().unwrap_or(0);
                u32::try_from(furthest).unwrap_or(0).saturating_add(1)
            };
            fill_polygon(&corners, reach(|at| at.0), reach(|at| at.1))
        })
    }
}

/// [`Filled::iou`] as pillars have it: two shapes without a pixel are the same.
#[must_use]
pub fn polygon_iou(a: &Filled<'_>, b: &Filled<'_>) -> f64 {
    a.iou(b).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Neither what is kept of an image nor its size takes a pixel away.
        #[test]
        fn a_polygon_stays_in_the_box_around_its_corners(
            points in prop::collection::vec((-90_i32..130, -90_i32..130), 1..9),
        ) {
            let reach = |of: fn(&(i32, i32)) -> i32| (points.iter().map(of).max().unwrap_or(0).max(0) + 1) as u32;
            let tight = fill_polygon(&points, reach(|at| at.0), reach(|at| at.1));
            let mut whole = Mask::whole(200, 200);
            draw(&mut whole, &points.iter().map(|&point| near(point)).collect::<Vec<_>>());
            prop_assert_eq!(tight.count(), whole.count());
            prop_assert_eq!(tight.common(&whole), whole.count());
        }
    }
}

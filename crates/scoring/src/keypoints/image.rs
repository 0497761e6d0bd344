//! The few image operations that validators take from OpenCV 4.12, on 8-bit grey pictures.

use std::cmp::Ordering;

use super::homography::{Matrix, invert};
use super::template::Template;

/// Blue, green and red.
pub(super) type Colour = [u8; 3];

/// A grey picture, or a mask of zeros and other values.
#[derive(Clone)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<u8>,
}

impl Plane {
    fn like(&self, pixels: Vec<u8>) -> Self {
        Self { width: self.width, height: self.height, pixels }
    }

    fn row(&self, y: usize) -> &[u8] {
        &self.pixels[y * self.width..][..self.width]
    }

    /// The pixel that is nearest to a place.
    fn nearest(&self, x: isize, y: isize) -> i32 {
        let inside = |at: isize, side: usize| at.max(0).unsigned_abs().min(side - 1);
        i32::from(self.pixels[inside(y, self.height) * self.width + inside(x, self.width)])
    }

    /// A mask of the pixels above a threshold.
    pub(super) fn above(&self, threshold: u8) -> Self {
        self.like(self.pixels.iter().map(|&pixel| u8::from(pixel > threshold)).collect())
    }

    /// How many pixels are not 0.
    pub(super) fn count(&self) -> usize {
        self.pixels.iter().filter(|&&pixel| pixel != 0).count()
    }

    /// A mask of the pixels that are 0 in neither.
    pub(super) fn and(&self, other: &Self) -> Self {
        let both = self.pixels.iter().zip(&other.pixels).map(|(&a, &b)| u8::from(a != 0 && b != 0));
        self.like(both.collect())
    }

    /// The box around all pixels that are not 0, as (width, height) from its first to its last pixel.
    pub(super) fn extent(&self) -> (usize, usize) {
        let mut extent = Extent::default();
        for (at, _) in self.pixels.iter().enumerate().filter(|(_, pixel)| **pixel != 0) {
            extent.add(at % self.width, at / self.width);
        }
        (extent.right.saturating_sub(extent.left), extent.bottom.saturating_sub(extent.top))
    }
}

/// How bright a colour is, from 0 to 255, in OpenCV's fixed-point weights.
pub(super) fn luma([blue, green, red]: Colour) -> u8 {
    let sum = 3735 * u32::from(blue) + 19235 * u32::from(green) + 9798 * u32::from(red);
    // The weights sum to 2^15, so the result fits.
    u8::try_from((sum + (1 << 14)) >> 15).unwrap_or(u8::MAX)
}

/// The template as it would lie in a frame of this size, in grey; black where there is no template.
///
/// As OpenCV's `warpPerspective`: places are rounded to 1/32 pixel, and colours mixed from four neighbours.
pub(super) fn warp(template: &Template, matrix: &Matrix, width: usize, height: usize) -> Plane {
    let back = invert(matrix);
    // Along a row, places are counted from the start of a block: sums are rounded so.
    let block = (1024 / height.clamp(1, 16)).min(width).max(1);
    let mut pixels = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let (start, step) = ((x / block * block) as f64, (x % block) as f64);
            let [along, down, depth] = [0, 3, 6]
                .map(|at| back[at] * start + back[at + 1] * y as f64 + back[at + 2] + back[at] * step);
            let scale = if depth == 0.0 { 0.0 } else { 32.0 / depth };
            pixels.push(luma(mixed(template, parts(along * scale), parts(down * scale))));
        }
    }
    Plane { width, height, pixels }
}

/// A place in parts of 1/32 pixel, as the whole pixel and the parts beyond it.
fn parts(place: f64) -> (i32, u32) {
    // In this order a place that is no number is far away, as in OpenCV.
    let place = place.min(f64::from(i32::MAX)).max(f64::from(i32::MIN)).round_ties_even() as i32;
    ((place >> 5).clamp(i32::from(i16::MIN), i32::from(i16::MAX)), (place & 31).unsigned_abs())
}

fn mixed(template: &Template, (x, right): (i32, u32), (y, below): (i32, u32)) -> Colour {
    let neighbours = [
        (template.at(x, y), (32 - right) * (32 - below)),
        (template.at(x + 1, y), right * (32 - below)),
        (template.at(x, y + 1), (32 - right) * below),
        (template.at(x + 1, y + 1), right * below),
    ];
    std::array::from_fn(|channel| {
        let sum: u32 = neighbours.iter().map(|(colour, weight)| u32::from(colour[channel]) * weight).sum();
        u8::try_from((sum + 512) >> 10).unwrap_or(u8::MAX)
    })
}

/// A box that grows.
struct Extent {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Default for Extent {
    fn default() -> Self {
        Self { left: usize::MAX, top: usize::MAX, right: 0, bottom: 0 }
    }
}

impl Extent {
    fn add(&mut self, x: usize, y: usize) {
        self.left = self.left.min(x);
        self.right = self.right.max(x);
        self.top = self.top.min(y);
        self.bottom = self.bottom.max(y);
    }
}

/// A mask with a rim of zeros, on which regions are walked without asking for the edge.
struct Rimmed {
    width: usize,
    cells: Vec<Cell>,
}

#[derive(Clone, Copy, PartialEq)]
enum Cell {
    Empty,
    /// Empty, and reached from outside.
    Outside,
    Set,
    /// Set, and walked.
    Seen,
}

impl Rimmed {
    fn of(mask: &Plane) -> Self {
        let width = mask.width + 2;
        let mut cells = vec![Cell::Empty; width * (mask.height + 2)];
        for y in 0..mask.height {
            for (cell, &pixel) in cells[(y + 1) * width + 1..].iter_mut().zip(mask.row(y)) {
                if pixel != 0 {
                    *cell = Cell::Set;
                }
            }
        }
        Self { width, cells }
    }

    /// Walks the region of a set cell, diagonal steps included, and gives the box around it.
    fn walk(&mut self, start: usize) -> Extent {
        let mut extent = Extent::default();
        let mut open = vec![start];
        self.cells[start] = Cell::Seen;
        while let Some(at) = open.pop() {
            extent.add(at % self.width, at / self.width);
            for row in [at - self.width, at, at + self.width] {
                for next in row - 1..=row + 1 {
                    if self.cells[next] == Cell::Set {
                        self.cells[next] = Cell::Seen;
                        open.push(next);
                    }
                }
            }
        }
        extent
    }

    /// Marks what can be reached from the rim without diagonal steps.
    fn mark_outside(&mut self) {
        let mut open = vec![0_usize];
        self.cells[0] = Cell::Outside;
        while let Some(at) = open.pop() {
            let steps = [at.checked_sub(self.width), at.checked_sub(1), Some(at + 1), Some(at + self.width)];
            for next in steps.into_iter().flatten() {
                if self.cells.get(next) == Some(&Cell::Empty) {
                    self.cells[next] = Cell::Outside;
                    open.push(next);
                }
            }
        }
    }
}

/// How many regions a mask has, diagonal neighbours being one.
pub(super) fn regions(mask: &Plane) -> usize {
    let mut rimmed = Rimmed::of(mask);
    let mut count = 0;
    for at in 0..rimmed.cells.len() {
        if rimmed.cells[at] == Cell::Set {
            rimmed.walk(at);
            count += 1;
        }
    }
    count
}

/// Whether the box around any region is square. Regions inside another's hole do not count.
pub(super) fn has_square_region(mask: &Plane) -> bool {
    let mut rimmed = Rimmed::of(mask);
    rimmed.mark_outside();
    (0..rimmed.cells.len()).any(|at| {
        if rimmed.cells[at] != Cell::Set {
            return false;
        }
        // The first cell of a region in reading order has the region's surroundings on its left.
        let outermost = rimmed.cells[at - 1] == Cell::Outside;
        let extent = rimmed.walk(at);
        outermost && extent.right - extent.left == extent.bottom - extent.top
    })
}

/// For each pixel the extreme of the window of `2 * reach + 1` pixels around it, first along rows, then columns.
/// What lies outside the picture does not count.
fn extreme(plane: &Plane, reach: usize, wanted: Ordering) -> Plane {
    let pick = |a: u8, b: u8| if a.cmp(&b) == wanted { a } else { b };
    let mut across = Vec::with_capacity(plane.pixels.len());
    for y in 0..plane.height {
        let row = plane.row(y);
        across.extend((0..row.len()).map(|x| {
            let window = &row[x.saturating_sub(reach)..(x + reach + 1).min(row.len())];
            window.iter().copied().reduce(pick).unwrap_or(0)
        }));
    }
    let across = plane.like(across);
    let mut result = across.clone();
    for y in 0..plane.height {
        let target = &mut result.pixels[y * plane.width..][..plane.width];
        for other in y.saturating_sub(reach)..(y + reach + 1).min(plane.height) {
            for (pixel, &candidate) in target.iter_mut().zip(across.row(other)) {
                *pixel = pick(candidate, *pixel);
            }
        }
    }
    result
}

/// The brightest value within `reach` pixels in both directions.
pub(super) fn dilate(plane: &Plane, reach: usize) -> Plane {
    extreme(plane, reach, Ordering::Greater)
}

/// What is brighter than its surroundings and nowhere `2 * reach + 1` pixels wide (a top-hat with a square).
pub(super) fn top_hat(plane: &Plane, reach: usize) -> Plane {
    let opened = dilate(&extreme(plane, reach, Ordering::Less), reach);
    plane.like(
        plane.pixels.iter().zip(&opened.pixels).map(|(pixel, open)| pixel.saturating_sub(*open)).collect(),
    )
}

/// A blur over 5 × 5 pixels with the weights 1 4 6 4 1, which OpenCV takes where no sigma is given. Outside the
/// picture it sees the picture's mirror image without the edge itself.
pub(super) fn blur(plane: &Plane) -> Plane {
    let mirrored = |at: usize, by: usize, side: usize| {
        // `by` is 2 more than the distance, so that it has no sign.
        let mut place = (at + by).abs_diff(2);
        let last = side - 1;
        while place > last {
            place = if last == 0 { 0 } else { (2 * last).abs_diff(place) };
        }
        place
    };
    const WEIGHTS: [u32; 5] = [1, 4, 6, 4, 1];
    let mut pixels = Vec::with_capacity(plane.pixels.len());
    for y in 0..plane.height {
        let rows: [&[u8]; 5] = std::array::from_fn(|by| plane.row(mirrored(y, by, plane.height)));
        let down: Vec<u32> = (0..plane.width)
            .map(|x| rows.iter().zip(WEIGHTS).map(|(row, weight)| weight * u32::from(row[x])).sum())
            .collect();
        pixels.extend((0..plane.width).map(|x| {
            let sum: u32 = (0..5).map(|by| WEIGHTS[by] * down[mirrored(x, by, plane.width)]).sum();
            u8::try_from((sum + 128) >> 8).unwrap_or(u8::MAX)
        }));
    }
    plane.like(pixels)
}

/// How steep the picture is at each pixel.
struct Slopes {
    across: Vec<i32>,
    down: Vec<i32>,
    /// The sum of both without their signs, with a rim of zeros.
    sizes: Vec<i32>,
}

impl Slopes {
    /// Sobel's slopes over 3 × 3 pixels; outside the picture its edge goes on.
    fn of(plane: &Plane) -> Self {
        let (mut across, mut down) = (Vec::new(), Vec::new());
        let mut sizes = vec![0; (plane.width + 2) * (plane.height + 2)];
        for (y, row) in (0_isize..).take(plane.height).enumerate() {
            for (x, column) in (0_isize..).take(plane.width).enumerate() {
                let at = |right: isize, below: isize| plane.nearest(column + right, row + below);
                let right = at(1, -1) + 2 * at(1, 0) + at(1, 1);
                let left = at(-1, -1) + 2 * at(-1, 0) + at(-1, 1);
                let below = at(-1, 1) + 2 * at(0, 1) + at(1, 1);
                let above = at(-1, -1) + 2 * at(0, -1) + at(1, -1);
                across.push(right - left);
                down.push(below - above);
                sizes[(y + 1) * (plane.width + 2) + x + 1] = (right - left).abs() + (below - above).abs();
            }
        }
        Self { across, down, sizes }
    }

    /// Whether the pixel is a peak across the edge that it may lie on. `rimmed` is its place in `sizes`, of
    /// which a row has `stride`.
    fn is_peak(&self, at: usize, rimmed: usize, stride: usize) -> bool {
        // The tangent of 22.5 degrees, fixed-point.
        const TANGENT: i64 = 13573;
        let (across, down) = (self.across[at], self.down[at]);
        let width = i64::from(across.abs());
        let height = i64::from(down.abs()) << 15;
        let flat = width * TANGENT;
        let size = self.sizes[rimmed];
        if height < flat {
            size > self.sizes[rimmed - 1] && size >= self.sizes[rimmed + 1]
        } else if height > flat + (width << 16) {
            size > self.sizes[rimmed - stride] && size >= self.sizes[rimmed + stride]
        } else if (across < 0) != (down < 0) {
            size > self.sizes[rimmed - stride + 1] && size > self.sizes[rimmed + stride - 1]
        } else {
            size > self.sizes[rimmed - stride - 1] && size > self.sizes[rimmed + stride + 1]
        }
    }
}

/// Canny's edges: peaks steeper than `high`, and those steeper than `low` that hang on to them.
pub(super) fn canny(plane: &Plane, low: i32, high: i32) -> Plane {
    let slopes = Slopes::of(plane);
    let stride = plane.width + 2;
    let mut weak = vec![false; slopes.sizes.len()];
    let mut open = Vec::new();
    for at in 0..plane.pixels.len() {
        let rimmed = (at / plane.width + 1) * stride + at % plane.width + 1;
        weak[rimmed] = slopes.sizes[rimmed] > low && slopes.is_peak(at, rimmed, stride);
        if weak[rimmed] && slopes.sizes[rimmed] > high {
            open.push(rimmed);
        }
    }
    let mut edges = plane.like(vec![0; plane.pixels.len()]);
    while let Some(at) = open.pop() {
        edges.pixels[(at / stride - 1) * plane.width + at % stride - 1] = 1;
        let around = [at - stride, at, at + stride].into_iter().flat_map(|row| row - 1..=row + 1);
        open.extend(around.filter(|&next| std::mem::take(&mut weak[next])));
    }
    edges
}

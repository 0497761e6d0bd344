//! Masks as polygons.

use super::super::prepare::Fit;

/// How far, in pixels of the input, a polygon may stray from the mask's edge.
const STRAY: f32 = 1.0;

/// What masks are mixed of: `[masks, height, width]`.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Prototypes<'a> {
    pub(in super::super) height: usize,
    pub(in super::super) width: usize,
    pub(in super::super) values: &'a [f32],
    /// Width and height of the model's input.
    pub(in super::super) input: (u32, u32),
}

impl Prototypes<'_> {
    /// The outline, in whole pixels of the image, of the largest part of an object's mask within its box; empty where there
    /// is none. A place belongs to the mask where the mix is above 0, that is, likelier than not.
    pub(super) fn outline(&self, coefficients: &[f32], corners: [f32; 4], fit: &Fit) -> Vec<[i64; 2]> {
        let clamp = |value: f32, most: u32| value.clamp(0.0, most as f32) as usize;
        let (left, top) = (clamp(corners[0].floor(), self.input.0), clamp(corners[1].floor(), self.input.1));
        let (right, bottom) =
            (clamp(corners[2].ceil(), self.input.0), clamp(corners[3].ceil(), self.input.1));
        if left >= right || top >= bottom {
            return Vec::new();
        }
        let mix = self.mixed(coefficients);
        let mut mask = Mask::new(right - left, bottom - top);
        for y in 0..mask.height {
            for x in 0..mask.width {
                mask.cells[y * mask.width + x] = self.between(&mix, x + left, y + top) > 0.0;
            }
        }
        let outline = simplified(&mask.largest_outline());
        outline.into_iter().map(|(x, y)| fit.pixel((x + left) as f32, (y + top) as f32)).collect()
    }

    fn mixed(&self, coefficients: &[f32]) -> Vec<f32> {
        let mut mix = vec![0.0; self.height * self.width];
        for (plane, coefficient) in self.values.chunks_exact(mix.len()).zip(coefficients) {
            for (sum, value) in mix.iter_mut().zip(plane) {
                *sum += value * coefficient;
            }
        }
        mix
    }

    /// The mix at the middle of a pixel of the input, interpolated between the four nearest places.
    fn between(&self, mix: &[f32], x: usize, y: usize) -> f32 {
        let place = |at: usize, input: u32, places: usize| {
            let place = (at as f32 + 0.5) * places as f32 / input as f32 - 0.5;
            let place = place.clamp(0.0, places as f32 - 1.0);
            let low = place as usize;
            (low, (low + 1).min(places - 1), place - low as f32)
        };
        let (left, right, along) = place(x, self.input.0, self.width);
        let (upper, lower, across) = place(y, self.input.1, self.height);
        let row = |row: usize| {
            let (low, high) = (mix[row * self.width + left], mix[row * self.width + right]);
            low + (high - low) * along
        };
        row(upper) + (row(lower) - row(upper)) * across
    }
}

struct Mask {
    width: usize,
    height: usize,
    cells: Vec<bool>,
}

impl Mask {
    fn new(width: usize, height: usize) -> Self {
        Self { width, height, cells: vec![false; width * height] }
    }

    fn has(&self, x: isize, y: isize) -> bool {
        let inside = (0..self.width as isize).contains(&x) && (0..self.height as isize).contains(&y);
        inside && self.cells[y as usize * self.width + x as usize]
    }

    /// The corners of the cells along the edge of the largest part that hangs together by cells' sides, clockwise from
    /// its first cell's corner at the top left. Holes are not looked at.
    fn largest_outline(&mut self) -> Vec<(usize, usize)> {
        let (mut seen, mut best) = (vec![false; self.cells.len()], Vec::new());
        for start in 0..self.cells.len() {
            if self.cells[start] && !seen[start] {
                let part = self.part(start, &mut seen);
                if part.len() > best.len() {
                    best = part;
                }
            }
        }
        let Some(first) = best.iter().min().copied() else { return Vec::new() };
        self.cells.fill(false);
        best.iter().for_each(|cell| self.cells[*cell] = true);
        self.outline(first)
    }

    fn part(&self, start: usize, seen: &mut [bool]) -> Vec<usize> {
        let mut part = vec![start];
        seen[start] = true;
        let mut next = 0;
        while let Some(cell) = part.get(next).copied() {
            next += 1;
            let (x, y) = ((cell % self.width) as isize, (cell / self.width) as isize);
            for (x, y) in [(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)] {
                if self.has(x, y) {
                    let cell = y as usize * self.width + x as usize;
                    if !std::mem::replace(&mut seen[cell], true) {
                        part.push(cell);
                    }
                }
            }
        }
        part
    }

    /// Walks along the cells' sides with the mask at the right hand, from the first cell in reading order, whose upper
    /// side is part of the edge.
    fn outline(&self, first: usize) -> Vec<(usize, usize)> {
        let start = ((first % self.width) as isize, (first / self.width) as isize);
        let (mut at, mut going) = (start, (1_isize, 0_isize));
        let mut corners = Vec::new();
        loop {
            // The cells ahead: at the left hand and at the right.
            let (left, right) = ahead(at, going);
            let turned = match (self.has(left.0, left.1), self.has(right.0, right.1)) {
                // Two cells that touch by a corner only do not hang together: the walk stays at its own.
                (_, false) => (-going.1, going.0),
                (true, true) => (going.1, -going.0),
                (false, true) => going,
            };
            if turned != going || corners.is_empty() {
                corners.push((at.0 as usize, at.1 as usize));
            }
            going = turned;
            at = (at.0 + going.0, at.1 + going.1);
            if at == start {
                return corners;
            }
        }
    }
}

/// The cells on both sides of the line that leaves the corner `at`.
fn ahead(at: (isize, isize), going: (isize, isize)) -> ((isize, isize), (isize, isize)) {
    let (x, y) = at;
    match going {
        (1, _) => ((x, y - 1), (x, y)),
        (-1, _) => ((x - 1, y), (x - 1, y - 1)),
        (_, 1) => ((x, y), (x - 1, y)),
        _ => ((x - 1, y - 1), (x, y - 1)),
    }
}

/// Without corners that lie close to the line between those that stay (Ramer, Douglas and Peucker), of a closed line.
fn simplified(corners: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let Some(first) = corners.first() else { return Vec::new() };
    let far = |corner: &(usize, usize)| corner.0.abs_diff(first.0).pow(2) + corner.1.abs_diff(first.1).pow(2);
    let farthest = (0..corners.len()).max_by_key(|at| far(&corners[*at])).unwrap_or_default();
    let closed: Vec<(usize, usize)> = corners.iter().chain([first]).copied().collect();
    let mut keep = vec![false; closed.len()];
    keep[0] = true;
    keep[farthest] = true;
    // Spans still to be looked at.
    let mut spans = vec![(0, farthest), (farthest, corners.len())];
    while let Some((from, to)) = spans.pop() {
        let strays = (from + 1..to).map(|at| (at, stray(closed[at], closed[from], closed[to])));
        if let Some((at, stray)) = strays.max_by(|a, b| a.1.total_cmp(&b.1))
            && stray > STRAY
        {
            keep[at] = true;
            spans.extend([(from, at), (at, to)]);
        }
    }
    corners.iter().zip(keep).filter(|(_, keep)| *keep).map(|(corner, _)| *corner).collect()
}

/// How far a corner is from the line through two others.
fn stray(corner: (usize, usize), from: (usize, usize), to: (usize, usize)) -> f32 {
    let vector = |to: (usize, usize)| (to.0 as f32 - from.0 as f32, to.1 as f32 - from.1 as f32);
    let ((x, y), (along, across)) = (vector(corner), vector(to));
    let length = along.hypot(across);
    if length > 0.0 { (x * across - y * along).abs() / length } else { x.hypot(y) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(rows: &[&str]) -> Mask {
        let cells = rows.iter().flat_map(|row| row.chars().map(|cell| cell == '#')).collect();
        Mask { width: rows[0].len(), height: rows.len(), cells }
    }

    fn area(corners: &[(usize, usize)]) -> isize {
        let next = corners.iter().cycle().skip(1);
        let twice: isize = corners
            .iter()
            .zip(next)
            .map(|(a, b)| a.0 as isize * b.1 as isize - b.0 as isize * a.1 as isize)
            .sum();
        twice / 2
    }

    #[test]
    fn the_largest_part_is_outlined() {
        let corners = mask(&["##...", "#..##", "...##", "...##"]).largest_outline();
        assert_eq!(corners, [(3, 1), (5, 1), (5, 4), (3, 4)]);
    }

    #[test]
    fn parts_that_touch_by_a_corner_are_two() {
        let corners = mask(&["##..", "##..", "..#."]).largest_outline();
        assert_eq!(corners, [(0, 0), (2, 0), (2, 2), (0, 2)]);
        let ring = mask(&["###", "#.#", "##."]).largest_outline();
        assert_eq!(area(&ring), 7, "what is around a mask hangs together by corners too: {ring:?}");
    }

    #[test]
    fn nothing_has_no_outline() {
        assert_eq!(mask(&["...", "..."]).largest_outline(), []);
        assert_eq!(simplified(&[]), []);
    }

    #[test]
    fn steps_along_a_slope_become_one_line() {
        let steps: Vec<(usize, usize)> = (0..10).flat_map(|at| [(at, 10 - at), (at + 1, 10 - at)]).collect();
        let corners = [&[(0, 0)], &steps[..]].concat();
        assert!(simplified(&corners).len() <= 5, "{:?}", simplified(&corners));
    }

    #[test]
    fn a_mask_is_mixed_of_prototypes_within_its_box() {
        use crate::model::prepare::Prepare;
        use crate::model::spec::InputSpec;
        use crate::model::tensor::Element;
        let prepare = Prepare::new(&InputSpec::default(), (16, 16), 1, Element::Byte);
        let fit = prepare.put_image(&mut prepare.blank(1), 0, (32, 32), &[0; 32 * 32 * 3]);
        // The left half, and everything; the object is what is everything less twice the left half.
        let left: Vec<f32> = (0..16).map(|at| if at % 4 < 2 { 1.0 } else { 0.0 }).collect();
        let values = [left, vec![1.0; 16]].concat();
        let prototypes = Prototypes { height: 4, width: 4, values: &values, input: (16, 16) };
        let outline = prototypes.outline(&[-2.0, 1.0], [4.0, 2.0, 12.0, 14.0], &fit);
        assert_eq!(outline, [[16, 4], [24, 4], [24, 28], [16, 28]]);
        assert_eq!(prototypes.outline(&[-2.0, -1.0], [4.0, 2.0, 12.0, 14.0], &fit), [[0_i64; 2]; 0]);
        assert_eq!(prototypes.outline(&[-2.0, 1.0], [9.0, 9.0, 3.0, 3.0], &fit), [[0_i64; 2]; 0]);
    }

    proptest! {
        /// Without holes, the outline holds as many cells as the part has.
        #[test]
        fn an_outline_holds_its_part(cells in prop::collection::vec(any::<bool>(), 36)) {
            let mut mask = Mask { width: 6, height: 6, cells };
            let corners = mask.largest_outline();
            let count = mask.cells.iter().filter(|cell| **cell).count() as isize;
            if corners.is_empty() {
                prop_assert_eq!(count, 0);
            } else {
                prop_assert!(area(&corners) >= count, "{:?}", corners);
            }
        }
    }
}

//! The rasteriser: discs, rings and boxes on a pitch that is measured in metres.

use crate::play::{GOAL_WIDTH, LENGTH, Point, WIDTH};

type Colour = [u8; 3];

/// Larger than life, so that both are seen when the clip is scaled down to 64 pixels.
pub(crate) const PLAYER_RADIUS: f64 = 1.5;
pub(crate) const BALL_RADIUS: f64 = 1.5;

/// Nothing else in the drawing has more red than green and blue.
pub(crate) const BALL: Colour = [255, 40, 40];
pub(crate) const TEAMS: [Colour; 2] = [[30, 60, 200], [240, 240, 240]];
const GRASS: [Colour; 2] = [[40, 120, 50], [46, 130, 56]];
const LINE: Colour = [200, 220, 200];

/// Grass around the lines, in metres; the goals lie in it.
const MARGIN: f64 = 4.0;
const LINE_WIDTH: f64 = 0.4;
const STRIPE: f64 = 7.5;

#[derive(Debug, Clone)]
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// An empty pitch, as large as fits.
    pub(crate) fn pitch(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        let mut canvas = Self { width, height, pixels: vec![0; width * height * 3] };
        let everywhere = (Point(f64::MIN, f64::MIN), Point(f64::MAX, f64::MAX));
        canvas.fill(everywhere, |Point(x, _)| {
            let stripe = ((x + 1000.0) / STRIPE) as usize % 2;
            Some(GRASS[stripe])
        });
        let middle = Point(LENGTH / 2.0, WIDTH / 2.0);
        canvas.outline(Point(0.0, 0.0), Point(LENGTH, WIDTH));
        canvas.outline(Point(LENGTH / 2.0, 0.0), Point(LENGTH / 2.0, WIDTH));
        canvas.ring(middle, 9.15);
        for (line, inwards, outwards) in [(0.0, 16.5, -2.5), (LENGTH, LENGTH - 16.5, LENGTH + 2.5)] {
            canvas.outline(Point(line, middle.1 - 20.16), Point(inwards, middle.1 + 20.16));
            let half_goal = GOAL_WIDTH / 2.0;
            canvas.outline(Point(line, middle.1 - half_goal), Point(outwards, middle.1 + half_goal));
        }
        canvas
    }

    pub(crate) fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// A filled disc of this radius in metres.
    pub(crate) fn disc(&mut self, centre: Point, radius: f64, colour: Colour) {
        let reach = Point(radius, radius);
        self.fill((centre - reach, centre + reach), |point| {
            (point.distance(centre) <= radius).then_some(colour)
        });
    }

    fn ring(&mut self, centre: Point, radius: f64) {
        let reach = Point(radius + 1.0, radius + 1.0);
        let half_line = self.line_width() / 2.0;
        self.fill((centre - reach, centre + reach), |point| {
            ((point.distance(centre) - radius).abs() <= half_line).then_some(LINE)
        });
    }

    /// The edges of the box between two corners.
    fn outline(&mut self, a: Point, b: Point) {
        let half = self.line_width() / 2.0;
        let low = Point(a.0.min(b.0) - half, a.1.min(b.1) - half);
        let high = Point(a.0.max(b.0) + half, a.1.max(b.1) + half);
        let near = |value: f64, edge: f64| (value - edge).abs() <= half;
        self.fill((low, high), |Point(x, y)| {
            let on_edge = near(x, a.0) || near(x, b.0) || near(y, a.1) || near(y, b.1);
            on_edge.then_some(LINE)
        });
    }

    /// At least a pixel, so that no line has gaps.
    fn line_width(&self) -> f64 {
        LINE_WIDTH.max(1.0 / self.scale())
    }

    /// Pixels a metre.
    fn scale(&self) -> f64 {
        let along = self.width as f64 / (LENGTH + 2.0 * MARGIN);
        let across = self.height as f64 / (WIDTH + 2.0 * MARGIN);
        along.min(across)
    }

    /// Where the pitch's corner lies, in metres from the picture's.
    fn corner(&self) -> Point {
        let scale = self.scale();
        Point((self.width as f64 / scale - LENGTH) / 2.0, (self.height as f64 / scale - WIDTH) / 2.0)
    }

    /// A place in pixels.
    pub(crate) fn pixel(&self, place: Point) -> (f64, f64) {
        let Point(x, y) = (place + self.corner()) * self.scale();
        (x, y)
    }

    /// The pixels of a disc: first column and row, and those behind the last ones.
    pub(crate) fn bounds(&self, centre: Point, radius: f64) -> [i64; 4] {
        // A pixel is coloured where its centre is in the disc.
        let reach = Point(radius, radius);
        let (left, top) = self.pixel(centre - reach);
        let (right, bottom) = self.pixel(centre + reach);
        let first = |edge: f64, end: usize| (edge - 0.5).ceil().clamp(0.0, end as f64) as i64;
        let behind = |edge: f64, end: usize| (edge + 0.5).floor().clamp(0.0, end as f64) as i64;
        let (width, height) = (self.width, self.height);
        [first(left, width), first(top, height), behind(right, width), behind(bottom, height)]
    }

    /// Colours each pixel whose centre lies in the box and for which `colour` has one.
    fn fill(&mut self, (low, high): (Point, Point), colour: impl Fn(Point) -> Option<Colour>) {
        let scale = self.scale();
        let Point(left, top) = self.corner();
        // A cast from f64 saturates: what lies outside the picture ends at its edge.
        let column = |x: f64| ((x + left) * scale) as usize;
        let row = |y: f64| ((y + top) * scale) as usize;
        for y in row(low.1)..(row(high.1).saturating_add(1)).min(self.height) {
            for x in column(low.0)..(column(high.0).saturating_add(1)).min(self.width) {
                let centre = Point((x as f64 + 0.5) / scale - left, (y as f64 + 0.5) / scale - top);
                let inside = (low.0..=high.0).contains(&centre.0) && (low.1..=high.1).contains(&centre.1);
                if let Some(colour) = colour(centre).filter(|_| inside) {
                    let at = (y * self.width + x) * 3;
                    self.pixels[at..at + 3].copy_from_slice(&colour);
                }
            }
        }
    }
}

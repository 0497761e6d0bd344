//! The pitches that validators lay over a frame, drawn from their measures.

use super::image::Colour;

/// Which pitch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sport {
    /// A football pitch of 1050 × 680 pixels with 32 points, pixel for pixel upstream's.
    Football,
    /// A cricket pitch of 359 × 1395 pixels with 14 points. Challenges of the current era only.
    ///
    /// Upstream's picture is a drawing by hand whose lines have soft, uneven edges. Here these run evenly between
    /// about a hundred measured places: of 500805 pixels 831 differ from upstream's, by 1 or 2 of 255 levels. A
    /// count over a frame comes out one pixel off in one frame of ten to twenty, a score by less than 0.001.
    Cricket,
}

/// A pitch from above, and the points on it that a model finds in a frame.
#[derive(Clone, Debug)]
pub struct Template {
    width: usize,
    pixels: Vec<Colour>,
    points: &'static [(i16, i16)],
    /// Which points are the corners: bottom left, bottom right, top right, top left.
    corners: [usize; 4],
}

static FOOTBALL_POINTS: [(i16, i16); 32] = [
    (5, 5),
    (5, 140),
    (5, 250),
    (5, 430),
    (5, 540),
    (5, 675),
    (55, 250),
    (55, 430),
    (110, 340),
    (165, 140),
    (165, 270),
    (165, 410),
    (165, 540),
    (527, 5),
    (527, 253),
    (527, 433),
    (527, 675),
    (888, 140),
    (888, 270),
    (888, 410),
    (888, 540),
    (940, 340),
    (998, 250),
    (998, 430),
    (1045, 5),
    (1045, 140),
    (1045, 250),
    (1045, 430),
    (1045, 540),
    (1045, 675),
    (435, 340),
    (615, 340),
];

static CRICKET_POINTS: [(i16, i16); 14] = [
    (35, 1),
    (325, 1),
    (35, 120),
    (325, 120),
    (35, 235),
    (325, 235),
    (35, 1160),
    (325, 1160),
    (35, 1275),
    (325, 1275),
    (35, 1392),
    (325, 1392),
    (175, 120),
    (175, 1275),
];

/// A soft edge: by turns a place in pixels, and how much of the pixel there is line, in parts of 255. In between
/// it changes evenly.
type Softness = &'static [u16];

/// Soft edges that run down a column.
static CRICKET_COLUMNS: [(usize, Softness); 3] = [
    (32, &[1, 41, 2, 175, 3, 209, 5, 225, 32, 235, 60, 239, 70, 244, 152, 254, 232, 255]),
    (321, &[1280, 171, 1289, 153, 1321, 101, 1333, 78, 1338, 72, 1351, 49, 1388, 0, 1392, 0]),
    (
        327,
        &[
            1161, 255, 1279, 251, 1347, 233, 1358, 225, 1371, 205, 1375, 200, 1377, 191, 1378, 193, 1389,
            171, 1390, 136, 1391, 65, 1392, 2,
        ],
    ),
];

/// Soft edges that run along a row.
static CRICKET_ROWS: [(usize, Softness); 7] = [
    (1, &[33, 247]),
    (119, &[270, 253, 271, 245]),
    (
        120,
        &[
            38, 255, 59, 253, 68, 244, 70, 240, 71, 233, 72, 233, 73, 223, 74, 219, 75, 200, 76, 193, 79,
            150, 80, 93, 81, 30,
        ],
    ),
    (
        120,
        &[
            88, 255, 199, 253, 204, 249, 238, 244, 239, 235, 245, 233, 246, 221, 252, 219, 253, 205, 255,
            200, 258, 198, 259, 180, 260, 180, 262, 158, 263, 154, 264, 135, 265, 135, 266, 119, 267, 89,
            269, 13, 270, 0, 271, 0,
        ],
    ),
    (
        120,
        &[
            278, 106, 279, 146, 280, 179, 281, 180, 282, 194, 284, 205, 285, 219, 286, 219, 287, 229, 289,
            233, 292, 235, 293, 244, 298, 243, 299, 249, 321, 255,
        ],
    ),
    (
        1279,
        &[
            38, 0, 61, 0, 63, 17, 97, 17, 99, 37, 133, 37, 135, 56, 146, 59, 169, 59, 171, 79, 175, 86, 207,
            86, 208, 102, 212, 110, 244, 110, 245, 113, 246, 128, 249, 135, 282, 135, 283, 140, 284, 154,
            286, 158, 320, 158, 321, 233,
        ],
    ),
    (1392, &[325, 252, 326, 191]),
];

const CRICKET_LINE: Colour = [212, 245, 210];
const CRICKET_GROUND: Colour = [68, 154, 76];
const WHITE: Colour = [255, 255, 255];
const GREEN: Colour = [0, 128, 0];
const BLACK: Colour = [0, 0, 0];

impl Template {
    /// Draws a pitch. It takes a few milliseconds, so keep it for the next frame.
    #[must_use]
    pub fn new(sport: Sport) -> Self {
        match sport {
            Sport::Football => Self::football(),
            Sport::Cricket => Self::cricket(),
        }
    }

    /// The points in order, as (x, y) in the template's pixels.
    #[must_use]
    pub fn points(&self) -> &'static [(i16, i16)] {
        self.points
    }

    /// Its size as (width, height) in pixels.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.pixels.len() / self.width)
    }

    /// The picture, row by row, with blue, green and red of each pixel.
    #[must_use]
    pub fn bgr(&self) -> Vec<u8> {
        self.pixels.as_flattened().to_vec()
    }

    /// The corners of the pitch in pixels: bottom left, bottom right, top right, top left.
    pub(super) fn corners(&self) -> [(i16, i16); 4] {
        self.corners.map(|corner| self.points[corner])
    }

    /// The colour of a pixel, black outside.
    pub(super) fn at(&self, x: i32, y: i32) -> Colour {
        match (usize::try_from(x), usize::try_from(y)) {
            (Ok(x), Ok(y)) if x < self.width => self.pixels.get(y * self.width + x).copied().unwrap_or(BLACK),
            _ => BLACK,
        }
    }

    /// Every pixel as upstream's picture has it.
    fn football() -> Self {
        let mut pitch = Self {
            width: 1050,
            pixels: vec![GREEN; 1050 * 680],
            points: &FOOTBALL_POINTS,
            corners: [5, 29, 24, 0],
        };
        // The lines around, the halfway line, then the boxes; the right-hand ones are no exact mirror images.
        for (left, top, right, bottom) in [
            (0, 0, 1049, 4),
            (0, 676, 1049, 679),
            (0, 0, 4, 679),
            (1046, 0, 1049, 679),
            (524, 0, 526, 679),
            (0, 138, 165, 140),
            (163, 138, 165, 541),
            (0, 539, 165, 541),
            (0, 248, 55, 250),
            (53, 248, 55, 431),
            (0, 429, 55, 431),
            (885, 138, 1049, 140),
            (885, 138, 887, 541),
            (885, 539, 1049, 541),
            (995, 248, 1049, 250),
            (995, 248, 997, 431),
            (995, 429, 1049, 431),
        ] {
            pitch.fill(WHITE, left..right + 1, top..bottom + 1);
        }
        pitch.penalty_spot(110, 340);
        pitch.penalty_spot(940, 340);
        // The centre circle, and of the circles around the penalty spots what lies outside the boxes; these end
        // in a row that is cut off aslant.
        let in_rows = |y: usize| (270..410).contains(&y);
        let in_last_row = |y: usize| y == 270 || y == 409;
        pitch.circle(433, |_, _| true);
        pitch.circle(18, |x, y| in_rows(y) && x > if in_last_row(y) { 167 } else { 165 });
        pitch.circle(848, |x, y| in_rows(y) && x < if in_last_row(y) { 882 } else { 885 });
        pitch
    }

    /// Hard lines first, then their soft edges.
    fn cricket() -> Self {
        let mut pitch = Self {
            width: 359,
            pixels: vec![CRICKET_GROUND; 359 * 1395],
            points: &CRICKET_POINTS,
            corners: [10, 11, 1, 0],
        };
        for (left, top, right, bottom) in [
            (33, 1, 37, 232),
            (322, 1, 327, 232),
            (32, 115, 327, 119),
            (82, 120, 87, 232),
            (272, 120, 277, 232),
            (0, 233, 358, 238),
            (0, 1155, 358, 1160),
            (33, 1161, 37, 1392),
            (322, 1161, 326, 1392),
            (82, 1161, 87, 1272),
            (272, 1161, 277, 1272),
            (33, 1273, 327, 1278),
        ] {
            pitch.fill(CRICKET_LINE, left..right + 1, top..bottom + 1);
        }
        for (column, softness) in CRICKET_COLUMNS {
            soften(softness, |y, colour| pitch.pixels[y * 359 + column] = colour);
        }
        for (row, softness) in CRICKET_ROWS {
            soften(softness, |x, colour| pitch.pixels[row * 359 + x] = colour);
        }
        pitch
    }

    fn fill(&mut self, colour: Colour, columns: std::ops::Range<usize>, rows: std::ops::Range<usize>) {
        for y in rows {
            self.pixels[y * self.width..][columns.clone()].fill(colour);
        }
    }

    /// A disc of 7 pixels.
    fn penalty_spot(&mut self, x: usize, y: usize) {
        for row in 0..7_usize {
            for column in 0..7_usize {
                if row.abs_diff(3).pow(2) + column.abs_diff(3).pow(2) <= 10 {
                    self.pixels[(y + row - 3) * self.width + x + column - 3] = WHITE;
                }
            }
        }
    }

    /// The visible part of a circle of 184 × 184 pixels whose line is 3 pixels wide, `left` being its first
    /// column; its rows are 248 to 431.
    fn circle(&mut self, left: usize, visible: impl Fn(usize, usize) -> bool) {
        let (outer, inner) = (quarter(183), quarter(179));
        for row in 0..92 {
            // From the middle, which lies between two pixels, outwards.
            let end = outer.iter().filter(|place| place.1 == row).map(|place| place.0).max().unwrap_or(0);
            let start = inner.iter().filter(|place| place.1 == row).map(|place| place.0).min().unwrap_or(0);
            for aside in start..=end {
                for x in [left + 91 - aside, left + 92 + aside] {
                    for y in [339 - row, 340 + row] {
                        if visible(x, y) {
                            self.pixels[y * self.width + x] = WHITE;
                        }
                    }
                }
            }
        }
    }
}

/// Gives `draw` each place of a soft edge with its colour.
fn soften(softness: Softness, mut draw: impl FnMut(usize, Colour)) {
    let (measures, _) = softness.as_chunks();
    for (index, &[place, part]) in measures.iter().enumerate() {
        let [end, end_part] = measures.get(index + 1).copied().unwrap_or([place + 1, part]);
        for at in place..end {
            let along = f64::from(at - place) / f64::from(end - place);
            let part = f64::from(part) + (f64::from(end_part) - f64::from(part)) * along;
            draw(usize::from(at), blend(part.round() / 255.0));
        }
    }
}

/// A colour between ground and line; `part` is the line's, from 0 to 1.
fn blend(part: f64) -> Colour {
    std::array::from_fn(|channel| {
        let (ground, line) = (f64::from(CRICKET_GROUND[channel]), f64::from(CRICKET_LINE[channel]));
        // Between two bytes, so that the cast only rounds.
        (ground + (line - ground) * part).round() as u8
    })
}

/// A quarter of a circle, as pixels counted from the middle, from its right to its bottom end. The diameter is
/// odd and in steps between pixels; each pixel is the neighbour of the one before that keeps closest to the
/// circle, the one below being preferred over the one aslant, and that over the one aside.
fn quarter(diameter: i32) -> Vec<(usize, usize)> {
    let miss = |(x, y): (i32, i32)| (x * x + y * y - diameter * diameter).abs();
    let mut place = (diameter, 1);
    let mut places = Vec::new();
    loop {
        let pixel = |half: i32| usize::try_from(half / 2).unwrap_or(0);
        places.push((pixel(place.0), pixel(place.1)));
        if place == (1, diameter) {
            return places;
        }
        let (x, y) = place;
        place = (x, y + 2);
        if x > 1 {
            for other in [(x - 2, y + 2), (x - 2, y)] {
                if miss(other) < miss(place) {
                    place = other;
                }
            }
        }
    }
}

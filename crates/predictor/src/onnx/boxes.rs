//! An image as a detector sees it, and its output as boxes on the image.

/// Least score of a box, and the IoU from which a box gives way to a better one of its class: Ultralytics' own.
const LEAST_SCORE: f32 = 0.25;
const SAME: f32 = 0.7;
/// Most boxes on an image.
const MOST: usize = 300;
/// What surrounds an image of another shape than the input: grey.
const GREY: f32 = 114.0 / 255.0;

/// An image, scaled as a whole into the middle of the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letterbox {
    image: (u32, u32),
    input: (u32, u32),
    scale: f32,
    /// The scaled image's size and its place in the input.
    size: (u32, u32),
    at: (u32, u32),
}

impl Letterbox {
    /// Sizes are width and height.
    pub(super) fn new(image: (u32, u32), input: (u32, u32)) -> Self {
        let scale = (input.0 as f32 / image.0 as f32).min(input.1 as f32 / image.1 as f32);
        let side = |image: u32, input: u32| ((image as f32 * scale).round() as u32).clamp(1, input);
        let size = (side(image.0, input.0), side(image.1, input.1));
        let at = ((input.0 - size.0) / 2, (input.1 - size.1) / 2);
        Self { image, input, scale, size, at }
    }

    /// Planes of red, green and blue from 0 to 1, interpolated between the four nearest pixels.
    pub(super) fn input(&self, rgb: &[u8]) -> Vec<f32> {
        let (width, height) = (self.input.0 as usize, self.input.1 as usize);
        let plane = width * height;
        let mut planes = vec![GREY; plane * 3];
        let along: Vec<Between> =
            (0..self.size.0).map(|x| Between::new(x, self.size.0, self.image.0)).collect();
        let row_bytes = self.image.0 as usize * 3;
        for y in 0..self.size.1 {
            let across = Between::new(y, self.size.1, self.image.1);
            let (upper, lower) =
                (&rgb[across.low * row_bytes..][..row_bytes], &rgb[across.high * row_bytes..][..row_bytes]);
            let start = (y + self.at.1) as usize * width + self.at.0 as usize;
            for (x, between) in along.iter().enumerate() {
                for channel in 0..3 {
                    let mix = |row: &[u8]| {
                        let (low, high) = (row[between.low * 3 + channel], row[between.high * 3 + channel]);
                        f32::from(low) + (f32::from(high) - f32::from(low)) * between.part
                    };
                    let (above, below) = (mix(upper), mix(lower));
                    planes[channel * plane + start + x] = (above + (below - above) * across.part) / 255.0;
                }
            }
        }
        planes
    }

    /// A box of the input, in whole pixels of the image.
    pub(super) fn in_image(&self, corners: [f32; 4]) -> [i64; 4] {
        let at = [self.at.0, self.at.1, self.at.0, self.at.1];
        let end = [self.image.0, self.image.1, self.image.0, self.image.1];
        std::array::from_fn(|side| {
            let place = (corners[side] - at[side] as f32) / self.scale;
            place.round().clamp(0.0, end[side] as f32) as i64
        })
    }
}

/// Two neighbouring pixels, and how far on the way from the one to the other.
#[derive(Debug, Clone, Copy)]
struct Between {
    low: usize,
    high: usize,
    part: f32,
}

impl Between {
    fn new(at: u32, scaled: u32, original: u32) -> Self {
        let place = (at as f32 + 0.5) * original as f32 / scaled as f32 - 0.5;
        let place = place.clamp(0.0, original as f32 - 1.0);
        let low = place as usize;
        Self { low, high: (low + 1).min(original as usize - 1), part: place - low as f32 }
    }
}

/// A box in pixels of the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    /// Left, top, right, bottom.
    pub(super) corners: [f32; 4],
    pub(super) class: usize,
    pub(super) score: f32,
}

/// A detector's output.
#[derive(Debug)]
pub(super) enum Output<'a> {
    /// `[1, 4 + classes, boxes]`.
    Raw { rows: usize, boxes: usize, values: &'a [f32] },
    /// `[1, boxes, 6]`.
    Final(&'a [f32]),
}

impl<'a> Output<'a> {
    pub(super) fn new(shape: &[i64], values: &'a [f32]) -> Result<Self, String> {
        match *shape {
            [1, _, 6] => Ok(Self::Final(values)),
            [1, rows, boxes] if rows >= 5 && boxes >= 1 => {
                Ok(Self::Raw { rows: rows as usize, boxes: boxes as usize, values })
            }
            _ => Err(format!("its output is {shape:?}")),
        }
    }

    /// The boxes, best first, at most [`MOST`].
    pub(super) fn boxes(&self) -> Result<Vec<Found>, String> {
        let values = match self {
            Self::Raw { values, .. } | Self::Final(values) => *values,
        };
        if let Some(wrong) = values.iter().find(|value| !value.is_finite()) {
            return Err(format!("its output has {wrong} in it"));
        }
        let mut found = match *self {
            Self::Raw { rows, boxes, values } => raw(rows, boxes, values),
            Self::Final(values) => {
                let (entries, _) = values.as_chunks::<6>();
                entries
                    .iter()
                    .filter(|entry| entry[4] >= LEAST_SCORE)
                    .map(|&[x1, y1, x2, y2, score, class]| Found {
                        corners: [x1, y1, x2, y2],
                        class: class.max(0.0) as usize,
                        score,
                    })
                    .collect()
            }
        };
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        if matches!(self, Self::Raw { .. }) {
            found = suppressed(&found);
        }
        found.truncate(MOST);
        Ok(found)
    }
}

fn raw(rows: usize, boxes: usize, values: &[f32]) -> Vec<Found> {
    let value = |row: usize, at: usize| values[row * boxes + at];
    (0..boxes)
        .filter_map(|at| {
            let scores = (4..rows).map(|row| (row - 4, value(row, at)));
            let (class, score) = scores.max_by(|a, b| a.1.total_cmp(&b.1))?;
            let (x, y, half_width, half_height) =
                (value(0, at), value(1, at), value(2, at) / 2.0, value(3, at) / 2.0);
            let corners = [x - half_width, y - half_height, x + half_width, y + half_height];
            (score >= LEAST_SCORE).then_some(Found { corners, class, score })
        })
        .collect()
}

/// Without those that lie on a better one of their class. Given best first.
fn suppressed(found: &[Found]) -> Vec<Found> {
    let mut kept: Vec<Found> = Vec::new();
    for one in found {
        if kept.len() >= MOST {
            break;
        }
        if !kept.iter().any(|other| other.class == one.class && iou(&other.corners, &one.corners) > SAME) {
            kept.push(*one);
        }
    }
    kept
}

fn iou(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let area = |it: &[f32; 4]| (it[2] - it[0]).max(0.0) * (it[3] - it[1]).max(0.0);
    let both = [a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])];
    let shared = area(&both);
    let all = area(a) + area(b) - shared;
    if all > 0.0 { shared / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_image_of_another_shape_lies_in_the_middle_on_grey() {
        let letterbox = Letterbox::new((4, 2), (8, 8));
        let rgb: Vec<u8> = [255, 0, 0].repeat(8);
        let input = letterbox.input(&rgb);
        let pixel = |x: usize, y: usize| [0, 1, 2].map(|channel| input[channel * 64 + y * 8 + x]);
        assert_eq!(pixel(0, 0), [GREY; 3]);
        assert_eq!(pixel(0, 1), [GREY; 3]);
        assert_eq!(pixel(0, 2), [1.0, 0.0, 0.0]);
        assert_eq!(pixel(7, 5), [1.0, 0.0, 0.0]);
        assert_eq!(pixel(7, 6), [GREY; 3]);
        // And back.
        assert_eq!(letterbox.in_image([0.0, 2.0, 8.0, 6.0]), [0, 0, 4, 2]);
        assert_eq!(letterbox.in_image([-5.0, 0.0, 99.0, 99.0]), [0, 0, 4, 2]);
    }

    #[test]
    fn pixels_in_between_are_mixed() {
        let letterbox = Letterbox::new((2, 1), (4, 2));
        let input = letterbox.input(&[0, 0, 0, 200, 200, 200]);
        let row: Vec<u32> = input[..4].iter().map(|value| (value * 255.0).round() as u32).collect();
        assert_eq!(row, [0, 50, 150, 200]);
    }

    #[test]
    fn of_boxes_on_one_another_the_best_of_each_class_stays() {
        // Two classes; boxes as columns.
        #[rustfmt::skip]
        let values = [
            10.0, 10.5, 10.0, 50.0,
            10.0, 10.0, 10.0, 50.0,
             8.0,  8.0,  8.0,  4.0,
             8.0,  8.0,  8.0,  4.0,
             0.9,  0.8,  0.1,  0.2,
             0.0,  0.0,  0.7,  0.1,
        ];
        let found = Output::new(&[1, 6, 4], &values);
        // Of this shape it could be either; six in the last place is what is final.
        let found = found.unwrap().boxes().unwrap();
        let seen: Vec<(usize, f32)> = found.iter().map(|found| (found.class, found.score)).collect();
        assert_eq!(seen, [(0, 0.9), (1, 0.7)]);
        assert_eq!(found[0].corners, [6.0, 6.0, 14.0, 14.0]);
    }

    #[test]
    fn a_final_output_is_taken_as_it_is() {
        let values =
            [1.0, 2.0, 3.0, 4.0, 0.5, 2.0, 1.0, 2.0, 3.0, 4.0, 0.9, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let found = Output::new(&[1, 3, 6], &values).unwrap().boxes().unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].score, found[0].class), (0.9, 2));
    }

    #[test]
    fn what_is_no_output_of_a_detector_is_refused() {
        for shape in [&[1, 4, 10][..], &[2, 84, 10], &[84, 10], &[1, 84, 0], &[]] {
            assert!(Output::new(shape, &[]).is_err(), "{shape:?}");
        }
        let nan = [f32::NAN; 6];
        assert!(Output::new(&[1, 1, 6], &nan).unwrap().boxes().unwrap_err().contains("NaN"));
    }

    proptest! {
        #[test]
        fn a_box_comes_back_to_where_it_was(
            width in 8_u32..400, height in 8_u32..400, side in 16_u32..400,
            left in 0.0_f32..0.5, top in 0.0_f32..0.5,
        ) {
            let letterbox = Letterbox::new((width, height), (side, side));
            let corners = [left * width as f32, top * height as f32, width as f32, height as f32];
            let at = [letterbox.at.0, letterbox.at.1, letterbox.at.0, letterbox.at.1];
            let in_input: [f32; 4] = std::array::from_fn(|i| corners[i] * letterbox.scale + at[i] as f32);
            let back = letterbox.in_image(in_input);
            for (was, is) in corners.iter().zip(back) {
                prop_assert!((was - is as f32).abs() <= 1.0);
            }
        }

        #[test]
        fn any_image_has_an_input(width in 1_u32..60, height in 1_u32..60, wide in 1_u32..60, high in 1_u32..60) {
            let letterbox = Letterbox::new((width, height), (wide, high));
            let input = letterbox.input(&vec![7; (width * height * 3) as usize]);
            prop_assert_eq!(input.len(), (wide * high * 3) as usize);
            prop_assert!(input.iter().all(|value| (0.0..=1.0).contains(value)));
        }
    }
}

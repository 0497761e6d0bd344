//! Frames and images as a model's input: colour order, size, place in the window, numbers.
//!
//! Everything is 32-bit floating point, one operation after the other as written here: a program in another language that
//! does the same gets the same input to the last bit.

use super::spec::{InputSpec, Layout};
use super::tensor::{Data, Element};

/// What pixels become, and where in the input.
#[derive(Debug, Clone)]
pub(crate) struct Prepare {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) element: Element,
    /// Frames in one window, 1 for images.
    pub(super) frames: usize,
    layout: Layout,
    letterbox: bool,
    /// Which channel of RGB comes first, second, third.
    order: [usize; 3],
    scale: f32,
    mean: [f32; 3],
    std: [f32; 3],
    pad: u8,
    /// The number that each value of a pixel becomes, by channel of the input.
    numbers: Box<[[f32; 256]; 3]>,
}

impl Prepare {
    pub(super) fn new(
        spec: &InputSpec,
        (width, height): (u32, u32),
        frames: usize,
        element: Element,
    ) -> Self {
        let InputSpec { layout, bgr, scale, mean, std, letterbox, pad, .. } = *spec;
        let mut numbers = Box::new([[0.0; 256]; 3]);
        for (channel, numbers) in numbers.iter_mut().enumerate() {
            for (value, number) in numbers.iter_mut().enumerate() {
                *number = (value as f32 / scale - mean[channel]) / std[channel];
            }
        }
        let order = if bgr { [2, 1, 0] } else { [0, 1, 2] };
        Self { width, height, element, frames, layout, letterbox, order, scale, mean, std, pad, numbers }
    }

    /// Size along each axis of an input with `count` windows or images.
    pub(super) fn shape(&self, count: usize) -> Vec<usize> {
        let (height, width) = (self.height as usize, self.width as usize);
        match self.layout {
            Layout::Nchw => vec![count, 3, height, width],
            Layout::Ntchw => vec![count, self.frames, 3, height, width],
            Layout::Ncthw => vec![count, 3, self.frames, height, width],
        }
    }

    fn plane(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Elements of one window or image.
    pub(super) fn sample(&self) -> usize {
        3 * self.frames * self.plane()
    }

    /// An input for `count` windows or images, of zeros.
    pub(super) fn blank(&self, count: usize) -> Data {
        let length = count * self.sample();
        match self.element {
            Element::Float => Data::Float(vec![0.0; length]),
            Element::Byte => Data::Byte(vec![0; length]),
        }
    }

    /// Where the plane of a channel of frame `at` lies in its window.
    fn offset(&self, at: usize, channel: usize) -> usize {
        self.plane()
            * match self.layout {
                Layout::Nchw | Layout::Ntchw => at * 3 + channel,
                Layout::Ncthw => channel * self.frames + at,
            }
    }

    /// Puts a frame of the input's own size, as RGB24, at place `at` of window `window`.
    pub(super) fn put_frame(&self, input: &mut Data, window: usize, at: usize, rgb: &[u8]) {
        let start = window * self.sample();
        let (pixels, _) = rgb.as_chunks::<3>();
        for channel in 0..3 {
            let from = self.order[channel];
            let plane = start + self.offset(at, channel)..start + self.offset(at, channel) + self.plane();
            match input {
                Data::Float(values) => {
                    let numbers = &self.numbers[channel];
                    for (value, pixel) in values[plane].iter_mut().zip(pixels) {
                        *value = numbers[pixel[from] as usize];
                    }
                }
                Data::Byte(values) => {
                    for (value, pixel) in values[plane].iter_mut().zip(pixels) {
                        *value = pixel[from];
                    }
                }
            }
        }
    }

    /// Fills the window's places behind `last` with what is there.
    pub(super) fn repeat_frame(&self, input: &mut Data, window: usize, last: usize) {
        let start = window * self.sample();
        for channel in 0..3 {
            let from = start + self.offset(last, channel);
            for at in last + 1..self.frames {
                let to = start + self.offset(at, channel);
                match input {
                    Data::Float(values) => values.copy_within(from..from + self.plane(), to),
                    Data::Byte(values) => values.copy_within(from..from + self.plane(), to),
                }
            }
        }
    }

    /// Puts an image of any size, as RGB24, into place `at` of the batch, interpolated between the four nearest pixels.
    /// Gives where it lies.
    pub(super) fn put_image(&self, input: &mut Data, at: usize, size: (u32, u32), rgb: &[u8]) -> Fit {
        let fit = Fit::new(size, (self.width, self.height), self.letterbox);
        if fit.is_identity() {
            self.put_frame(input, at, 0, rgb);
            return fit;
        }
        let number =
            |value: f32, channel: usize| (value / self.scale - self.mean[channel]) / self.std[channel];
        let (start, plane, width) = (at * self.sample(), self.plane(), self.width as usize);
        let whole = start..start + self.sample();
        match input {
            Data::Float(values) => {
                let values = &mut values[whole];
                let (planes, pad) = (values.chunks_exact_mut(plane), f32::from(self.pad));
                planes.enumerate().for_each(|(channel, plane)| plane.fill(number(pad, channel)));
                fit.each_pixel(rgb, |x, y, pixel| {
                    for channel in 0..3 {
                        let value = pixel[self.order[channel]];
                        values[channel * plane + y * width + x] = number(value, channel);
                    }
                });
            }
            Data::Byte(values) => {
                let values = &mut values[whole];
                values.fill(self.pad);
                fit.each_pixel(rgb, |x, y, pixel| {
                    for channel in 0..3 {
                        values[channel * plane + y * width + x] = (pixel[self.order[channel]] + 0.5) as u8;
                    }
                });
            }
        }
        fit
    }
}

/// How an image lies in the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fit {
    image: (u32, u32),
    /// Pixels of the input to one of the image, along and across.
    scale: (f32, f32),
    /// The scaled image's size and its place in the input.
    size: (u32, u32),
    at: (u32, u32),
}

impl Fit {
    /// Sizes are width and height.
    pub(super) fn new(image: (u32, u32), input: (u32, u32), letterbox: bool) -> Self {
        let along = input.0 as f32 / image.0 as f32;
        let across = input.1 as f32 / image.1 as f32;
        if !letterbox {
            return Self { image, scale: (along, across), size: input, at: (0, 0) };
        }
        let scale = along.min(across);
        let side = |image: u32, input: u32| ((image as f32 * scale).round() as u32).clamp(1, input);
        let size = (side(image.0, input.0), side(image.1, input.1));
        let at = ((input.0 - size.0) / 2, (input.1 - size.1) / 2);
        Self { image, scale: (scale, scale), size, at }
    }

    fn is_identity(&self) -> bool {
        self.image == self.size && self.at == (0, 0) && self.scale == (1.0, 1.0)
    }

    /// Calls `put` with each pixel of the input that shows the image: its place and its red, green and blue.
    fn each_pixel(&self, rgb: &[u8], mut put: impl FnMut(usize, usize, [f32; 3])) {
        let along: Vec<Between> =
            (0..self.size.0).map(|x| Between::new(x, self.size.0, self.image.0)).collect();
        let row_bytes = self.image.0 as usize * 3;
        for y in 0..self.size.1 {
            let across = Between::new(y, self.size.1, self.image.1);
            let (upper, lower) =
                (&rgb[across.low * row_bytes..][..row_bytes], &rgb[across.high * row_bytes..][..row_bytes]);
            for (x, between) in along.iter().enumerate() {
                let pixel = std::array::from_fn(|channel| {
                    let mix = |row: &[u8]| {
                        let (low, high) = (row[between.low * 3 + channel], row[between.high * 3 + channel]);
                        f32::from(low) + (f32::from(high) - f32::from(low)) * between.part
                    };
                    let (above, below) = (mix(upper), mix(lower));
                    above + (below - above) * across.part
                });
                put(x + self.at.0 as usize, (y + self.at.1) as usize, pixel);
            }
        }
    }

    /// A point of the input, on the image: from its left and its top, in pixels, never outside.
    pub(super) fn point(&self, x: f32, y: f32) -> (f32, f32) {
        let along = (x - self.at.0 as f32) / self.scale.0;
        let across = (y - self.at.1 as f32) / self.scale.1;
        (along.clamp(0.0, self.image.0 as f32), across.clamp(0.0, self.image.1 as f32))
    }

    /// A point of the input, in whole pixels of the image.
    pub(super) fn pixel(&self, x: f32, y: f32) -> [i64; 2] {
        let along = ((x - self.at.0 as f32) / self.scale.0).round().clamp(0.0, self.image.0 as f32);
        let across = ((y - self.at.1 as f32) / self.scale.1).round().clamp(0.0, self.image.1 as f32);
        [along as i64, across as i64]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn images(width: u32, height: u32) -> Prepare {
        Prepare::new(&InputSpec::default(), (width, height), 1, Element::Float)
    }

    fn floats(data: &Data) -> &[f32] {
        let Data::Float(values) = data else { panic!("no floats") };
        values
    }

    fn shown(prepare: &Prepare, size: (u32, u32), rgb: &[u8]) -> (Data, Fit) {
        let mut input = prepare.blank(1);
        let fit = prepare.put_image(&mut input, 0, size, rgb);
        (input, fit)
    }

    #[test]
    fn an_image_of_another_shape_lies_in_the_middle_on_grey() {
        let (input, fit) = shown(&images(8, 8), (4, 2), &[255, 0, 0].repeat(8));
        let pixel = |x: usize, y: usize| [0, 1, 2].map(|channel| floats(&input)[channel * 64 + y * 8 + x]);
        let grey = 114.0 / 255.0;
        assert_eq!(pixel(0, 0), [grey; 3]);
        assert_eq!(pixel(0, 1), [grey; 3]);
        assert_eq!(pixel(0, 2), [1.0, 0.0, 0.0]);
        assert_eq!(pixel(7, 5), [1.0, 0.0, 0.0]);
        assert_eq!(pixel(7, 6), [grey; 3]);
        assert_eq!(fit.pixel(0.0, 2.0), [0, 0]);
        assert_eq!(fit.pixel(8.0, 6.0), [4, 2]);
        assert_eq!(fit.pixel(-5.0, 99.0), [0, 2]);
    }

    #[test]
    fn a_stretched_image_fills_the_input() {
        let spec = InputSpec { letterbox: false, ..InputSpec::default() };
        let prepare = Prepare::new(&spec, (8, 8), 1, Element::Byte);
        let (input, fit) = shown(&prepare, (4, 2), &[9, 8, 7].repeat(8));
        assert_eq!(input, Data::Byte([[9; 64], [8; 64], [7; 64]].concat()));
        assert_eq!(fit.pixel(4.0, 4.0), [2, 1]);
    }

    #[test]
    fn pixels_in_between_are_mixed() {
        let (input, _) = shown(&images(4, 2), (2, 1), &[0, 0, 0, 200, 200, 200]);
        let row: Vec<u32> = floats(&input)[..4].iter().map(|value| (value * 255.0).round() as u32).collect();
        assert_eq!(row, [0, 50, 150, 200]);
    }

    /// Two frames of one pixel, each channel told apart.
    #[test]
    fn each_layout_has_its_place_for_every_channel_of_every_frame() {
        let expected = [
            (Layout::Ntchw, false, [1, 2, 3, 4, 5, 6]),
            (Layout::Ncthw, false, [1, 4, 2, 5, 3, 6]),
            (Layout::Ntchw, true, [3, 2, 1, 6, 5, 4]),
            (Layout::Ncthw, true, [3, 6, 2, 5, 1, 4]),
        ];
        for (layout, bgr, numbers) in expected {
            let spec = InputSpec { layout, bgr, scale: 1.0, ..InputSpec::default() };
            let prepare = Prepare::new(&spec, (1, 1), 2, Element::Float);
            let mut input = prepare.blank(2);
            prepare.put_frame(&mut input, 1, 0, &[1, 2, 3]);
            prepare.put_frame(&mut input, 1, 1, &[4, 5, 6]);
            assert_eq!(floats(&input)[..6], [0.0; 6]);
            assert_eq!(floats(&input)[6..], numbers.map(|number| number as f32), "{layout} {bgr}");
            prepare.repeat_frame(&mut input, 1, 0);
            let first = |at: usize| floats(&input)[6 + prepare.offset(at, 0)];
            assert_eq!(first(0), first(1));
        }
    }

    #[test]
    fn numbers_are_scaled_then_centred_then_divided() {
        let spec =
            InputSpec { scale: 2.0, mean: [1.0, 2.0, 3.0], std: [0.5, 0.25, 2.0], ..InputSpec::default() };
        let prepare = Prepare::new(&spec, (1, 1), 1, Element::Float);
        let (input, _) = shown(&prepare, (1, 1), &[10, 20, 30]);
        assert_eq!(floats(&input), [8.0, 32.0, 6.0]);
    }

    proptest! {
        #[test]
        fn a_box_comes_back_to_where_it_was(
            width in 8_u32..400, height in 8_u32..400, side in 16_u32..400, letterbox: bool,
            left in 0.0_f32..0.5, top in 0.0_f32..0.5,
        ) {
            let fit = Fit::new((width, height), (side, side), letterbox);
            let (x, y) = (left * width as f32, top * height as f32);
            let in_input = (x * fit.scale.0 + fit.at.0 as f32, y * fit.scale.1 + fit.at.1 as f32);
            let [back_x, back_y] = fit.pixel(in_input.0, in_input.1);
            prop_assert!((back_x as f32 - x).abs() <= 1.0 && (back_y as f32 - y).abs() <= 1.0);
        }

        #[test]
        fn any_image_has_an_input(
            width in 1_u32..60, height in 1_u32..60, wide in 1_u32..60, high in 1_u32..60, letterbox: bool,
        ) {
            let spec = InputSpec { letterbox, ..InputSpec::default() };
            let prepare = Prepare::new(&spec, (wide, high), 1, Element::Float);
            let (input, _) = shown(&prepare, (width, height), &vec![7; (width * height * 3) as usize]);
            prop_assert_eq!(input.len(), (wide * high * 3) as usize);
            prop_assert!(floats(&input).iter().all(|value| (0.0..=1.0).contains(value)));
        }
    }
}

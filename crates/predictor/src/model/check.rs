//! A model, looked at before it is relied on: is it what its description says, how fast, and does it say the same twice?

use std::time::Duration;

use tokio::time::Instant;

use super::{Kind, Model, Tensor};
use crate::model::tensor::Data;

/// Runs that are timed.
const RUNS: usize = 5;
/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(300);

/// What a look at a model found.
#[derive(Debug, Clone)]
pub struct ModelCheck {
    /// Windows or images in a run.
    pub places: usize,
    /// The fastest of a few runs, the first not counted.
    pub run: Duration,
    /// Frames (spotting: new ones, which the window before does not have) or images a second at that speed.
    pub frames_per_second: f64,
    /// Whether every run on the same input gave the same bits.
    pub repeats: bool,
    /// Whether a window or image gives the same bits alone and among others; `None` where the model takes one at a time,
    /// or always as many.
    pub alone: Option<bool>,
    /// Largest difference between a window or image alone and among others.
    pub largest_difference: f32,
}

impl Model {
    /// Runs the model on noise, always the same, a few times.
    ///
    /// # Errors
    /// What the model said instead of an answer.
    pub async fn check(&self) -> Result<ModelCheck, String> {
        let noise = self.noise(self.places);
        let first = self.infer(noise.clone()).await?;
        let (mut run, mut repeats) = (Duration::MAX, true);
        for _ in 0..RUNS {
            let input = noise.clone();
            let start = Instant::now();
            let outputs = self.infer(input).await?;
            run = run.min(start.elapsed());
            repeats &= same_bits(&first, &outputs);
        }
        let new_frames = match &self.spec.kind {
            Kind::Spotting(clip, _) => clip.length - clip.overlap,
            Kind::Objects(_) => 1,
        };
        let (mut alone, mut largest_difference) = (None, 0.0);
        if !self.full && self.places > 1 {
            // The noise of a single place is that of the first of many.
            let one = self.infer(self.noise(1)).await?;
            let of_first = one.iter().zip(&first).map(|(one, many)| (floats(one), floats(many)));
            let mut same = true;
            for (one, many) in of_first {
                same &= one.len() <= many.len();
                for (one, many) in one.iter().zip(many) {
                    same &= one.to_bits() == many.to_bits();
                    largest_difference = f32::max(largest_difference, (one - many).abs());
                }
            }
            alone = Some(same);
        }
        let frames_per_second = (self.places * new_frames) as f64 / run.as_secs_f64();
        Ok(ModelCheck { places: self.places, run, frames_per_second, repeats, alone, largest_difference })
    }

    /// The largest difference between what both say of the same noise; 0 where they agree bit by bit. They have to be the
    /// same model, run otherwise.
    ///
    /// # Errors
    /// What either said instead of an answer.
    pub async fn difference(&self, other: &Self) -> Result<f32, String> {
        let noise = self.noise(self.places);
        let (own, others) = (self.infer(noise.clone()).await?, other.infer(noise).await?);
        if own.iter().map(|tensor| &tensor.shape).ne(others.iter().map(|tensor| &tensor.shape)) {
            return Err("the one's outputs have other shapes than the other's".to_owned());
        }
        let pairs = own.iter().zip(&others).flat_map(|(own, other)| floats(own).iter().zip(floats(other)));
        Ok(pairs.map(|(own, other)| (own - other).abs()).fold(0.0, f32::max))
    }

    async fn infer(&self, input: Tensor) -> Result<Vec<Tensor>, String> {
        self.run(input, Instant::now() + LIMIT).await.map(|(outputs, _)| outputs)
    }

    /// Runs the model once on an input that is prepared already, and gives its outputs as they are; and the input, where
    /// it can be used again.
    ///
    /// # Errors
    /// What the model, or whoever runs it, said instead of an answer.
    pub async fn run(
        &self,
        input: Tensor,
        deadline: Instant,
    ) -> Result<(Vec<Tensor>, Option<Tensor>), String> {
        self.engine.infer(input, deadline).await.map_err(|error| error.to_string())
    }

    /// An input of noise that is the same each time.
    fn noise(&self, places: usize) -> Tensor {
        let mut state = 1_u64;
        let plane = self.prepare.width as usize * self.prepare.height as usize;
        let mut data = self.prepare.blank(places);
        for place in 0..places {
            for frame in 0..self.prepare.frames {
                let pixels: Vec<u8> = std::iter::repeat_with(|| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .take(plane * 3)
                .collect();
                self.prepare.put_frame(&mut data, place, frame, &pixels);
            }
        }
        Tensor { shape: self.prepare.shape(places), data }
    }
}

fn floats(tensor: &Tensor) -> &[f32] {
    match &tensor.data {
        Data::Float(values) => values,
        Data::Byte(_) => &[],
    }
}

fn same_bits(a: &[Tensor], b: &[Tensor]) -> bool {
    let bits = |tensor: &Tensor| match &tensor.data {
        Data::Float(values) => values.iter().map(|value| value.to_bits()).collect(),
        Data::Byte(values) => values.iter().map(|value| u32::from(*value)).collect::<Vec<u32>>(),
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.shape == b.shape && bits(a) == bits(b))
}

//! A detector as an ONNX file, run in this process by ONNX Runtime: no Python, no worker.
//!
//! What is taken is what Ultralytics' `export(format="onnx")` writes: one input `[1, 3, height, width]` of RGB from 0 to 1,
//! and one output, either `[1, 4 + classes, boxes]` (centre, size and a score a class) or `[1, boxes, 6]` (corners,
//! score, class; suppression done). Thresholds are that program's own.

mod boxes;
mod library;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::session::Session;
use ort::value::{Tensor, TensorElementType, ValueType};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use crate::{Answer, Image, Need, PredictError, Subject, Task, Wanted};
use boxes::{Letterbox, Output};

pub use library::find_onnx_runtime;

/// What an input without a fixed size gets, as Ultralytics exports by default.
const SIDE: u32 = 640;
/// Largest side of an input.
const LARGEST_SIDE: i64 = 4096;

/// A detector, loaded.
#[derive(Debug, Clone)]
pub struct OnnxDetector {
    name: String,
    width: u32,
    height: u32,
    /// One image at a time: a run takes every core.
    session: Arc<Mutex<Session>>,
}

/// Why a detector cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// There is no ONNX Runtime.
    #[error(
        "ONNX Runtime is not found: pip install onnxruntime into the Python that ADIT_PYTHON names, or set \
         ORT_DYLIB_PATH to its libonnxruntime.so"
    )]
    NoLibrary,
    /// It is there and cannot be used.
    #[error("{} cannot be loaded as ONNX Runtime: {why}", path.display())]
    Library {
        /// The library.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The model cannot be loaded.
    #[error("{} cannot be loaded as an ONNX model: {why}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The model is no detector that can be read.
    #[error(
        "{} is no detector that is understood: {why}. Expected is what Ultralytics exports: one input [1, 3, height, \
         width] of floats, one output [1, 4 + classes, boxes] or [1, boxes, 6]", path.display()
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is otherwise.
        why: String,
    },
}

impl OnnxDetector {
    /// Loads the model in `path` with the ONNX Runtime in `library`; one process has one of them, the first.
    ///
    /// # Errors
    /// Any [`OnnxError`].
    pub fn load(path: &Path, library: &Path) -> Result<Self, OnnxError> {
        let environment = ort::init_from(library);
        environment
            .map_err(|error| OnnxError::Library { path: library.to_owned(), why: error.to_string() })?
            .commit();
        let failed = |why: String| OnnxError::Model { path: path.to_owned(), why };
        let mut builder = Session::builder().map_err(|error| failed(error.to_string()))?;
        let session = builder.commit_from_file(path).map_err(|error| failed(error.to_string()))?;
        let shape = |why: String| OnnxError::Shape { path: path.to_owned(), why };
        let (width, height) = input_size(&session).map_err(shape)?;
        if session.outputs().len() != 1 {
            return Err(shape(format!("it has {} outputs", session.outputs().len())));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let detector = Self { name, width, height, session: Arc::new(Mutex::new(session)) };
        // What it answers shows only when it is asked; that it does at all is known before anybody waits for it.
        let nothing = Image {
            frame_id: 0,
            width,
            height,
            pixels: vec![0; width as usize * height as usize * 3].into(),
        };
        detector.detect(&nothing).map_err(shape)?;
        Ok(detector)
    }

    /// Its name and the size that it sees images in.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("ONNX detector {}, {}x{}", self.name, self.width, self.height)
    }

    pub(crate) async fn predict(&self, task: Task, deadline: Instant) -> Result<Answer, PredictError> {
        task.check(Need::Images)?;
        debug_assert!(matches!(task.wanted, Wanted::Objects { .. }), "the check lets nothing else through");
        let mut found = Vec::new();
        let mut subject = task.subject;
        loop {
            let image = match &mut subject {
                Subject::Images(images) => images.next().await?,
                Subject::Frames(frames) => {
                    let (width, height) = (frames.info().width, frames.info().height);
                    frames.next().await?.map(|frame| Image {
                        frame_id: frame.index as i64,
                        width,
                        height,
                        pixels: frame.pixels,
                    })
                }
                _ => None,
            };
            let Some(image) = image else { return Ok(Answer::Objects(found)) };
            let detector = self.clone();
            let working = tokio::task::spawn_blocking(move || detector.detect(&image));
            let detected =
                timeout_at(deadline, working).await.map_err(|_| PredictError::Deadline { worker: 0 })?;
            let detected = detected.map_err(|_| PredictError::Stopped)?;
            found.push(detected.map_err(PredictError::Model)?);
        }
    }

    /// What is on an image, as a chute answers it.
    fn detect(&self, image: &Image) -> Result<Map<String, Value>, String> {
        let letterbox = Letterbox::new((image.width, image.height), (self.width, self.height));
        let input = letterbox.input(&image.pixels);
        let shape = [1, 3, i64::from(self.height), i64::from(self.width)];
        let input = Tensor::from_array((shape, input)).map_err(|error| error.to_string())?;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(ort::inputs![input]).map_err(|error| error.to_string())?;
        let (_, output) = outputs.iter().next().ok_or("it answers nothing")?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
        let output = Output::new(shape, values)?;
        let boxes: Vec<Value> = output
            .boxes()?
            .into_iter()
            .map(|found| {
                let [x1, y1, x2, y2] = letterbox.in_image(found.corners);
                json!({"x1": x1, "y1": y1, "x2": x2, "y2": y2, "cls_id": found.class, "conf": found.score})
            })
            .collect();
        let mut frame = Map::new();
        frame.insert("frame_id".to_owned(), image.frame_id.into());
        frame.insert("boxes".to_owned(), boxes.into());
        // Null would end the validators' program.
        frame.insert("keypoints".to_owned(), json!([]));
        Ok(frame)
    }
}

/// Width and height of the one input; [`SIDE`] where the model leaves one open.
fn input_size(session: &Session) -> Result<(u32, u32), String> {
    let [input] = session.inputs() else { return Err(format!("it has {} inputs", session.inputs().len())) };
    let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = input.dtype() else {
        return Err(format!("its input is {:?}", input.dtype()));
    };
    let side = |size: i64| match size {
        -1 => Ok(SIDE),
        1..=LARGEST_SIDE => Ok(size as u32),
        _ => Err(format!("a side of its input has {size} pixels")),
    };
    match shape[..] {
        [1 | -1, 3, height, width] => Ok((side(width)?, side(height)?)),
        _ => Err(format!("its input is {:?}", &shape[..])),
    }
}

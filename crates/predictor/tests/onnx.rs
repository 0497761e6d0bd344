//! Detectors as ONNX files, run by the real ONNX Runtime. The models are written here, byte by byte: protobuf has
//! little to it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_predictor::{
    Answer, Image, ImageStream, OnnxDetector, OnnxError, Predictor, Subject, Task, Wanted, find_onnx_runtime,
};
use adit_synthetic::{Kind, Match, MatchFormat};
use futures_util::stream;
use tokio::time::Instant;

/// A message's bytes.
#[derive(Default, Clone)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn message(self, field: u64, message: Self) -> Self {
        self.bytes(field, &message.0)
    }
}

const FLOAT: i64 = 1;
const INT64: i64 = 7;

fn tensor(name: &str, kind: i64, dims: &[i64], raw: &[u8]) -> Message {
    let tensor = dims.iter().fold(Message::default(), |tensor, dim| tensor.number(1, *dim));
    tensor.number(2, kind).bytes(8, name.as_bytes()).bytes(9, raw)
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> Message {
    tensor(name, FLOAT, dims, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

fn node(kind: &str, inputs: &[&str], output: &str, attributes: Vec<Message>) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, input| node.bytes(1, input.as_bytes()));
    let node = node.bytes(2, output.as_bytes()).bytes(4, kind.as_bytes());
    attributes.into_iter().fold(node, |node, attribute| node.message(5, attribute))
}

fn integers(name: &str, values: &[i64]) -> Message {
    let attribute = Message::default().bytes(1, name.as_bytes());
    values.iter().fold(attribute, |attribute, value| attribute.number(8, *value)).number(20, 7)
}

fn integer(name: &str, value: i64) -> Message {
    Message::default().bytes(1, name.as_bytes()).number(3, value).number(20, 2)
}

fn value(name: &str, dims: &[i64]) -> Message {
    let shape = dims
        .iter()
        .fold(Message::default(), |shape, dim| shape.message(1, Message::default().number(1, *dim)));
    let tensor = Message::default().number(1, FLOAT).message(2, shape);
    Message::default().bytes(1, name.as_bytes()).message(2, Message::default().message(1, tensor))
}

fn model(nodes: Vec<Message>, initializers: Vec<Message>, input: Message, output: Message) -> Vec<u8> {
    let graph = nodes.into_iter().fold(Message::default(), |graph, node| graph.message(1, node));
    let graph = initializers.into_iter().fold(graph.bytes(2, b"g"), |graph, it| graph.message(5, it));
    let graph = graph.message(11, input).message(12, output);
    let opset = Message::default().bytes(1, b"").number(2, 17);
    Message::default().number(1, 8).message(7, graph).message(8, opset).0
}

/// Side of the input, and of the cells that it looks at.
const SIDE: i64 = 320;
const CELL: i64 = 10;

/// A detector of the drawn match's ball, by its red: a score a cell, and a box of the cell's size around it.
fn ball_detector() -> Vec<u8> {
    let cells = SIDE / CELL;
    let count = cells * cells;
    let mut boxes = Vec::new();
    for row in 0..4 {
        for cell in 0..count {
            let (x, y) = ((cell % cells) as f32, (cell / cells) as f32);
            let centre = |at: f32| (at + 0.5) * CELL as f32;
            boxes.push(match row {
                0 => centre(x),
                1 => centre(y),
                _ => CELL as f32,
            });
        }
    }
    let shape: Vec<u8> = [1, 1, count].iter().flat_map(|dim: &i64| dim.to_le_bytes()).collect();
    model(
        vec![
            // Red less green, which nothing else in the drawing has; enough of it for a cell with a corner of the ball.
            node("Conv", &["images", "weights"], "red", vec![integers("kernel_shape", &[1, 1])]),
            node("Relu", &["red"], "positive", Vec::new()),
            node(
                "AveragePool",
                &["positive"],
                "cells",
                vec![integers("kernel_shape", &[CELL, CELL]), integers("strides", &[CELL, CELL])],
            ),
            node("Tanh", &["cells"], "sure", Vec::new()),
            node("Reshape", &["sure", "shape"], "scores", Vec::new()),
            node("Concat", &["boxes", "scores"], "output0", vec![integer("axis", 1)]),
        ],
        vec![
            floats("weights", &[1, 3, 1, 1], &[20.0, -20.0, 0.0]),
            floats("boxes", &[1, 4, count], &boxes),
            tensor("shape", INT64, &[3], &shape),
        ],
        value("images", &[1, 3, SIDE, SIDE]),
        value("output0", &[1, 5, count]),
    )
}

/// ONNX Runtime, where the tests' Python has it.
fn library() -> Option<PathBuf> {
    let python = std::env::var_os("ADIT_TEST_PYTHON").map(PathBuf::from);
    let found = python.and_then(|python| find_onnx_runtime(None, &python));
    if found.is_none() {
        let why = "no onnxruntime in the environment of ADIT_TEST_PYTHON";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{why}");
        eprintln!("skipped: {why}");
    }
    found
}

fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn refused(bytes: &[u8], library: &Path) -> String {
    let (_folder, path) = written(bytes);
    OnnxDetector::load(&path, library).unwrap_err().to_string()
}

#[tokio::test]
async fn a_detector_finds_the_ball_of_a_drawn_match() {
    let Some(library) = library() else { return };
    let (_folder, path) = written(&ball_detector());
    let detector = OnnxDetector::load(&path, &library).unwrap();
    assert_eq!(detector.describe(), "ONNX detector model.onnx, 320x320");
    let predictor = Predictor::Onnx(detector);
    let format = MatchFormat { width: 640, height: 360, fps: 25, seconds: 4 };
    let drawn = Match::new(5, format);
    let frames: Vec<u64> = (0..100).step_by(20).collect();
    let images: Vec<Image> = frames
        .iter()
        .map(|&index| {
            let pixels = drawn.frame(index).into();
            Image { frame_id: index as i64 * 3, width: 640, height: 360, pixels }
        })
        .collect();
    let task = || Task {
        challenge_id: "c".to_owned(),
        wanted: Wanted::Objects { batch_size: 64, n_keypoints: 32 },
        subject: Subject::Images(ImageStream::new(stream::iter(images.clone().into_iter().map(Ok)))),
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let Answer::Objects(found) = predictor.predict(task(), deadline).await.unwrap() else {
        panic!("objects")
    };
    assert_eq!(found.len(), frames.len());
    for (result, &index) in found.iter().zip(&frames) {
        assert_eq!(result["frame_id"], index * 3);
        let ball = drawn.objects(index).into_iter().find(|object| object.kind == Kind::Ball).unwrap();
        let best = &result["boxes"][0];
        let side = |key: &str| best[key].as_i64().unwrap();
        let centre = ((side("x1") + side("x2")) / 2, (side("y1") + side("y2")) / 2);
        // A cell is 20 pixels of the picture wide.
        assert!((centre.0 - (ball.bbox[0] + ball.bbox[2]) / 2).abs() <= 20, "{index}: {best} {ball:?}");
        assert!((centre.1 - (ball.bbox[1] + ball.bbox[3]) / 2).abs() <= 20, "{index}: {best} {ball:?}");
        assert_eq!(best["cls_id"], 0);
    }
    let Answer::Objects(again) = predictor.predict(task(), deadline).await.unwrap() else {
        panic!("objects")
    };
    assert_eq!(again, found, "the same answer twice");
}

#[test]
fn what_is_no_detector_is_refused_with_what_is_otherwise() {
    let Some(library) = library() else { return };
    assert!(refused(b"not a model", &library).contains("cannot be loaded as an ONNX model"));
    let copied = |input: &[i64]| {
        model(vec![node("Relu", &["x"], "y", Vec::new())], Vec::new(), value("x", input), value("y", input))
    };
    for (shape, said) in [
        (&[1, 10][..], "its input is [1, 10]"),
        (&[1, 3, 8, 8], "its output is [1, 3, 8, 8]"),
        (&[1, 1, 8, 8], "its input is [1, 1, 8, 8]"),
        (&[2, 3, 8, 8], "its input is [2, 3, 8, 8]"),
        (&[1, 3, 100_000, 8], "100000 pixels"),
    ] {
        let error = refused(&copied(shape), &library);
        assert!(error.contains(said) && error.contains("Ultralytics"), "{shape:?}: {error}");
    }
    let missing = OnnxDetector::load(Path::new("/nowhere/model.onnx"), &library).unwrap_err();
    assert!(matches!(missing, OnnxError::Model { .. }), "{missing}");
}

#[test]
fn what_is_no_library_is_refused() {
    let (_folder, path) = written(&ball_detector());
    let (_other, library) = written(b"no library");
    let error = OnnxDetector::load(&path, &library).unwrap_err();
    assert!(matches!(error, OnnxError::Library { .. }), "{error}");
    assert!(OnnxError::NoLibrary.to_string().contains("pip install onnxruntime"));
}

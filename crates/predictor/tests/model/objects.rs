//! Detectors.

use std::path::Path;

use adit_predictor::{
    Answer, Image, ImageStream, Model, ModelError, ModelSpec, OnnxConfig, OnnxError, Predictor, Provider,
    Runner, Subject, Task, Wanted,
};
use adit_synthetic::{Kind, Match, MatchFormat};
use futures_util::stream;

use super::onnx_file::{INT64, floats, integer, integers, model, node, tensor, value};
use super::{runner, soon, written};

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
        vec![value("output0", &[1, 5, count])],
    )
}

async fn load(path: &Path, runner: &Runner) -> Result<Model, ModelError> {
    Model::load(ModelSpec::ultralytics(path), runner).await
}

async fn refused(bytes: &[u8], runner: &Runner) -> String {
    let (_folder, path) = written(bytes);
    load(&path, runner).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_detector_finds_the_ball_of_a_drawn_match() {
    let Some(runner) = runner() else { return };
    let (_folder, path) = written(&ball_detector());
    let detector = load(&path, &runner).await.unwrap();
    assert_eq!(detector.describe(), "detector model.onnx, 320x320, on CPU");
    let predictor = Predictor::Model(detector);
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
    let Answer::Objects(found) = predictor.predict(task(), soon()).await.unwrap() else { panic!("objects") };
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
    let Answer::Objects(again) = predictor.predict(task(), soon()).await.unwrap() else { panic!("objects") };
    assert_eq!(again, found, "the same answer twice");
}

#[tokio::test]
async fn what_is_no_detector_is_refused_with_what_is_otherwise() {
    let Some(runner) = runner() else { return };
    assert!(refused(b"not a model", &runner).await.contains("cannot be loaded as an ONNX model"));
    let copied = |input: &[i64]| {
        model(
            vec![node("Relu", &["x"], "y", Vec::new())],
            Vec::new(),
            value("x", input),
            vec![value("y", input)],
        )
    };
    for (shape, said) in [
        (&[1, 10][..], "its input is x [1, 10] of 32-bit floats, and input.layout = [N, C, H, W] has 4 axes"),
        (
            &[1, 3, 8, 8],
            "its outputs are [[3, 8, 8]] an image, and expected is [4 + labels, boxes] or [boxes, 6]",
        ),
        (&[1, 1, 8, 8], "C of [N, C, H, W] is 1, and the number of colours is 3"),
        (&[1, 3, 100_000, 8], "sides have up to 4096 pixels"),
    ] {
        let error = refused(&copied(shape), &runner).await;
        assert!(error.contains(said), "{shape:?}: {error}");
    }
    let missing = load(Path::new("/nowhere/model.onnx"), &runner).await.unwrap_err();
    assert!(matches!(missing, ModelError::Onnx(OnnxError::Model { .. })), "{missing}");
}

#[tokio::test]
async fn what_is_no_library_is_refused() {
    let (_folder, path) = written(&ball_detector());
    let (_other, library) = written(b"no library");
    let error = load(&path, &Runner::Onnx(OnnxConfig::new(library))).await.unwrap_err();
    assert!(matches!(error, ModelError::Onnx(OnnxError::Library { .. })), "{error}");
    assert!(OnnxError::NoLibrary.to_string().contains("pip install onnxruntime"));
}

/// A GPU that is not there: named as absent, or passed over with cpu at the end of the list.
#[tokio::test]
async fn a_gpu_that_is_absent_refuses_or_falls_back_as_configured() {
    let Some(Runner::Onnx(config)) = runner() else { return };
    let (_folder, path) = written(&ball_detector());
    for absent in [Provider::Cuda, Provider::TensorRt] {
        let with = |providers: Vec<Provider>| Runner::Onnx(OnnxConfig { providers, ..config.clone() });
        let error = load(&path, &with(vec![absent])).await.unwrap_err();
        assert!(matches!(error, ModelError::Onnx(OnnxError::NoProvider { .. })), "{error}");
        assert!(error.to_string().contains("add cpu to the list"), "{error}");
        let model = load(&path, &with(vec![absent, Provider::Cpu])).await.unwrap();
        assert!(model.describe().ends_with("on CPU"), "{}", model.describe());
    }
}

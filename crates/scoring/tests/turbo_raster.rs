//! Polygons against what the upstream Python scorer made of them with OpenCV 4.12.

use std::path::PathBuf;

use adit_scoring::raster::{MAX_SIDE, Shape, fill_polygon, polygon_iou};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// For a quotient of two counts that are equal on both sides.
const EXACT: f64 = 1e-12;

fn cases<T: DeserializeOwned>(group: &str) -> Vec<T> {
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let path = folder.join("turbo_scoring.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: Value = serde_json::from_str(&text).expect("the file is JSON");
    let cases = file["groups"][group]["cases"].as_array().unwrap_or_else(|| panic!("{group}: no such group"));
    assert!(!cases.is_empty(), "{group} has no cases");
    cases
        .iter()
        .map(|case| serde_json::from_value(case.clone()).expect("a case has the group's form"))
        .collect()
}

#[derive(Debug, Deserialize)]
struct Owned {
    bbox_2d: [f64; 4],
    polygon: Option<Vec<(i32, i32)>>,
}

impl Owned {
    fn shape(&self) -> Shape<'_> {
        Shape { bbox: self.bbox_2d, polygon: self.polygon.as_deref() }
    }
}

#[derive(Deserialize)]
struct PolygonCase {
    a: Owned,
    b: Owned,
    image_height: Option<u32>,
    image_width: Option<u32>,
    mask_pixels_a: usize,
    mask_pixels_b: usize,
    iou: f64,
}

/// The pixels of a shape in a mask that no part of it is too large for.
fn pixels(shape: &Shape<'_>) -> usize {
    let corners = shape.corners();
    let furthest = |of: fn(&(i32, i32)) -> i32| {
        u32::try_from(corners.iter().map(of).max().unwrap_or(0) + 1).unwrap_or(1)
    };
    fill_polygon(&corners, furthest(|corner| corner.0), furthest(|corner| corner.1)).count()
}

#[test]
fn vectors_turbo_scoring_head_polygon_iou() {
    for (index, case) in cases::<PolygonCase>("head.polygon_iou").iter().enumerate() {
        let (a, b) = (case.a.shape(), case.b.shape());
        assert_eq!(pixels(&a), case.mask_pixels_a, "case {index}: pixels of a");
        assert_eq!(pixels(&b), case.mask_pixels_b, "case {index}: pixels of b");
        let iou = polygon_iou(&a, &b, case.image_width.zip(case.image_height));
        assert!((iou - case.iou).abs() <= EXACT, "case {index}: {iou}, expected {}", case.iou);
    }
}

/// Points near an image, and points anywhere: most of a line is then cut off.
fn point() -> impl Strategy<Value = (i32, i32)> {
    prop_oneof![3 => (-40..80, -40..80), 1 => (any::<i32>(), -40..80), 1 => any::<(i32, i32)>()]
}

fn shape() -> impl Strategy<Value = Owned> {
    let side = -40.0..80.0;
    let bbox = [side.clone(), side.clone(), side.clone(), side];
    (bbox, proptest::option::of(vec((-40..80, -40..80), 0..9)))
        .prop_map(|(bbox_2d, polygon)| Owned { bbox_2d, polygon })
}

proptest! {
    #[test]
    fn any_polygon_can_be_filled(points in vec(point(), 0..12), width in 0..64u32, height in 0..64u32) {
        let mask = fill_polygon(&points, width, height);
        let (columns, rows) = mask.size();
        prop_assert!(mask.count() <= columns * rows);
        for &(x, y) in &points {
            if let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y))
                && x < columns
                && y < rows
            {
                prop_assert!(mask.contains(x, y), "a corner belongs to its polygon");
            }
        }
    }

    #[test]
    fn overlap_is_a_part(a in shape(), b in shape()) {
        let (a, b) = (a.shape(), b.shape());
        let iou = polygon_iou(&a, &b, Some((64, 48)));
        prop_assert!((0.0..=1.0).contains(&iou));
        prop_assert_eq!(iou, polygon_iou(&b, &a, None));
    }
}

#[test]
fn a_mask_does_not_grow_without_end() {
    let far = vec![(0, 0), (i32::MAX, 0), (i32::MAX, i32::MAX), (i32::MIN, 7)];
    let shape = Shape { bbox: [0.0, 0.0, 1.0, 1.0], polygon: Some(&far) };
    let (width, height) = fill_polygon(&far, u32::MAX, 1).size();
    assert_eq!((width, height), (MAX_SIDE as usize, 1));
    assert_eq!(polygon_iou(&shape, &shape, None), 1.0);
}

#[test]
fn two_shapes_outside_the_image_are_the_same() {
    let outside = |x| [(x, -9), (x - 3, -5), (x, -3)];
    let (one, other) = (outside(-50), outside(40));
    let shape = |polygon| Shape { bbox: [0.0; 4], polygon: Some(polygon) };
    assert_eq!(polygon_iou(&shape(&one), &shape(&other), None), 1.0);
}

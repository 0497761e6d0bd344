//! Boxes that are turned.

/// The corners of a box of `[x, y, width, height]` around its middle, turned by `angle` radians.
pub(super) fn corners([x, y, width, height]: [f32; 4], angle: f32) -> [[f32; 2]; 4] {
    let (sin, cos) = angle.sin_cos();
    [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)].map(|(along, across)| {
        let (along, across) = (along * width, across * height);
        [x + along * cos - across * sin, y + along * sin + across * cos]
    })
}

/// Intersection over union.
pub(super) fn iou(a: ([f32; 4], f32), b: ([f32; 4], f32)) -> f32 {
    let (first, second) = (corners(a.0, a.1), corners(b.0, b.1));
    let shared = area(&clipped(&first, &second));
    let all = area(&first) + area(&second) - shared;
    if all > 0.0 { shared / all } else { 0.0 }
}

fn area(points: &[[f32; 2]]) -> f32 {
    let next = points.iter().cycle().skip(1);
    let twice: f32 = points.iter().zip(next).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum();
    twice.abs() / 2.0
}

/// The part of a polygon that lies in a box: cut along one side of the box after the other.
fn clipped(polygon: &[[f32; 2]], by: &[[f32; 2]; 4]) -> Vec<[f32; 2]> {
    let mut points = polygon.to_vec();
    for (number, from) in by.iter().enumerate() {
        let to = by[(number + 1) % 4];
        // Above 0 on the inner side.
        let side = |point: &[f32; 2]| {
            (to[0] - from[0]) * (point[1] - from[1]) - (to[1] - from[1]) * (point[0] - from[0])
        };
        let mut kept = Vec::with_capacity(points.len() + 1);
        for (at, point) in points.iter().enumerate() {
            let before = points[(at + points.len() - 1) % points.len()];
            let (here, there) = (side(point), side(&before));
            if (here >= 0.0) != (there >= 0.0) {
                let part = there / (there - here);
                kept.push([0, 1].map(|axis| before[axis] + (point[axis] - before[axis]) * part));
            }
            if here >= 0.0 {
                kept.push(*point);
            }
        }
        points = kept;
    }
    points
}

#[cfg(test)]
mod tests {
    use std::f32::consts::{FRAC_PI_2, FRAC_PI_4};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn overlaps_of_known_boxes() {
        let square = ([0.0, 0.0, 2.0, 2.0], 0.0);
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-5, "{a} instead of {b}");
        near(iou(square, square), 1.0);
        near(iou(square, ([0.0, 0.0, 2.0, 2.0], FRAC_PI_2)), 1.0);
        near(iou(square, ([1.0, 0.0, 2.0, 2.0], 0.0)), 1.0 / 3.0);
        near(iou(square, ([9.0, 0.0, 2.0, 2.0], 1.0)), 0.0);
        // The square and itself on its corner share a regular octagon.
        let octagon = 8.0 * (2.0_f32.sqrt() - 1.0);
        near(iou(square, ([0.0, 0.0, 2.0, 2.0], FRAC_PI_4)), octagon / (8.0 - octagon));
        near(iou(square, ([0.0, 0.0, 0.0, 0.0], 0.0)), 0.0);
    }

    proptest! {
        #[test]
        fn any_overlap_is_a_share_and_the_same_both_ways(
            a in prop::array::uniform4(0.1_f32..50.0), b in prop::array::uniform4(0.1_f32..50.0),
            turn_a in -4.0_f32..4.0, turn_b in -4.0_f32..4.0,
        ) {
            let (one, other) = (iou((a, turn_a), (b, turn_b)), iou((b, turn_b), (a, turn_a)));
            prop_assert!((-0.001..=1.001).contains(&one) && (one - other).abs() < 1e-3, "{} {}", one, other);
        }
    }
}

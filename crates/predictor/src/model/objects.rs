//! From a detector's outputs to the objects on an image.

mod mask;
mod rotated;

use serde_json::{Map, Value, json};

use super::prepare::Fit;
use super::spec::{Activation, Head, ObjectsSpec};
use super::spotting::sigmoid;

pub(super) use mask::Prototypes;

/// One image's part of an output: rows of columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) values: &'a [f32],
}

impl Rows<'_> {
    fn at(&self, row: usize, column: usize) -> f32 {
        self.values[row * self.columns + column]
    }
}

/// What there is besides a score a class behind the four numbers of a box.
fn extras(head: Head, rows: usize, classes: usize) -> Option<usize> {
    let extras = rows.checked_sub(4 + classes)?;
    let fits = match head {
        Head::Yolo | Head::Final => extras == 0,
        Head::YoloPose => extras > 0 && extras.is_multiple_of(3),
        Head::YoloSegment => extras > 0,
        Head::YoloObb => extras == 1,
    };
    fits.then_some(extras)
}

/// How the outputs are read, once it is known that they can be.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    spec: ObjectsSpec,
    head: Head,
    classes: usize,
}

impl Reading {
    /// `shapes` are the outputs' without the axis of images; `labels` is 0 where no labels are known.
    pub(super) fn new(spec: &ObjectsSpec, labels: usize, shapes: &[&[usize]]) -> Result<Self, String> {
        let head = match (spec.head, shapes) {
            (Some(head), _) => head,
            (None, [[_, 6]]) => Head::Final,
            (None, _) => Head::Yolo,
        };
        let wrong = |expected: String| {
            Err(format!("its outputs are {shapes:?} an image, and expected is {expected}"))
        };
        let classes = match (head, shapes) {
            (Head::Final, [[_, 6]]) => labels,
            (Head::Final, _) => return wrong("[boxes, 6]".to_owned()),
            (Head::YoloSegment, [[rows, boxes], [masks, ..]]) if *boxes > 0 && shapes[1].len() == 3 => {
                match extras(head, *rows, labels) {
                    Some(extras) if extras == *masks => labels,
                    _ => {
                        return wrong(format!(
                            "[4 + {labels} labels + masks, boxes] and [masks, height, width]"
                        ));
                    }
                }
            }
            (Head::YoloSegment, _) => {
                return wrong("[4 + labels + masks, boxes] and [masks, height, width]".to_owned());
            }
            (Head::Yolo, [[rows, boxes]]) if labels == 0 && *rows >= 5 && *boxes > 0 => rows - 4,
            (_, [[rows, boxes]]) if labels > 0 && *boxes > 0 && extras(head, *rows, labels).is_some() => {
                labels
            }
            (Head::Yolo, _) if labels == 0 => return wrong("[4 + labels, boxes] or [boxes, 6]".to_owned()),
            (Head::Yolo, _) => return wrong(format!("[4 + {labels} labels, boxes]")),
            (Head::YoloPose, _) => return wrong(format!("[4 + {labels} labels + 3 a keypoint, boxes]")),
            (Head::YoloObb, _) => return wrong(format!("[4 + {labels} labels + 1, boxes]")),
        };
        Ok(Self { spec: spec.clone(), head, classes })
    }

    /// What a chute answers of one image. `outputs` are its parts of the model's.
    pub(super) fn frame(
        &self,
        frame_id: i64,
        fit: &Fit,
        (output, prototypes): (Rows<'_>, Option<Prototypes<'_>>),
        n_keypoints: usize,
    ) -> Result<Map<String, Value>, String> {
        let every = output.values.iter().chain(prototypes.iter().flat_map(|prototypes| prototypes.values));
        if let Some(wrong) = every.into_iter().find(|value| !value.is_finite()) {
            return Err(format!("its output has {wrong} in it: the model or its input is broken"));
        }
        let found = self.found(&output);
        let (mut boxes, mut polygons, mut keypoints) = (Vec::new(), Vec::new(), Vec::new());
        for (number, found) in found.iter().enumerate() {
            let outline = match (self.head, prototypes) {
                (Head::YoloSegment, Some(prototypes)) => {
                    let coefficients: Vec<f32> =
                        (4 + self.classes..output.rows).map(|row| output.at(row, found.column)).collect();
                    Some(prototypes.outline(&coefficients, found.corners, fit))
                }
                (Head::YoloObb, _) => {
                    Some(rotated::corners(found.centre, found.angle).map(|[x, y]| fit.pixel(x, y)).to_vec())
                }
                _ => None,
            };
            if let Some(points) = outline {
                // Validators make a box of a polygon: a box beside it would count as another object.
                if points.len() >= 3 {
                    polygons.push(json!({"cls_id": found.class, "points": points, "conf": found.score}));
                }
                continue;
            }
            let [x1, y1, x2, y2] = found.corners;
            let ([x1, y1], [x2, y2]) = (fit.pixel(x1, y1), fit.pixel(x2, y2));
            boxes.push(
                json!({"x1": x1, "y1": y1, "x2": x2, "y2": y2, "cls_id": found.class, "conf": found.score}),
            );
            // Those of the best object: a pitch is one.
            if self.head == Head::YoloPose && number == 0 {
                keypoints = self.keypoints(&output, found.column, fit, n_keypoints);
            }
        }
        let mut frame = Map::new();
        frame.insert("frame_id".to_owned(), frame_id.into());
        frame.insert("boxes".to_owned(), boxes.into());
        if matches!(self.head, Head::YoloSegment | Head::YoloObb) {
            frame.insert("polygons".to_owned(), polygons.into());
        }
        // Null would end the validators' program.
        frame.insert("keypoints".to_owned(), keypoints.into());
        Ok(frame)
    }

    /// As many as are asked for: (0, 0) stands for one that is not seen, as validators read it.
    fn keypoints(&self, output: &Rows<'_>, column: usize, fit: &Fit, wanted: usize) -> Vec<Value> {
        let first = 4 + self.classes;
        let there = (output.rows - first) / 3;
        (0..wanted)
            .map(|number| {
                let at = |part: usize| output.at(first + number * 3 + part, column);
                let seen = number < there && self.probability(at(2)) >= 0.5;
                let (x, y) = if seen { fit.point(at(0), at(1)) } else { (0.0, 0.0) };
                json!([x, y])
            })
            .collect()
    }

    fn probability(&self, score: f32) -> f32 {
        match self.spec.activation {
            Activation::Sigmoid => sigmoid(score),
            Activation::None | Activation::Softmax => score,
        }
    }

    /// The objects, best first; of those that lie on one another only the best of each class.
    fn found(&self, output: &Rows<'_>) -> Vec<Found> {
        let mut found: Vec<Found> = match self.head {
            Head::Final => (0..output.rows).filter_map(|row| self.last(output, row)).collect(),
            _ => (0..output.columns).filter_map(|column| self.raw(output, column)).collect(),
        };
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut kept: Vec<Found> = Vec::new();
        for one in found {
            if kept.len() >= self.spec.most {
                break;
            }
            let covers = |other: &Found| other.class == one.class && self.iou(other, &one) > self.spec.iou;
            if self.head == Head::Final || !kept.iter().any(covers) {
                kept.push(one);
            }
        }
        kept
    }

    fn raw(&self, output: &Rows<'_>, column: usize) -> Option<Found> {
        let scores = (0..self.classes).map(|class| (class, output.at(4 + class, column)));
        let (class, score) = scores.max_by(|a, b| a.1.total_cmp(&b.1))?;
        let score = self.probability(score);
        if score < self.spec.threshold {
            return None;
        }
        let centre: [f32; 4] = std::array::from_fn(|row| output.at(row, column));
        let [x, y, half_width, half_height] = [centre[0], centre[1], centre[2] / 2.0, centre[3] / 2.0];
        let angle = if self.head == Head::YoloObb { output.at(output.rows - 1, column) } else { 0.0 };
        let corners = [x - half_width, y - half_height, x + half_width, y + half_height];
        Some(Found { centre, corners, angle, class, score, column })
    }

    fn last(&self, output: &Rows<'_>, row: usize) -> Option<Found> {
        let score = self.probability(output.at(row, 4));
        if score < self.spec.threshold {
            return None;
        }
        let corners = std::array::from_fn(|column| output.at(row, column));
        let class = output.at(row, 5).max(0.0) as usize;
        Some(Found { centre: [0.0; 4], corners, angle: 0.0, class, score, column: row })
    }

    fn iou(&self, a: &Found, b: &Found) -> f32 {
        match self.head {
            Head::YoloObb => rotated::iou((a.centre, a.angle), (b.centre, b.angle)),
            _ => iou(&a.corners, &b.corners),
        }
    }
}

/// An object, in pixels of the input.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Found {
    /// Middle along and across, width, height.
    centre: [f32; 4],
    /// Left, top, right, bottom, before it is turned.
    corners: [f32; 4],
    /// How far it is turned, in radians.
    angle: f32,
    class: usize,
    score: f32,
    /// Its column of the output, or its row where each is an object.
    column: usize,
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
    use super::super::prepare::Prepare;
    use super::super::spec::InputSpec;
    use super::super::tensor::Element;
    use super::*;

    /// An image of the input's own size.
    fn fit(width: u32, height: u32) -> Fit {
        let prepare = Prepare::new(&InputSpec::default(), (width, height), 1, Element::Byte);
        let rgb = vec![0; (width * height * 3) as usize];
        prepare.put_image(&mut prepare.blank(1), 0, (width, height), &rgb)
    }

    fn read(spec: &ObjectsSpec, labels: usize, shape: [usize; 2], values: &[f32]) -> Result<Value, String> {
        let reading = Reading::new(spec, labels, &[&shape])?;
        let rows = Rows { rows: shape[0], columns: shape[1], values };
        reading.frame(0, &fit(100, 100), (rows, None), 2).map(Value::Object)
    }

    fn of(head: Head) -> ObjectsSpec {
        ObjectsSpec { head: Some(head), ..ObjectsSpec::default() }
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
        let frame = read(&of(Head::Yolo), 2, [6, 4], &values).unwrap();
        assert_eq!(
            frame,
            json!({"frame_id": 0, "keypoints": [], "boxes": [
                {"x1": 6, "y1": 6, "x2": 14, "y2": 14, "cls_id": 0, "conf": 0.9_f32},
                {"x1": 6, "y1": 6, "x2": 14, "y2": 14, "cls_id": 1, "conf": 0.7_f32},
            ]})
        );
    }

    #[test]
    fn a_final_output_is_taken_as_it_is() {
        let values =
            [1.0, 2.0, 3.0, 4.0, 0.5, 2.0, 1.0, 2.0, 3.0, 4.0, 0.9, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        for spec in [ObjectsSpec::default(), of(Head::Final)] {
            let frame = read(&spec, 0, [3, 6], &values).unwrap();
            let scores: Vec<&Value> =
                frame["boxes"].as_array().unwrap().iter().map(|found| &found["conf"]).collect();
            assert_eq!(scores, [&json!(0.9_f32), &json!(0.5_f32)]);
        }
    }

    #[test]
    fn logits_of_a_detector_become_probabilities() {
        let spec = ObjectsSpec { activation: Activation::Sigmoid, threshold: 0.5, ..of(Head::Yolo) };
        let values = [5.0, 5.0, 5.0, 5.0, 2.0, 2.0, 2.0, 2.0, 0.0, -1.0];
        let frame = read(&spec, 1, [5, 2], &values).unwrap();
        assert_eq!(frame["boxes"].as_array().unwrap().len(), 1);
        assert_eq!(frame["boxes"][0]["conf"], 0.5);
    }

    #[test]
    fn keypoints_are_as_many_as_asked_for() {
        // One class, three keypoints of which the second is not seen; of two objects the better one's are given.
        let column =
            |score: f32| [50.0, 50.0, 20.0, 20.0, score, 1.0, 2.0, 0.9, 3.0, 4.0, 0.1, 5.0, 6.0, 0.9];
        let (good, poor) = (column(0.9), column(0.5).map(|value| value + 0.001));
        let values: Vec<f32> = poor.into_iter().zip(good).flat_map(|(a, b)| [a, b]).collect();
        let frame = read(&of(Head::YoloPose), 1, [14, 2], &values).unwrap();
        assert_eq!(frame["keypoints"], json!([[1.0, 2.0], [0.0, 0.0]]));
    }

    #[test]
    fn a_turned_box_is_a_polygon() {
        let values = [50.0, 50.0, 20.0, 10.0, 0.9, std::f32::consts::FRAC_PI_2];
        let frame = read(&of(Head::YoloObb), 1, [6, 1], &values).unwrap();
        assert_eq!(frame["boxes"], json!([]));
        assert_eq!(frame["polygons"][0]["points"], json!([[55, 40], [55, 60], [45, 60], [45, 40]]));
    }

    #[test]
    fn what_is_no_output_of_a_detector_is_refused_and_says_what_would_be() {
        let wrong = |head: Option<Head>, labels: usize, shapes: &[&[usize]], what: &str| {
            let spec = ObjectsSpec { head, ..ObjectsSpec::default() };
            let said = Reading::new(&spec, labels, shapes).unwrap_err();
            assert!(said.contains(what), "{said} does not say {what}");
        };
        wrong(None, 0, &[&[4, 10]], "[4 + labels, boxes] or [boxes, 6]");
        wrong(None, 0, &[&[84, 0]], "expected");
        wrong(None, 0, &[&[10]], "expected");
        wrong(None, 0, &[&[84, 10], &[1]], "expected");
        wrong(Some(Head::Yolo), 3, &[&[84, 10]], "[4 + 3 labels, boxes]");
        wrong(Some(Head::YoloPose), 1, &[&[7, 10]], "3 a keypoint");
        wrong(Some(Head::YoloObb), 1, &[&[5, 10]], "[4 + 1 labels + 1, boxes]");
        wrong(Some(Head::YoloSegment), 1, &[&[37, 10], &[31, 8, 8]], "masks");
        wrong(Some(Head::Final), 1, &[&[6, 10]], "[boxes, 6]");
        let error = read(&ObjectsSpec::default(), 0, [1, 6], &[f32::NAN; 6]).unwrap_err();
        assert!(error.contains("NaN"), "{error}");
    }
}

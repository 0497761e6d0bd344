//! Today's pillars of objects: boxes and polygons against those of the truth (Turbo Vision reference, section 9.5).
//! The pillars that look at labels and teams alone are [`objects::labels`](crate::objects::labels) and
//! [`objects::teams`](crate::objects::teams).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::element::required_iou;
use crate::objects::{BBox, COUNTING, Detection, Pairs, Predictions, THRESHOLDS, Truth};
use crate::raster::{Filled, Shape, polygon_iou};

/// Width and height of an image in pixels.
type Size = (u32, u32);

/// That of an image of which nothing is known.
const IMAGE: Size = (960, 540);

/// What detectors are judged by, each from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pillars {
    /// Whether shapes are where the truth has them: mean F1 at IoU 0.3 and 0.5.
    pub iou: f64,
    /// Whether there are as many: mean F1 at IoU 0.3.
    pub count: f64,
    /// Mean over the truth's classes of the average precision. The IoU from which an object is found hangs on its size.
    pub map50: f64,
    /// Found ones among those that were predicted.
    pub precision: f64,
    /// Found ones among those of the truth.
    pub recall: f64,
    /// 1 for no wrong prediction, falling to 0 at ten in each image.
    pub false_positive: f64,
    /// What it was in each frame of the truth, in its order.
    pub frames: Vec<FrameFindings>,
}

/// What was found in a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameFindings {
    /// The frame's number.
    pub number: i64,
    /// The frame's part of [`Pillars::iou`].
    pub iou: f64,
    /// The frame's part of [`Pillars::count`].
    pub count: f64,
    /// Objects of the truth that were found.
    pub found: usize,
    /// Predictions that found none.
    pub wrong: usize,
    /// Objects of the truth that were not found.
    pub missed: usize,
}

/// Judges a miner's objects. A frame that it leaves out has none; without truth everything is 0.
#[must_use]
pub fn judge(truth: &[Truth], predicted: &Predictions) -> Pillars {
    if truth.is_empty() {
        return Pillars::default();
    }
    let frames: Vec<Frame<'_>> = truth.iter().map(|truth| Frame::new(truth, predicted)).collect();
    let (pillars, hits) = find(&frames);
    let findings: Vec<FrameFindings> = frames
        .iter()
        .map(|frame| {
            let pairs = frame.pairs();
            let found = hits.get(&frame.number).copied().unwrap_or(0);
            FrameFindings {
                number: frame.number,
                iou: pairs.f1(&THRESHOLDS),
                count: pairs.f1(&COUNTING),
                found,
                wrong: frame.predicted.len().saturating_sub(found),
                missed: frame.truth.len().saturating_sub(found),
            }
        })
        .collect();
    let mean =
        |part: fn(&FrameFindings) -> f64| findings.iter().map(part).sum::<f64>() / findings.len() as f64;
    Pillars { iou: mean(|frame| frame.iou), count: mean(|frame| frame.count), frames: findings, ..pillars }
}

/// A frame of the truth as it is compared: with the shapes of the kind that the miner uses for each class.
struct Frame<'a> {
    number: i64,
    image: Option<Size>,
    truth: Vec<Object<'a>>,
    predicted: Vec<Seen<'a>>,
}

/// An object of the truth, in the shape that it is compared by.
struct Object<'a> {
    class: Cow<'a, str>,
    bbox: BBox,
    shape: Filled<'a>,
}

/// An object that was predicted.
struct Seen<'a> {
    class: Cow<'a, str>,
    detection: &'a Detection,
    shape: Filled<'a>,
}

/// Which shapes a miner uses for a class.
#[derive(Clone, Copy, PartialEq)]
enum Shapes {
    Boxes,
    Polygons,
    Both,
}

impl<'a> Frame<'a> {
    fn new(truth: &'a Truth, predicted: &'a Predictions) -> Self {
        let predicted = predicted.get(&truth.number).map_or(&[][..], Vec::as_slice);
        let predicted = predicted.iter().filter_map(|detection| {
            Some(Seen { class: class(detection)?, detection, shape: Filled::new(detection.shape()) })
        });
        let predicted: Vec<Seen<'_>> = predicted.collect();
        let mut shapes: HashMap<&str, Shapes> = HashMap::new();
        for one in &predicted {
            let shape = if one.detection.polygon.is_some() { Shapes::Polygons } else { Shapes::Boxes };
            let known = shapes.entry(&one.class).or_insert(shape);
            if *known != shape {
                *known = Shapes::Both;
            }
        }
        let unseen = if shapes.is_empty() { Shapes::Boxes } else { Shapes::Both };
        let objects = truth.detections.iter().filter_map(|one| {
            let class = class(one)?;
            let shape = shapes.get(class.as_ref()).copied().unwrap_or(unseen);
            let shape = match shape {
                Shapes::Boxes => Filled::new(Shape { polygon: None, ..one.shape() }),
                Shapes::Polygons => Filled::polygon(one.shape()),
                Shapes::Both => Filled::new(one.shape()),
            };
            Some(Object { class, bbox: one.bbox, shape })
        });
        Self { number: truth.number, image: truth.image, truth: objects.collect(), predicted }
    }

    fn pairs(&self) -> Pairs {
        Pairs::new(self.truth.len(), self.predicted.len(), |one, other| {
            polygon_iou(&self.truth[one].shape, &self.predicted[other].shape)
        })
    }
}

/// A class as it is compared; an object without a name is none.
fn class(one: &Detection) -> Option<Cow<'_, str>> {
    let name = one.label.trim_matches(adit_python::is_space);
    let is_lower = name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    let name = if is_lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_lowercase()) };
    (!name.is_empty()).then_some(name)
}

/// A class's objects in the frame of each number, and what was predicted of it, in the order of the frames.
#[derive(Default)]
struct Class<'a> {
    truth: HashMap<i64, Vec<(&'a Object<'a>, bool)>>,
    predicted: Vec<(f64, i64, &'a Seen<'a>)>,
}

/// The pillars over classes, and how many objects were found in the frames of each number.
fn find(frames: &[Frame<'_>]) -> (Pillars, HashMap<i64, usize>) {
    let images: HashMap<i64, Option<Size>> = frames.iter().map(|frame| (frame.number, frame.image)).collect();
    let mut classes: BTreeMap<&str, Class<'_>> = BTreeMap::new();
    for frame in frames {
        for one in &frame.truth {
            let class = classes.entry(&one.class).or_default();
            class.truth.entry(frame.number).or_default().push((one, false));
        }
        for one in &frame.predicted {
            // A score that is no number counts as certain.
            let score = one.detection.score.filter(|score| score.is_finite()).unwrap_or(1.0);
            classes.entry(&one.class).or_default().predicted.push((score, frame.number, one));
        }
    }
    let (mut hits, mut misses, mut objects) = (0, 0, 0);
    let mut hits_in: HashMap<i64, usize> = HashMap::new();
    let mut precisions = Vec::new();
    for class in classes.values_mut() {
        let there: usize = class.truth.values().map(Vec::len).sum();
        let found = class.find(&images);
        for (found, (_, number, _)) in found.iter().zip(&class.predicted) {
            *hits_in.entry(*number).or_default() += usize::from(*found);
        }
        let hit = found.iter().filter(|found| **found).count();
        (hits, misses, objects) = (hits + hit, misses + found.len() - hit, objects + there);
        if there > 0 {
            precisions.push(average_precision(&found, there));
        }
    }
    let share = |part: usize, of: usize| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    let wrong = misses as f64 / frames.len() as f64;
    let pillars = Pillars {
        map50: if precisions.is_empty() {
            0.0
        } else {
            precisions.iter().sum::<f64>() / precisions.len() as f64
        },
        precision: share(hits, hits + misses),
        recall: share(hits, objects),
        false_positive: (1.0 - wrong / 10.0).max(0.0),
        ..Pillars::default()
    };
    (pillars, hits_in)
}

impl Class<'_> {
    /// Whether each prediction, the surest first, finds an object that none before it has found.
    fn find(&mut self, images: &HashMap<i64, Option<Size>>) -> Vec<bool> {
        self.predicted.sort_by(|(one, ..), (other, ..)| other.total_cmp(one));
        let mut found = Vec::with_capacity(self.predicted.len());
        for (_, number, predicted) in &self.predicted {
            let image = images.get(number).copied().flatten();
            let mut best: Option<(f64, &mut (&Object<'_>, bool))> = None;
            for object in self.truth.get_mut(number).into_iter().flatten().filter(|(_, taken)| !taken) {
                let iou = polygon_iou(&predicted.shape, &object.0.shape);
                if iou > best.as_ref().map_or(0.0, |(best, _)| *best) {
                    best = Some((iou, object));
                }
            }
            found.push(match best {
                Some((iou, object)) if iou >= required_iou(area_ratio(object.0, image)) => {
                    object.1 = true;
                    true
                }
                _ => false,
            });
        }
        found
    }
}

fn area_ratio(object: &Object<'_>, image: Option<Size>) -> f64 {
    let [x1, y1, x2, y2] = object.bbox.map(|at| at as f64);
    let (width, height) = image.unwrap_or(IMAGE);
    (x2 - x1).max(0.0) * (y2 - y1).max(0.0) / (f64::from(height) * f64::from(width)).max(1.0)
}

/// The area under precision over recall, where the precision at a recall is the best at that recall or a higher one.
fn average_precision(found: &[bool], there: usize) -> f64 {
    let mut hits = 0;
    let steps = found.iter().enumerate().map(|(before, found)| {
        hits += usize::from(*found);
        (hits as f64 / there as f64, hits as f64 / (before + 1) as f64)
    });
    let mut steps: Vec<(f64, f64)> = steps.collect();
    for at in (1..steps.len()).rev() {
        steps[at - 1].1 = steps[at - 1].1.max(steps[at].1);
    }
    let mut area = 0.0;
    let mut before = 0.0;
    for (recall, precision) in steps {
        area += (recall - before) * precision;
        before = recall;
    }
    area
}

//! How long scoring one answer takes: a usual clip, and a flood of predictions.

use std::hint::black_box;

use adit_scoring::soccer::{Era, Event, actions, judge};
use criterion::{Criterion, criterion_group, criterion_main};

/// `count` actions spread over a clip of 750 frames (30 s), moved by `shift` frames.
fn events(count: usize, shift: usize) -> Vec<Event> {
    let names = actions(Era::Head);
    (0..count).map(|at| Event::new((at * 7919 + shift) as u64 % 750, names[at % names.len()].name)).collect()
}

fn soccer(criterion: &mut Criterion) {
    let truth = events(40, 0);
    for (name, count) in [("40 predictions", 40), ("10000 predictions", 10_000)] {
        let predictions = events(count, 5);
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| judge(Era::Head, black_box(&predictions), black_box(&truth)));
        });
    }
}

criterion_group!(benches, soccer);
criterion_main!(benches);

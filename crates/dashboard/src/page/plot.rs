//! Plots as SVG, without a style or script of their own: colours are the style sheet's, by class. Each is beside a table
//! or a sentence that says the same, so a screen reader gets its title alone.

use maud::{Markup, html};

/// Width of the drawings, in their own units; they scale.
const WIDTH: f64 = 720.0;

fn n(number: f64) -> String {
    if number.is_finite() { format!("{number:.1}") } else { "0".to_owned() }
}

/// A drawing of this height.
fn drawing(title: &str, class: &str, height: f64, inside: &Markup) -> Markup {
    html! {
        div.plot {
            svg.(class) viewBox={ "0 0 " (WIDTH) " " (n(height)) } role="img" aria-label=(title) focusable="false" {
                title { (title) }
                (inside)
            }
        }
    }
}

/// A bar of several parts.
pub(crate) struct Bar {
    /// Below it; empty for none.
    pub(crate) label: String,
    /// Said of it.
    pub(crate) hint: String,
    /// From the bottom up: a class and a height.
    pub(crate) parts: Vec<(&'static str, f64)>,
}

/// Bars beside each other, and a line at a height that has a meaning.
pub(crate) fn bars(
    title: &str,
    bars: &[Bar],
    height: f64,
    line: Option<(f64, &str)>,
    scale: &dyn Fn(f64) -> String,
) -> Markup {
    let tallest = bars.iter().map(|bar| bar.parts.iter().map(|part| part.1).sum::<f64>());
    let top = tallest.chain(line.map(|line| line.0)).fold(0.0, f64::max);
    let top = if top > 0.0 { top * 1.08 } else { 1.0 };
    let (base, step) = (height - 18.0, WIDTH / bars.len().max(1) as f64);
    let up = |value: f64| (base - 6.0) * (value / top).clamp(0.0, 1.0);
    let inside = html! {
        line.axis x1="0" x2=(WIDTH) y1=(n(base)) y2=(n(base)) {}
        @for (index, bar) in bars.iter().enumerate() {
            @let left = index as f64 * step;
            g {
                title { (bar.hint) }
                rect.touch x=(n(left)) y="0" width=(n(step)) height=(n(base)) {}
                @for (class, y, tall) in stack(&bar.parts, base, &up) {
                    rect.(class) x=(n(left + step * 0.14)) y=(n(y)) width=(n(step * 0.72)) height=(n(tall)) rx="1" {}
                }
            }
            @if !bar.label.is_empty() {
                text.label x=(n(left + step / 2.0)) y=(n(height - 4.0)) text-anchor="middle" { (bar.label) }
            }
        }
        @if let Some((value, words)) = line {
            @let y = base - up(value);
            line.limit x1="0" x2=(WIDTH) y1=(n(y)) y2=(n(y)) {}
            text.label x="0" y=(n((y - 4.0).max(10.0))) { (words) " " (scale(value)) }
        }
    };
    drawing(title, "bars", height, &inside)
}

/// Where each part of a bar is: its class, upper edge and height.
fn stack(parts: &[(&'static str, f64)], base: f64, up: &dyn Fn(f64) -> f64) -> Vec<(&'static str, f64, f64)> {
    let mut bottom = base;
    let mut stack = Vec::with_capacity(parts.len());
    for (class, value) in parts.iter().filter(|part| part.1 > 0.0) {
        let tall = up(*value).max(1.0);
        bottom -= tall;
        stack.push((*class, bottom, tall));
    }
    stack
}

/// A line through points, from the left to the right.
pub(crate) fn curve(
    title: &str,
    points: &[(i64, f64)],
    height: f64,
    ends: [&str; 2],
    scale: &dyn Fn(f64) -> String,
) -> Markup {
    let (Some(first), Some(last)) = (points.iter().map(|p| p.0).min(), points.iter().map(|p| p.0).max())
    else {
        return html! {};
    };
    let top = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let span = (last - first).max(1) as f64;
    let base = height - 18.0;
    let place = |(at, value): (i64, f64)| {
        let x = if last == first { WIDTH / 2.0 } else { (at - first) as f64 / span * (WIDTH - 12.0) + 6.0 };
        (x, base - if top > 0.0 { (base - 18.0) * value / top } else { 0.0 })
    };
    let path: Vec<String> =
        points.iter().map(|point| place(*point)).map(|(x, y)| format!("{},{}", n(x), n(y))).collect();
    let inside = html! {
        line.axis x1="0" x2=(WIDTH) y1=(n(base)) y2=(n(base)) {}
        line.grid x1="0" x2=(WIDTH) y1="18" y2="18" {}
        text.label x="0" y="13" { (scale(top)) }
        polyline.curve points=(path.join(" ")) {}
        @if let Some((x, y)) = points.last().map(|point| place(*point)) {
            circle.dot cx=(n(x)) cy=(n(y)) r="3.5" {}
        }
        text.label x="0" y=(n(height - 4.0)) { (ends[0]) }
        text.label x=(WIDTH) y=(n(height - 4.0)) text-anchor="end" { (ends[1]) }
    };
    drawing(title, "curve", height, &inside)
}

/// A piece of a waterfall.
pub(crate) struct Piece<'a> {
    pub(crate) name: &'a str,
    pub(crate) from: u64,
    pub(crate) took: u64,
    pub(crate) words: String,
}

/// Pieces of time below each other.
pub(crate) fn waterfall(title: &str, pieces: &[Piece<'_>]) -> Markup {
    let end =
        pieces.iter().map(|piece| piece.from.saturating_add(piece.took)).max().unwrap_or(0).max(1) as f64;
    let (left, right, row) = (110.0, 90.0, 24.0);
    let along = |at: u64| at as f64 / end * (WIDTH - left - right);
    let height = row * pieces.len() as f64 + 6.0;
    let inside = html! {
        line.axis x1=(n(left)) x2=(n(left)) y1="0" y2=(n(height)) {}
        @for (index, piece) in pieces.iter().enumerate() {
            @let y = index as f64 * row + 4.0;
            @let x = left + along(piece.from);
            @let wide = along(piece.took).max(1.5);
            text.name x=(n(left - 8.0)) y=(n(y + 13.0)) text-anchor="end" { (super::text::short(piece.name, 16)) }
            rect.(if index % 2 == 0 { "one" } else { "two" }) x=(n(x)) y=(n(y)) width=(n(wide)) height=(n(row - 7.0)) rx="2" {
                title { (piece.name) ": " (piece.words) }
            }
            text.label x=(n(x + wide + 6.0)) y=(n(y + 13.0)) { (piece.words) }
        }
    };
    drawing(title, "waterfall", height, &inside)
}

/// What was predicted at a frame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moment {
    pub(crate) frame: i64,
    pub(crate) action: String,
    /// 0 to 1.
    pub(crate) confidence: f64,
}

/// Most lanes and moments that are drawn; the table beside has them all.
const LANES: usize = 24;
const MOMENTS: usize = 2000;

/// Predictions by frame, a lane an action, as tall as they are sure.
pub(crate) fn timeline(title: &str, moments: &[Moment], frames: Option<u64>) -> Markup {
    let mut lanes: Vec<&str> = Vec::new();
    for moment in moments {
        if !lanes.contains(&moment.action.as_str()) && lanes.len() < LANES {
            lanes.push(&moment.action);
        }
    }
    lanes.sort_unstable();
    let (left, lane) = (150.0, 30.0);
    let height = lane * lanes.len() as f64 + 22.0;
    let last = moments.iter().map(|moment| moment.frame).max().unwrap_or(0);
    let end = frames.and_then(|frames| i64::try_from(frames).ok()).unwrap_or(0).max(last).max(1);
    let x = |frame: i64| left + frame.clamp(0, end) as f64 / end as f64 * (WIDTH - left - 8.0);
    let inside = html! {
        @for (index, action) in lanes.iter().enumerate() {
            @let base = (index + 1) as f64 * lane;
            text.name x=(n(left - 8.0)) y=(n(base - 8.0)) text-anchor="end" { (super::text::short(action, 20)) }
            line.grid x1=(n(left)) x2=(WIDTH) y1=(n(base)) y2=(n(base)) {}
            @for moment in moments.iter().take(MOMENTS).filter(|moment| moment.action == **action) {
                @let tall = (lane - 6.0) * moment.confidence.clamp(0.05, 1.0);
                rect.one x=(n(x(moment.frame) - 1.5)) y=(n(base - tall)) width="3" height=(n(tall)) {
                    title { (moment.action) " at frame " (moment.frame) ", confidence " (format!("{:.2}", moment.confidence)) }
                }
            }
        }
        text.label x=(n(left)) y=(n(height - 4.0)) { "frame 0" }
        text.label x=(WIDTH) y=(n(height - 4.0)) text-anchor="end" { "frame " (end) }
    };
    drawing(title, "timeline", height, &inside)
}

//! Who has the ball when. Distances in metres, from the corner at the top left; times in frames.

use std::ops::{Add, Mul, Sub};

use crate::TruthAction;

pub(crate) const LENGTH: f64 = 105.0;
pub(crate) const WIDTH: f64 = 68.0;
pub(crate) const GOAL_WIDTH: f64 = 7.32;

/// A keeper and five more, of the team that attacks to the right; the others stand mirrored.
const FORMATION: [Point; 6] = [
    Point(5.0, 34.0),
    Point(24.0, 16.0),
    Point(24.0, 52.0),
    Point(45.0, 34.0),
    Point(74.0, 18.0),
    Point(74.0, 50.0),
];
const MIDFIELDER: usize = 3;
const FIRST_FORWARD: usize = 4;

/// How far a player strays from that place, each way.
const STRAY: f64 = 4.0;

/// How fast the ball flies, in metres a second.
const BALL_SPEED: f64 = 60.0;

/// Passes before a forward shoots.
const PASSES_BEFORE_SHOT: u32 = 9;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point(pub(crate) f64, pub(crate) f64);

impl Add for Point {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1)
    }
}

impl Sub for Point {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0, self.1 - other.1)
    }
}

impl Mul<f64> for Point {
    type Output = Self;
    fn mul(self, by: f64) -> Self {
        Self(self.0 * by, self.1 * by)
    }
}

impl Point {
    pub(crate) fn distance(self, other: Self) -> f64 {
        let Self(x, y) = self - other;
        (x * x + y * y).sqrt()
    }
}

/// Where everything is in one frame.
pub(crate) struct Moment {
    pub(crate) players: [[Point; 6]; 2],
    pub(crate) ball: Point,
}

/// Where the ball is from some frame on.
#[derive(Debug, Clone, Copy)]
enum Ball {
    At { team: usize, player: usize },
    Flying { from: Point, to: Point, frames: u64 },
    InGoal(Point),
}

#[derive(Debug, Clone)]
pub(crate) struct Play {
    fps: u64,
    /// How each player strays: offset in frames and period in frames, along and across.
    strays: [[[(u64, u64); 2]; 6]; 2],
    /// By first frame, rising.
    ball: Vec<(u64, Ball)>,
    truth: Vec<TruthAction>,
}

impl Play {
    pub(crate) fn new(seed: u64, fps: u32, frames: u32) -> Self {
        let mut dice = Dice(seed);
        let (fps, frames) = (u64::from(fps), u64::from(frames));
        let mut stray = || {
            let period = fps * dice.between(6, 10);
            (dice.between(0, period), period)
        };
        let strays = std::array::from_fn(|_| std::array::from_fn(|_| [stray(), stray()]));
        let mut play = Self { fps, strays, ball: Vec::new(), truth: Vec::new() };
        play.script(&mut dice, frames);
        play.truth.retain(|row| row.frame < frames);
        play
    }

    pub(crate) fn truth(&self) -> &[TruthAction] {
        &self.truth
    }

    /// Where everything is in frame `frame`.
    pub(crate) fn at(&self, frame: u64) -> Moment {
        let players =
            std::array::from_fn(|team| std::array::from_fn(|player| self.player(team, player, frame)));
        let next = self.ball.partition_point(|(first, _)| *first <= frame);
        let (first, ball) = self.ball[next - 1];
        let ball = match ball {
            Ball::At { team, player } => self.foot(team, player, frame),
            Ball::Flying { from, to, frames } => {
                from + (to - from) * ((frame - first) as f64 / frames as f64)
            }
            Ball::InGoal(point) => point,
        };
        Moment { players, ball }
    }

    /// Passes among one team until a forward shoots and scores; then the other team kicks off.
    fn script(&mut self, dice: &mut Dice, frames: u64) {
        let (mut team, mut player) = (dice.below(2), MIDFIELDER);
        let (mut now, mut passes) = (0, 0);
        while now < frames {
            self.ball.push((now, Ball::At { team, player }));
            now += dice.between(self.fps * 2 / 5, self.fps * 3 / 5);
            if passes >= PASSES_BEFORE_SHOT && player >= FIRST_FORWARD {
                let goal = mirrored(Point(LENGTH + 1.5, WIDTH / 2.0), team);
                let arrival = self.kick("shot", now, self.foot(team, player, now), |_, _| goal);
                self.happens(arrival, "goal");
                self.ball.push((arrival, Ball::InGoal(goal)));
                now = arrival + self.fps;
                (team, player, passes) = (1 - team, MIDFIELDER, 0);
            } else {
                let receiver = (player + dice.below(4)) % 5 + 1;
                let from = self.foot(team, player, now);
                now = self.kick("pass", now, from, |play, frame| play.foot(team, receiver, frame));
                self.happens(now, "pass_received");
                (player, passes) = (receiver, passes + 1);
            }
        }
    }

    /// The ball leaves `from` at frame `now` and flies to where its target is when it arrives. Returns when.
    fn kick(&mut self, action: &str, now: u64, from: Point, target: impl Fn(&Self, u64) -> Point) -> u64 {
        let second = self.fps as f64;
        let flight = from.distance(target(self, now)) / BALL_SPEED * second;
        let frames = flight.clamp(0.3 * second, 0.6 * second).max(1.0) as u64;
        let to = target(self, now + frames);
        self.happens(now, action);
        self.ball.push((now, Ball::Flying { from, to, frames }));
        now + frames
    }

    fn happens(&mut self, frame: u64, action: &str) {
        let action = action.to_owned();
        self.truth.push(TruthAction { frame, action });
    }

    fn player(&self, team: usize, player: usize, frame: u64) -> Point {
        let [along, across] = self.strays[team][player].map(|(offset, period)| {
            let phase = ((frame + offset) % period) as f64 / period as f64;
            // A triangle wave from -1 to 1: as smooth as needed, and exact where a sine is not.
            ((phase * 4.0 - 2.0).abs() - 1.0) * STRAY
        });
        mirrored(FORMATION[player], team) + Point(along, across)
    }

    /// Where the ball lies when a player has it: in front of him.
    fn foot(&self, team: usize, player: usize, frame: u64) -> Point {
        let ahead = if team == 0 { 1.5 } else { -1.5 };
        self.player(team, player, frame) + Point(ahead, 1.0)
    }
}

/// A place of the team that attacks to the right, for either team.
fn mirrored(place: Point, team: usize) -> Point {
    match team {
        0 => place,
        _ => Point(LENGTH, WIDTH) - place,
    }
}

/// SplitMix64: a known sequence for every seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high - low + 1)
    }

    fn below(&mut self, count: u64) -> usize {
        (self.roll() % count) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plays() -> impl Iterator<Item = Play> {
        (0..20).map(|seed| Play::new(seed, 25, 750))
    }

    #[test]
    fn the_truth_is_in_the_clip_and_in_order() {
        for play in plays() {
            assert!(play.truth.is_sorted_by_key(|row| row.frame));
            assert!(play.truth.iter().all(|row| row.frame < 750));
        }
    }

    #[test]
    fn half_a_minute_has_every_action_and_mostly_passes() {
        for play in plays() {
            let count = |name| play.truth.iter().filter(|row| row.action == name).count();
            assert!((18..=30).contains(&count("pass")), "{} passes", count("pass"));
            assert!(count("pass_received") >= count("pass") - 1);
            assert!(count("shot") >= 1 && count("goal") >= 1);
        }
    }

    /// What is said to happen is what is seen: at a pass the ball is still with a player and then goes away
    /// from him, at a reception it gets to one.
    #[test]
    fn the_ball_leaves_a_foot_at_a_pass_and_reaches_one_at_a_reception() {
        let gap = |play: &Play, frame| {
            let moment = play.at(frame);
            let players = moment.players.iter().flatten();
            players.map(|player| player.distance(moment.ball)).fold(f64::INFINITY, f64::min)
        };
        for play in plays() {
            for row in &play.truth {
                let before_and_after = match row.action.as_str() {
                    "pass" | "shot" => (row.frame, row.frame + 2),
                    "pass_received" => (row.frame, row.frame - 2),
                    _ => continue,
                };
                let (at_foot, away) = before_and_after;
                assert!(gap(&play, at_foot) < 2.0, "{row:?}");
                if away < 750 {
                    let moved = play.at(away).ball.distance(play.at(at_foot).ball);
                    assert!(moved > 1.0, "{row:?}: {moved} metres in two frames");
                }
            }
        }
    }

    #[test]
    fn the_ball_is_behind_the_line_at_a_goal() {
        for play in plays() {
            for row in play.truth.iter().filter(|row| row.action == "goal") {
                let Point(x, y) = play.at(row.frame).ball;
                assert!(!(0.0..=LENGTH).contains(&x), "{x}");
                assert!((y - WIDTH / 2.0).abs() < GOAL_WIDTH / 2.0, "{y}");
            }
        }
    }
}

//! The stock rule: what a miner answers before it has a model. Its frames are those of the upstream sample
//! (private-track reference, section 4), so a rehearsal scores what a stock miner scores.

use serde_json::Map;

use crate::{Action, Answer, Grades, Need, PredictError, Subject, Task, Wanted};

/// Frames from one `pass` to the next: a second at the rate that validators score by.
const STEP: usize = 25;

pub(crate) fn predict(task: &Task) -> Result<Answer, PredictError> {
    task.check(Need::FrameCount)?;
    Ok(match task.wanted {
        Wanted::SoccerActions => Answer::Actions(match &task.subject {
            Subject::Pictures(pictures) => passes(pictures.iter().map(|(id, _)| *id)),
            clip => passes(0..clip.info().map_or(0, |info| info.frames)),
        }),
        Wanted::CricketDelivery => Answer::Delivery(Map::new()),
        Wanted::CardGrades => {
            Answer::Grades(Grades { card_grade: 5, surface: 5, centering: 5, edges: 5, corners: 5 })
        }
        Wanted::Objects { .. } => Answer::Objects(Vec::new()),
    })
}

fn passes(frames: impl Iterator<Item = u64>) -> Vec<Action> {
    frames.step_by(STEP).map(|frame| Action { frame, action: "pass".to_owned(), confidence: 1.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_falls_on_every_25th_frame() {
        let frames = |count| -> Vec<u64> { passes(0..count).iter().map(|a| a.frame).collect() };
        assert_eq!(frames(1), [0]);
        assert_eq!(frames(25), [0]);
        assert_eq!(frames(26), [0, 25]);
        assert_eq!(frames(60), [0, 25, 50]);
    }

    #[test]
    fn listed_frames_are_named_by_their_own_ids() {
        let ids = (0..30).map(|n| n * 10);
        assert_eq!(passes(ids).iter().map(|a| a.frame).collect::<Vec<_>>(), [0, 250]);
    }
}

//! The drawn match as its users see it.

use adit_synthetic::{Match, MatchFormat, TruthAction};

const FORMAT: MatchFormat = MatchFormat { width: 128, height: 72, fps: 25, seconds: 2 };

#[test]
fn the_same_seed_draws_the_same_frames() {
    let frames = |seed| Match::new(seed, FORMAT).frames().collect::<Vec<_>>();
    let first = frames(7);
    assert_eq!(first.len(), 50);
    assert!(first.iter().all(|frame| frame.len() == 128 * 72 * 3));
    assert!(first == frames(7));
    assert!(first != frames(8));
}

/// A change of the drawing, or a machine that draws differently, would make every stored score stale.
#[test]
fn the_drawing_is_the_one_of_this_version() {
    // FNV-1a over every byte of every frame.
    let sum = Match::new(7, FORMAT)
        .frames()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    assert_eq!(sum, 7_789_982_466_985_978_367);
}

#[test]
fn the_truth_has_the_shape_of_a_ground_truth_file() {
    let truth = Match::new(7, FORMAT).truth().to_vec();
    let text = serde_json::to_string(&truth[..1]).unwrap();
    assert_eq!(text, format!(r#"[{{"frame":{},"action":"pass"}}]"#, truth[0].frame));
    let read: Vec<TruthAction> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, truth[..1]);
}

#[test]
fn every_frame_shows_the_ball_and_both_teams() {
    let colours = |frame: &[u8], colour: [u8; 3]| frame.chunks(3).filter(|p| *p == colour).count();
    for frame in Match::new(7, FORMAT).frames() {
        assert!(colours(&frame, [255, 40, 40]) >= 4, "no ball");
        assert!(colours(&frame, [30, 60, 200]) >= 20, "no blue team");
        assert!(colours(&frame, [240, 240, 240]) >= 20, "no white team");
    }
}

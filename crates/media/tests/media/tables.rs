//! The sample-table parser against another one, and against tables that lie.

use std::sync::OnceLock;

use adit_media::ClipInfo;
use proptest::prelude::*;

use crate::clips::{made, numbered};

#[tokio::test]
async fn another_parser_reads_the_same_tables() {
    let clip = numbered(40, true).await;
    for (name, arguments) in [
        ("as encoded", "-i IN -c copy OUT"),
        ("with sound", "-i IN -f lavfi -i sine=d=1.6 -c:v copy -c:a aac -movflags +faststart OUT"),
        ("one frame", "-i IN -frames:v 1 OUT"),
        ("another rate", "-i IN -r 30000/1001 OUT"),
        ("irregular", "-i IN -vf settb=1/1000,setpts=N*40+mod(N*17\\,23) -vsync passthrough OUT"),
        ("hevc", "-i IN -c:v libx265 -x265-params log-level=error OUT"),
    ] {
        let clip = made(&clip, "mp4", arguments);
        let ours = ClipInfo::of_clip(&clip).unwrap();
        let theirs = re_mp4::Mp4::read_bytes(&clip).unwrap();
        let track =
            theirs.tracks().values().find(|track| track.kind == Some(re_mp4::TrackKind::Video)).unwrap();
        assert_eq!(ours.frames, track.samples.len() as u64, "{name}");
        assert_eq!((ours.width, ours.height), (u32::from(track.width), u32::from(track.height)), "{name}");
        assert_eq!(u64::from(ours.time_scale), track.timescale, "{name}");
        let duration: u64 = track.samples.iter().map(|sample| sample.duration).sum();
        assert_eq!(ours.duration, duration, "{name}");
        let end = track.samples.iter().map(|sample| sample.offset + sample.size).max().unwrap();
        assert_eq!(ours.sample_end, end, "{name}");
    }
}

fn clips() -> &'static [Vec<u8>] {
    static CLIPS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CLIPS.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let clip = runtime.block_on(numbered(40, true));
        let end = made(&clip, "mp4", "-i IN -c copy OUT");
        let fragmented = made(&clip, "mp4", "-i IN -c copy -movflags frag_keyframe+empty_moov OUT");
        vec![clip, end, fragmented]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_mutated_clip_never_panics(
        which in 0usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut clip = clips()[which].clone();
        // The tables are a few percent of a clip: aim at them.
        let tables: Vec<usize> = clip
            .windows(4)
            .enumerate()
            .filter(|(_, name)| [b"moov", b"moof"].contains(&<&[u8; 4]>::try_from(*name).unwrap()))
            .flat_map(|(at, _)| at.saturating_sub(4)..(at + 800))
            .filter(|at| *at < clip.len())
            .collect();
        for (place, value) in changes {
            clip[tables[place.index(tables.len())]] = value;
        }
        if let Some(cut) = cut {
            clip.truncate(cut.index(clip.len()));
        }
        let _ = ClipInfo::of_clip(&clip);
    }
}

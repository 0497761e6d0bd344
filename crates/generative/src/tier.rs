//! What a validator pays media as: their tier by size (generative reference, section 13).

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::Modality;

/// A video's tiers: from so many pixels a frame up.
const VIDEO: [(u64, &str); 3] = [(1_760_000, "1080p"), (780_000, "720p"), (0, "480p")];
/// A picture's tiers: from so many pixels along its shorter side up.
const IMAGE: [(u64, &str); 3] = [(3500, "4K"), (1900, "2K"), (0, "1K")];

/// Width and height in pixels, and the tier that they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Pixels a row.
    pub width: u64,
    /// Rows.
    pub height: u64,
}

impl Size {
    /// Of the media in a file; `None` where its size cannot be read.
    #[must_use]
    pub fn of(modality: Modality, file: &Path) -> Option<Self> {
        match modality {
            Modality::Image => {
                let size = imagesize::size(file).ok()?;
                Some(Self { width: size.width as u64, height: size.height as u64 })
            }
            Modality::Video => {
                let file = File::open(file).ok()?;
                let bytes = file.metadata().ok()?.len();
                let clip = re_mp4::Mp4::read(BufReader::new(file), bytes).ok()?;
                let tracks = clip.tracks().values().filter(|track| track.width > 0 && track.height > 0);
                let largest =
                    tracks.map(|track| Self { width: track.width.into(), height: track.height.into() });
                largest.max_by_key(|size| size.width * size.height)
            }
        }
    }

    /// What it is paid as, at most: a validator pays the lower of this and what it asked for.
    #[must_use]
    pub fn tier(self, modality: Modality) -> &'static str {
        let (measure, tiers) = match modality {
            Modality::Image => (self.width.min(self.height), IMAGE),
            Modality::Video => (self.width * self.height, VIDEO),
        };
        tiers.iter().find(|(least, _)| measure >= *least).map_or("", |(_, tier)| tier)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use adit_stand_in::media::{JPEG, MP4, PNG};

    use super::*;

    #[test]
    fn tiers_begin_where_the_reference_says() {
        let tier = |modality, width, height| Size { width, height }.tier(modality);
        for (size, expected) in [
            ((1920, 1080), "1080p"),
            ((1080, 1920), "1080p"),
            ((1759, 1000), "720p"),
            ((1280, 720), "720p"),
            ((779, 1000), "480p"),
        ] {
            assert_eq!(tier(Modality::Video, size.0, size.1), expected, "{size:?}");
        }
        for (size, expected) in
            [((4096, 3500), "4K"), ((3499, 9999), "2K"), ((1900, 2000), "2K"), ((1024, 1024), "1K")]
        {
            assert_eq!(tier(Modality::Image, size.0, size.1), expected, "{size:?}");
        }
    }

    #[test]
    fn sizes_are_read_from_files() {
        let size = |modality, bytes: &[u8]| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(bytes).unwrap();
            Size::of(modality, file.path())
        };
        for picture in [PNG, JPEG] {
            assert!(size(Modality::Image, picture).unwrap().width > 0);
        }
        assert!(size(Modality::Video, MP4).unwrap().height > 0);
        assert_eq!(size(Modality::Image, b"<html>"), None);
        assert_eq!(size(Modality::Video, b"<html>"), None);
    }
}

//! What a validator pays media as: their tier by size (generative reference, section 13).

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use crate::Modality;

/// Most of a clip's `moov` that is looked at. The tracks' headers stand at its beginning.
const MAX_MOVIE: u64 = 16 << 20;
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
                let movie = movie(File::open(file).ok()?)?;
                let tracks = Boxes(&movie).filter(|(name, _)| name == b"trak");
                let headers = tracks.flat_map(|(_, track)| Boxes(track).filter(|(name, _)| name == b"tkhd"));
                let sizes = headers.filter_map(|(_, header)| Self::of_track(header));
                sizes.filter(|size| size.width > 0).max_by_key(|size| size.width * size.height)
            }
        }
    }

    /// The last fields of a track's header: whole pixels in the upper half of each.
    fn of_track(header: &[u8]) -> Option<Self> {
        let [.., w0, w1, _, _, h0, h1, _, _] = header else { return None };
        let whole = |high: u8, low: u8| u64::from(u16::from_be_bytes([high, low]));
        Some(Self { width: whole(*w0, *w1), height: whole(*h0, *h1) })
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

/// The `moov` box of an MP4 or MOV file.
fn movie(mut file: File) -> Option<Vec<u8>> {
    loop {
        let mut head = [0; 16];
        file.read_exact(&mut head[..8]).ok()?;
        let [s0, s1, s2, s3, name @ ..] = head.first_chunk::<8>()?;
        let (mut length, mut header) = (u64::from(u32::from_be_bytes([*s0, *s1, *s2, *s3])), 8);
        let is_movie = name == b"moov";
        if length == 1 {
            file.read_exact(&mut head[8..]).ok()?;
            (length, header) = (u64::from_be_bytes(*head.last_chunk::<8>()?), 16);
        }
        let rest = length.checked_sub(header)?;
        if is_movie {
            let mut movie = Vec::new();
            file.take(rest.min(MAX_MOVIE)).read_to_end(&mut movie).ok()?;
            return Some(movie);
        }
        file.seek_relative(i64::try_from(rest).ok()?).ok()?;
    }
}

/// The boxes within one, by name, as far as they are whole.
struct Boxes<'b>(&'b [u8]);

impl<'b> Iterator for Boxes<'b> {
    type Item = ([u8; 4], &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_sub(8)?;
        let (payload, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*name, payload))
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
        assert_eq!(size(Modality::Video, MP4).unwrap(), Size { width: 96, height: 64 });
        // Cut anywhere, it is read or not, and nothing worse.
        for end in 0..MP4.len().min(3000) {
            let _ = size(Modality::Video, &MP4[..end]);
        }
        assert_eq!(size(Modality::Image, b"<html>"), None);
        assert_eq!(size(Modality::Video, b"<html>"), None);
    }
}

//! Still pictures: fetched or given as text, recognised by content, measured before they are decoded, and
//! decoded once to see that they are whole (private-track reference, section 4).

use adit_outbound::Download;
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout_at},
};

use crate::{Media, MediaError, ffmpeg::ChildLimits};

/// Python's decoder, which senders use, asks for padding; a lenient reader loses nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where a picture comes from.
#[derive(Debug, Clone, Copy)]
pub enum PictureSource<'a> {
    /// An http or https URL.
    Url(&'a str),
    /// Base64 text, with or without a `data:…;base64,` prefix.
    Base64(&'a str),
}

/// A picture that decodes.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The file as it came.
    pub bytes: Bytes,
    /// Its format, by content.
    pub format: PictureFormat,
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// The formats that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP, not animated.
    WebP,
}

impl PictureFormat {
    /// The usual suffix of a file of this format, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
        }
    }

    fn sniff(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            _ => None,
        }
    }

    /// ffmpeg's names of the demuxer and the decoder.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Png => ("png_pipe", "png"),
            Self::Jpeg => ("jpeg_pipe", "mjpeg"),
            Self::WebP => ("webp_pipe", "webp"),
        }
    }

    /// Width and height as the file's header says.
    fn size(self, bytes: &[u8]) -> Option<(u32, u32)> {
        match self {
            Self::Png => Some((be(bytes, 16, 4)?, be(bytes, 20, 4)?)),
            Self::Jpeg => jpeg_size(bytes),
            Self::WebP => webp_size(bytes),
        }
    }
}

/// A big-endian number of `width` bytes at `at`.
fn be(bytes: &[u8], at: usize, width: usize) -> Option<u32> {
    Some(bytes.get(at..at.checked_add(width)?)?.iter().fold(0, |n, byte| (n << 8) | u32::from(*byte)))
}

/// A little-endian one.
fn le(bytes: &[u8], at: usize, width: usize) -> Option<u32> {
    Some(bytes.get(at..at + width)?.iter().rev().fold(0, |n, byte| (n << 8) | u32::from(*byte)))
}

/// Walks the segments up to the first frame header.
fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)?) {
            // Fill bytes may stand before a marker.
            (0xff, 0xff) => at += 1,
            // SOF0 to SOF15, without DHT, JPG and DAC, which share their range.
            (0xff, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf) => {
                return Some((be(bytes, at + 7, 2)?, be(bytes, at + 5, 2)?));
            }
            (0xff, 0x01 | 0xd0..=0xd8) => at += 2,
            (0xff, _) => at += 2 + be(bytes, at + 2, 2)? as usize,
            _ => return None,
        }
    }
}

fn webp_size(bytes: &[u8]) -> Option<(u32, u32)> {
    match bytes.get(12..16)? {
        b"VP8X" => Some((le(bytes, 24, 3)? + 1, le(bytes, 27, 3)? + 1)),
        b"VP8L" => {
            let bits = le(bytes, 21, 4)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8 " => Some((le(bytes, 26, 2)? & 0x3fff, le(bytes, 28, 2)? & 0x3fff)),
        _ => None,
    }
}

impl Media {
    /// A picture that was fetched or decoded from text, and that decodes.
    ///
    /// # Errors
    /// `TooLarge` beyond the limits on bytes or pixels, `NotPicture` when it is empty, of another
    /// Content-Type or format, or damaged; and what fetching it may say.
    pub async fn picture(&self, source: PictureSource<'_>, deadline: Instant) -> Result<Picture, MediaError> {
        let limit = self.limits.max_picture_bytes;
        let bytes = match source {
            PictureSource::Base64(text) => from_base64(text, limit)?,
            PictureSource::Url(url) => {
                let download = self.client.get(url, &self.limits.fetch(limit, deadline)).await?;
                check_content_type(&download)?;
                download.bytes().await?
            }
        };
        if bytes.is_empty() {
            return Err(not_picture("it is empty"));
        }
        let format =
            PictureFormat::sniff(&bytes).ok_or_else(|| not_picture("it is neither PNG nor JPEG nor WebP"))?;
        let (width, height) = format
            .size(&bytes)
            .filter(|(width, height)| *width > 0 && *height > 0)
            .ok_or_else(|| not_picture("its header is damaged"))?;
        if u64::from(width) * u64::from(height) > self.limits.max_picture_pixels {
            return Err(MediaError::TooLarge {
                what: "the picture's size in pixels",
                limit: self.limits.max_picture_pixels,
            });
        }
        let picture = Picture { bytes, format, width, height };
        timed(self.decode_picture(&picture, deadline), deadline).await?;
        Ok(picture)
    }

    /// A picture's pixels: RGB24, row by row, `width * height * 3` bytes. Transparency is dropped, and how a camera
    /// was held is not looked at.
    ///
    /// # Errors
    /// `NotPicture` when it does not decode, `Timeout`, `Program`.
    pub async fn pixels(&self, picture: &Picture, deadline: Instant) -> Result<Bytes, MediaError> {
        let expected = picture.width as usize * picture.height as usize * 3;
        let mut pixels = Vec::with_capacity(expected);
        let decoding = self.decode(picture, "rgb24", deadline, |piece| pixels.extend_from_slice(piece));
        timed(decoding, deadline).await?;
        if pixels.len() != expected {
            return Err(not_picture(&format!("it has {} of {expected} bytes of pixels", pixels.len())));
        }
        Ok(pixels.into())
    }

    /// Decodes to grey, one byte a pixel, and looks only at how many there are.
    async fn decode_picture(&self, picture: &Picture, deadline: Instant) -> Result<(), MediaError> {
        let mut pixels = 0;
        self.decode(picture, "gray", deadline, |piece| pixels += piece.len() as u64).await?;
        let expected = u64::from(picture.width) * u64::from(picture.height);
        if pixels != expected {
            return Err(not_picture(&format!("it has {pixels} of {expected} pixels")));
        }
        Ok(())
    }

    /// Decodes to pixels of this format, which `take` gets in pieces.
    async fn decode(
        &self,
        picture: &Picture,
        pixel_format: &str,
        deadline: Instant,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), MediaError> {
        let (demuxer, decoder) = picture.format.names();
        let max_pixels = self.limits.max_picture_pixels.to_string();
        let arguments = [
            &["-xerror", "-err_detect", "explode", "-protocol_whitelist", "pipe"][..],
            &["-codec_whitelist", decoder, "-max_pixels", &max_pixels, "-threads", "1"],
            &["-noautorotate", "-f", demuxer, "-i", "pipe:0", "-frames:v", "1"],
            &["-pix_fmt", pixel_format, "-f", "rawvideo", "pipe:1"],
        ]
        .concat();
        let mut process = self.ffmpeg.start(&arguments, &ChildLimits::decoder(&self.limits, deadline))?;
        let mut input = process.take_input();
        let write = async {
            input.write(&picture.bytes).await?;
            drop(input);
            Ok(())
        };
        let stdout = &mut process.stdout;
        let read = async {
            let mut piece = vec![0; 64 << 10];
            loop {
                match stdout.read(&mut piece).await {
                    Ok(0) => return Ok(()),
                    Ok(read) => take(&piece[..read]),
                    Err(error) => return Err(MediaError::Program(format!("cannot be read: {error}"))),
                }
            }
        };
        tokio::try_join!(write, read)?;
        process.finish().await.map_err(|message| not_picture(&format!("it does not decode: {message}")))
    }
}

/// Bounds what a decoder takes.
async fn timed(
    decoding: impl Future<Output = Result<(), MediaError>>,
    deadline: Instant,
) -> Result<(), MediaError> {
    let late = |_| Err(MediaError::Timeout("the picture was not decoded".to_owned()));
    timeout_at(deadline, decoding).await.unwrap_or_else(late)
}

fn not_picture(what: &str) -> MediaError {
    MediaError::NotPicture(what.to_owned())
}

/// A Content-Type, where there is one, must be an image's or say nothing (`application/octet-stream`).
fn check_content_type(download: &Download) -> Result<(), MediaError> {
    let Some(claimed) = download.content_type() else { return Ok(()) };
    let lower = claimed.trim().to_ascii_lowercase();
    if lower.starts_with("image/") || lower.contains("application/octet-stream") {
        return Ok(());
    }
    let shown: String = claimed.chars().take(80).collect();
    Err(not_picture(&format!("its Content-Type is {shown:?}")))
}

fn from_base64(text: &str, limit: u64) -> Result<Bytes, MediaError> {
    let text = text.trim();
    let encoded = match text.split_at_checked(5) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("data:") => {
            let (kind, encoded) =
                rest.split_once(',').ok_or_else(|| not_picture("its data: URL has no comma"))?;
            if !kind.to_ascii_lowercase().ends_with(";base64") {
                return Err(not_picture("its data: URL is not in base64"));
            }
            encoded
        }
        _ => text,
    };
    // Four characters for three bytes, line ends on top: what is longer is refused before it is decoded.
    if encoded.len() as u64 > limit.div_ceil(3) * 4 + limit / 16 + 4 {
        return Err(MediaError::TooLarge { what: "the picture in bytes", limit });
    }
    let compact: Vec<u8> = encoded.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes =
        BASE64.decode(compact).map_err(|error| not_picture(&format!("its base64 is damaged: {error}")))?;
    if bytes.len() as u64 > limit {
        return Err(MediaError::TooLarge { what: "the picture in bytes", limit });
    }
    Ok(bytes.into())
}

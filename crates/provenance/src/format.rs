//! What kind of file the first bytes say it is.

use std::fmt;

/// A media format, told as the validators tell it: by the first bytes alone, whatever the file is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are named after the formats")]
pub enum Format {
    Png,
    Jpeg,
    WebP,
    Gif,
    Bmp,
    Tiff,
    Heic,
    Avif,
    M4a,
    Mov,
    ThreeGp,
    Mp4,
    WebM,
    Avi,
    Mp3,
    Wav,
    Flac,
    Ogg,
    /// None of these.
    Unknown,
}

impl Format {
    /// How many bytes [`Format::detect`] looks at.
    pub const HEAD: usize = 12;

    /// Reads the format off the first [`Format::HEAD`] bytes of a file. Fewer than four bytes say nothing.
    ///
    /// The rules and their order are the validators' (generative reference, section 9): an ISO base media file
    /// is judged by its major brand only, and one of a brand that is not listed is an MP4.
    #[must_use]
    pub fn detect(head: &[u8]) -> Self {
        if head.len() < 4 {
            return Self::Unknown;
        }
        let at = |offset: usize, bytes: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
        let long = head.len() >= Self::HEAD;
        match head {
            _ if at(0, b"\x89PNG\r\n\x1a\n") => Self::Png,
            _ if at(0, b"\xff\xd8\xff") => Self::Jpeg,
            _ if at(0, b"RIFF") && at(8, b"WEBP") => Self::WebP,
            _ if at(0, b"GIF87a") || at(0, b"GIF89a") => Self::Gif,
            _ if at(0, b"BM") => Self::Bmp,
            _ if at(0, b"II*\0") || at(0, b"MM\0*") => Self::Tiff,
            _ if long && at(4, b"ftyp") => Self::of_brand(&head[8..12]),
            _ if at(0, b"\x1a\x45\xdf\xa3") => Self::WebM,
            _ if at(0, b"RIFF") && at(8, b"AVI ") => Self::Avi,
            _ if at(0, b"ID3") => Self::Mp3,
            [0xff, 0xfb | 0xfa | 0xf3 | 0xf2, ..] => Self::Mp3,
            _ if at(0, b"RIFF") && at(8, b"WAVE") => Self::Wav,
            _ if at(0, b"fLaC") => Self::Flac,
            _ if at(0, b"OggS") => Self::Ogg,
            _ => Self::Unknown,
        }
    }

    fn of_brand(brand: &[u8]) -> Self {
        match brand {
            b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1" => Self::Heic,
            b"avif" => Self::Avif,
            b"M4A " | b"M4B " => Self::M4a,
            b"qt  " => Self::Mov,
            b"3gp4" | b"3gp5" | b"3gp6" | b"3g2a" => Self::ThreeGp,
            _ => Self::Mp4,
        }
    }

    /// The suffix that the validators give such a file, without the dot; `bin` for [`Format::Unknown`].
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Heic => "heic",
            Self::Avif => "avif",
            Self::M4a => "m4a",
            Self::Mov => "mov",
            Self::ThreeGp => "3gp",
            Self::Mp4 => "mp4",
            Self::WebM => "webm",
            Self::Avi => "avi",
            Self::Mp3 => "mp3",
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Ogg => "ogg",
            Self::Unknown => "bin",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "no media",
            Self::ThreeGp => "3GP",
            Self::WebP => "WebP",
            Self::WebM => "WebM",
            other => return f.write_str(&other.extension().to_uppercase()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn the_first_bytes_say_what_a_file_is() {
        for (head, format) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\r"[..], Format::Png),
            (b"\x89PNG\r\n", Format::Unknown),
            (b"\xff\xd8\xff\xe0", Format::Jpeg),
            (b"\xff\xd8\xff", Format::Unknown), // fewer than four bytes
            (b"RIFF\x10\0\0\0WEBP", Format::WebP),
            (b"RIFF\x10\0\0\0AVI ", Format::Avi),
            (b"RIFF\x10\0\0\0WAVE", Format::Wav),
            (b"RIFF\x10\0\0\0WEB", Format::Unknown),
            (b"GIF89a..", Format::Gif),
            (b"BM..", Format::Bmp),
            (b"II*\0", Format::Tiff),
            (b"\0\0\0\x18ftypisom", Format::Mp4),
            (b"\0\0\0\x18ftyp\0\0\0\0", Format::Mp4),
            (b"\0\0\0\x18ftypqt  ", Format::Mov),
            (b"\0\0\0\x18ftyp3gp4", Format::ThreeGp),
            (b"\0\0\0\x18ftypM4A ", Format::M4a),
            (b"\0\0\0\x18ftypmif1", Format::Heic),
            (b"\0\0\0\x18ftypavif", Format::Avif),
            (b"\0\0\0\x18ftypmp4", Format::Unknown), // the brand is cut off
            (b"\x1a\x45\xdf\xa3", Format::WebM),
            (b"\xff\xfb\x90\x00", Format::Mp3),
            (b"ID3\x04", Format::Mp3),
            (b"fLaC", Format::Flac),
            (b"OggS", Format::Ogg),
            (b"{\"prompt\"", Format::Unknown),
            (b"", Format::Unknown),
        ] {
            assert_eq!(Format::detect(head), format, "{head:?}");
        }
    }
}

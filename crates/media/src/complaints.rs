//! What a child says on its standard error: looked through for damage as it comes, and the first complaints
//! kept for the message.

use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of what the program complains about is kept.
const KEPT: usize = 4096;
/// Longest line that is looked at; the program cuts its own at 1 KiB.
const LINE: usize = 4096;
const MESSAGE: usize = 300;

/// Words by which libavcodec says that coded frames are damaged, while it still gives a picture and the
/// program still ends well (`-xerror` ends it only for a packet that gives none). Found by decoding clips
/// with random bytes changed, on ffmpeg 5.1. What is said about lists of reference frames (`mmco:`,
/// `co located POCs`, `Could not find ref`) is left out on purpose: an open group of pictures that was cut
/// without re-encoding is sound, and says so too.
const DAMAGE: [&str; 13] = [
    // H.264: entropy decoding lost its way in a slice. Other complaints about the slice come with it.
    "error while decoding MB",
    "decode_slice_header error",
    "corrupted macroblock",
    // H.264 and MPEG-4: macroblocks that never came were made up from their neighbours. Told as information,
    // and for some slices that end early the only thing told at all.
    "concealing ",
    // HEVC, whose decoder notices little.
    "cu_qp_delta",
    "CABAC_MAX_BIN",
    "Invalid NAL",
    // MPEG-4.
    "Error at MB",
    "damaged at",
    // AV1.
    "Failed to parse temporal unit",
    // The program and the demuxer.
    "Invalid data found",
    "corrupt decoded frame",
    "partial file",
];

/// What was said, in one short line each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaints {
    /// The first complaints, whatever they are about; empty when there were none.
    pub(crate) first: String,
    /// The first one that means damage.
    pub(crate) damage: Option<String>,
}

impl Complaints {
    /// Reads to the end of `pipe`, however much is said, so that a child never blocks. `file`, the argument
    /// by which the child knows its file, is not repeated.
    pub(crate) async fn read(mut pipe: impl AsyncRead + Unpin, file: Option<String>) -> Self {
        let mut said = Self::default();
        let (mut line, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(read @ 1..) = pipe.read(&mut piece).await {
            for byte in &piece[..read] {
                match byte {
                    b'\n' => said.line(&std::mem::take(&mut line), file.as_deref()),
                    _ if line.len() < LINE => line.push(*byte),
                    _ => {}
                }
            }
        }
        said.line(&line, file.as_deref());
        shorten(&mut said.first);
        said
    }

    fn line(&mut self, line: &[u8], file: Option<&str>) {
        let line = String::from_utf8_lossy(line);
        let damaged = DAMAGE.iter().any(|words| line.contains(words));
        let talk = line.contains("[info]") || line.contains("[warning]") || line.contains("Last message");
        if !damaged && (talk || line.trim().is_empty() || self.first.len() >= KEPT) {
            return;
        }
        let line = tidy(&line, file);
        if self.first.len() < KEPT {
            if !self.first.is_empty() {
                self.first.push_str("; ");
            }
            self.first.push_str(&line);
        }
        if damaged && self.damage.is_none() {
            let mut line = line;
            shorten(&mut line);
            self.damage = Some(line);
        }
    }
}

/// A complaint without its level, the memory address that differs from run to run, and the file's path.
fn tidy(line: &str, file: Option<&str>) -> String {
    let mut line: String = line.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some(file) = file {
        line = line.replace(file, "the file");
    }
    for level in ["[error] ", "[fatal] ", "[panic] ", "[info] ", "[warning] "] {
        line = line.replacen(level, "", 1);
    }
    match line.split_once(" @ 0x").and_then(|(before, rest)| Some((before, rest.split_once(']')?.1))) {
        Some((before, after)) => format!("{before}]{after}"),
        None => line,
    }
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MESSAGE) {
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Complaints {
        Complaints::read(text.as_bytes(), Some("file:/spool/adit-clip-1.mp4".to_owned())).await
    }

    #[tokio::test]
    async fn complaints_are_one_short_line_without_addresses_levels_or_talk() {
        let said = read(
            "[info] Input #0, mov, from 'file:/spool/adit-clip-1.mp4':\n\
             [h264 @ 0x55acbae28ac0] [error] Reference 4 >= 4\n    Last message repeated 1 times\n\n\
             [error] wrong\x1b[0m\nffmpeg: cannot load libx\n",
        );
        let said = said.await;
        assert_eq!(said.first, "[h264] Reference 4 >= 4; wrong [0m; ffmpeg: cannot load libx");
        assert_eq!(said.damage, None);
        assert_eq!(read(&"ä".repeat(9000)).await.first.chars().count(), MESSAGE);
    }

    #[tokio::test]
    async fn the_path_of_a_spooled_file_is_not_repeated() {
        let said = read("[error] file:/spool/adit-clip-1.mp4: Invalid data found").await;
        assert_eq!(said.first, "the file: Invalid data found");
        assert_eq!(said.damage.as_deref(), Some("the file: Invalid data found"));
    }

    #[tokio::test]
    async fn damage_is_noticed_however_late_it_is_told() {
        let harmless = "[h264 @ 0x5] [error] mmco: unref short failure\n".repeat(1000);
        assert_eq!(read(&harmless).await.damage, None);
        let told = "[h264 @ 0x5] [info] concealing 20 DC, 20 AC, 20 MV errors in P frame\n";
        let said = read(&(harmless + told)).await;
        assert_eq!(said.damage.unwrap(), "[h264] concealing 20 DC, 20 AC, 20 MV errors in P frame");
        assert!(said.first.starts_with("[h264] mmco: unref short failure; "), "{}", said.first);
    }

    #[tokio::test]
    async fn a_line_without_end_is_bounded() {
        let said = read(&("x".repeat(1 << 20) + "error while decoding MB")).await;
        assert_eq!(said.first.len(), MESSAGE);
    }
}

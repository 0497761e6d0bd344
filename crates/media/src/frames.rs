//! Decoded frames, one by one, as a decoder child gives them.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::pin,
};

use bytes::Bytes;
use tempfile::TempPath;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    ClipInfo, Ffmpeg, FourCc, MediaError, MediaLimits, Sampling,
    ffmpeg::{ChildLimits, Input, Process},
    pool::{Buffer, Pool},
    sampling::Plan,
    source::Samples,
};

/// Bytes of decoded frames that wait for their reader: as many as fit, but at least one frame and at most
/// eight.
const AHEAD: usize = 16 << 20;
const AHEAD_FRAMES: usize = 8;

/// Codecs that the decoder may open, by the decoders' own names.
const DECODERS: &str = "h264,hevc,mpeg4,vp9,libvpx-vp9,av1,libdav1d";

/// How a frame becomes pixels of the wanted size.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scaling {
    /// The same pixels whatever instructions the processor has.
    Exact,
    /// As OpenCV does it, which for a frame of the clip's own size gives OpenCV's pixels.
    OpenCv,
}

impl Scaling {
    /// The decoder's filters that make a coded picture of this codec one of this size.
    fn filters(self, codec: FourCc, width: u32, height: u32) -> String {
        match self {
            Self::Exact => format!("scale={width}:{height}:flags=bicubic+bitexact+accurate_rnd"),
            Self::OpenCv => {
                // OpenCV reads the place of colours between pixels from the picture, and these codecs say
                // `left` where a clip does not say otherwise. The scaler rounds the two orders of colours
                // differently, so OpenCV's is made first.
                let left = match &codec.0 {
                    b"av01" | b"vp09" => "",
                    _ => ":in_h_chr_pos=0",
                };
                format!("scale={width}:{height}:flags=bicubic{left},format=bgr24")
            }
        }
    }
}

/// The filter that turns pictures by so many quarters clockwise, if one is needed.
fn turn(quarters: u8) -> Option<String> {
    let filter = match quarters {
        1 => "transpose=clock",
        2 => "hflip,vflip",
        3 => "transpose=cclock",
        _ => return None,
    };
    Some(filter.to_owned())
}

/// Which frames are wanted, and at what size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameFormat {
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Which frames.
    pub sampling: Sampling,
}

impl FrameFormat {
    /// Bytes of one frame.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.width as usize * self.height as usize * 3
    }

    /// Whether frames like these can be given at all, whatever the clip: a predictor asks before it says that
    /// it is ready.
    ///
    /// # Errors
    /// `Unsupported` for frames without pixels, for a rate outside 0.001 to 1,000,000 a second and for every
    /// 0th frame, `TooLarge` for frames of more than [`MediaLimits::max_pixels`].
    pub fn check(&self, limits: &MediaLimits) -> Result<(), MediaError> {
        let pixels = u64::from(self.width) * u64::from(self.height);
        if pixels == 0 {
            return Err(MediaError::Unsupported("frames without pixels".to_owned()));
        }
        if pixels > limits.max_pixels {
            return Err(MediaError::TooLarge { what: "the frame size in pixels", limit: limits.max_pixels });
        }
        self.sampling.check()
    }
}

/// One decoded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// 0-based position in the clip, in presentation order, as OpenCV numbers it.
    pub index: u64,
    /// RGB24, row by row, `width * height * 3` bytes.
    pub pixels: Bytes,
}

/// The frames of one clip, as they are decoded. Dropping it kills the decoder and ends the download.
#[derive(Debug)]
pub struct FrameStream {
    info: ClipInfo,
    format: FrameFormat,
    frames: mpsc::Receiver<Frame>,
    decoding: Option<AbortOnDropHandle<Result<(), MediaError>>>,
}

impl FrameStream {
    /// What the sample table says.
    #[must_use]
    pub fn info(&self) -> &ClipInfo {
        &self.info
    }

    /// What was asked for.
    #[must_use]
    pub fn format(&self) -> FrameFormat {
        self.format
    }

    /// The next frame. `None` is a promise: the clip was whole, the decoder is content, and every frame that
    /// the table promises has been given. Cancel safe.
    ///
    /// # Errors
    /// Any [`MediaError`], after the frames that were decoded before it; then the stream has ended.
    pub async fn next(&mut self) -> Result<Option<Frame>, MediaError> {
        if let Some(frame) = self.frames.recv().await {
            return Ok(Some(frame));
        }
        let Some(decoding) = &mut self.decoding else { return Ok(None) };
        let outcome = decoding.await;
        self.decoding = None;
        match outcome {
            Ok(outcome) => outcome.map(|()| None),
            Err(error) => Err(MediaError::Program(format!("the decoding task failed: {error}"))),
        }
    }
}

/// Where a decoder's bytes come from.
pub(crate) enum Feed {
    /// Down a pipe while they arrive, after a prefix of our own.
    Pipe { prefix: Bytes, samples: Box<Samples> },
    /// A spooled file, which is removed when the decoder has ended.
    Spooled(TempPath),
    /// A file of somebody else's.
    File(PathBuf),
}

/// Starts a decoder.
pub(crate) async fn decode(
    ffmpeg: &Ffmpeg,
    limits: &MediaLimits,
    info: ClipInfo,
    (format, scaling): (FrameFormat, Scaling),
    feed: Feed,
    deadline: Instant,
) -> Result<FrameStream, MediaError> {
    let plan = Plan::new(format.sampling, info.frame_rate)?;
    let filters = filters(plan, &info, format, scaling);
    let mut process = start(ffmpeg, limits, &filters, &feed, deadline).await?;
    let input = process.take_input();
    let ahead = (AHEAD / format.frame_bytes()).clamp(1, AHEAD_FRAMES);
    let (sender, frames) = mpsc::channel(ahead);
    let promised = info.presented.map(|frames| plan.count(frames));
    // Those that wait, the one that is being filled and the one that is being looked at.
    let decoding = Decoding { plan, promised, pool: Pool::new(format.frame_bytes(), ahead + 2) };
    let task = tokio::spawn(async move {
        // A spooled file lives as long as the feed does, that is, as long as its decoder.
        let mut feed = feed;
        decoding.run(process, write(&mut feed, input), sender, deadline).await
    });
    Ok(FrameStream { info, format, frames, decoding: Some(AbortOnDropHandle::new(task)) })
}

/// The filters between a coded picture and a frame. Only wanted pictures are scaled, and only then turned:
/// most often they are smaller then.
fn filters(plan: Plan, info: &ClipInfo, format: FrameFormat, scaling: Scaling) -> String {
    let FrameFormat { mut width, mut height, .. } = format;
    if info.quarter_turns % 2 == 1 {
        (width, height) = (height, width);
    }
    let scale = scaling.filters(info.codec, width, height);
    plan.filter().into_iter().chain([scale]).chain(turn(info.quarter_turns)).collect::<Vec<_>>().join(",")
}

async fn start(
    ffmpeg: &Ffmpeg,
    limits: &MediaLimits,
    filters: &str,
    feed: &Feed,
    deadline: Instant,
) -> Result<Process, MediaError> {
    let file = |path: &Path| match path.to_str() {
        Some(path) => Ok(("file", format!("file:{path}"))),
        None => Err(MediaError::Unsupported(format!("a path that is not UTF-8: {}", path.display()))),
    };
    let (protocol, input) = match feed {
        Feed::Pipe { .. } => ("pipe", "pipe:0".to_owned()),
        Feed::Spooled(path) => file(path)?,
        Feed::File(path) => file(path)?,
    };
    let threads = limits.decoder_threads.max(1).to_string();
    let max_pixels = limits.max_pixels.to_string();
    let arguments = [
        // Errors end the decoder: a damaged frame is never papered over. (`-err_detect explode` would also
        // end it for bookkeeping errors in sound clips, such as those that were cut without re-encoding.)
        // One filter graph to the end: a new one for each picture size would count frames from 0 again.
        // One thread scales: a frame in slices takes the cores from the decoder, and more in all.
        &["-xerror", "-reinit_filter", "0", "-filter_threads", "1"][..],
        &["-protocol_whitelist", protocol, "-codec_whitelist", DECODERS],
        // What turns the pictures is among the filters: the decoder would also mirror them, and turn them by a
        // few degrees, and do so before it leaves out those that are not wanted.
        &["-noautorotate", "-max_pixels", &max_pixels, "-threads", &threads, "-f", "mov", "-i", &input],
        &["-map", "0:V:0", "-an", "-sn", "-dn", "-vf", filters],
        &ffmpeg.passthrough().await?,
        &["-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"],
    ]
    .concat();
    ffmpeg.start(&arguments, &ChildLimits::decoder(limits, deadline))
}

/// Feeds the decoder until it has every sample, or wants no more.
async fn write(feed: &mut Feed, mut input: Input) -> Result<(), MediaError> {
    let Feed::Pipe { prefix, samples } = feed else { return Ok(()) };
    // The prefix may be large, and is not needed again.
    let mut wanted = input.write(&std::mem::take(prefix)).await?;
    while wanted && let Some(bytes) = samples.next().await? {
        wanted = input.write(&bytes).await?;
    }
    Ok(())
}

struct Decoding {
    plan: Plan,
    promised: Option<u64>,
    pool: Pool,
}

impl Decoding {
    async fn run(
        self,
        process: Process,
        write: impl Future<Output = Result<(), MediaError>>,
        sender: mpsc::Sender<Frame>,
        deadline: Instant,
    ) -> Result<(), MediaError> {
        let mut decoded = 0;
        let work = self.read_all(process, write, sender, &mut decoded);
        let outcome = timeout_at(deadline, work).await;
        let promised = self.promised;
        match outcome {
            Ok(Ok(Ok(()))) if promised.is_none_or(|promised| promised == decoded) => Ok(()),
            Ok(Ok(Ok(()))) => Err(MediaError::Decoder { decoded, promised, message: String::new() }),
            Ok(Ok(Err(message))) => Err(MediaError::Decoder { decoded, promised, message }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(MediaError::Timeout(match promised {
                Some(promised) => format!("{decoded} of {promised} frames were decoded"),
                None => format!("{decoded} frames were decoded"),
            })),
        }
    }

    /// Feeds and reads at the same time. The inner result is the decoder's own verdict.
    async fn read_all(
        &self,
        mut process: Process,
        write: impl Future<Output = Result<(), MediaError>>,
        sender: mpsc::Sender<Frame>,
        decoded: &mut u64,
    ) -> Result<Result<(), String>, MediaError> {
        let stdout = &mut process.stdout;
        let read = async {
            while let Some(pixels) = read_frame(stdout, self.pool.take()).await? {
                let frame = Frame { index: self.plan.index(*decoded), pixels: pixels.freeze() };
                *decoded += 1;
                if sender.send(frame).await.is_err() {
                    break;
                }
            }
            Ok::<_, MediaError>(())
        };
        {
            let (mut write, mut read) = (pin!(write), pin!(read));
            tokio::select! {
                // What the source says is why a decoder that was fed too little ended.
                biased;
                written = &mut write => {
                    written?;
                    read.await?;
                }
                // A decoder that has ended wants no more, though the source may have more to wait for.
                read = &mut read => read?,
            }
        }
        Ok(process.finish().await)
    }
}

/// Fills `frame`; `None` at the end of the output.
async fn read_frame(
    output: &mut (impl AsyncRead + Unpin),
    mut frame: Buffer,
) -> Result<Option<Buffer>, MediaError> {
    let mut filled = 0;
    while filled < frame.len() {
        let read = output.read(&mut frame[filled..]).await;
        match read.map_err(|error| MediaError::Program(format!("cannot be read: {error}")))? {
            // Also in the middle of a frame: the decoder's exit status says why.
            0 => return Ok(None),
            read => filled += read,
        }
    }
    Ok(Some(frame))
}

//! Clips under limits: how much is fetched for what is asked. Reading a table is `mp4`'s, decoding is
//! `frames`'s, pictures are `picture`'s.

use std::path::Path;

use adit_outbound::Client;
use tempfile::TempPath;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout_at},
};

use crate::{
    ClipInfo, Ffmpeg, FrameFormat, FrameStream, MediaError, MediaLimits, Sampling,
    frames::{self, Feed, Scaling},
    mp4::Table,
    source::{self, Source},
};

/// Fetches, probes and decodes, each under the same limits. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Media {
    pub(crate) client: Client,
    pub(crate) ffmpeg: Ffmpeg,
    pub(crate) limits: MediaLimits,
}

/// A clip on disk, removed when dropped.
#[derive(Debug)]
pub struct ClipFile {
    path: TempPath,
    info: ClipInfo,
}

impl ClipFile {
    /// Where it is; the name ends in `.mp4`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the sample table says.
    #[must_use]
    pub fn info(&self) -> &ClipInfo {
        &self.info
    }
}

impl Media {
    /// Over one HTTP client and one decoder program.
    #[must_use]
    pub fn new(client: Client, ffmpeg: Ffmpeg, limits: MediaLimits) -> Self {
        Self { client, ffmpeg, limits }
    }

    /// The decoder program.
    #[must_use]
    pub fn ffmpeg(&self) -> &Ffmpeg {
        &self.ffmpeg
    }

    /// What the clip's sample table says. Nothing is decoded, and the download stops once the table is known.
    ///
    /// # Errors
    /// Any [`MediaError`] but `Decoder` and `Disk`.
    pub async fn frame_count(&self, url: &str, deadline: Instant) -> Result<ClipInfo, MediaError> {
        let mut source = self.open(url, deadline).await?;
        match source.find_table(&self.client).await? {
            Some(table) if !table.info.fragmented => Ok(table.info),
            _ => source.read_on().await.map(|table| table.info),
        }
    }

    /// The whole clip in a temporary file. It is not decoded: a damaged frame is found by whoever does.
    ///
    /// # Errors
    /// Any [`MediaError`] but `Decoder`.
    pub async fn file(&self, url: &str, deadline: Instant) -> Result<ClipFile, MediaError> {
        let (path, table) = self.spool(url, deadline).await?;
        Ok(ClipFile { path, info: table.info })
    }

    /// The clip's frames, decoded while it arrives.
    ///
    /// Bytes go to the decoder as they come when the table precedes the media data or can be fetched first by
    /// Range. A clip in fragments, one whose samples are out of order, or one whose table can only be reached
    /// through the media data is spooled to a file first, so that its frames are counted before the first one
    /// is given.
    ///
    /// # Errors
    /// Any [`MediaError`]; those of the decoder come from [`FrameStream::next`].
    pub async fn frames(
        &self,
        url: &str,
        format: FrameFormat,
        deadline: Instant,
    ) -> Result<FrameStream, MediaError> {
        format.check(&self.limits)?;
        let (feed, info) = self.feed(url, deadline).await?;
        let how = (format, Scaling::Exact);
        frames::decode(&self.ffmpeg, &self.limits, info, how, feed, deadline).await
    }

    /// As [`Media::frames`], of a clip on this host. It must stay as it is until the stream has ended.
    ///
    /// # Errors
    /// As [`Media::frames`]; `File` when it cannot be read, `TooLarge` when it has more than
    /// [`MediaLimits::max_bytes`].
    pub async fn frames_of_file(
        &self,
        path: &Path,
        format: FrameFormat,
        deadline: Instant,
    ) -> Result<FrameStream, MediaError> {
        format.check(&self.limits)?;
        let table = source::table_of_file(path, &self.limits);
        let late = |_| MediaError::Timeout("its sample table was not read".to_owned());
        let table = timeout_at(deadline, table).await.map_err(late)??;
        self.check_decodable(&table.info)?;
        let feed = Feed::File(path.to_owned());
        frames::decode(&self.ffmpeg, &self.limits, table.info, (format, Scaling::Exact), feed, deadline).await
    }

    /// As [`Media::frames`]: every frame, at the clip's own size, with the pixels that OpenCV's `VideoCapture` gives.
    ///
    /// # Errors
    /// As [`Media::frames`].
    pub async fn original_frames(&self, url: &str, deadline: Instant) -> Result<FrameStream, MediaError> {
        let (feed, info) = self.feed(url, deadline).await?;
        let format = FrameFormat { width: info.width, height: info.height, sampling: Sampling::Every };
        format.check(&self.limits)?;
        let how = (format, Scaling::OpenCv);
        frames::decode(&self.ffmpeg, &self.limits, info, how, feed, deadline).await
    }

    async fn feed(&self, url: &str, deadline: Instant) -> Result<(Feed, ClipInfo), MediaError> {
        let mut source = self.open(url, deadline).await?;
        let table = source.find_table(&self.client).await?;
        if let Some(piped) = self.pipe(source, table).await? {
            return Ok(piped);
        }
        tracing::debug!("the clip cannot be decoded while it arrives: spooling it");
        let (path, table) = self.spool(url, deadline).await?;
        self.check_decodable(&table.info)?;
        Ok((Feed::Spooled(path), table.info))
    }

    async fn open(&self, url: &str, deadline: Instant) -> Result<Source, MediaError> {
        let limits = self.limits.fetch(self.limits.max_bytes, deadline);
        Source::open(&self.client, url, limits, self.limits.max_frames).await
    }

    /// The way to the decoder through a pipe, if there is one.
    async fn pipe(
        &self,
        source: Source,
        table: Option<Table>,
    ) -> Result<Option<(Feed, ClipInfo)>, MediaError> {
        let Some(table) = table.filter(|table| !table.info.fragmented && table.in_order) else {
            return Ok(None);
        };
        self.check_decodable(&table.info)?;
        let start = table.sample_start.unwrap_or(table.info.sample_end);
        let Some(samples) = source.into_samples(start, table.info.sample_end) else { return Ok(None) };
        let info = table.info.clone();
        let prefix = source::prefix(table, start).await?;
        Ok(Some((Feed::Pipe { prefix, samples: Box::new(samples) }, info)))
    }

    fn check_decodable(&self, info: &ClipInfo) -> Result<(), MediaError> {
        if !matches!(&info.codec.0, b"avc1" | b"avc3" | b"hvc1" | b"hev1" | b"mp4v" | b"av01" | b"vp09") {
            return Err(MediaError::Unsupported(format!(
                "codec {}; H.264, HEVC, MPEG-4, VP9 and AV1 are, so encode the clip as one of these",
                info.codec
            )));
        }
        if u64::from(info.width) * u64::from(info.height) > self.limits.max_pixels {
            return Err(MediaError::TooLarge {
                what: "the clip's size in pixels",
                limit: self.limits.max_pixels,
            });
        }
        Ok(())
    }

    async fn spool(&self, url: &str, deadline: Instant) -> Result<(TempPath, Table), MediaError> {
        let mut source = self.open(url, deadline).await?;
        let (file, path) = tempfile::Builder::new()
            .prefix("adit-clip-")
            .suffix(".mp4")
            .tempfile_in(&self.limits.spool_dir)
            .map_err(MediaError::Disk)?
            .into_parts();
        let mut file = tokio::fs::File::from_std(file);
        while let Some(bytes) = source.next().await? {
            file.write_all(&bytes).await.map_err(MediaError::Disk)?;
        }
        file.flush().await.map_err(MediaError::Disk)?;
        Ok((path, source.finish()?))
    }
}

//! A task's picture or clip: the file that its journal names, and no other.

use std::fs::OpenOptions;
use std::io::{self, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path as FilePath;

use adit_journal::Find;
use adit_journal::record::{TaskMedia, TaskStep};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rustix::fs::OFlags;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::Shared;
use crate::Miner;

/// What a browser may be shown as what it is.
const KINDS: [&str; 6] = ["image/png", "image/jpeg", "image/webp", "image/gif", "video/mp4", "video/webm"];
/// Largest file that is served, in bytes.
const LARGEST: u64 = 512 << 20;
const PIECE: usize = 64 * 1024;
/// It is not to do anything by itself, whatever it is.
const POLICY: &str = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'";

/// Why there is nothing to show.
enum Missing {
    /// No such task, or it has no media.
    Unknown,
    /// There was a file.
    Removed,
    /// There is something else in its place, or it is of no kind that is shown.
    Unfit,
    /// The journal cannot be read.
    Unread,
}

/// `/media/{task}`.
pub(crate) async fn serve(
    State(shared): State<Shared>,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Response {
    match find(&shared, task, &headers).await {
        Ok(response) => response,
        Err(missing) => {
            let (status, words) = match missing {
                Missing::Unknown => (StatusCode::NOT_FOUND, "the journal names no media of this task"),
                Missing::Removed => (StatusCode::GONE, "the file was removed"),
                Missing::Unfit => (StatusCode::FORBIDDEN, "what is there is not what the journal names"),
                Missing::Unread => (StatusCode::INTERNAL_SERVER_ERROR, "the journal cannot be read"),
            };
            let mut response = Response::new(Body::from(words));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            response
        }
    }
}

/// Of which kind it is, where that kind is shown.
pub(crate) fn kind(media: &TaskMedia) -> Option<&'static str> {
    let (kind, _) = media.content_type.split_once(';').unwrap_or((&media.content_type, ""));
    KINDS.into_iter().find(|known| known.eq_ignore_ascii_case(kind.trim()))
}

async fn find(shared: &Shared, task: String, headers: &HeaderMap) -> Result<Response, Missing> {
    let reading = shared.sources.read(Miner::Generative, move |reader| {
        let find = Find { key: Some(&task), outcome: Some("fetched"), limit: 1, ..Find::event("task") };
        Ok(reader.find(&find)?.pop().and_then(|entry| entry.read::<TaskStep>()))
    });
    let step = reading.await.map_err(|_| Missing::Unread)?.flatten();
    let media = step.and_then(|step| step.media).ok_or(Missing::Unknown)?;
    let kind = kind(&media).ok_or(Missing::Unfit)?;
    let file = tokio::task::spawn_blocking(move || open(&media)).await.map_err(|_| Missing::Removed)??;
    let length = file.1;
    let mut file = File::from_std(file.0);
    let wanted = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok())
        .and_then(|range| part(range, length));
    let (first, count) = wanted.unwrap_or((0, length));
    if first > 0 {
        file.seek(SeekFrom::Start(first)).await.map_err(|_| Missing::Removed)?;
    }
    let mut response = Response::new(Body::from_stream(stream::try_unfold((file, count), next)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, count.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    if wanted.is_some() {
        let range = format!("bytes {first}-{}/{length}", first + count - 1);
        if let Ok(range) = HeaderValue::try_from(range) {
            headers.insert(header::CONTENT_RANGE, range);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

async fn next((mut file, left): (File, u64)) -> io::Result<Option<(Bytes, (File, u64))>> {
    if left == 0 {
        return Ok(None);
    }
    let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
    let read = file.read(&mut piece).await?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    piece.truncate(read);
    Ok(Some((piece.into(), (file, left - read as u64))))
}

/// The file that the journal names, as it was when it was named: a link is not followed, and one of another size is another.
fn open(media: &TaskMedia) -> Result<(std::fs::File, u64), Missing> {
    let path = FilePath::new(&media.path);
    let strays = path.components().any(|part| matches!(part, std::path::Component::ParentDir));
    if !path.is_absolute() || strays {
        return Err(Missing::Unfit);
    }
    // A pipe in its place would be waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound { Missing::Removed } else { Missing::Unfit }
    })?;
    let metadata = file.metadata().map_err(|_| Missing::Unfit)?;
    if metadata.is_file() && metadata.len() == media.bytes && media.bytes <= LARGEST {
        Ok((file, media.bytes))
    } else {
        Err(Missing::Unfit)
    }
}

/// The first byte and how many, of a range of one part; `None` where it is no such range, and then the whole is sent.
fn part(range: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let count = last.parse::<u64>().ok()?.min(length);
        return (count > 0).then(|| (length - count, count));
    }
    let first = first.parse::<u64>().ok()?;
    let last = if last.is_empty() { u64::MAX } else { last.parse().ok()? }.min(length.checked_sub(1)?);
    (first <= last).then(|| (first, last - first + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::part;

    #[test]
    fn a_range_is_cut_to_what_there_is() {
        assert_eq!(part("bytes=0-", 10), Some((0, 10)));
        assert_eq!(part("bytes=2-3", 10), Some((2, 2)));
        assert_eq!(part("bytes=-3", 10), Some((7, 3)));
        assert_eq!(part("bytes=5-99", 10), Some((5, 5)));
        for range in ["bytes=10-", "bytes=3-2", "bytes=-0", "bytes=0-1,3-4", "lines=0-", "bytes=x-"] {
            assert_eq!(part(range, 10), None, "{range}");
        }
        assert_eq!(part("bytes=0-", 0), None);
    }

    proptest! {
        #[test]
        fn a_range_never_leaves_the_file(first: u64, last: u64, length: u64) {
            for range in [format!("bytes={first}-{last}"), format!("bytes={first}-"), format!("bytes=-{last}")] {
                if let Some((first, count)) = part(&range, length) {
                    prop_assert!(count > 0 && first.checked_add(count).is_some_and(|end| end <= length));
                }
            }
        }
    }
}

//! Large files, which the Hub keeps outside git: where each one is to go is asked in batches (Git LFS), and it is sent
//! there straight from the disk, in one piece or in parts. What failed is sent again, and nothing else.
//!
//! The Hub's third way, Xet, is not offered to it. It takes files by the other two for good, and moves them over by itself
//! (<https://huggingface.co/docs/hub/xet/legacy-git-lfs>); and a Hub of one's own need not have it. What Xet would spare,
//! the unchanged pieces of a changed file, is little for models of some 30 MB.

use std::collections::HashMap;
use std::io::SeekFrom;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adit_outbound::{Limits, Response};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Value, json};
use tokio::io::AsyncSeekExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

use super::{
    BRANCH, Cause, Hub, LocalFile, RepositoryName, is_passing, json_in,
    push::{How, check},
    unreadable,
};

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.git-lfs+json");
/// How often a file's addresses are asked for at most: they are good for some hours.
const TICKETS: u32 = 3;
/// Parts that a store takes at most.
const MAX_PARTS: usize = 10_000;

/// Where a file is to go; nowhere, if it is there already.
#[derive(Debug)]
pub(super) struct Ticket {
    upload: Option<Destination>,
    verify: Option<Destination>,
}

#[derive(Debug)]
struct Destination {
    href: String,
    headers: HeaderMap,
    /// Bytes of a part and the address of each, where the file is to be cut.
    parts: Option<(u64, Vec<String>)>,
}

/// What the files of one push have in common while they are stored.
#[derive(Debug)]
pub(super) struct Transfers {
    /// Bytes that went out and were not lost again.
    pub(super) sent: Arc<AtomicU64>,
    /// As many files, or parts of files, are on their way at once.
    pub(super) at_once: usize,
    /// One for each of them.
    pub(super) slots: Semaphore,
    /// When all has to be done.
    pub(super) deadline: Instant,
}

impl Hub {
    /// Where files, by the SHA-256 and the size of each, are to go.
    pub(super) async fn tickets(
        &self,
        repository: &RepositoryName,
        objects: &[(&str, u64)],
    ) -> Result<HashMap<String, Ticket>, Cause> {
        let list: Vec<Value> = objects.iter().map(|(oid, size)| json!({"oid": oid, "size": size})).collect();
        let body = json!({
            "operation": "upload",
            "transfers": ["basic", "multipart"],
            "objects": list,
            "hash_algo": "sha256",
            "ref": {"name": BRANCH},
        });
        let url = format!("{}/{repository}.git/info/lfs/objects/batch", self.base);
        let mut headers = self.headers();
        headers.insert(header::ACCEPT, MEDIA_TYPE);
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        let answer =
            self.ask(Method::POST, &url, headers, body.to_string().into(), self.patience.answer).await?;
        if !answer.status.is_success() {
            return Err(self.refused(&answer, true));
        }
        let batch = json_in(&answer)?;
        if !matches!(batch["transfer"].as_str(), None | Some("basic" | "multipart")) {
            return Err(unreadable(&answer, "asks for a way of transfer that was not offered"));
        }
        let told =
            batch["objects"].as_array().ok_or_else(|| unreadable(&answer, "has no list of objects"))?;
        let mut tickets = HashMap::new();
        for object in told {
            let oid =
                object["oid"].as_str().ok_or_else(|| unreadable(&answer, "has an object without id"))?;
            if let Some(status) = object["error"]["code"].as_u64() {
                let said = object["error"]["message"].as_str().unwrap_or_default();
                let said = said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
                return Err(Cause::Refused { status: status.try_into().unwrap_or(0), said });
            }
            let destination = |action: &str| match &object["actions"][action] {
                Value::Null => Ok(None),
                told => Destination::read(told)
                    .map(Some)
                    .ok_or_else(|| unreadable(&answer, "has an unusable address for a file")),
            };
            tickets.insert(
                oid.to_owned(),
                Ticket { upload: destination("upload")?, verify: destination("verify")? },
            );
        }
        match objects.iter().all(|(oid, _)| tickets.contains_key(*oid)) {
            true => Ok(tickets),
            false => Err(unreadable(&answer, "says nothing about one of the files")),
        }
    }

    /// Stores a file, unless it is stored already.
    pub(super) async fn store(
        &self,
        repository: &RepositoryName,
        file: &LocalFile,
        sha256: &str,
        mut ticket: Ticket,
        transfers: &Transfers,
    ) -> Result<How, Cause> {
        let mut asked = 1;
        loop {
            let Some(upload) = &ticket.upload else {
                return Ok(How::WasStored);
            };
            let sent = async {
                self.send(file, sha256, upload, transfers).await?;
                match &ticket.verify {
                    Some(verify) => self.verify(sha256, file.size(), verify).await,
                    None => Ok(()),
                }
            };
            match sent.await {
                Ok(()) => return Ok(How::Stored),
                // As for an address that has run out, and for an upload that was complete before: its answer was lost.
                Err(Cause::Refused { status: 400..=410, .. } | Cause::Missing { .. }) if asked < TICKETS => {
                    check(file)?;
                    tracing::debug!(path = file.path(), "asking for new addresses");
                    asked += 1;
                    let mut tickets = self.tickets(repository, &[(sha256, file.size())]).await?;
                    ticket = tickets.remove(sha256).expect("there is a ticket for each object");
                }
                Err(cause @ (Cause::Changed { .. } | Cause::Read { .. })) => return Err(cause),
                Err(cause) => {
                    return Err(Cause::Storage { path: file.path().to_owned(), cause: Box::new(cause) });
                }
            }
        }
    }

    async fn send(
        &self,
        file: &LocalFile,
        sha256: &str,
        upload: &Destination,
        transfers: &Transfers,
    ) -> Result<(), Cause> {
        let size = file.size();
        let Some((part_size, urls)) = &upload.parts else {
            self.put(file, 0..size, &upload.href, &upload.headers, transfers).await?;
            return Ok(());
        };
        if urls.len() as u64 != size.div_ceil(*part_size) {
            return Err(Cause::Unreadable { status: 200, why: "has another number of parts than the file" });
        }
        let no_headers = HeaderMap::new();
        let parts = stream::iter((0u64..).zip(urls).map(|(at, url)| {
            let range = at * part_size..((at + 1) * part_size).min(size);
            let no_headers = &no_headers;
            async move {
                let answer = self.put(file, range, url, no_headers, transfers).await?;
                let etag = answer.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok());
                match etag.filter(|etag| !etag.is_empty()) {
                    Some(etag) => Ok(json!({"partNumber": at + 1, "etag": etag})),
                    None => Err(unreadable(&answer, "has no ETag")),
                }
            }
        }));
        let parts: Vec<Value> = parts.buffered(transfers.at_once).try_collect().await?;
        let body = json!({"oid": sha256, "parts": parts});
        self.tell(&upload.href, HeaderMap::new(), body).await
    }

    /// Says that a file is where it should be. The token goes along to the Hub itself only.
    async fn verify(&self, sha256: &str, size: u64, verify: &Destination) -> Result<(), Cause> {
        let own = |url: &str| Url::parse(url).map(|url| url.origin()).ok();
        let mut headers =
            if own(&verify.href) == own(&self.base) { self.headers() } else { HeaderMap::new() };
        headers.extend(verify.headers.clone());
        self.tell(&verify.href, headers, json!({"oid": sha256, "size": size})).await
    }

    async fn tell(&self, url: &str, mut headers: HeaderMap, body: Value) -> Result<(), Cause> {
        headers.insert(header::ACCEPT, MEDIA_TYPE);
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        let answer =
            self.ask(Method::POST, url, headers, body.to_string().into(), self.patience.commit).await?;
        if answer.status.is_success() { Ok(()) } else { Err(self.not_stored(&answer)) }
    }

    /// Puts a part of a file, again where that may help.
    async fn put(
        &self,
        file: &LocalFile,
        range: std::ops::Range<u64>,
        url: &str,
        headers: &HeaderMap,
        transfers: &Transfers,
    ) -> Result<Response, Cause> {
        let _slot = transfers.slots.acquire().await.expect("the semaphore is never closed");
        let unreadable = |cause| Cause::Read { path: file.path().to_owned(), cause };
        let length = range.end - range.start;
        let limits = Limits { idle: self.patience.silence, ..Limits::new(transfers.deadline, 1 << 20) };
        let mut attempt = 1;
        loop {
            check(file)?;
            let mut content = tokio::fs::File::open(file.location()).await.map_err(unreadable)?;
            content.set_max_buf_size(READ);
            content.seek(SeekFrom::Start(range.start)).await.map_err(unreadable)?;
            let (sent, all) = (Arc::new(AtomicU64::new(0)), Arc::clone(&transfers.sent));
            let mine = Arc::clone(&sent);
            let taken = move |bytes| {
                mine.fetch_add(bytes, Ordering::Relaxed);
                all.fetch_add(bytes, Ordering::Relaxed);
            };
            let put = self.client.put_file(url, headers.clone(), content, length, &limits, taken);
            let failed = match put.await {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) => match self.passing(&answer, attempt) {
                    Some(cause) => cause,
                    None => return Err(self.not_stored(&answer)),
                },
                Err(error) if is_passing(&error) => Cause::NoAnswer(error),
                Err(error) => return Err(Cause::NoAnswer(error)),
            };
            transfers.sent.fetch_sub(sent.load(Ordering::Relaxed), Ordering::Relaxed);
            check(file)?;
            self.pause(&mut attempt, transfers.deadline, failed).await?;
        }
    }

    /// What a store's refusal means. Its statuses are about addresses, not about the token.
    fn not_stored(&self, answer: &Response) -> Cause {
        Cause::Refused { status: answer.status.as_u16(), said: self.said(answer) }
    }
}

/// As much of a file is read at once.
const READ: usize = 512 * 1024;

impl Destination {
    fn read(told: &Value) -> Option<Self> {
        let href = told["href"].as_str()?.to_owned();
        let told: Vec<(&str, &str)> = told["header"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .collect();
        // A file that is to be cut says so by a header that is none: the parts' addresses stand beside it, by number.
        if let Some((_, size)) = told.iter().find(|(name, _)| *name == "chunk_size") {
            let size = size.parse().ok().filter(|size| *size > 0)?;
            let mut parts: Vec<(usize, &str)> =
                told.iter().filter_map(|(number, url)| Some((number.parse().ok()?, *url))).collect();
            parts.sort_unstable();
            let in_order = parts.iter().enumerate().all(|(at, (number, _))| *number == at + 1);
            if !in_order || parts.len() > MAX_PARTS {
                return None;
            }
            let urls = parts.into_iter().map(|(_, url)| url.to_owned()).collect();
            return Some(Self { href, headers: HeaderMap::new(), parts: Some((size, urls)) });
        }
        let mut headers = HeaderMap::new();
        for (name, value) in told {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            headers.insert(name.parse::<HeaderName>().ok()?, value);
        }
        Some(Self { href, headers, parts: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_one_address_with_its_headers_or_one_for_each_part() {
        let one =
            Destination::read(&json!({"href": "https://s3/a", "header": {"x-amz-acl": "private"}})).unwrap();
        assert_eq!(one.headers["x-amz-acl"], "private");
        assert!(one.parts.is_none());
        let bare = Destination::read(&json!({"href": "https://s3/a"})).unwrap();
        assert!(bare.headers.is_empty());
        let header = json!({"chunk_size": "5", "00002": "https://s3/2", "00001": "https://s3/1", "x": "y"});
        let cut = Destination::read(&json!({"href": "https://s3/done", "header": header})).unwrap();
        let urls = ["https://s3/1", "https://s3/2"].map(str::to_owned).to_vec();
        assert_eq!(cut.parts, Some((5, urls)));
        for nonsense in [
            json!({}),
            json!({"href": 1}),
            json!({"href": "https://s3/a", "header": {"chunk_size": "0"}}),
            json!({"href": "https://s3/a", "header": {"chunk_size": "many", "1": "https://s3/1"}}),
            json!({"href": "https://s3/a", "header": {"chunk_size": "5", "2": "https://s3/2"}}),
            json!({"href": "https://s3/a", "header": {"no name": "x"}}),
        ] {
            assert!(Destination::read(&nonsense).is_none(), "{nonsense}");
        }
    }
}

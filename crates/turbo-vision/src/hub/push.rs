//! A folder pushed as one commit on top of the newest one. What the repository has already is not sent; whatever moves
//! in the meantime, here or there, ends the push without a commit.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adit_outbound::Response;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderValue, Method, header};
use ring::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::{
    Action, BRANCH, Cause, Commit, Hub, HubError, LocalFile, RemoteFile, RepositoryName, Selection, encoded,
    is_passing, json_in, lfs::Transfers, selection::Stamp, unreadable,
};

/// A commit's title, as the guide's program writes it.
const SUMMARY: &str = "scorevision: push artifact";
/// Largest file that a commit carries itself, in bytes: the Hub refuses larger ones. What the Hub calls small is at most
/// that large usually.
const INLINE: u64 = 10 << 20;
/// All that a commit carries itself, in bytes, since it is in memory while it is sent.
const INLINE_ALL: u64 = 64 << 20;
/// Files asked about at once.
const BATCH: usize = 100;
/// The beginning of a file by which the Hub decides whether it is text, in bytes.
const SAMPLE: u64 = 512;
/// As much of a file is read at once.
const READ: usize = 1 << 20;
/// Files hashed at once: more than a disk likes is no use.
const HASHERS: usize = 4;
/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);

/// How a folder is pushed.
#[derive(Debug, Clone, Copy)]
pub struct PushOptions {
    /// Whether files that the repository has and the folder has not are deleted. Those that no push could have brought
    /// stay: what has a hidden part in its path (`.gitattributes`), or ends in `.lock`.
    pub delete_stale: bool,
    /// Files, or parts of files, that are sent at once; at least one.
    pub at_once: usize,
    /// For the whole push.
    pub deadline: Duration,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self { delete_stale: false, at_once: 4, deadline: Duration::from_secs(6 * 60 * 60) }
    }
}

/// What a push has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The folder was compared with the repository.
    Compared {
        /// Files that are new or changed.
        files: usize,
        /// Their bytes.
        bytes: u64,
        /// Files that the repository has as they are.
        unchanged: usize,
        /// Files that will be deleted.
        deleted: usize,
    },
    /// Large files are being stored.
    Storing {
        /// Files done.
        files: usize,
        /// Of so many.
        of_files: usize,
        /// Bytes done. A broken transfer takes its bytes back.
        bytes: u64,
        /// Of so many.
        of_bytes: u64,
    },
    /// All is stored, and the commit goes out.
    Committing,
}

/// Who is told how a push goes on. A closure is one.
pub trait Progress: Sync {
    /// Something happened.
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event) + Sync> Progress for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}

/// How a file came into the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// In the commit itself.
    Inline,
    /// It was sent to the store for large files.
    Stored,
    /// The store had its content already: nothing was sent.
    WasStored,
}

/// A file that is new or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// How it came there.
    pub how: How,
}

/// A folder that is at the Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The commit that has the folder's files.
    pub revision: Commit,
    /// Whether it was made by this push; else the repository had all of it.
    pub committed: bool,
    /// What is new or changed, in order.
    pub sent: Vec<Sent>,
    /// What the repository had as it is, in order.
    pub unchanged: Vec<String>,
    /// What was deleted, in order.
    pub deleted: Vec<String>,
    /// What the repository's own `.gitignore` keeps out, in order.
    pub ignored: Vec<String>,
}

/// A file that is new or changed, as far as it is known.
struct Change<'a> {
    file: &'a LocalFile,
    /// Of its content, once it was needed.
    sha256: Option<String>,
    how: Option<How>,
}

impl Hub {
    /// Pushes a folder's files to the main branch, in one commit on top of the newest one. Where the repository has all of
    /// them already, nothing is committed, and the newest commit is the revision.
    ///
    /// Two pushes at once are never mixed: a revision is a whole folder that somebody tried. Who comes second gets
    /// [`Cause::Moved`], also where the two touch different files.
    ///
    /// # Errors
    /// [`Cause::Moved`], [`Cause::Changed`], [`Cause::Storage`], [`Cause::OutOfTime`], [`Cause::Unknown`], or what any
    /// call can meet. Without a commit nothing is visible at the Hub, and a further push sends only what is missing.
    pub async fn push(
        &self,
        repository: &RepositoryName,
        selection: &Selection,
        options: &PushOptions,
        progress: &dyn Progress,
    ) -> Result<Pushed, HubError> {
        let deadline = Instant::now() + options.deadline;
        let push = Push { hub: self, repository, options, progress, deadline };
        let done = timeout_at(deadline, push.run(selection)).await;
        let done = match done.unwrap_or(Err(Cause::OutOfTime(options.deadline))) {
            Err(Cause::Unknown(why)) => Err(Cause::Unknown(why)),
            Err(_) if Instant::now() >= deadline => Err(Cause::OutOfTime(options.deadline)),
            done => done,
        };
        done.map_err(|cause| HubError { action: Action::Push(repository.clone()), cause })
    }

    /// Whether the repository's newest commit has all of a folder already, so that a push with these options would change
    /// nothing.
    ///
    /// # Errors
    /// As [`Hub::push`], but for those of storing and committing.
    pub async fn has(
        &self,
        repository: &RepositoryName,
        selection: &Selection,
        options: &PushOptions,
    ) -> Result<bool, HubError> {
        let deadline = Instant::now() + options.deadline;
        let push = Push { hub: self, repository, options, progress: &|_: &Event| (), deadline };
        let looked = timeout_at(deadline, push.look(selection)).await;
        let looked = looked.unwrap_or(Err(Cause::OutOfTime(options.deadline)));
        looked
            .map(|looked| looked.parent.is_some() && looked.changes.is_empty() && looked.deleted.is_empty())
            .map_err(|cause| HubError { action: Action::Push(repository.clone()), cause })
    }
}

/// What a push finds to do.
struct Looked<'f> {
    parent: Option<Commit>,
    changes: Vec<Change<'f>>,
    unchanged: Vec<String>,
    deleted: Vec<String>,
    ignored: Vec<String>,
}

struct Push<'a> {
    hub: &'a Hub,
    repository: &'a RepositoryName,
    options: &'a PushOptions,
    progress: &'a dyn Progress,
    deadline: Instant,
}

impl Push<'_> {
    /// Compares the folder with the newest commit.
    async fn look<'f>(&self, selection: &'f Selection) -> Result<Looked<'f>, Cause> {
        self.hub.needs_token()?;
        let parent = self.hub.info(self.repository).await?.head;
        let remote = match &parent {
            Some(parent) => self.hub.tree(self.repository, parent.as_str()).await?,
            None => Vec::new(),
        };
        let deleted = if self.options.delete_stale { stale(selection, &remote) } else { Vec::new() };
        let (mut changes, unchanged) = self.compare(selection, &remote).await?;
        self.progress.event(&Event::Compared {
            files: changes.len(),
            bytes: changes.iter().map(|change| change.file.size()).sum(),
            unchanged: unchanged.len(),
            deleted: deleted.len(),
        });
        let ignored = self.classify(&mut changes).await?;
        Ok(Looked { parent, changes, unchanged, deleted, ignored })
    }

    async fn run(&self, selection: &Selection) -> Result<Pushed, Cause> {
        let Looked { parent, mut changes, unchanged, deleted, ignored } = self.look(selection).await?;
        let nothing = changes.is_empty() && deleted.is_empty();
        if let (true, Some(revision)) = (nothing, &parent) {
            let revision = revision.clone();
            return Ok(Pushed { revision, committed: false, sent: Vec::new(), unchanged, deleted, ignored });
        }
        self.store(&mut changes).await?;
        self.progress.event(&Event::Committing);
        // Those that stay as they are belong to the revision too.
        for file in selection.files() {
            check(file)?;
        }
        let revision = self.commit(parent.as_ref(), &changes, &deleted).await?;
        let sent = changes.iter().map(|change| Sent {
            path: change.file.path().to_owned(),
            size: change.file.size(),
            how: change.how.unwrap_or(How::Inline),
        });
        Ok(Pushed { revision, committed: true, sent: sent.collect(), unchanged, deleted, ignored })
    }

    /// What is new or changed, and what is as it was.
    async fn compare<'f>(
        &self,
        selection: &'f Selection,
        remote: &[RemoteFile],
    ) -> Result<(Vec<Change<'f>>, Vec<String>), Cause> {
        let remote: BTreeMap<&str, &RemoteFile> =
            remote.iter().map(|file| (file.path.as_str(), file)).collect();
        let compared = stream::iter(selection.files().iter().map(|file| {
            let known = remote.get(file.path()).filter(|known| known.size == file.size());
            async move {
                let (sha256, same) = match known {
                    None => (None, false),
                    Some(RemoteFile { sha256: Some(stored), .. }) => {
                        let sha256 = digest(file, Id::Sha256).await?;
                        let same = sha256 == *stored;
                        (Some(sha256), same)
                    }
                    Some(RemoteFile { oid, .. }) => (None, digest(file, Id::Blob).await? == *oid),
                };
                Ok::<_, Cause>((Change { file, sha256, how: None }, same))
            }
        }));
        let compared: Vec<_> = compared.buffered(HASHERS).try_collect().await?;
        let (same, changed): (Vec<_>, Vec<_>) = compared.into_iter().partition(|(_, same)| *same);
        let unchanged = same.into_iter().map(|(change, _)| change.file.path().to_owned()).collect();
        Ok((changed.into_iter().map(|(change, _)| change).collect(), unchanged))
    }

    /// Asks the Hub which changes a commit may carry itself, and takes those out that the repository ignores.
    async fn classify(&self, changes: &mut Vec<Change<'_>>) -> Result<Vec<String>, Cause> {
        let mut ignored = HashSet::new();
        let mut inline = 0;
        for some in changes.chunks_mut(BATCH) {
            let mut files = Vec::new();
            for change in some.iter() {
                let sample = BASE64.encode(read(change.file, SAMPLE).await?);
                files.push(json!({"path": change.file.path(), "size": change.file.size(), "sample": sample}));
            }
            let path = format!("/api/models/{}/preupload/{}", self.repository, encoded(BRANCH));
            let answer = self.hub.send_json(Method::POST, &path, &json!({"files": files})).await?;
            if !answer.status.is_success() {
                return Err(self.hub.refused(&answer, true));
            }
            let told = json_in(&answer)?;
            let told: HashMap<&str, &Value> = told["files"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|file| Some((file["path"].as_str()?, file)))
                .collect();
            for change in some {
                let path = change.file.path();
                let file = told
                    .get(path)
                    .ok_or_else(|| unreadable(&answer, "says nothing about one of the files"))?;
                if file["shouldIgnore"] == true {
                    ignored.insert(path.to_owned());
                    continue;
                }
                let small = match file["uploadMode"].as_str() {
                    Some("regular") => true,
                    Some("lfs") => false,
                    _ => return Err(unreadable(&answer, "does not say how a file is to be sent")),
                };
                let size = change.file.size();
                // The store takes no empty file, and a commit no large one, whatever the Hub says.
                if size == 0 || (small && size <= INLINE && inline + size <= INLINE_ALL) {
                    inline += size;
                    change.how = Some(How::Inline);
                }
            }
        }
        changes.retain(|change| !ignored.contains(change.file.path()));
        let mut ignored: Vec<_> = ignored.into_iter().collect();
        ignored.sort();
        Ok(ignored)
    }

    /// Stores the changes that the commit does not carry.
    async fn store(&self, changes: &mut [Change<'_>]) -> Result<(), Cause> {
        let mut large: Vec<&mut Change<'_>> =
            changes.iter_mut().filter(|change| change.how.is_none()).collect();
        if large.is_empty() {
            return Ok(());
        }
        let of_files = large.len();
        let of_bytes = large.iter().map(|change| change.file.size()).sum();
        let at_once = self.options.at_once.max(1);
        let transfers = Transfers {
            sent: Arc::new(AtomicU64::new(0)),
            at_once,
            slots: Semaphore::new(at_once),
            deadline: self.deadline,
        };
        let files_done = AtomicU64::new(0);
        let tell = || {
            self.progress.event(&Event::Storing {
                files: usize::try_from(files_done.load(Ordering::Relaxed)).unwrap_or(usize::MAX),
                of_files,
                bytes: transfers.sent.load(Ordering::Relaxed),
                of_bytes,
            });
        };
        let storing = async {
            for some in large.chunks_mut(BATCH) {
                let hashed = stream::iter(some.iter_mut().map(|change| async move {
                    if change.sha256.is_none() {
                        change.sha256 = Some(digest(change.file, Id::Sha256).await?);
                    }
                    Ok::<_, Cause>(())
                }));
                hashed.buffer_unordered(HASHERS).try_collect::<Vec<()>>().await?;
                // Two files may have one content.
                let mut objects: Vec<(&str, u64)> =
                    some.iter().map(|change| (change.known_sha256(), change.file.size())).collect();
                objects.sort_unstable();
                objects.dedup();
                let mut tickets = self.hub.tickets(self.repository, &objects).await?;
                let mut rest = Vec::new();
                let mut tasks = Vec::new();
                for change in some.iter_mut() {
                    match tickets.remove(change.known_sha256()) {
                        Some(ticket) => tasks.push((change, ticket)),
                        None => rest.push(change),
                    }
                }
                let (transfers, files_done) = (&transfers, &files_done);
                let stored = stream::iter(tasks.into_iter().map(|(change, ticket)| async move {
                    let (file, sha256) = (change.file, change.known_sha256());
                    let how = self.hub.store(self.repository, file, sha256, ticket, transfers).await?;
                    if how == How::WasStored {
                        transfers.sent.fetch_add(file.size(), Ordering::Relaxed);
                    }
                    files_done.fetch_add(1, Ordering::Relaxed);
                    change.how = Some(how);
                    Ok::<_, Cause>(())
                }));
                stored.buffer_unordered(at_once).try_collect::<Vec<()>>().await?;
                for change in rest {
                    transfers.sent.fetch_add(change.file.size(), Ordering::Relaxed);
                    files_done.fetch_add(1, Ordering::Relaxed);
                    change.how = Some(How::WasStored);
                }
            }
            Ok(())
        };
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(storing);
        let done = loop {
            tokio::select! {
                done = &mut storing => break done,
                _ = ticks.tick() => tell(),
            }
        };
        tell();
        done
    }

    /// Makes the commit, and reads back that the Hub shows it.
    async fn commit(
        &self,
        parent: Option<&Commit>,
        changes: &[Change<'_>],
        deleted: &[String],
    ) -> Result<Commit, Cause> {
        let (body, expected) = self.commit_body(parent, changes, deleted).await?;
        let url = format!("{}/api/models/{}/commit/{}", self.hub.base, self.repository, encoded(BRANCH));
        let mut attempt = 1;
        // Set where the Hub may have made the commit without our knowing.
        let mut doubt = false;
        loop {
            let mut headers = self.hub.headers();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
            let limits = self.hub.limits(self.hub.patience.commit);
            let sent = self.hub.client.request(Method::POST, &url, headers, body.clone(), &limits);
            let failed = match sent.await {
                Ok(answer) if answer.status.is_success() => match made(&answer) {
                    Some(made) => {
                        return match self.shows(&made, &expected, deleted).await {
                            Ok(true) => Ok(made),
                            Ok(false) => {
                                Err(Cause::NotTaken("the commit is there without the folder's files"))
                            }
                            Err(cause) => Err(Cause::Unknown(Box::new(cause))),
                        };
                    }
                    None => unreadable(&answer, "names no commit"),
                },
                Ok(answer) if answer.status == 412 && doubt => {
                    return self.made_by_us(parent, &expected, deleted).await?.ok_or(Cause::Moved);
                }
                Ok(answer) => match self.hub.passing(&answer, attempt) {
                    Some(cause) => cause,
                    None => return Err(self.hub.refused(&answer, true)),
                },
                Err(error) if is_passing(&error) => Cause::NoAnswer(error),
                Err(error) => return Err(Cause::NoAnswer(error)),
            };
            // A limit is met before anything is done.
            if !matches!(failed, Cause::RateLimited { .. }) {
                doubt = true;
                match self.made_by_us(parent, &expected, deleted).await {
                    Ok(Some(made)) => return Ok(made),
                    Ok(None) => {}
                    Err(Cause::Moved) => return Err(Cause::Moved),
                    Err(_) => return Err(Cause::Unknown(Box::new(failed))),
                }
            }
            self.hub.pause(&mut attempt, self.deadline, failed).await?;
        }
    }

    /// The newest commit, where it is another than `parent` and has all that this push brings; none where `parent` is
    /// the newest still.
    async fn made_by_us(
        &self,
        parent: Option<&Commit>,
        expected: &[(String, Content)],
        deleted: &[String],
    ) -> Result<Option<Commit>, Cause> {
        let head = self.hub.info(self.repository).await?.head;
        match head {
            Some(head) if Some(&head) != parent => {
                if self.shows(&head, expected, deleted).await? {
                    Ok(Some(head))
                } else {
                    Err(Cause::Moved)
                }
            }
            _ => Ok(None),
        }
    }

    /// Whether a commit's files are those that this push brings, and without those that it deletes.
    async fn shows(
        &self,
        commit: &Commit,
        expected: &[(String, Content)],
        deleted: &[String],
    ) -> Result<bool, Cause> {
        let tree = self.hub.tree(self.repository, commit.as_str()).await?;
        let tree: HashMap<&str, &RemoteFile> = tree.iter().map(|file| (file.path.as_str(), file)).collect();
        let there = expected.iter().all(|(path, content)| {
            tree.get(path.as_str()).is_some_and(|file| match content {
                Content::Blob(oid) => file.oid == *oid,
                Content::Stored(sha256) => file.sha256.as_ref() == Some(sha256),
            })
        });
        Ok(there && !deleted.iter().any(|path| tree.contains_key(path.as_str())))
    }

    /// The commit as the Hub takes it, one JSON object a line, and what its files are.
    async fn commit_body(
        &self,
        parent: Option<&Commit>,
        changes: &[Change<'_>],
        deleted: &[String],
    ) -> Result<(Bytes, Vec<(String, Content)>), Cause> {
        let mut value = json!({"summary": SUMMARY, "description": ""});
        if let Some(parent) = parent {
            value["parentCommit"] = parent.as_str().into();
        }
        let mut lines = json!({"key": "header", "value": value}).to_string();
        let mut expected = Vec::new();
        let mut line = |value: Value| {
            lines.push('\n');
            lines.push_str(&value.to_string());
        };
        for change in changes {
            let path = change.file.path();
            if change.how == Some(How::Inline) {
                let content = read(change.file, u64::MAX).await?;
                expected.push((path.to_owned(), Content::Blob(blob_id(&content))));
                let value = json!({"content": BASE64.encode(content), "path": path, "encoding": "base64"});
                line(json!({"key": "file", "value": value}));
            } else {
                check(change.file)?;
                let (oid, size) = (change.known_sha256(), change.file.size());
                expected.push((path.to_owned(), Content::Stored(oid.to_owned())));
                let value = json!({"path": path, "algo": "sha256", "oid": oid, "size": size});
                line(json!({"key": "lfsFile", "value": value}));
            }
        }
        for path in deleted {
            line(json!({"key": "deletedFile", "value": {"path": path}}));
        }
        Ok((lines.into(), expected))
    }
}

/// The commit that an answer names.
fn made(answer: &Response) -> Option<Commit> {
    json_in(answer).ok()?["commitOid"].as_str()?.parse().ok()
}

/// What a file of a commit is recognised by.
enum Content {
    /// Git's id of it.
    Blob(String),
    /// Its SHA-256.
    Stored(String),
}

impl Change<'_> {
    fn known_sha256(&self) -> &str {
        self.sha256.as_deref().expect("it is known before a file is stored")
    }
}

/// What the repository has, the folder has not, and a push could have brought.
fn stale(selection: &Selection, remote: &[RemoteFile]) -> Vec<String> {
    let local: HashSet<&str> = selection.files().iter().map(LocalFile::path).collect();
    let ours = |path: &str| !path.split('/').any(|part| part.starts_with('.')) && !path.ends_with(".lock");
    let paths = remote.iter().map(|file| file.path.as_str());
    paths.filter(|path| !local.contains(path) && ours(path)).map(str::to_owned).collect()
}

/// Which id of a file's content.
#[derive(Clone, Copy)]
enum Id {
    /// Git's, of a blob.
    Blob,
    Sha256,
}

impl Id {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Blob => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &SHA256,
        }
    }

    fn begin(self, length: u64) -> Context {
        let mut context = Context::new(self.algorithm());
        if matches!(self, Self::Blob) {
            context.update(format!("blob {length}\0").as_bytes());
        }
        context
    }
}

fn blob_id(content: &[u8]) -> String {
    let mut context = Id::Blob.begin(content.len() as u64);
    context.update(content);
    hex::encode(context.finish())
}

/// Hashes a file that must be the one that was selected, before and after.
async fn digest(file: &LocalFile, id: Id) -> Result<String, Cause> {
    reading(file, move |content, stamp| {
        let mut context = id.begin(stamp.length);
        let mut piece = vec![0; READ];
        loop {
            match content.read(&mut piece)? {
                0 => return Ok(hex::encode(context.finish())),
                read => context.update(&piece[..read]),
            }
        }
    })
    .await
}

/// At most so many bytes of a file that must be the one that was selected, before and after.
async fn read(file: &LocalFile, most: u64) -> Result<Vec<u8>, Cause> {
    reading(file, move |content, _| {
        let mut bytes = Vec::new();
        content.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    })
    .await
}

async fn reading<T: Send + 'static>(
    file: &LocalFile,
    what: impl FnOnce(&mut File, &Stamp) -> io::Result<T> + Send + 'static,
) -> Result<T, Cause> {
    let (at, stamp): (PathBuf, Stamp) = (file.location().to_owned(), file.stamp().clone());
    let work = move || {
        let mut content = File::open(&at)?;
        let before = Stamp::of(&content.metadata()?);
        let result = what(&mut content, &stamp)?;
        let after = Stamp::of(&at.metadata()?);
        Ok::<_, io::Error>((before == stamp && after == stamp).then_some(result))
    };
    let path = || file.path().to_owned();
    match tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(Some(result)) => Ok(result),
        Ok(None) => Err(Cause::Changed { path: path() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Cause::Changed { path: path() }),
        Err(cause) => Err(Cause::Read { path: path(), cause }),
    }
}

/// That a file is the one that was selected still.
pub(super) fn check(file: &LocalFile) -> Result<(), Cause> {
    match file.location().metadata() {
        Ok(metadata) if Stamp::of(&metadata) == *file.stamp() => Ok(()),
        Ok(_) => Err(Cause::Changed { path: file.path().to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Cause::Changed { path: file.path().to_owned() })
        }
        Err(cause) => Err(Cause::Read { path: file.path().to_owned(), cause }),
    }
}

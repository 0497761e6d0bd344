//! Where the Manifest comes from: the published index, or a local file in its place.

use std::path::{Path, PathBuf};

use adit_outbound::{Client, FetchError, Limits};
use adit_settings::{Environment, SettingError, var};
use bytes::Bytes;
use tokio::{fs::File, io::AsyncReadExt, time::Instant};
use url::Url;

use crate::index::{self, Entry};
use crate::{MAX_BYTES, Manifest, ManifestError};

/// The largest index that is read, in bytes. An entry takes about 90.
const MAX_INDEX_BYTES: u64 = 4 << 20;

/// Where the Manifest comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The index of the published ones.
    Index(Url),
    /// A file.
    File(PathBuf),
}

/// A Manifest and where it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub manifest: Manifest,
    /// Its entry in the index; `None` for a local file.
    pub entry: Option<Entry>,
}

impl Loaded {
    /// Whether the Manifest's hash is the one in its name; `None` where no name has one. Validators do not check
    /// this.
    #[must_use]
    pub fn is_as_named(&self) -> Option<bool> {
        let named = self.entry.as_ref()?.hash()?;
        Some(named == self.manifest.hash())
    }
}

impl Source {
    /// What the settings say: `SCOREVISION_MANIFEST_PATH` if it is set, else `URL_MANIFEST`.
    ///
    /// # Errors
    /// Where the URL is none, or two names of a setting disagree.
    pub fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        if let Some(path) = environment.path(&var::MANIFEST_FILE)? {
            return Ok(Self::File(path));
        }
        let expected = "an http or https URL";
        let url: Url = environment.parsed(&var::MANIFEST_INDEX, expected)?;
        match url.scheme() {
            "http" | "https" => Ok(Self::Index(url)),
            _ => Err(environment.invalid(&var::MANIFEST_INDEX, expected)),
        }
    }

    /// The Manifest that holds at `block`, or the newest (see [`index::pick`]). Whether it has expired, is signed,
    /// or has the hash of its name is left to the caller.
    ///
    /// # Errors
    /// Where the file, the index or the Manifest cannot be had by `deadline`, or is not one that validators take.
    pub async fn load(
        &self,
        client: &Client,
        block: Option<u64>,
        deadline: Instant,
    ) -> Result<Loaded, ManifestError> {
        match self {
            Self::File(path) => {
                Ok(Loaded { manifest: Manifest::parse(&read_file(path).await?)?, entry: None })
            }
            Self::Index(url) => {
                let index = fetch(client, url.as_str(), Limits::new(deadline, MAX_INDEX_BYTES));
                let index = index.await.map_err(ManifestError::FetchIndex)?;
                let index = serde_json::from_slice(&index).map_err(ManifestError::Index)?;
                let entry = index::pick(&index::urls(url, &index), block).ok_or(ManifestError::NoEntry)?;
                let text = fetch(client, &entry.url, Limits::new(deadline, MAX_BYTES as u64)).await;
                let text = text.map_err(|source| ManifestError::Fetch { block: entry.block, source })?;
                Ok(Loaded { manifest: Manifest::parse(&text)?, entry: Some(entry) })
            }
        }
    }
}

async fn fetch(client: &Client, url: &str, limits: Limits) -> Result<Bytes, FetchError> {
    client.get(url, &limits).await?.bytes().await
}

/// A byte more than is read at most, so that a file which is too large shows.
async fn read_file(path: &Path) -> Result<Vec<u8>, ManifestError> {
    let mut bytes = Vec::new();
    let read = async { File::open(path).await?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).await };
    read.await.map_err(|source| ManifestError::File { path: path.to_owned(), source })?;
    Ok(bytes)
}

//! Why there is no Manifest.

use std::path::PathBuf;

use adit_outbound::FetchError;

use crate::MAX_BYTES;

/// Why a Manifest could not be had or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The index could not be fetched.
    #[error(
        "cannot fetch the index of Manifests: {0}; SCOREVISION_MANIFEST_PATH names a local Manifest instead"
    )]
    FetchIndex(FetchError),
    /// The index is not JSON.
    #[error("the index of Manifests is not JSON: {0}")]
    Index(serde_json::Error),
    /// The index has no entry whose file name begins with a block number.
    #[error("the index names no Manifest, a file whose name begins with a block number and `-`")]
    NoEntry,
    /// The Manifest that the index names could not be fetched.
    #[error("cannot fetch the Manifest of block {block}: {source}")]
    Fetch {
        /// The block in its name.
        block: u64,
        /// What went wrong.
        source: FetchError,
    },
    /// The local file could not be read.
    #[error("cannot read the Manifest {path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The text is larger than [`MAX_BYTES`].
    #[error("the Manifest is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// The bytes are not UTF-8.
    #[error("the Manifest is not UTF-8 from byte {0} on")]
    Encoding(usize),
    /// The text is no YAML, or YAML of a kind that no Manifest needs.
    #[error("line {line} of the Manifest: {reason}")]
    Yaml {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A field is missing or is not what validators take.
    #[error("the Manifest cannot be used: {field}: {reason}")]
    Field {
        /// The way to it, such as `elements[2].metrics.pillars`.
        field: String,
        /// What is wrong, for the most part in pydantic's words.
        reason: String,
    },
}

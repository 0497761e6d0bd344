//! The template that validators compare deployed chutes with, letter for letter: all of it but four values is frozen,
//! so it is taken only when its SHA-256 is the expected one.

use std::fs;
use std::path::{Path, PathBuf};

use adit_outbound::{Client, Limits};
use minijinja::context;
use sha2::{Digest, Sha256};

use super::{TemplateError, Values, render, unix_lines, write};

/// The template of 2026-08-22 (section 6.2), at the commit that it is known from.
pub const PUBLISHED_URL: &str = "https://raw.githubusercontent.com/score-technologies/turbovision/\
    ea7412f6125df794e76bfa5a412930a07e16423e/scorevision/miner/open_source/chute_template/turbovision_chute.py.j2";

/// Its SHA-256.
pub const PUBLISHED_SHA256: &str = "657513559cd1d6c910bbf49e4d6b79e6b4ab0a0917742685ab04444a793330cc";

/// It has 16 KB.
const LARGEST: u64 = 1 << 20;

/// A published template whose text is the expected one.
#[derive(Debug, Clone)]
pub struct Published {
    /// For errors.
    path: PathBuf,
    text: String,
}

impl Published {
    /// The template from `source`, which is a file or an http(s) URL. What was fetched once is kept in `cache`, by
    /// its SHA-256, and its text is looked at again each time. `expected` is the SHA-256 that it must have,
    /// [`PUBLISHED_SHA256`] where `None`.
    ///
    /// # Errors
    /// `NotAHash`, `Unexpected`, and what reading, fetching or keeping it may say.
    pub async fn obtain(
        source: &str,
        expected: Option<&str>,
        cache: &Path,
        client: &Client,
        limits: &Limits,
    ) -> Result<Self, TemplateError> {
        let expected = match expected.map(|text| text.trim().to_ascii_lowercase()) {
            Some(hash) if hash.len() != 64 || hex::decode(&hash).is_err() => {
                return Err(TemplateError::NotAHash(hash));
            }
            hash => hash.unwrap_or_else(|| PUBLISHED_SHA256.to_owned()),
        };
        if !source.starts_with("http://") && !source.starts_with("https://") {
            return Self::read(Path::new(source), &expected);
        }
        let kept = cache.join(format!("turbovision_chute.{expected}.py.j2"));
        match Self::read(&kept, &expected) {
            Ok(template) => return Ok(template),
            Err(TemplateError::Unexpected { .. }) => {
                tracing::warn!("{} was changed since it was fetched: fetching it again", kept.display());
            }
            Err(_) => {}
        }
        let limits = Limits { max_bytes: limits.max_bytes.min(LARGEST), ..*limits };
        let bytes = client.get(source, &limits).await?.bytes().await?;
        let template = Self::verified(kept, source, bytes.to_vec(), &expected)?;
        fs::create_dir_all(cache)
            .map_err(|source| TemplateError::Write { path: cache.to_owned(), source })?;
        write(&template.path, &template.text)?;
        Ok(template)
    }

    fn read(path: &Path, expected: &str) -> Result<Self, TemplateError> {
        let bytes = fs::read(path).map_err(|source| TemplateError::Read { path: path.to_owned(), source })?;
        Self::verified(path.to_owned(), &path.display().to_string(), bytes, expected)
    }

    fn verified(path: PathBuf, from: &str, bytes: Vec<u8>, expected: &str) -> Result<Self, TemplateError> {
        let found = hex::encode(Sha256::digest(&bytes));
        match String::from_utf8(bytes) {
            Ok(text) if found == expected => Ok(Self { path, text }),
            _ => {
                Err(TemplateError::Unexpected { from: from.to_owned(), found, expected: expected.to_owned() })
            }
        }
    }

    /// Its text, as validators have it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The script of a chute.
    ///
    /// # Errors
    /// `Value`, and `Syntax` or `TooLong` for a template other than the known one.
    pub fn render(&self, values: &Values<'_>) -> Result<String, TemplateError> {
        values.check()?;
        let context = context! {
            huggingface_repository_name => values.repository,
            huggingface_repository_revision => values.revision,
            chute_username => values.chutes_user,
            chute_name => values.chute_name,
        };
        render(&self.path, &unix_lines(&self.text), &context)
    }
}

//! What the platform tells of accounts, chutes, images and secrets, as far as we look at it.

use serde::Deserialize;
use serde_json::Value;

/// The account that a key is of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Account {
    /// Its name.
    pub username: String,
    /// Its id.
    pub user_id: String,
    /// What it has left, in USD; a build wants [`MIN_BUILD_BALANCE`](super::MIN_BUILD_BALANCE).
    #[serde(default)]
    pub balance: Option<f64>,
    /// What it may do besides the ordinary, in the platform's words.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// Where TAO for its balance goes.
    #[serde(default)]
    pub payment_address: Option<String>,
}

/// A chute, as far as we look at it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ChuteInfo {
    /// Its id.
    pub chute_id: String,
    /// Its name.
    pub name: String,
    /// The first label of its host name. Empty where the API gives none.
    #[serde(default, deserialize_with = "or_default")]
    pub slug: String,
    /// What its image and script add up to; see [`super::ids::version`].
    #[serde(default, deserialize_with = "or_default")]
    pub version: String,
    /// Whether anybody may call it.
    #[serde(default)]
    pub public: bool,
    /// Whether an instance is ready.
    #[serde(default)]
    pub hot: bool,
    /// Its image.
    #[serde(default)]
    pub image: Option<ImageInfo>,
    /// What runs now.
    #[serde(default, deserialize_with = "or_default")]
    pub instances: Vec<Instance>,
    /// The whole answer.
    #[serde(skip)]
    pub whole: Value,
}

/// An image, as far as we look at it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ImageInfo {
    /// Its id.
    pub image_id: String,
    /// Its name.
    pub name: String,
    /// Its tag.
    pub tag: String,
    /// `pending build`, `building`, …, `built and pushed`, or `error: …`. Lists leave it out.
    #[serde(default)]
    pub status: Option<String>,
}

impl ImageInfo {
    /// Whether a chute can run it.
    #[must_use]
    pub fn is_built(&self) -> bool {
        self.status.as_deref() == Some("built and pushed")
    }

    /// Why the build failed, where it did.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.status.as_deref().filter(|status| status.starts_with("error"))
    }
}

/// A machine that runs a chute.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Instance {
    /// Its id.
    pub instance_id: String,
    /// Where it is.
    #[serde(default)]
    pub region: Option<String>,
    /// Whether it takes calls.
    #[serde(default)]
    pub active: bool,
    /// Whether the platform has checked it.
    #[serde(default)]
    pub verified: bool,
}

/// A secret of a chute; its value is never shown.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SecretInfo {
    /// Its id.
    pub secret_id: String,
    /// The name of the variable in the chute.
    pub key: String,
    /// The chute's id.
    pub purpose: String,
}

/// What became of a secret that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretPut {
    /// It is there now.
    Stored,
    /// One of this name was there and stays; whether with the same value, nobody can see.
    AlreadyThere,
}

/// What became of sharing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The other account may call the chute.
    Shared,
    /// Nothing is to share: everybody may call it, or it is one's own.
    NeedsNone,
}

/// What became of a chute's image when the chute was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFate {
    /// Deleted, and gone when looked for.
    Deleted,
    /// There was none.
    NoneThere,
    /// Another chute runs it, so it stays.
    InUse,
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The chute's id. It is gone when looked for.
    pub chute_id: String,
    /// Its image's id, where the chute named one, and what became of it.
    pub image: Option<(String, ImageFate)>,
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

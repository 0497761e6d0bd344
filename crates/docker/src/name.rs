//! Names of images.

use std::fmt;
use std::str::FromStr;

use oci_client::Reference;

/// Docker Hub's name among registries.
const DOCKER_HUB: &str = "docker.io";

/// Registry, repository and tag, as `ghcr.io/me/pt-solution:v1`.
///
/// Docker Hub's own name is left out where it is shown: `me/pt-solution:v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName(Reference);

/// A text that names no image.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is no image name: {why}")]
pub struct NameError {
    text: String,
    why: String,
}

impl NameError {
    /// What names look like.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "user, repository and tag are made of a-z, 0-9, `.`, `_` and `-` (a tag may have capitals), as me/pt-solution:v1.0.0"
    }
}

impl ImageName {
    /// An image of a registry (`docker.io`, `ghcr.io`, `127.0.0.1:5000`).
    ///
    /// # Errors
    /// Where a part has characters that it may not have.
    pub fn new(registry: &str, repository: &str, tag: &str) -> Result<Self, NameError> {
        let text = format!("{registry}/{repository}:{tag}");
        let name: Self = text.parse()?;
        // A part that has a separator in it would move into the next one.
        if (name.registry(), name.repository(), name.tag()) != (registry, repository, tag) {
            return Err(NameError { text, why: "a part of it has a `/`, `:` or `@`".to_owned() });
        }
        Ok(name)
    }

    /// The registry's host, with its port where it has one.
    #[must_use]
    pub fn registry(&self) -> &str {
        self.0.registry()
    }

    /// The repository within the registry: `me/pt-solution`.
    #[must_use]
    pub fn repository(&self) -> &str {
        self.0.repository()
    }

    /// The tag; `latest` where the text has none.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.0.tag().unwrap_or("latest")
    }

    /// Registry and repository, without Docker Hub's own name.
    #[must_use]
    pub fn repo(&self) -> String {
        match self.registry() {
            DOCKER_HUB => self.repository().to_owned(),
            registry => format!("{registry}/{}", self.repository()),
        }
    }

    /// The same repository at a digest: `me/pt-solution@sha256:…`.
    #[must_use]
    pub fn at(&self, digest: &str) -> String {
        format!("{}@{digest}", self.repo())
    }

    /// Whether the registry is on this machine, where Docker speaks plain http as well.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let registry = self.registry();
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    }

    pub(crate) fn reference(&self) -> &Reference {
        &self.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repo(), self.tag())
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.parse() {
            Ok(reference) => Ok(Self(reference)),
            Err(why) => Err(NameError { text: text.to_owned(), why: format!("{why}") }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_hub_is_left_out_and_others_are_not() {
        let hub = ImageName::new("docker.io", "me/pt-solution", "v1.0.0").unwrap();
        assert_eq!((hub.to_string(), hub.repo()), ("me/pt-solution:v1.0.0".into(), "me/pt-solution".into()));
        assert_eq!(hub.at("sha256:ab"), "me/pt-solution@sha256:ab");
        let ghcr = ImageName::new("ghcr.io", "me/pt-solution", "v1").unwrap();
        assert_eq!(ghcr.to_string(), "ghcr.io/me/pt-solution:v1");
        let local = ImageName::new("127.0.0.1:5000", "me/x", "v1").unwrap();
        assert!(local.is_local() && !ghcr.is_local());
        assert_eq!(local.to_string().parse::<ImageName>().unwrap(), local);
    }

    #[test]
    fn parts_that_are_none_are_refused() {
        for (repository, tag) in [
            ("me/x", "v 1"),
            ("me/x", ""),
            ("Me/x", "v1"),
            ("me/x", "v1@sha256:aa"),
            ("me/x:v0", "v1"),
            ("", "v1"),
        ] {
            let error = ImageName::new("docker.io", repository, tag).unwrap_err();
            assert!(error.to_string().contains("no image name"), "{error}");
        }
    }
}

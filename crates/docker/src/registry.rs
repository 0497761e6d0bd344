//! What a registry has, read back from itself.

use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol, linux_amd64_resolver};
use oci_client::errors::{OciDistributionError as Oci, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use secrecy::ExposeSecret as _;

use crate::error::innermost;
use crate::{Credentials, ImageName};

/// Longest wait for a connection, and for an answer to go on.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);
/// A manifest has a few kilobytes; all of a read must be done in this time.
const LONGEST: Duration = Duration::from_secs(60);

/// A registry, spoken to by https unless told otherwise.
#[derive(Clone)]
pub struct Registry {
    name: ImageName,
    client: Client,
    auth: RegistryAuth,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("name", &self.name).finish_non_exhaustive()
    }
}

/// An image as a registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// `sha256:…` of its manifest: what a commitment names.
    pub digest: String,
    /// `sha256:…` of its configuration: Docker's image id.
    pub config: String,
    /// Its compressed layers and its configuration, in bytes, as Score counts them.
    pub size: u64,
}

/// Why a registry did not say what it has.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// It does not know the credentials, or they may not read this repository.
    #[error("{registry} lets nobody read {repository} with these credentials")]
    Denied {
        /// Host.
        registry: String,
        /// Repository.
        repository: String,
    },
    /// No connection, or it broke.
    #[error("cannot reach the registry {registry}: {cause}")]
    Unreachable {
        /// Host.
        registry: String,
        /// The innermost cause.
        cause: String,
    },
    /// An answer that cannot be used.
    #[error("the registry {registry} answers {what}")]
    Answer {
        /// Host.
        registry: String,
        /// In its own words, or its status.
        what: String,
    },
}

impl Registry {
    /// The registry of an image; by plain http where that is told.
    #[must_use]
    pub fn of(name: &ImageName, credentials: Option<&Credentials>, plain_http: bool) -> Self {
        // An error means that the process has chosen a provider already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let protocol = if plain_http { ClientProtocol::Http } else { ClientProtocol::Https };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            // What Score runs, whatever this machine is.
            platform_resolver: Some(Box::new(linux_amd64_resolver)),
            user_agent: concat!("adit/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let auth = credentials.map_or(RegistryAuth::Anonymous, |known| {
            RegistryAuth::Basic(known.username.clone(), known.token.expose_secret().to_owned())
        });
        Self { name: name.clone(), client: Client::new(config), auth }
    }

    /// What the image's tag names there; `None` where there is no such tag or repository.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn stored(&self) -> Result<Option<Stored>, RegistryError> {
        self.read(self.name.reference().clone()).await
    }

    /// The same for a digest of the same repository.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn stored_at(&self, digest: &str) -> Result<Option<Stored>, RegistryError> {
        let name = self.name.reference();
        self.read(Reference::with_digest(
            name.registry().to_owned(),
            name.repository().to_owned(),
            digest.to_owned(),
        ))
        .await
    }

    async fn read(&self, reference: Reference) -> Result<Option<Stored>, RegistryError> {
        let reading = self.client.pull_image_manifest(&reference, &self.auth);
        let (manifest, digest) = match tokio::time::timeout(LONGEST, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return self.judge(error),
            Err(_) => {
                let cause = format!("no answer within {} s", LONGEST.as_secs());
                return Err(RegistryError::Unreachable { registry: self.registry(), cause });
            }
        };
        let sizes = manifest.layers.iter().chain([&manifest.config]).map(|part| part.size);
        let size = sizes.filter_map(|size| u64::try_from(size).ok()).fold(0, u64::saturating_add);
        Ok(Some(Stored { digest, config: manifest.config.digest, size }))
    }

    fn judge(&self, error: Oci) -> Result<Option<Stored>, RegistryError> {
        let registry = self.registry();
        let denied = || RegistryError::Denied {
            registry: self.registry(),
            repository: self.name.repository().to_owned(),
        };
        match error {
            Oci::ImageManifestNotFoundError(_) | Oci::ServerError { code: 404, .. } => Ok(None),
            Oci::UnauthorizedError { .. } | Oci::AuthenticationFailure(_) => Err(denied()),
            Oci::ServerError { code: 401 | 403, .. } => Err(denied()),
            Oci::RegistryError { envelope, .. } => match envelope.errors.first().map(|first| &first.code) {
                Some(OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound) => {
                    Ok(None)
                }
                Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => Err(denied()),
                _ => Err(RegistryError::Answer { registry, what: envelope.to_string() }),
            },
            Oci::ServerError { code, .. } => {
                Err(RegistryError::Answer { registry, what: format!("with status {code}") })
            }
            Oci::RequestError(error) => {
                Err(RegistryError::Unreachable { registry, cause: innermost(&error) })
            }
            other => Err(RegistryError::Answer { registry, what: other.to_string() }),
        }
    }

    fn registry(&self) -> String {
        self.name.registry().to_owned()
    }
}

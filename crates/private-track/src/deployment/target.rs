//! Where the image goes.

use adit_docker::{Credentials, ImageName, NameError, Registry};
use adit_settings::{Environment, SettingError, Var, var};

use super::container::is_placeholder;

/// Who is given access where nothing else is said: the guide's account on Docker Hub, and the account that
/// today's validator reads GHCR with.
const SCORE_ON_GHCR: &str = "DataAndMike";

/// A repository of a registry, and how its image is shared with Score.
#[derive(Debug, Clone)]
pub struct Target {
    /// The image, with its tag.
    pub image: ImageName,
    /// The account that owns the repository.
    pub username: String,
    /// Who pushes; `None` where no token is set.
    pub credentials: Option<Credentials>,
    /// The variable that would hold the token.
    pub token_variable: &'static str,
    /// How Score comes to see the image.
    pub sharing: Sharing,
    /// Whether the registry is spoken to by plain http.
    pub plain_http: bool,
}

/// How a repository is made private and shared.
#[derive(Debug, Clone)]
pub enum Sharing {
    /// By Docker Hub's web API.
    Hub(Hub),
    /// By hand: the registry has no API for it.
    ByHand {
        /// Whom to give read access.
        account: String,
        /// Where.
        page: Option<String>,
    },
}

/// Docker Hub's web API.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Its base URL.
    pub api: String,
    /// The repository's name, without the account.
    pub repository: String,
    /// Whom to give read access.
    pub collaborator: String,
}

/// Why there is no target. [`TargetError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A setting.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A setting that still has the value of `env.example`.
    #[error("`{name}` is not set: it has the value of env.example")]
    Placeholder {
        /// The variable.
        name: &'static str,
    },
    /// A token that the engine would not be told right.
    #[error("`{name}` has a `>`, `?` or `~`, which the engine's client cannot send in a token")]
    Token {
        /// The variable.
        name: &'static str,
    },
    /// The parts make no name of an image.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl TargetError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Setting(SettingError::Missing { .. }) | Self::Placeholder { .. } => Some(
                "put it into .env: the account's name, and a token from https://hub.docker.com/settings/security \
                 (read, write, delete), for GHCR from https://github.com/settings/tokens (write:packages)",
            ),
            Self::Setting(_) => None,
            Self::Token { .. } => Some("make another token without them"),
            Self::Name(error) => Some(error.hint()),
        }
    }
}

impl Target {
    /// The target that the settings name, with this tag. A token may be missing.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn from_settings(env: &Environment, tag: &str) -> Result<Self, TargetError> {
        let mut target = Self::named(env, tag)?;
        let plain = env.text(&var::PLAIN_REGISTRIES)?.unwrap_or_default();
        target.plain_http =
            target.image.is_local() || plain.split(',').any(|one| one.trim() == target.image.registry());
        Ok(target)
    }

    /// The registry of the image, read with the account's credentials.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::of(&self.image, self.credentials.as_ref(), self.plain_http)
    }

    /// The same as strangers see it.
    #[must_use]
    pub fn registry_for_strangers(&self) -> Registry {
        Registry::of(&self.image, None, self.plain_http)
    }

    fn named(env: &Environment, tag: &str) -> Result<Self, TargetError> {
        match env.required(&var::REGISTRY)? {
            "dockerhub" => Self::docker_hub(env, tag),
            "ghcr" => {
                let username = name(env, &var::GITHUB_USERNAME)?;
                let repository = env.required(&var::GHCR_REPO)?;
                let registry = env.required(&var::GHCR_REGISTRY)?;
                // An image's name has no capitals, a GitHub account may.
                let owner = username.to_lowercase();
                let page =
                    format!("https://github.com/users/{username}/packages/container/{repository}/settings");
                let account = env.written(&var::COLLABORATOR)?.filter(|text| !text.is_empty());
                Ok(Self {
                    image: ImageName::new(registry, &format!("{owner}/{repository}"), tag)?,
                    credentials: credentials(env, &username, &var::GITHUB_TOKEN)?,
                    token_variable: var::GITHUB_TOKEN.name,
                    sharing: Sharing::ByHand {
                        account: account.unwrap_or(SCORE_ON_GHCR).to_owned(),
                        page: Some(page),
                    },
                    plain_http: false,
                    username,
                })
            }
            registry => {
                let username = name(env, &var::REGISTRY_USERNAME)?;
                let repository = env.required(&var::DOCKERHUB_REPO)?;
                Ok(Self {
                    image: ImageName::new(registry, &format!("{username}/{repository}"), tag)?,
                    credentials: credentials(env, &username, &var::REGISTRY_TOKEN)?,
                    token_variable: var::REGISTRY_TOKEN.name,
                    sharing: Sharing::ByHand {
                        account: env.required(&var::COLLABORATOR)?.to_owned(),
                        page: None,
                    },
                    plain_http: false,
                    username,
                })
            }
        }
    }

    fn docker_hub(env: &Environment, tag: &str) -> Result<Self, TargetError> {
        let username = name(env, &var::DOCKERHUB_USERNAME)?;
        let repository = env.required(&var::DOCKERHUB_REPO)?;
        let registry = env.required(&var::DOCKERHUB_REGISTRY)?;
        Ok(Self {
            image: ImageName::new(registry, &format!("{username}/{repository}"), tag)?,
            credentials: credentials(env, &username, &var::DOCKERHUB_TOKEN)?,
            token_variable: var::DOCKERHUB_TOKEN.name,
            sharing: Sharing::Hub(Hub {
                api: env.required(&var::DOCKERHUB_API)?.to_owned(),
                repository: repository.to_owned(),
                collaborator: env.required(&var::COLLABORATOR)?.to_owned(),
            }),
            plain_http: false,
            username,
        })
    }
}

fn name(env: &Environment, var: &'static Var) -> Result<String, TargetError> {
    let text = env.required(var)?;
    if is_placeholder(var, text) {
        Err(TargetError::Placeholder { name: var.name })
    } else {
        Ok(text.to_owned())
    }
}

fn credentials(
    env: &Environment,
    username: &str,
    var: &'static Var,
) -> Result<Option<Credentials>, TargetError> {
    use adit_settings::ExposeSecret as _;
    let Some(token) = env.secret(var)? else { return Ok(None) };
    if is_placeholder(var, token.expose_secret()) {
        return Ok(None);
    }
    // It goes in a header as base64 of another alphabet than the engine reads; these are what the two differ in.
    if token.expose_secret().contains(['>', '?', '~']) {
        return Err(TargetError::Token { name: var.name });
    }
    Ok(Some(Credentials { username: username.to_owned(), token }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(pairs: &[(&str, &str)]) -> Result<Target, TargetError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Target::from_settings(&Environment::layered(pairs, None).unwrap(), "v1.0.0")
    }

    #[test]
    fn the_guides_settings_name_a_repository_on_docker_hub() {
        let target = target(&[("DOCKERHUB_USERNAME", "me"), ("DOCKERHUB_TOKEN", "dckr_pat_x")]).unwrap();
        assert_eq!(target.image.to_string(), "me/pt-solution:v1.0.0");
        let Sharing::Hub(hub) = &target.sharing else { panic!("{target:?}") };
        assert_eq!((hub.collaborator.as_str(), hub.repository.as_str()), ("scorevision", "pt-solution"));
        assert!(!format!("{target:?}").contains("dckr_pat_x"));
    }

    #[test]
    fn ghcr_has_its_own_settings_and_is_shared_by_hand() {
        let target = target(&[("ADIT_REGISTRY", "ghcr"), ("GITHUB_USERNAME", "Me")]).unwrap();
        assert_eq!(target.image.to_string(), "ghcr.io/me/pt-solution:v1.0.0");
        assert!(target.credentials.is_none());
        let Sharing::ByHand { account, page } = &target.sharing else { panic!("{target:?}") };
        assert_eq!(account, "DataAndMike");
        assert_eq!(
            page.as_deref(),
            Some("https://github.com/users/Me/packages/container/pt-solution/settings")
        );
    }

    #[test]
    fn another_registry_never_gets_docker_hubs_token() {
        let target = target(&[
            ("ADIT_REGISTRY", "127.0.0.1:5000"),
            ("ADIT_REGISTRY_USERNAME", "me"),
            ("DOCKERHUB_TOKEN", "dckr_pat_x"),
        ]);
        let target = target.unwrap();
        assert_eq!(target.image.repo(), "127.0.0.1:5000/me/pt-solution");
        assert!(target.credentials.is_none());
    }

    #[test]
    fn a_token_that_would_arrive_garbled_is_refused_by_name_alone() {
        let error = target(&[("DOCKERHUB_USERNAME", "me"), ("DOCKERHUB_TOKEN", "dckr~pat")]).unwrap_err();
        assert!(error.to_string().starts_with("`DOCKERHUB_TOKEN` has a `>`"), "{error}");
        assert!(!error.to_string().contains("dckr"), "{error}");
    }

    #[test]
    fn plain_http_is_for_registries_that_are_named_or_here() {
        let plain = |registry: &str| {
            let pairs = [
                ("ADIT_REGISTRY", registry),
                ("ADIT_REGISTRY_USERNAME", "me"),
                ("ADIT_PLAIN_HTTP_REGISTRIES", "a:5000, registry.internal:5000"),
            ];
            target(&pairs).unwrap().plain_http
        };
        assert!(plain("registry.internal:5000") && plain("localhost:5000"));
        assert!(!plain("registry.internal:5001") && !plain("registry.example"));
    }

    #[test]
    fn the_values_of_the_example_are_none() {
        let error = target(&[("DOCKERHUB_USERNAME", "your-dockerhub-username")]).unwrap_err();
        assert!(error.to_string().starts_with("`DOCKERHUB_USERNAME` is not set"), "{error}");
        assert!(error.hint().unwrap().contains("hub.docker.com/settings/security"));
        let error = target(&[]).unwrap_err();
        assert!(error.to_string().contains("DOCKERHUB_USERNAME"), "{error}");
    }
}

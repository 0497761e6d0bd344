//! The account at the registry: whether its token is taken, and whether Score can pull from its repository. The
//! token goes to the registry of the settings and to no other, whatever a commitment names.

use adit_docker::hub::{Share, Visibility, share_by_hand};
use adit_docker::{Credentials, Registry, RegistryError, Stored};
use adit_private_track::deployment::{Hub, Sharing, Target, TargetError};
use adit_settings::SettingError;
use tokio::time::{Instant, timeout_at};

use super::Check;
use super::image::Committed;
use super::sv::{DEPLOY, Miner};
use crate::commands::deploy::{docker_login, hub_api};
use crate::failure::Failure;

const NAME: &str = "registry";

/// What the registry of the settings shows.
pub(super) struct Shown<'m> {
    target: &'m Target,
    account: Account<'m>,
    pub(super) image: Image,
}

/// What shows whether the token is taken.
pub(super) enum Account<'m> {
    /// Docker Hub's web API.
    Hub { hub: &'m Hub, repository: Result<Repository, Failure> },
    /// A registry has none: an image was read, or found not to be there.
    Read { read: Result<Option<Stored>, Failure>, without_token: Result<Option<Stored>, Failure> },
}

/// The settings' repository on Docker Hub.
pub(super) enum Repository {
    Missing,
    Public,
    Private(Share),
}

/// The committed image at the registry.
pub(super) enum Image {
    /// `None` where its digest is not there.
    Read(Result<Option<Stored>, Failure>),
    /// Why it was not looked for.
    NotAsked(String),
}

/// `None` where the registry is not Docker Hub, or there is no token for it.
pub(super) async fn ask_hub(miner: &Miner, until: Instant) -> Option<Account<'_>> {
    let (target, _) = account(miner).ok()?;
    let Sharing::Hub(hub) = &target.sharing else { return None };
    Some(Account::Hub { hub, repository: look(target, hub, until).await })
}

async fn look(target: &Target, hub: &Hub, until: Instant) -> Result<Repository, Failure> {
    let api = hub_api(target, hub)?;
    let session = api.login(until).await?;
    Ok(match session.visibility(&hub.repository, until).await? {
        Visibility::Missing => Repository::Missing,
        Visibility::Public => Repository::Public,
        Visibility::Private => {
            Repository::Private(session.share(&hub.repository, &hub.collaborator, until).await?)
        }
    })
}

/// Reads what is committed, and where Docker Hub has not said it what shows how the account is. Where there is
/// no account, the line that says so.
pub(super) async fn read<'m>(
    miner: &'m Miner,
    hub: Option<Account<'m>>,
    committed: Option<&Committed>,
    until: Instant,
) -> Result<Shown<'m>, Check> {
    let (target, credentials) = account(miner)?;
    let account = async {
        if let Some(hub) = hub {
            return hub;
        }
        let ours = committed.filter(|committed| committed.name.repo() == target.image.repo());
        let name = ours.map_or(&target.image, |committed| &committed.name);
        let (with, without) = (
            Registry::of(name, Some(credentials), target.plain_http),
            Registry::of(name, None, target.plain_http),
        );
        let (read, without_token) =
            tokio::join!(in_time(with.stored(), until), in_time(without.stored(), until));
        Account::Read { read, without_token }
    };
    let image = async {
        let Some(committed) = committed else { return Image::NotAsked("nothing is committed".to_owned()) };
        let (there, ours) = (committed.name.registry(), target.image.registry());
        if there != ours {
            return Image::NotAsked(format!("it is on {there}, and these settings are for {ours}"));
        }
        let registry = Registry::of(&committed.name, Some(credentials), target.plain_http);
        Image::Read(in_time(registry.stored_at(&committed.digest), until).await)
    };
    let (account, image) = tokio::join!(account, image);
    Ok(Shown { target, account, image })
}

async fn in_time<T>(
    asking: impl Future<Output = Result<T, RegistryError>>,
    until: Instant,
) -> Result<T, Failure> {
    match timeout_at(until, asking).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::new("the registry does not answer in the time that the doctor has")),
    }
}

/// What the settings say of it.
fn account(miner: &Miner) -> Result<(&Target, &Credentials), Check> {
    const NEEDED_BY: &str = "only `sv deploy-pt-miner` needs an account at a registry";
    match &miner.target {
        Ok(target) => match &target.credentials {
            Some(credentials) => Ok((target, credentials)),
            None => {
                Err(Check::skipped(NAME, format!("`{}` is not set, and {NEEDED_BY}", target.token_variable)))
            }
        },
        Err(TargetError::Placeholder { name } | TargetError::Setting(SettingError::Missing { name, .. })) => {
            Err(Check::skipped(NAME, format!("`{name}` is not set, and {NEEDED_BY}")))
        }
        Err(error) => Err(Check::warn(
            NAME,
            error.to_string(),
            error.hint().unwrap_or("set it right; docs/environment.md says what it takes"),
        )),
    }
}

/// Whether the next deployment can use it, and Score the last one.
pub(super) fn check(shown: &Result<Shown<'_>, Check>, committed: Option<&Committed>) -> Check {
    let Shown { target, account, .. } = match shown {
        Ok(shown) => shown,
        Err(check) => return check.clone(),
    };
    match account {
        Account::Hub { hub, repository: Ok(repository) } => {
            let pulled = committed.is_some_and(|committed| committed.name.repo() == target.image.repo());
            judge_hub(target, hub, repository, pulled)
        }
        // The miner that is deployed is not harmed by it.
        Account::Hub { repository: Err(failure), .. } => {
            let (what, hint) = failure.parts();
            Check::warn(NAME, what, hint.unwrap_or("https://www.dockerstatus.com says how Docker Hub is"))
        }
        Account::Read { read, without_token } => {
            judge_read(target, read.as_ref().err(), matches!(without_token, Ok(Some(_))))
        }
    }
}

/// `pulled` says whether what is committed is in this repository.
fn judge_hub(target: &Target, hub: &Hub, repository: &Repository, pulled: bool) -> Check {
    let (repo, collaborator) = (target.image.repo(), &hub.collaborator);
    let login = format!("logged in as {}", target.username);
    match repository {
        Repository::Missing => Check::warn(NAME, format!("{login}, but there is no {repo} yet"), DEPLOY),
        Repository::Public => public(&repo),
        Repository::Private(Share::Shared { .. }) => {
            Check::pass(NAME, format!("{login}; {repo} is private, and {collaborator} can pull from it"))
        }
        Repository::Private(Share::Unverified(error)) => {
            Check::warn(NAME, format!("{login}; {repo} is private, but {error}"), error.hint())
        }
        Repository::Private(Share::Missing) => {
            let found = format!("{collaborator} is no collaborator of {repo}: Score cannot pull the image");
            let by_hand = share_by_hand(target.image.repository(), collaborator);
            let fix = format!("{DEPLOY} adds it. {by_hand}");
            if pulled { Check::fail(NAME, found, fix) } else { Check::warn(NAME, found, fix) }
        }
    }
}

fn judge_read(target: &Target, failure: Option<&Failure>, is_public: bool) -> Check {
    if let Some(failure) = failure {
        let fix = format!("try the token alone: {}", docker_login(target));
        return Check::warn(NAME, failure.parts().0, fix);
    }
    if is_public {
        return public(&target.image.repo());
    }
    let (Sharing::ByHand { account: reader, .. } | Sharing::Hub(Hub { collaborator: reader, .. })) =
        &target.sharing;
    let (registry, username) = (target.image.registry(), &target.username);
    Check::pass(
        NAME,
        format!("{registry} takes the token of {username}; only its settings show whether {reader} can pull"),
    )
}

/// A deployment makes that sure, unless told otherwise.
fn public(repo: &str) -> Check {
    Check::warn(
        NAME,
        format!("{repo} is public: other miners can pull your model"),
        "make it private in the registry's settings; nothing, where that is meant",
    )
}

#[cfg(test)]
mod tests {
    use adit_settings::Environment;

    use super::super::Status;
    use super::*;

    fn target(pairs: &[(&str, &str)]) -> Target {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Target::from_settings(&Environment::layered(pairs, None).unwrap(), "latest").unwrap()
    }

    fn hub_says(repository: &Repository, pulled: bool) -> Check {
        let target = target(&[("DOCKERHUB_USERNAME", "me"), ("DOCKERHUB_TOKEN", "dckr_pat_hush")]);
        let Sharing::Hub(hub) = &target.sharing else { panic!("{target:?}") };
        judge_hub(&target, hub, repository, pulled)
    }

    #[test]
    fn docker_hubs_repository_is_private_and_shared() {
        let shared = hub_says(&Repository::Private(Share::Shared { permission: None }), true);
        assert_eq!(
            (shared.status, shared.found.as_str()),
            (Status::Pass, "logged in as me; me/pt-solution is private, and scorevision can pull from it")
        );
        for (repository, pulled, status, words) in [
            (Repository::Missing, false, Status::Warn, "there is no me/pt-solution yet"),
            (Repository::Public, true, Status::Warn, "other miners can pull your model"),
            (
                Repository::Private(Share::Missing),
                false,
                Status::Warn,
                "is no collaborator of me/pt-solution",
            ),
            (Repository::Private(Share::Missing), true, Status::Fail, "Score cannot pull the image"),
        ] {
            let check = hub_says(&repository, pulled);
            assert!(check.status == status && check.found.contains(words), "{check:?}");
            assert!(check.fix.is_some(), "{check:?}");
        }
    }

    #[test]
    fn another_registry_shows_by_a_read_whether_the_token_is_taken() {
        let target =
            target(&[("ADIT_REGISTRY", "ghcr"), ("GITHUB_USERNAME", "Me"), ("GITHUB_TOKEN", "ghp_hush")]);
        let taken = judge_read(&target, None, false);
        assert_eq!(
            (taken.status, taken.found.as_str()),
            (
                Status::Pass,
                "ghcr.io takes the token of Me; only its settings show whether DataAndMike can pull"
            )
        );
        assert_eq!(judge_read(&target, None, true).status, Status::Warn);
        let refused = judge_read(&target, Some(&Failure::new("no")), false);
        assert_eq!(
            (refused.status, refused.fix.as_deref()),
            (
                Status::Warn,
                Some("try the token alone: echo $GITHUB_TOKEN | docker login ghcr.io -u Me --password-stdin")
            )
        );
    }
}

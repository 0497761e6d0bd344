//! The private repository, the push into it, and who may read it.

use std::time::Duration;

use adit_docker::hub::{self, Session, Share, Visibility};
use adit_docker::{Image, Registry, RegistryError, Stored};
use adit_outbound::{AddressGuard, Client};
use adit_private_track::deployment::{Hub, LARGEST_IMAGE, Sharing, Target};
use serde_json::json;
use tokio::time::Instant;

use super::Deployment;
use crate::commands::say::{Say, Step, size};
use crate::failure::Failure;

pub(super) async fn push(deployment: &Deployment, image: &Image, say: &mut Say) -> Result<Stored, Failure> {
    let target = &deployment.target;
    say.begin(Step::Repository, format_args!("Ensuring repo exists: {}", target.image.repo()));
    if !deployment.args.allow_large {
        refuse_large(image.size).map_err(|failure| {
            failure.and(
                "Where its layers are smaller once compressed, which is what Score counts, say --allow-large",
            )
        })?;
    }
    if let Sharing::Hub(hub) = &target.sharing {
        let api = hub_api(target, hub)?;
        let already = ensure_private(deployment, &api.login(hub_deadline()).await?, hub, say).await?;
        say.done("Repo ready", already, json!({"repository": target.image.repo()}));
    } else {
        say.done("Repo ready", false, json!({"repository": target.image.repo(), "made_by": "the push"}));
    }

    refuse_public(deployment, say).await?;
    say.begin(Step::Push, format_args!("Pushing {}", target.image));
    let registry = target.registry();
    let (stored, already) = match registry.stored().await {
        Ok(Some(stored)) if is_same(&stored, image) => (stored, true),
        // A repository that is not there yet is refused by some registries, like one of somebody else.
        Ok(_) | Err(RegistryError::Denied { .. }) => {
            let mut bar = say.bar();
            let mut show = |progress| bar.show(progress);
            let pushed = deployment.engine.push(&target.image, target.credentials.as_ref(), &mut show).await;
            drop(bar);
            pushed.map_err(explained(deployment))?;
            (read_back(deployment, &registry, image).await?, false)
        }
        Err(error) => return Err(error.into()),
    };
    refuse_large(stored.size)?;
    refuse_public(deployment, say).await?;
    let facts =
        json!({"image": target.image.to_string(), "digest": stored.digest, "size_bytes": stored.size});
    say.done("Push complete", already, facts);
    say.line(format_args!("  {} ({})", target.image.at(&stored.digest), size(stored.size)));
    Ok(stored)
}

/// What the registry shows is what was built.
async fn read_back(deployment: &Deployment, registry: &Registry, image: &Image) -> Result<Stored, Failure> {
    let name = &deployment.target.image;
    // The engine learns the digest by the push.
    let image = deployment.engine.image(&name.to_string()).await?.unwrap_or_else(|| image.clone());
    match registry.stored().await? {
        Some(stored) if is_same(&stored, &image) => Ok(stored),
        Some(stored) => Err(Failure::new(format!(
            "the registry has another image at {name} than the one that was pushed: {}",
            stored.digest
        ))
        .hint("somebody else pushed to this tag meanwhile; run the command again")),
        None => Err(Failure::new(format!("the push ended, but the registry does not show {name}"))
            .hint("run the command again; what arrived already is not sent again")),
    }
}

/// An engine knows an image by its configuration, or (with containerd's store) by its manifest.
fn is_same(stored: &Stored, image: &Image) -> bool {
    stored.config == image.id
        || stored.digest == image.id
        || image.digests.iter().any(|known| known.ends_with(&format!("@{}", stored.digest)))
}

fn refuse_large(bytes: u64) -> Result<(), Failure> {
    if bytes <= LARGEST_IMAGE {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the image has {}, and Score blacklists miners whose image has more than {}",
        size(bytes),
        size(LARGEST_IMAGE)
    ))
    .hint("leave out of scorevision/ what the model does not need, and build again"))
}

/// Docker Hub says itself whether a repository is private. Of another registry it is tried.
async fn refuse_public(deployment: &Deployment, say: &mut Say) -> Result<(), Failure> {
    let target = &deployment.target;
    if matches!(target.sharing, Sharing::Hub(_)) {
        return Ok(());
    }
    match target.registry_for_strangers().stored().await {
        Ok(Some(_)) if deployment.args.allow_public => {
            warn_of_public(deployment, say);
            Ok(())
        }
        Ok(Some(_)) => Err(public(&target.image.repo())),
        // Before the first push there is nothing to be seen; afterwards it is looked again.
        Ok(None) | Err(RegistryError::Denied { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn warn_of_public(deployment: &Deployment, say: &mut Say) {
    say.warn(format_args!("{} is public: other miners can pull your model", deployment.target.image.repo()));
}

fn public(repo: &str) -> Failure {
    Failure::new(format!("{repo} is public: other miners could pull your model"))
        .hint("make it private in the registry's settings and run the command again, or say --allow-public")
}

/// What the guide says of a push that fails.
fn explained(deployment: &Deployment) -> impl Fn(adit_docker::EngineError) -> Failure {
    let login = docker_login(&deployment.target);
    move |error| match &error {
        adit_docker::EngineError::Denied { .. } => {
            Failure::new(error).hint(format!("try the token alone: {login}; it must be allowed to write"))
        }
        _ => error.into(),
    }
}

/// What tries the token and nothing else.
pub(in crate::commands) fn docker_login(target: &Target) -> String {
    let (token, registry, user) = (target.token_variable, target.image.registry(), &target.username);
    format!("echo ${token} | docker login {registry} -u {user} --password-stdin")
}

/// The web API with the token, nothing sent yet.
pub(in crate::commands) fn hub_api(target: &Target, hub: &Hub) -> Result<hub::Hub, Failure> {
    let Some(credentials) = target.credentials.clone() else {
        return Err(Failure::new(format!("`{}` is not set", target.token_variable)));
    };
    // The operator's own settings name the address.
    let client = Client::new(AddressGuard::unrestricted())?;
    Ok(hub::Hub::new(client, &hub.api, credentials.username, credentials.token))
}

/// Whether the account takes the token, before anything is built for it.
pub(super) async fn look_at_account(target: &Target) -> Result<(), Failure> {
    if let Sharing::Hub(hub) = &target.sharing {
        hub_api(target, hub)?.login(hub_deadline()).await?;
    }
    Ok(())
}

/// All that is asked of the web API at once has this long.
fn hub_deadline() -> Instant {
    Instant::now() + Duration::from_secs(90)
}

/// True where it was there already.
async fn ensure_private(
    deployment: &Deployment,
    api: &Session<'_>,
    hub: &Hub,
    say: &mut Say,
) -> Result<bool, Failure> {
    let deadline = hub_deadline();
    match api.visibility(&hub.repository, deadline).await? {
        Visibility::Private => Ok(true),
        Visibility::Public if deployment.args.allow_public => {
            warn_of_public(deployment, say);
            Ok(true)
        }
        Visibility::Public => Err(public(&deployment.target.image.repo())),
        Visibility::Missing => {
            api.create_private(&hub.repository, deadline).await?;
            match api.visibility(&hub.repository, deadline).await? {
                Visibility::Private => Ok(false),
                _ => Err(Failure::new(format!("Docker Hub does not show {} as private", hub.repository))
                    .hint("look at it on https://hub.docker.com, then run the command again")),
            }
        }
    }
}

pub(super) async fn share(deployment: &Deployment, say: &mut Say) -> Result<(), Failure> {
    if deployment.args.no_share {
        say.skipped(Step::Share, "Skipping Score collaborator share");
        return Ok(());
    }
    match &deployment.target.sharing {
        Sharing::Hub(hub) => {
            let name = &hub.collaborator;
            say.begin(Step::Share, format_args!("Adding {name} as collaborator"));
            // A session does not outlive a long push.
            let (api, deadline) = (hub_api(&deployment.target, hub)?, hub_deadline());
            let session = api.login(deadline).await?;
            let mut shown = session.share(&hub.repository, name, deadline).await?;
            let already = matches!(shown, Share::Shared { .. });
            if !already {
                session.add_collaborator(&hub.repository, name, deadline).await?;
                shown = session.share(&hub.repository, name, deadline).await?;
            }
            match shown {
                Share::Shared { permission } => {
                    if let Some(more) = permission.filter(|permission| permission != "read") {
                        say.warn(format_args!(
                            "{name} has the permission `{more}`; `read` is all that Score needs"
                        ));
                    }
                }
                Share::Missing => return Err(not_shown(name, "its list does not have it", hub)),
                Share::Unverified(error) => return Err(not_shown(name, &error.to_string(), hub)),
            }
            let facts = json!({"collaborator": name});
            say.done(format_args!("{name} can now pull your images"), already, facts);
        }
        Sharing::ByHand { account, page } => {
            let place = page.as_deref().map_or(String::new(), |page| format!(": {page}"));
            say.by_hand(
                Step::Share,
                format_args!(
                    "Give {account} read access to {} by hand, {} has no API for it{place}",
                    deployment.target.image.repo(),
                    deployment.target.image.registry()
                ),
            );
        }
    }
    Ok(())
}

fn not_shown(name: &str, why: &str, hub: &Hub) -> Failure {
    let place = format!("DockerHub → {} → Settings → Collaborators", hub.repository);
    Failure::new(format!("Docker Hub took {name} as a collaborator, but does not show it: {why}"))
        .hint(format!("look at {place}; where {name} is there, go on with --no-share"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_gigabytes_pass_and_a_byte_more_does_not() {
        assert!(refuse_large(30_000_000_000).is_ok());
        let failure = refuse_large(30_000_000_001).unwrap_err();
        assert!(failure.parts().0.contains("30.0 GB"), "{failure}");
    }
}

//! The commitment: which image answers for the hotkey.

use adit_keys::Wallet;
use adit_private_track::deployment::Commitment;
use adit_settings::Environment;

use adit_chain::Netuid;

use super::Deployment;
use crate::cli::deploy::DeployPtMiner;
use crate::commands::chain::connect;
use crate::commands::element;
use crate::commands::say::Say;
use crate::commands::sealed::Committer;
use crate::failure::Failure;

/// What is needed to commit, settled before the long part of the work.
pub(super) struct Committing {
    pub(super) committer: Committer,
    pub(super) element: String,
}

pub(super) async fn prepare(
    env: &Environment,
    args: &DeployPtMiner,
    netuid: Netuid,
    wallet: &Wallet,
    say: &mut Say,
) -> Result<Committing, Failure> {
    let chain = connect(env, &args.network)?;
    let (committer, known) =
        Committer::prepare(env, chain, netuid, wallet, &args.password, args.dry_run).await?;
    if known.place.axon.is_none() {
        say.warn(format_args!(
            "no axon on chain: validators will not find this miner until `adit axon set --netuid {netuid}`"
        ));
    }
    let told = args.element_id.as_deref();
    let element = element::choose(env, told, element::Track::Private, known.block, args.json, say).await?;
    Ok(Committing { committer, element })
}

impl Committing {
    /// Whether the newest reveal is this commitment, and nothing is sealed that will be newer.
    pub(super) async fn holds(&self, deployment: &Deployment, digest: &str) -> Result<bool, Failure> {
        self.committer.holds(&self.text(deployment, digest), |_| true).await
    }

    pub(super) fn text(&self, deployment: &Deployment, digest: &str) -> String {
        let image = &deployment.target.image;
        let commitment = Commitment {
            image_repo: image.repo(),
            image_tag: image.tag().to_owned(),
            image_digest: digest.to_owned(),
            element_id: self.element.clone(),
            hotkey: self.committer.hotkey,
        };
        commitment.text()
    }
}

pub(super) async fn commit(
    deployment: &Deployment,
    committing: Committing,
    digest: &str,
    say: &mut Say,
) -> Result<(), Failure> {
    let text = committing.text(deployment, digest);
    committing.committer.commit(&text, |_| true, deployment.args.reveal(), say).await
}

//! `--dry-run`: what would be done, and the exact payloads.

use adit_private_track::deployment::{Sharing, worker_variables};
use adit_settings::var;
use serde_json::{Value, json};

use super::{Deployment, build, start};
use crate::commands::say::{Say, Step};
use crate::failure::Failure;

/// Stands for a digest that only the push will tell.
const UNKNOWN: &str = "sha256:<known after the push>";

pub(super) async fn show(deployment: &Deployment, say: &mut Say) -> Result<(), Failure> {
    let Deployment { args, target, build: wanted, context, .. } = deployment;
    say.begin(Step::Build, format_args!("Would build {} with {}", target.image, context.dockerfile()));
    say.line(build::describe(context));
    let mut args_shown = wanted.args.clone();
    for (name, value) in &mut args_shown {
        // A command's arguments may be what is not for the screen.
        if name == var::WORKER_COMMAND.name {
            *value = format!("{} (arguments as set)", deployment.predictor);
        }
        say.line(format_args!("  --build-arg {name}={value}"));
    }
    let files: Vec<Value> =
        context.files().map(|(name, bytes)| json!({"name": name, "bytes": bytes})).collect();
    say.done(
        format_args!("Predictor: {}", deployment.predictor),
        false,
        json!({"image": target.image.to_string(), "args": args_shown, "files": files, "left_out": context.left_out()}),
    );
    if args.no_push {
        say.skipped(Step::Push, "Skipping push");
        say.skipped(Step::Share, "Skipping Score collaborator share");
        say.skipped(Step::Commit, "Skipping on-chain commit");
    } else {
        show_push(deployment, say);
        match &deployment.committing {
            None => say.skipped(Step::Commit, "Skipping on-chain commit"),
            Some(committing) => {
                let text = committing.text(deployment, UNKNOWN);
                say.begin(Step::Commit, format_args!("Would commit on subnet {}: {text}", deployment.netuid));
                let committer = &committing.committer;
                let call = committer.call(&text)?;
                let plan = committer.chain.dry_run(&call, &committer.hotkey).await?;
                let facts = json!({
                    "text": text, "signer": plan.signer.to_string(), "fee_rao": plan.fee.0, "nonce": plan.nonce,
                    "call_bytes": plan.call_data.len(), "spec_version": plan.spec_version,
                });
                say.done(
                    format_args!(
                        "The chain takes the call ({} bytes, sealed for a block)",
                        plan.call_data.len()
                    ),
                    false,
                    facts,
                );
            }
        }
    }
    if args.no_start {
        say.skipped(Step::Start, "Skipping start");
    } else {
        let live = start::live(deployment, &target.image.to_string(), target.image.at(UNKNOWN))?;
        let mut container = live.container(&deployment.env)?;
        // What a model is told may be what is not for the screen.
        let of_model = worker_variables(&deployment.env)?;
        for (_, value) in container.env.iter_mut().filter(|(name, _)| of_model.contains(name)) {
            "(as set)".clone_into(value);
        }
        say.begin(Step::Start, format_args!("Would start container on port {}", deployment.port));
        let body: Value = serde_json::from_str(&container.to_json()).unwrap_or_default();
        say.line(format_args!("{body:#}"));
        say.done(format_args!("As {}", container.name), false, body);
    }
    Ok(())
}

fn show_push(deployment: &Deployment, say: &mut Say) {
    let Deployment { args, target, .. } = deployment;
    say.begin(Step::Push, format_args!("Would push {}", target.image));
    match &target.sharing {
        Sharing::Hub(hub) => {
            let base = format!("{}/v2/repositories", hub.api);
            let place = format!("{base}/{}/{}", target.username, hub.repository);
            let create = json!({"namespace": target.username, "name": hub.repository, "is_private": true});
            let mut requests = vec![
                json!({"method": "GET", "url": format!("{place}/")}),
                json!({"method": "POST", "url": format!("{base}/"), "body": create, "if": "there is none"}),
            ];
            if !args.no_share {
                let url = format!("{place}/collaborators/{}/", hub.collaborator);
                requests.push(json!({"method": "PUT", "url": url, "body": {"permission": "read"}}));
            }
            for request in &requests {
                say.line(format_args!("  {request}"));
            }
            say.done(
                format_args!("To a private repository of {}", target.username),
                false,
                json!({"requests": requests}),
            );
        }
        Sharing::ByHand { account, .. } => say.done(
            format_args!("Access for {account} would be given by hand"),
            false,
            json!({"by_hand": account}),
        ),
    }
}

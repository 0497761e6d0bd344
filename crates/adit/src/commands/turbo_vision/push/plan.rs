//! `--dry-run`: what would be done, and the exact payloads.

use adit_turbo_vision::commitment::Commitment;
use serde_json::{Value, json};

use super::Plan;
use crate::commands::say::{Say, Step, size};
use crate::failure::Failure;

/// Stand for what only the steps before will tell.
const REVISION: &str = "<known after the upload>";
const CHUTE: &str = "<known after the deployment>";

pub(super) async fn show(plan: &Plan, say: &mut Say) -> Result<(), Failure> {
    let Plan { repository, selection, args, .. } = plan;
    match selection {
        Some(selection) => {
            say.begin(
                Step::Upload,
                format_args!("Would upload to https://huggingface.co/{repository}, private"),
            );
            for file in selection.files() {
                say.line(format_args!("  {} ({})", file.path(), size(file.size())));
            }
            for path in selection.left_out() {
                say.line(format_args!("  left out: {path}"));
            }
            let files: Vec<Value> = selection
                .files()
                .iter()
                .map(|file| json!({"path": file.path(), "bytes": file.size()}))
                .collect();
            let facts =
                json!({"repository": repository.as_str(), "files": files, "left_out": selection.left_out()});
            say.done(format_args!("{} in all", size(selection.bytes())), false, facts);
        }
        None => {
            let revision = args.revision.as_deref().unwrap_or("main");
            let commit = plan.hub.resolve(repository, revision).await?;
            say.begin(Step::Upload, format_args!("Would deploy {repository} at {commit}"));
            say.done("Nothing is uploaded", true, json!({"revision": commit.as_str()}));
        }
    }
    if plan.deploying.is_none() {
        say.skipped(Step::Build, "Skipping build and deployment");
    } else {
        say.begin(Step::Build, "Would build and deploy:");
        say.line("  chutes build sv_chutes:chute --public --wait --debug");
        say.line("  chutes deploy sv_chutes:chute --accept-fee --debug");
        say.done("And wait for its health", false, json!({}));
    }
    let Some(committing) = &plan.committing else {
        say.skipped(Step::Commit, "Skipping on-chain commit");
        return Ok(());
    };
    let committer = &committing.committer;
    let text = Commitment {
        model: repository.as_str().to_owned(),
        revision: REVISION.to_owned(),
        chute_id: CHUTE.to_owned(),
        slug: CHUTE.to_owned(),
        hotkey: committer.hotkey,
        element_id: committing.element.clone(),
    }
    .text();
    say.begin(Step::Commit, format_args!("Would commit on subnet {}: {text}", committer.netuid));
    let call = committer.call(&text)?;
    let sent = committer.chain.dry_run(&call, &committer.hotkey).await?;
    let facts = json!({"text": text, "signer": sent.signer.to_string(), "fee_rao": sent.fee.0,
        "call_bytes": sent.call_data.len()});
    say.done(
        format_args!("The chain takes the call ({} bytes, sealed for a block)", sent.call_data.len()),
        false,
        facts,
    );
    say.line("  and would then make the repository public");
    Ok(())
}

//! The first step: the image.

use std::path::Path;

use adit_docker::{Build, Context, Image};
use adit_private_track::deployment::{Baked, Target};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Deployment;
use crate::cli::deploy::DeployPtMiner;
use crate::commands::say::{Say, Step, size};
use crate::failure::Failure;

/// Label with the digest of all that the image was built from.
const BUILT_FROM: &str = "adit.built-from";
/// Most names of what was left out that are shown.
const SHOWN: usize = 8;

pub(super) fn prepare(
    args: &DeployPtMiner,
    root: &Path,
    target: &Target,
    baked: &Baked,
) -> Result<(Context, Build), Failure> {
    let context = baked.context(root, &args.dockerfile)?;
    let mut build = Build::new(target.image.to_string());
    build.args = [&baked.args[..], &args.build_arg].concat();
    Ok((context, build))
}

pub(super) async fn build(deployment: &Deployment, say: &mut Say) -> Result<Image, Failure> {
    let Deployment { engine, context, target, .. } = deployment;
    say.begin(Step::Build, format_args!("Building {}", target.image));
    say.line(describe(context));
    let mut build = deployment.build.clone();
    let from = {
        let (context, args) = (context.clone(), build.args.clone());
        tokio::task::spawn_blocking(move || built_from(&context, &args)).await.map_err(Failure::new)??
    };
    if let Some(image) = engine.image(&build.tag).await?
        && image.labels.get(BUILT_FROM) == Some(&from)
    {
        say.done("Build complete", true, facts(&image));
        return Ok(image);
    }
    build.labels.push((BUILT_FROM.to_owned(), from));
    let mut bar = say.bar();
    let image = engine.build(context.clone(), &build, &mut |progress| bar.show(progress)).await?;
    drop(bar);
    say.done("Build complete", false, facts(&image));
    Ok(image)
}

/// What is sent, and what is not.
pub(super) fn describe(context: &Context) -> String {
    let out = context.left_out();
    let mut names = out.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if out.len() > SHOWN {
        names.push_str(&format!(" and {} more", out.len() - SHOWN));
    }
    let left_out = if out.is_empty() { String::new() } else { format!("; left out: {names}") };
    format!("  from {} files, {}{left_out}", context.files().count(), size(context.bytes()))
}

fn facts(image: &Image) -> serde_json::Value {
    json!({"image_id": image.id, "size_bytes": image.size})
}

fn built_from(context: &Context, args: &[(String, String)]) -> Result<String, Failure> {
    let mut hasher = Sha256::new();
    hasher.update(context.digest()?);
    hasher.update(context.dockerfile());
    for (name, value) in args {
        hasher.update(format!("\0{name}={value}"));
    }
    Ok(hex::encode(hasher.finalize()))
}

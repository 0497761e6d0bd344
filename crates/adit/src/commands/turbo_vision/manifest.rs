//! `sv manifest` and `sv elements`.

use std::path::Path;
use std::process::ExitCode;

use adit_manifest::{Element, Manifest, Source, index};
use adit_outbound::Limits;
use adit_settings::Environment;
use serde_json::{Value, json};

use super::{client, soon};
use crate::cli::turbo_vision::{Elements, ManifestCommand, ValidateManifest};
use crate::commands::block_on;
use crate::commands::element::manifest;
use crate::commands::table::table;
use crate::failure::Failure;

/// Largest index that is read.
const MAX_INDEX: u64 = 4 << 20;

pub(super) fn run(env: &Environment, command: &ManifestCommand) -> Result<ExitCode, Failure> {
    match command {
        ManifestCommand::Current(args) => current(env, args.json),
        ManifestCommand::List(args) => list(env, args.json),
        ManifestCommand::Validate(args) => validate(args),
    }
}

fn current(env: &Environment, json: bool) -> Result<ExitCode, Failure> {
    let loaded = block_on(manifest(env, None))?;
    let manifest = &loaded.manifest;
    if json {
        // What is hashed, which is all that validators know of it.
        println!("{}", manifest.canonical_json());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(entry) = &loaded.entry {
        println!("From:     {}", entry.url);
    }
    describe(manifest);
    if loaded.is_as_named() == Some(false) {
        println!("⚠ its hash is not the one in its name");
    }
    println!();
    print(manifest.elements.iter());
    Ok(ExitCode::SUCCESS)
}

fn describe(manifest: &Manifest) {
    println!("Window:   {}", manifest.window_id);
    println!("Expires:  block {}", manifest.expiry_block);
    println!("Hash:     {}", manifest.hash());
    println!("Signed:   {}", if manifest.signature.is_some() { "yes" } else { "no" });
}

fn list(env: &Environment, json: bool) -> Result<ExitCode, Failure> {
    let Source::Index(url) = Source::from_environment(env)? else {
        return Err(Failure::new("the settings name a Manifest on this host, which has no index")
            .hint("leave SCOREVISION_MANIFEST_PATH out"));
    };
    let urls = block_on(async {
        let limits = Limits::new(soon(), MAX_INDEX);
        let body = client()?.get(url.as_str(), &limits).await?.bytes().await?;
        let listed: Value = serde_json::from_slice(&body).map_err(|error| {
            Failure::new(format!("the index of Manifests at {url} is no JSON: {error}"))
                .hint("URL_MANIFEST names it; leave that out for Score's own")
        })?;
        Ok(index::urls(&url, &listed))
    })?;
    let entries: Vec<index::Entry> = urls.iter().filter_map(|url| index::Entry::new(url)).collect();
    if json {
        let entries: Vec<Value> =
            entries.iter().map(|it| json!({"block": it.block, "url": it.url, "hash": it.hash()})).collect();
        println!("{:#}", json!(entries));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&[">BLOCK", "URL"]);
    for entry in &entries {
        rows.add_row([entry.block.to_string(), entry.url.clone()]);
    }
    println!("{}", rows.trim_fmt());
    Ok(ExitCode::SUCCESS)
}

fn validate(args: &ValidateManifest) -> Result<ExitCode, Failure> {
    let manifest = read(&args.path)?;
    println!("✓ {} is a Manifest that validators take", args.path.display());
    describe(&manifest);
    if let Some(key) = &args.public_key {
        manifest.verify(key).map_err(|error| Failure::new(format!("the signature: {error}")))?;
        println!("✓ signed by {key}");
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Manifest, Failure> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| Failure::new(format!("cannot read {shown}: {error}")))?;
    Manifest::parse(&bytes).map_err(|error| Failure::new(format!("{shown}: {error}")))
}

pub(super) fn elements(env: &Environment, args: &Elements) -> Result<ExitCode, Failure> {
    let loaded = block_on(manifest(env, None))?;
    if args.json {
        let elements: Vec<Value> = loaded.manifest.elements.iter().map(as_json).collect();
        println!("{:#}", json!({"element": elements}));
    } else {
        print(loaded.manifest.elements.iter());
    }
    Ok(ExitCode::SUCCESS)
}

/// With upstream's two keys first.
fn as_json(element: &Element) -> Value {
    let pillars: Vec<String> = element.pillars().map(|(pillar, _)| pillar.to_string()).collect();
    json!({
        "element_name": element.id,
        "pillars": pillars,
        "weights": element.pillars().map(|(pillar, weight)| (pillar.to_string(), json!(weight))).collect::<serde_json::Map<_, _>>(),
        "track": if element.is_private() { "private" } else { "public" },
        "objects": element.objects,
        "latency_p95_ms": element.latency_p95_ms,
        "service_rate_fps": element.service_rate_fps,
        "max_model_size_mb": element.max_model_size_mb,
        "onnx_model": element.onnx_model,
        "baseline_theta": element.baseline_theta,
        "delta_floor": element.delta_floor,
        "beta": element.beta,
        "window_block": element.window_block,
        "weight": element.weight,
    })
}

fn print<'a>(elements: impl Iterator<Item = &'a Element>) {
    let mut rows = table(&["ELEMENT", "TRACK", "PILLARS", ">P95", ">FPS", ">MODEL", "ONNX", "OBJECTS"]);
    for element in elements {
        let pillars: Vec<String> =
            element.pillars().map(|(pillar, weight)| format!("{pillar} {weight}")).collect();
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        rows.add_row([
            element.id.clone(),
            if element.is_private() { "private" } else { "public" }.to_owned(),
            if pillars.is_empty() { "-".to_owned() } else { pillars.join(", ") },
            or_none(element.latency_p95_ms.map(|ms| format!("{ms} ms"))),
            or_none(element.service_rate_fps.map(|fps| fps.to_string())),
            or_none(element.max_model_size_mb.map(|mb| format!("{mb} MB"))),
            if element.onnx_model == Some(true) { "only" } else { "" }.to_owned(),
            element.objects.as_ref().map(|objects| objects.join(", ")).unwrap_or_default(),
        ]);
    }
    println!("{}", rows.trim_fmt());
}

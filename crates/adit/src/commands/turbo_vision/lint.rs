//! `sv lint`, and the same before a push.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use adit_manifest::{Element, Manifest};
use adit_settings::Environment;
use adit_turbo_vision::hub::Selection;
use adit_turbo_vision::lint::{self, Finding, Severity};
use serde_json::json;

use crate::cli::turbo_vision::{EraArg, Lint};
use crate::commands::block_on;
use crate::commands::element::{self, Track};
use crate::commands::say::{Say, size};
use crate::failure::Failure;

/// What makes a folder one for today's contract.
pub(super) const MINER: &str = "miner.py";
const OF_THE_GUIDE: &str = "without a miner.py it is made for the guide's contract, and today's validators take a chute only \
    with a miner.py and the published template";

pub(super) fn run(env: &Environment, args: &Lint) -> Result<ExitCode, Failure> {
    let selection = Selection::of(&args.folder).map_err(Failure::new)?;
    let element = match &args.element_id {
        None => None,
        Some(id) => Some(element_in(&block_on(element::manifest(env, None))?.manifest, id)?),
    };
    let era = args.era.unwrap_or_else(|| era_of(&args.folder));
    let findings = findings(&args.folder, &selection, era, element.as_ref())?;
    let errors = count(&findings);
    if args.json {
        println!(
            "{:#}",
            json!({"passed": errors == 0, "files": selection.files().len(),
            "bytes": selection.bytes(), "findings": findings})
        );
    } else {
        for finding in &findings {
            println!("{finding}");
        }
        if era == EraArg::Document {
            println!("⚠ {OF_THE_GUIDE}");
        }
        let files = selection.files().len();
        let warnings = findings.len() - errors;
        println!(
            "{} {files} files, {}: {errors} to mend, {warnings} to look at",
            if errors == 0 { "✓" } else { "✗" },
            size(selection.bytes())
        );
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn count(findings: &[Finding]) -> usize {
    findings.iter().filter(|finding| finding.severity == Severity::Error).count()
}

/// Of what a push takes; nobody refused a model in the guide's time.
fn findings(
    folder: &Path,
    selection: &Selection,
    era: EraArg,
    element: Option<&Element>,
) -> Result<Vec<Finding>, Failure> {
    if era == EraArg::Document {
        return Ok(Vec::new());
    }
    let files: Vec<PathBuf> = selection.files().iter().map(|file| PathBuf::from(file.path())).collect();
    lint::check(folder, &files, element).map_err(Failure::new)
}

/// By the file that only today's contract has.
pub(super) fn era_of(folder: &Path) -> EraArg {
    if folder.join(MINER).is_file() { EraArg::Head } else { EraArg::Document }
}

/// An element that open miners can answer for.
pub(super) fn element_in(manifest: &Manifest, id: &str) -> Result<Element, Failure> {
    let listed = || {
        let open = manifest.elements.iter().filter(|element| Track::Open.has(element));
        open.map(|element| element.id.as_str()).collect::<Vec<_>>().join(", ")
    };
    match manifest.element(id) {
        Some(element) if Track::Open.has(element) => Ok(element.clone()),
        Some(_) => Err(Failure::new(format!("element {id} is of the private track"))
            .hint("`sv deploy-pt-miner` deploys for that one")),
        None => Err(Failure::new(format!("Score's Manifest has no element {id}"))
            .hint(format!("it has {}", listed()))),
    }
}

/// Says what would be refused, and refuses to go on unless `anyway`.
pub(super) fn before_push(
    folder: &Path,
    selection: &Selection,
    era: EraArg,
    element: Option<&Element>,
    anyway: bool,
    say: &mut Say,
) -> Result<(), Failure> {
    if era == EraArg::Document {
        say.warn(OF_THE_GUIDE);
    }
    let findings = findings(folder, selection, era, element)?;
    let (errors, warnings): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| finding.severity == Severity::Error && !anyway);
    for finding in warnings {
        say.warn(finding);
    }
    if errors.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> = errors.iter().map(|finding| format!("\n    {finding}")).collect();
    Err(Failure::new(format!("validators would refuse this model:{}", listed.concat()))
        .hint("mend it; `sv lint` says it again. --allow-refused pushes all the same"))
}

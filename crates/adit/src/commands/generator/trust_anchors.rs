//! `gascli generator trust-anchors list|update`, and the anchors for other commands.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use adit_outbound::{AddressGuard, Client, FetchError, Limits};
use adit_provenance::{Anchor, AnchorError, AnchorFile, Era, ExtraFile, MAX_ANCHOR_FILE, TrustAnchors};
use adit_settings::{Environment, var};
use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::time::Instant;

use super::one_line;
use crate::cli::gascli::TrustAnchorsCommand;
use crate::commands::block_on;
use crate::commands::table::table;
use crate::failure::Failure;

const UPDATE: &str = "gascli generator trust-anchors update";
/// For each file.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(env: &Environment, command: &TrustAnchorsCommand) -> Result<ExitCode, Failure> {
    match command {
        TrustAnchorsCommand::List(args) => list(env, args.json),
        TrustAnchorsCommand::Update => block_on(update(env)),
    }
}

/// What is on disk.
pub(crate) fn on_disk(env: &Environment) -> Result<TrustAnchors, Failure> {
    TrustAnchors::load(&folder(env)?, &extra(env)?).map_err(|error| unusable(error).unanswered())
}

/// What is on disk. Warns on stderr of what is missing and of what is about to expire.
pub(super) fn load(env: &Environment) -> Result<TrustAnchors, Failure> {
    let extra = extra(env)?;
    let anchors = on_disk(env)?;
    let there: BTreeSet<&str> = anchors.iter().map(|anchor| anchor.file.as_str()).collect();
    let missing: Vec<String> = AnchorFile::all(&extra)
        .iter()
        .map(|file| file.path.display().to_string())
        .filter(|name| !there.contains(name.as_str()))
        .collect();
    if !missing.is_empty() {
        eprintln!("warning: validators trust these too, which are not here: {}", missing.join(", "));
        eprintln!("hint: {UPDATE}");
    }
    warn_of_expiry(&anchors, Utc::now());
    Ok(anchors)
}

fn warn_of_expiry(anchors: &TrustAnchors, now: DateTime<Utc>) {
    for anchor in anchors.iter().filter(|anchor| anchor.expires_soon(now)) {
        eprintln!(
            "warning: a trust anchor expires on {}: {} in {}; what is signed under it later is refused",
            anchor.expires.date_naive(),
            anchor.subject,
            anchor.file
        );
    }
}

pub(super) fn folder(env: &Environment) -> Result<PathBuf, Failure> {
    let named = env.path(&var::TRUST_ANCHORS_FOLDER)?;
    let folder = match named {
        Some(folder) => Some(folder),
        None => env.path(&var::DATA_FOLDER)?.map(|folder| folder.join("trust-anchors")),
    };
    folder.filter(|folder| !folder.starts_with("~")).ok_or_else(|| {
        Failure::new("no place for the trust anchors: HOME is not set")
            .hint("ADIT_DATA_DIR names a directory for what Adit keeps")
            .unanswered()
    })
}

fn extra(env: &Environment) -> Result<Vec<ExtraFile>, Failure> {
    let list = env.text(&var::EXTRA_TRUST_ANCHORS)?.unwrap_or_default();
    ExtraFile::parse_list(list)
        .map_err(|error| Failure::new(format!("{}: {error}", var::EXTRA_TRUST_ANCHORS.name)).unanswered())
}

fn unusable(error: AnchorError) -> Failure {
    let hint = match &error {
        AnchorError::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound => UPDATE,
        AnchorError::Unreadable { .. } => {
            "let this user read it, or name another directory: ADIT_TRUST_ANCHORS_DIR"
        }
        AnchorError::NotPinned { .. } => VOUCH,
        _ => UPDATE,
    };
    Failure::new(error).hint(hint)
}

const VOUCH: &str = "a newer version of Adit may pin it; else check whose it is, and name it in \
    ADIT_EXTRA_TRUST_ANCHORS as FILE@FINGERPRINT";

fn list(env: &Environment, as_json: bool) -> Result<ExitCode, Failure> {
    let anchors = load(env)?;
    let now = Utc::now();
    if as_json {
        let rows: Vec<_> = anchors
            .iter()
            .map(|anchor| {
                json!({
                    "file": anchor.file,
                    "subject": anchor.subject,
                    "sha256": anchor.fingerprint.to_string(),
                    "expires": anchor.expires,
                    "expired": anchor.has_expired(now),
                    "document": anchor.trusted_in(Era::Document),
                    "head": anchor.trusted_in(Era::Head),
                })
            })
            .collect();
        println!("{:#}", json!(rows));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&["FILE", "CERTIFICATE", "EXPIRES", "TRUSTED BY", "SHA-256"]);
    for anchor in anchors.iter() {
        rows.add_row([
            anchor.file.clone(),
            anchor.subject.clone(),
            expiry(anchor, now),
            if anchor.trusted_in(Era::Document) { "both eras" } else { "head" }.to_owned(),
            format!("{}…", &anchor.fingerprint.to_string()[..16]),
        ]);
    }
    println!("{}", rows.trim_fmt());
    Ok(ExitCode::SUCCESS)
}

fn expiry(anchor: &Anchor, now: DateTime<Utc>) -> String {
    let note = if anchor.has_expired(now) {
        " (expired)"
    } else if anchor.expires_soon(now) {
        " (soon)"
    } else {
        ""
    };
    format!("{}{note}", anchor.expires.date_naive())
}

/// Why a file is left as it was.
#[derive(Debug, thiserror::Error)]
enum NotUpdated {
    #[error("not fetched: {0}")]
    Fetch(FetchError),
    #[error("refused: {0}")]
    Refused(AnchorError),
    #[error("not written: {0}")]
    Disk(std::io::Error),
}

impl NotUpdated {
    fn hint(&self) -> &'static str {
        match self {
            Self::Fetch(_) => "check the network, or name another place: ADIT_TRUST_ANCHORS_URL",
            Self::Refused(_) => VOUCH,
            Self::Disk(_) => "ADIT_DATA_DIR names another directory for what Adit keeps",
        }
    }
}

/// Fetches the files where none are there, as before the first start of a miner.
pub(super) async fn fetch_missing(env: &Environment) -> Result<(), Failure> {
    let (folder, extra) = (folder(env)?, extra(env)?);
    match TrustAnchors::load(&folder, &extra) {
        Err(AnchorError::None(_)) => {}
        // Whatever else is wrong with them is for the operator.
        Err(error) => return Err(unusable(error)),
        Ok(_) => return load(env).map(drop),
    }
    tracing::info!("fetching the certificates that validators trust into {}", folder.display());
    let fetched = fetch(env, &folder, &extra).await?;
    let refused = fetched.iter().find_map(|(file, fetched)| Some((file, fetched.as_ref().err()?)));
    match refused {
        Some((file, why)) => Err(Failure::new(format!("the trust anchor {file}: {why}")).hint(why.hint())),
        None => load(env).map(drop),
    }
}

type Fetched = Vec<(String, Result<(Vec<Anchor>, bool), NotUpdated>)>;

/// Each file of the subnet's repository, and how it went.
async fn fetch(env: &Environment, folder: &Path, extra: &[ExtraFile]) -> Result<Fetched, Failure> {
    let base = env.required(&var::TRUST_ANCHORS_URL)?.trim_end_matches('/').to_owned();
    let client = Client::new(AddressGuard::unrestricted())?;
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))?;
    let mut fetched = Vec::new();
    // A path of the operator's own is no name in the subnet's repository.
    for file in AnchorFile::all(extra).into_iter().filter(|file| file.path.components().count() == 1) {
        let updated = update_file(&client, &base, folder, &file).await;
        fetched.push((file.path.display().to_string(), updated));
    }
    Ok(fetched)
}

async fn update(env: &Environment) -> Result<ExitCode, Failure> {
    let (folder, extra) = (folder(env)?, extra(env)?);
    let mut rows = table(&["FILE", "RESULT", "FIRST EXPIRY"]);
    let (mut failed, mut hint) = (0, None);
    let now = Utc::now();
    for (name, updated) in fetch(env, &folder, &extra).await? {
        let (result, expires) = match updated {
            Ok((anchors, changed)) => {
                let first = anchors.iter().min_by_key(|anchor| anchor.expires);
                let result = if changed { "fetched" } else { "unchanged" }.to_owned();
                (result, first.map(|anchor| expiry(anchor, now)).unwrap_or_default())
            }
            Err(why) => {
                failed += 1;
                // What is refused is more than what is merely missing.
                if hint.is_none() || matches!(why, NotUpdated::Refused(_)) {
                    hint = Some(why.hint());
                }
                (one_line(&why.to_string()), String::new())
            }
        };
        rows.add_row([name, result, expires]);
    }
    println!("{}\n", rows.trim_fmt());
    if let Some(hint) = hint {
        let what = format!("{failed} of the files in {} are as they were", folder.display());
        return Err(Failure::new(what).hint(hint));
    }
    println!("The trust anchors are in {}.", folder.display());
    warn_of_expiry(&TrustAnchors::load(&folder, &extra).map_err(unusable)?, now);
    Ok(ExitCode::SUCCESS)
}

/// Its certificates, and whether the file was not there or another before.
async fn update_file(
    client: &Client,
    base: &str,
    folder: &Path,
    file: &AnchorFile,
) -> Result<(Vec<Anchor>, bool), NotUpdated> {
    let limits = Limits::new(Instant::now() + PATIENCE, MAX_ANCHOR_FILE as u64);
    let url = format!("{base}/{}", file.path.display());
    let download = client.get(&url, &limits).await.map_err(NotUpdated::Fetch)?;
    let bytes = download.bytes().await.map_err(NotUpdated::Fetch)?;
    let anchors = file.read(&bytes).map_err(NotUpdated::Refused)?;
    let path = folder.join(&file.path);
    if std::fs::read(&path).is_ok_and(|there| there == bytes) {
        return Ok((anchors, false));
    }
    // Another command may read it at this moment.
    let write = || {
        let mut fresh = tempfile::Builder::new().permissions(readable_by_all()).tempfile_in(folder)?;
        fresh.write_all(&bytes)?;
        fresh.as_file().sync_all()?;
        fresh.persist(&path)?;
        Ok(())
    };
    write().map_err(NotUpdated::Disk)?;
    Ok((anchors, true))
}

/// Certificates are no secret, and a miner may run as another user than the one who updates them.
fn readable_by_all() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;

    std::fs::Permissions::from_mode(0o644)
}

//! This host: room on its disks, and ffmpeg.

use std::path::{Path, PathBuf};

use adit_media::Ffmpeg;
use adit_settings::{Environment, var};

use super::{Check, Status};

const MIB: u64 = 1024 * 1024;
/// A clip may have 1 GiB, and several are worked on.
const LITTLE: u64 = 2048 * MIB;
/// Less than a usual clip and the log of a day.
const NONE: u64 = 200 * MIB;

/// Room where Adit keeps its data, and where clips are spooled.
pub(super) fn disk(env: &Environment) -> Check {
    let data = env.path(&var::DATA_FOLDER).ok().flatten().filter(|folder| !folder.starts_with("~"));
    room_in(data.into_iter().chain([std::env::temp_dir()]), "ADIT_DATA_DIR and TMPDIR")
}

/// Room in these folders, which `names` are the settings of.
pub(super) fn room_in(folders: impl IntoIterator<Item = PathBuf>, names: &str) -> Check {
    const NAME: &str = "disk";
    let mut rooms: Vec<(PathBuf, u64)> = Vec::new();
    for folder in folders {
        match room(&folder) {
            Ok(found) if rooms.contains(&found) => {}
            Ok(found) => rooms.push(found),
            Err(error) => {
                return Check::fail(
                    NAME,
                    format!("{}: {error}", folder.display()),
                    format!("{names} name directories that the miner can write to"),
                );
            }
        }
    }
    judge(&rooms, names)
}

/// Bytes that this user can still write there. What is not made yet counts as its nearest parent.
fn room(folder: &Path) -> std::io::Result<(PathBuf, u64)> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let found = rustix::fs::statvfs(there)?;
    Ok((there.to_owned(), found.f_bavail.saturating_mul(found.f_frsize)))
}

fn judge(rooms: &[(PathBuf, u64)], names: &str) -> Check {
    let worst = rooms.iter().map(|(_, free)| verdict(*free)).max().unwrap_or(Status::Pass);
    let found: Vec<String> =
        rooms.iter().map(|(folder, free)| format!("{} free in {}", size(*free), folder.display())).collect();
    let fix = format!("docker image prune, journalctl --vacuum-size=200M, or name another disk with {names}");
    Check {
        name: "disk",
        status: worst,
        found: found.join(", "),
        fix: (worst != Status::Pass).then_some(fix),
    }
}

fn verdict(free: u64) -> Status {
    match free {
        ..NONE => Status::Fail,
        NONE..LITTLE => Status::Warn,
        LITTLE.. => Status::Pass,
    }
}

fn size(bytes: u64) -> String {
    let mib = bytes / MIB;
    if mib < 10 * 1024 { format!("{mib} MiB") } else { format!("{} GiB", mib / 1024) }
}

/// Whether ffmpeg is there, and new enough.
pub(super) async fn ffmpeg(env: &Environment) -> Check {
    const NAME: &str = "ffmpeg";
    let program = match env.path(&var::FFMPEG) {
        Ok(program) => program.unwrap_or_default(),
        Err(_) => return Check::skipped(NAME, "ADIT_FFMPEG is not known (see configuration)"),
    };
    match Ffmpeg::at(Some(&program)).version().await {
        Ok(version) => Check::pass(NAME, format!("{} is version {version}", program.display())),
        Err(error) => Check::fail(
            NAME,
            error.to_string(),
            "apt install ffmpeg (version 5 or newer), or set ADIT_FFMPEG to its path",
        ),
    }
}

/// As [`ffmpeg`], where it does not come back.
pub(super) fn silent_ffmpeg() -> Check {
    Check::warn(
        "ffmpeg",
        "does not tell its version: this host is very busy, or the program hangs",
        "ffmpeg -version",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_judged_by_what_is_free() {
        for (free, status) in [
            (0, Status::Fail),
            (NONE - 1, Status::Fail),
            (NONE, Status::Warn),
            (LITTLE - 1, Status::Warn),
            (LITTLE, Status::Pass),
            (u64::MAX, Status::Pass),
        ] {
            assert_eq!(verdict(free), status, "{free}");
        }
        let rooms = [(PathBuf::from("/data"), LITTLE), (PathBuf::from("/tmp"), 100 * MIB)];
        let check = judge(&rooms, "ADIT_DATA_DIR and TMPDIR");
        assert_eq!(
            (check.status, check.found.as_str()),
            (Status::Fail, "2048 MiB free in /data, 100 MiB free in /tmp")
        );
    }

    #[test]
    fn what_is_not_made_yet_counts_as_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        let (there, free) = room(&folder.path().join("a/b")).unwrap();
        assert_eq!(there, folder.path());
        assert!(free > 0);
    }
}

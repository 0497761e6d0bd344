//! Not a stand-in but the real thing: PostgreSQL, of Debian's package `postgresql`, in a temporary folder and on a
//! socket there. Tests without it skip and say so; with `ADIT_CI=1` they fail.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::skip;

/// The one user.
pub const USER: &str = "miner";
/// Debian keeps each version's programs in a folder of its own, which is on nobody's path.
const VERSIONS: &str = "/usr/lib/postgresql";
/// It starts within a second or two; a busy machine may need longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server with an empty database. Stopped when dropped.
#[derive(Debug)]
pub struct Postgres {
    server: Child,
    folder: TempDir,
}

impl Postgres {
    /// Starts one.
    ///
    /// # Panics
    /// Where it does not start; and where it is not installed and `ADIT_CI=1`.
    #[must_use]
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            skip("no PostgreSQL (Debian: apt install postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let owner = unprivileged();
        if let Some((uid, gid)) = owner {
            chown(folder.path(), Some(uid), Some(gid)).expect("the folder is ours");
        }
        let program = |name: &str| {
            let mut command = Command::new(programs.join(name));
            command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
            if let Some((uid, gid)) = owner {
                command.uid(uid).gid(gid);
            }
            command
        };
        let data = folder.path().join("data");
        let made = program("initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--username",
                USER,
                "-D",
            ])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut server = program("postgres")
            .args(["-c", "listen_addresses=", "-c", "lc_messages=C", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .stderr(Stdio::piped())
            .spawn()
            .expect("postgres starts");
        let log = BufReader::new(server.stderr.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        // Read to its end, so that a full pipe cannot stop the server.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let started = Self { server, folder };
        let mut said = String::new();
        while let Ok(line) = lines.recv_timeout(PATIENCE) {
            if line.contains("database system is ready to accept connections") {
                return Some(started);
            }
            said.push_str(&line);
            said.push('\n');
        }
        panic!("PostgreSQL did not start: {said}");
    }

    /// A `DATABASE_URL` for its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{USER}@localhost/postgres?host={}", self.folder.path().display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The server ends its children, which a kill of it would leave to find out by themselves. Nothing is kept.
        let pid = Pid::from_child(&self.server);
        let _ = kill_process(pid, Signal::QUIT);
        let _ = self.server.wait();
    }
}

/// The folder of the newest version that is installed.
fn programs() -> Option<PathBuf> {
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = fs::read_dir(VERSIONS).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let newest =
        versions.filter(|path| path.join("bin/postgres").is_file()).max_by_key(|path| number(path))?;
    Some(newest.join("bin"))
}

/// Whom to run it as: it refuses to run as root. The package brings a user of its own.
fn unprivileged() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the list of users");
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user =
        fields.into_iter().find(|fields| fields.first() == Some(&"postgres")).expect("the package's user");
    Some((user[2].parse().expect("a number"), user[3].parse().expect("a number")))
}

//! What the demo leaves to look at: the journals of its miners, and the operator's page on them for a while.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use adit_dashboard::Token;
use adit_journal::{FILES, Limits, Place};
use adit_settings::{Environment, var};

use crate::failure::Failure;

/// The demo's own data folder, within that of the miners: what it made up must not be taken for what they did.
const FOLDER: &str = "demo";
/// The page ends when nobody has looked for so long.
const IDLE: Duration = Duration::from_secs(1800);
/// The page is there within that.
const PATIENCE: Duration = Duration::from_secs(15);

/// The journals of one run of the demo.
pub(super) struct Journals {
    folder: PathBuf,
}

impl Journals {
    /// An empty folder for them. What an earlier run left is removed.
    pub(super) fn new(env: &Environment) -> Result<Self, Failure> {
        let folder = crate::commands::dashboard::data_folder(env)?.join(FOLDER);
        std::fs::create_dir_all(&folder)?;
        for (file, _) in FILES {
            for end in ["", "-wal", "-shm"] {
                match std::fs::remove_file(folder.join(format!("{file}{end}"))) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
        }
        match std::fs::remove_dir_all(folder.join("media")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(Self { folder }),
        }
    }

    /// Where a miner records.
    pub(super) fn place(&self, file: &str) -> Place {
        Place { path: self.folder.join(file), limits: Limits::default() }
    }

    /// Where media stay that the page shows.
    pub(super) fn media(&self) -> PathBuf {
        self.folder.join("media")
    }

    /// Starts the page in the background and prints its address.
    pub(super) fn show(&self) -> Result<(), Failure> {
        let (mut page, address) = start(&self.folder)?;
        let address = match address {
            Ok(address) => address,
            Err(failure) => {
                let _ = page.kill();
                let _ = page.wait();
                return Err(failure);
            }
        };
        // The token is of no use to whoever reads a log of this; it opens buttons of a page that is gone by then.
        let link = if io::stdout().is_terminal() {
            Token::in_folder(&self.folder).map_err(Failure::new)?.link(address)
        } else {
            format!("http://{address}/")
        };
        println!(
            "\nWhat the miners of this demo did, challenge by challenge, is on the operator's page:\n\n    {link}\n"
        );
        let minutes = IDLE.as_secs() / 60;
        println!(
            "It ends by itself when nobody has looked for {minutes} minutes; `kill {}` ends it now.",
            page.id()
        );
        println!("`adit dashboard` is the same for your own miners.");
        Ok(())
    }
}

/// The page's process, and where it listens.
fn start(folder: &Path) -> Result<(Child, Result<SocketAddr, Failure>), Failure> {
    let mut page = Command::new(std::env::current_exe()?);
    page.arg0("adit")
        .args(["dashboard", "--listen", "127.0.0.1:0", "--idle"])
        .arg(IDLE.as_secs().to_string())
        // Of the settings only where its data are: the demo's page posts no alerts.
        .env_clear()
        .env(var::DATA_FOLDER.name, folder)
        .env("ADIT_ENV_FILE", "/dev/null")
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        page.env("PATH", path);
    }
    let mut page = page.spawn()?;
    let Some(stdout) = page.stdout.take() else { return Err(Failure::new("the page says nothing")) };
    let (said, heard) = channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let of_line = |line: String| -> Option<SocketAddr> {
            line.split_once("http://")?.1.trim_end_matches('/').parse().ok()
        };
        let address = lines.find_map(of_line);
        // It has one line more to say, and must not find that nobody listens.
        if let (Some(address), Some(_)) = (address, lines.next()) {
            let _ = said.send(address);
        }
    });
    let address = heard.recv_timeout(PATIENCE).map_err(|_| Failure::new("the operator's page did not start"));
    Ok((page, address))
}

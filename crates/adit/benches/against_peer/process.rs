//! Servers as processes of their own: started on one core, waited for, weighed and stopped. Also which core
//! this process may use.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// The servers' core.
pub(crate) const SERVER_CORE: &str = "0";
/// The core of the load generator and of the clip's host.
const LOAD_CORE: &str = "1";
/// How long a server may take to its first 200, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps this process, and what it starts, off the servers' core.
pub(crate) fn pin_this_process() -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    ensure!(cores >= 2, "two cores are needed, one for the server and one for the load; there is {cores}");
    let id = std::process::id().to_string();
    let output = Command::new("taskset")
        .args(["-acp", LOAD_CORE, &id])
        .output()
        .context("taskset (Debian's util-linux) cannot be run")?;
    ensure!(output.status.success(), "taskset: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// How a server is started.
pub(crate) struct ServerCommand {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Working directory, without a `.env`.
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    /// All that it finds in its environment, besides PATH.
    pub(crate) environment: Vec<(String, String)>,
}

/// A running server, in a process group of its own. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts it on its core and returns at the first 200 for `GET /docs`.
    pub(crate) fn start(command: &ServerCommand) -> Result<Self> {
        let log = std::fs::File::create(command.folder.join("server.log"))?;
        // taskset becomes the program, so the child's id is the server's.
        let child = Command::new("taskset")
            .args(["-c", SERVER_CORE])
            .arg(&command.program)
            .args(&command.arguments)
            .current_dir(&command.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &command.folder)
            .envs(command.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("taskset cannot be run")?;
        let mut server = Self { child, address: (Ipv4Addr::LOCALHOST, command.port).into() };
        let from = Instant::now();
        while !serves_docs(server.address) {
            let exited = server.child.try_wait()?;
            if exited.is_some() || from.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(command.folder.join("server.log"))?;
                let how = exited.map_or("not ready in time".to_owned(), |status| status.to_string());
                bail!("{} did not start ({how}):\n{log}", command.program.display());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory of the process and all its descendants, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        let mut parents = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process may end while we look.
            let Ok(status) = std::fs::read_to_string(format!("/proc/{id}/status")) else { continue };
            parents.push((id, number_after(&status, "PPid:"), number_after(&status, "VmRSS:")));
        }
        let mut family = vec![self.id()];
        let mut total = 0;
        while let Some(member) = family.pop() {
            for &(id, parent, resident) in &parents {
                if id == member {
                    total += resident;
                }
                if parent == u64::from(member) {
                    family.push(id);
                }
            }
        }
        ensure!(total > 0, "the server is gone: {}", self.address);
        Ok(total)
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.signal("-TERM");
        let from = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(from.elapsed() < PATIENCE, "{} did not stop when asked", self.address);
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// To it and what it started.
    pub(crate) fn signal(&self, signal: &str) {
        let group = format!("-{}", self.id());
        // Nothing is lost where the group has gone already.
        let _ = Command::new("kill").args([signal, "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("-KILL");
        let _ = self.child.wait();
    }
}

fn serves_docs(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(socket, "GET /docs HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut line = [0; 12];
        socket.read_exact(&mut line)?;
        Ok(&line == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// The number after a field of `/proc/<id>/status`; 0 where it is missing, as a kernel thread's memory is.
pub(crate) fn number_after(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

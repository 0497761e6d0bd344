//! Starting the programs, and asking a miner that runs as one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A program of this build with nothing of this process's environment but `PATH`, in an empty
/// directory and without a `.env`, so that no configuration of the machine takes part.
pub(crate) fn program(name: &str) -> Command {
    let path = match name {
        "adit" => env!("CARGO_BIN_EXE_adit"),
        "sv" => env!("CARGO_BIN_EXE_sv"),
        "pv" => env!("CARGO_BIN_EXE_pv"),
        "gascli" => env!("CARGO_BIN_EXE_gascli"),
        other => panic!("no program {other}"),
    };
    let mut command = Command::new(path);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(empty_directory());
    command.env("ADIT_ENV_FILE", "/dev/null");
    command
}

/// Below the root of the file system, so that no checkout with a predictor file lies above it.
fn empty_directory() -> PathBuf {
    let path = std::env::temp_dir().join("adit-test-empty");
    std::fs::create_dir_all(&path).unwrap();
    path
}

pub(crate) fn run(name: &str, arguments: &[&str]) -> Output {
    finish(program(name).args(arguments))
}

/// Runs a program to its end, and ends it where it has none.
pub(crate) fn finish(command: &mut Command) -> Output {
    finish_reading(command, Stdio::null())
}

/// The same with something on stdin.
pub(crate) fn finish_reading(command: &mut Command, stdin: impl Into<Stdio>) -> Output {
    finish_within(PATIENCE, command, stdin)
}

/// The same for what may take longer.
pub(crate) fn finish_within(patience: Duration, command: &mut Command, stdin: impl Into<Stdio>) -> Output {
    let command = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Read while it runs, so that a full pipe cannot be what keeps it.
    let mut pipes = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reading = std::thread::spawn(move || {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        pipes.0.read_to_end(&mut stdout).unwrap();
        pipes.1.read_to_end(&mut stderr).unwrap();
        (stdout, stderr)
    });
    let until = Instant::now() + patience;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            let (stdout, stderr) = reading.join().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            panic!("{command:?} did not end: {}{}", text(&stdout), text(&stderr));
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let (stdout, stderr) = reading.join().unwrap();
    Output { status, stdout, stderr }
}

/// Exit code, stdout and stderr as one text, for snapshots.
pub(crate) fn shown(output: &Output) -> String {
    format!(
        "exit code {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A miner on a free port. Killed when dropped.
pub(crate) struct Miner {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// Log lines up to the one that names the port.
    pub(crate) started_with: Vec<String>,
    log: Receiver<String>,
}

impl Miner {
    /// `sv serve`.
    pub(crate) fn start(change: impl FnOnce(&mut Command)) -> Self {
        let mut command = program("sv");
        command.arg("serve").env("MINER_PORT", "0");
        change(&mut command);
        Self::listening(command)
    }

    /// A program that says where it listens.
    pub(crate) fn listening(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (sender, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        // Reads on for as long as the miner lives, so that its pipe never fills.
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut started_with: Vec<String> = Vec::new();
        let address = loop {
            let Ok(line) = log.recv_timeout(PATIENCE) else { panic!("no port named: {started_with:#?}") };
            let url = line.split_once("Listening on http://").map(|(_, address)| address);
            let port = url.and_then(|url| url.rsplit(':').next()).map(|port| port.parse().unwrap());
            started_with.push(line);
            if let Some(port) = port {
                break SocketAddr::from(([127, 0, 0, 1], port));
            }
        };
        Self { child, address, started_with, log }
    }

    /// Sends bytes and reads what comes until the miner closes the connection.
    pub(crate) fn exchange(&self, request: &[u8]) -> String {
        exchange(self.address, request)
    }

    pub(crate) fn get(&self, path: &str) -> String {
        get(self.address, path)
    }

    pub(crate) fn wait_ready(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.get("/docs").starts_with("HTTP/1.1 200") {
            assert!(Instant::now() < until, "never ready");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has logged since it said where it listens, once it has ended.
    pub(crate) fn rest_of_log(&self) -> Vec<String> {
        self.log.iter().collect()
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends SIGTERM; exit code and the rest of the log.
    pub(crate) fn terminate(&mut self) -> (Option<i32>, Vec<String>) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "does not stop");
            std::thread::sleep(Duration::from_millis(20));
        };
        (status.code(), self.rest_of_log())
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends bytes to an address and reads what comes until the other side closes the connection.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The miner may answer and close before it has read everything.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n").as_bytes())
}

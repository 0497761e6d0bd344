//! `make bench`: the commands that look after a miner in the background, beside PM2 with the same miner. Prints a table
//! with the ratios and the targets beside them; BENCHMARKS.md says how to read it.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]

#[path = "../against_peer/figures.rs"]
#[expect(dead_code, reason = "no memory is taken here")]
mod figures;
#[path = "../against_peer/process.rs"]
#[expect(dead_code, reason = "the servers are started by what is measured")]
mod process;
#[path = "../generator/report.rs"]
mod report;
#[path = "../generator/stage.rs"]
#[expect(dead_code, reason = "nothing is asked of the miner")]
mod stage;
#[path = "../generator/webhook.rs"]
#[expect(dead_code, reason = "nothing is delivered")]
mod webhook;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use adit_generative::Modality;
use adit_generative::task::{Address, Config, Request, Store};
use adit_stand_in::media::PNG;
use anyhow::{Context as _, Result, anyhow, ensure};
use tokio::task::JoinSet;

use figures::{median, milliseconds};
use process::ServerCommand;
use report::Report;
use stage::{Side, Stage, TASKS};

/// Of each of ours the median of so many counts, of PM2's commands, which take longer, of fewer.
const RUNS: usize = 21;
const PEERS_RUNS: usize = 5;
/// In the database that a status looks at.
const QUEUED: u64 = 10_000;
/// The name of the miner in the guide's file for PM2.
const NAME: &str = "bitmind-generative-miner";

fn main() -> Result<()> {
    // `cargo test --benches` passes --test: then being built is all that was asked.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    process::pin_this_process()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let stage = runtime.block_on(Stage::set(PNG))?;
    let desk = Desk::new(stage.command(Side::Ours, "background")?)?;
    let mut report = Report::new();

    let help = desk.median_of(&["--help"], RUNS)?;
    report.alone("gascli --help", &milliseconds(help), "10 ms", help.as_millis() < 10);
    let help = desk.median_of(&["generator", "start", "--help"], RUNS)?;
    report.alone("gascli generator start --help", &milliseconds(help), "10 ms", help.as_millis() < 10);

    let theirs = pm2(&desk)?;
    let mut starts = Vec::new();
    let mut stops = Vec::new();
    for _ in 0..PEERS_RUNS {
        let listening = desk.listening(Instant::now());
        desk.time(&["generator", "start"])?;
        starts.push(listening.join().map_err(|_| anyhow!("it never listened"))?);
        stops.push(desk.time(&["generator", "stop"])?);
    }
    desk.time(&["generator", "start"])?;
    let shown = desk.median_of(&["generator", "status"], RUNS)?;
    let listed = desk.median_of(&["generator", "logs"], RUNS)?;
    desk.time(&["generator", "stop"])?;
    report.times("start, until the miner listens", [theirs.start, median(starts)], "faster", 1.0);
    report.times("status (PM2: show)", [theirs.show, shown], "faster", 1.0);
    report.times("logs, the last 50 lines", [theirs.logs, listed], "faster", 1.0);
    report.times("stop", [theirs.stop, median(stops)], "faster", 1.0);

    runtime.block_on(desk.fill())?;
    let shown = stopped_status(&desk)?;
    report.alone("status with 10,000 tasks", &milliseconds(shown), "50 ms", shown.as_millis() < 50);
    println!("{report}");
    Ok(())
}

/// An operator's directory and settings.
struct Desk {
    command: ServerCommand,
    environment: HashMap<String, String>,
}

impl Desk {
    fn new(command: ServerCommand) -> Result<Self> {
        let mut environment: HashMap<_, _> = command.environment.iter().cloned().collect();
        let path = std::env::var("PATH").context("no PATH")?;
        let programs = command.program.parent().context("no directory of programs")?.display();
        environment.insert("PATH".to_owned(), format!("{programs}:{path}"));
        environment.insert("HOME".to_owned(), command.folder.display().to_string());
        environment.insert("PM2_HOME".to_owned(), command.folder.join("pm2").display().to_string());
        environment.insert("ADIT_ENV_FILE".to_owned(), "/dev/null".to_owned());
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../../gen_miner.config.js");
        std::fs::copy(config, command.folder.join("gen_miner.config.js"))?;
        Ok(Self { command, environment })
    }

    /// From the start of a program to its end.
    fn run(&self, program: &Path, arguments: &[&str]) -> Result<(Duration, bool)> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.command.folder).env_clear().envs(&self.environment);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let from = Instant::now();
        let status = command.status().with_context(|| format!("{} cannot be run", program.display()))?;
        Ok((from.elapsed(), status.success()))
    }

    /// How long after `from` the miner's port takes a connection.
    fn listening(&self, from: Instant) -> JoinHandle<Duration> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.command.port));
        std::thread::spawn(move || {
            while TcpStream::connect(address).is_err() {
                assert!(from.elapsed() < Duration::from_secs(60), "nobody listens on {address}");
                std::thread::sleep(Duration::from_millis(1));
            }
            from.elapsed()
        })
    }

    fn time(&self, arguments: &[&str]) -> Result<Duration> {
        let (time, done) = self.run(&self.command.program, arguments)?;
        ensure!(done, "gascli {arguments:?} failed");
        Ok(time)
    }

    fn median_of(&self, arguments: &[&str], runs: usize) -> Result<Duration> {
        Ok(median((0..runs).map(|_| self.time(arguments)).collect::<Result<_>>()?))
    }

    /// Tasks of a miner that does not run.
    async fn fill(&self) -> Result<()> {
        let folder = &self.command.folder;
        let database = Address::Sqlite(folder.join(TASKS).join("tasks.db"));
        let output_dir = folder.join("media");
        let store =
            Store::open(Config { database, output_dir, queue: QUEUED, daily_budget: None, journal: None })
                .await?;
        let mut accepting = JoinSet::new();
        for number in 0..QUEUED {
            let store = store.clone();
            let request = Request {
                prompt: stage::PROMPT.to_owned(),
                parameters: serde_json::Value::Null,
                webhook_url: "http://127.0.0.1:9/".to_owned(),
            };
            let validator = format!("validator {}", number % 64);
            accepting.spawn(async move { store.accept(Modality::Image, validator, request, None).await });
        }
        while let Some(accepted) = accepting.join_next().await {
            accepted??;
        }
        Ok(store.close().await?)
    }
}

/// Exit code 1 is what is right for a miner that does not run.
fn stopped_status(desk: &Desk) -> Result<Duration> {
    let status = || {
        let (time, online) = desk.run(&desk.command.program, &["generator", "status"])?;
        ensure!(!online, "the miner runs");
        Ok(time)
    };
    Ok(median((0..RUNS).map(|_| status()).collect::<Result<_>>()?))
}

/// What PM2's commands take, its daemon running.
struct Peer {
    start: Duration,
    show: Duration,
    logs: Duration,
    stop: Duration,
}

fn pm2(desk: &Desk) -> Result<Peer> {
    let program =
        std::env::var_os("PM2").map(PathBuf::from).context("PM2 is to name the program (make bench)")?;
    let run = |arguments: &[&str]| {
        let (time, done) = desk.run(&program, arguments)?;
        ensure!(done, "pm2 {arguments:?} failed");
        Ok(time)
    };
    let measure = || {
        run(&["ping"])?;
        let (mut start, mut show, mut logs, mut stop) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..PEERS_RUNS {
            let listening = desk.listening(Instant::now());
            run(&["start", "gen_miner.config.js"])?;
            start.push(listening.join().map_err(|_| anyhow!("it never listened"))?);
            show.push(run(&["show", NAME])?);
            logs.push(run(&["logs", NAME, "--lines", "50", "--nostream"])?);
            stop.push(run(&["stop", NAME])?);
            run(&["delete", NAME])?;
        }
        Ok(Peer { start: median(start), show: median(show), logs: median(logs), stop: median(stop) })
    };
    let measured = measure();
    run(&["kill"])?;
    measured
}

//! `adit demo`: a drawn match, a miner with its security on, and validators that challenge it; then the verdicts
//! that subnet 34's validators would reach on signed and unsigned files, the generative miner between stand-ins, and a
//! chute on this machine.

mod generative;
mod models;
mod page;
mod provenance;
mod turbo_vision;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use adit_auth::{Dialect, GateConfig, Policy, StakeGate};
use adit_chain::StakeSource;
use adit_http_server::ClipHost;
use adit_journal::{PRIVATE_TRACK, Place};
use adit_keys::{Hotkey, Keypair};
use adit_media::Ffmpeg;
use adit_outbound::{AddressGuard, Client};
use adit_predictor::{Wanted, WorkerConfig, python_program};
use adit_private_track::rehearsal::{Plan, Report, Sender, rehearse};
use adit_private_track::{Config, PredictorChoice, Server};
use adit_scoring::soccer::Event;
use adit_settings::{Environment, var};
use adit_synthetic::{Match, MatchFormat};
use tokio::time::Instant;

use super::table::table;
use super::{block_on, rehearse as rehearse_command};
use crate::failure::Failure;

/// The match that is drawn: 20 s at the frame rate that Score counts with.
const FORMAT: MatchFormat = MatchFormat { width: 640, height: 360, fps: 25, seconds: 20 };
const SEED: u64 = 44;
const STAKE: f64 = 1000.0;
/// A model that looks at the frames, for those who start from one.
const WORKER: &str = include_str!("../../../../examples/worker-frames/predictor.py");

pub(crate) fn run(env: &Environment) -> Result<ExitCode, Failure> {
    let ffmpeg = PathBuf::from(env.required(&var::FFMPEG)?);
    let python = env.path(&var::PYTHON)?.unwrap_or_else(python_program);
    block_on(async {
        let journals = page::Journals::new(env)?;
        let stage = Stage::set(&ffmpeg, journals.place(PRIVATE_TRACK)).await?;
        println!(
            "Subnet 44, private track: a drawn match of {} s ({} actions), H.264, fetched over HTTP.\n\
             The miner checks signatures and stake; each challenge is signed as one kind of sender signs it.\n",
            FORMAT.seconds,
            stage.truth.len()
        );
        let mut shown = Vec::new();
        println!("Baseline (a pass at every 25th frame)\n");
        shown.push(("baseline", stage.show(PredictorChoice::Baseline, &ffmpeg).await?));
        if has_python(&python) {
            println!(
                "\nWorker in Python that follows the ball in the decoded frames (examples/worker-frames)\n"
            );
            let file = stage.folder.path().join("predictor.py");
            std::fs::write(&file, WORKER).map_err(Failure::new)?;
            let worker = PredictorChoice::Workers(WorkerConfig::python(&python, &file));
            shown.push(("worker", stage.show(worker, &ffmpeg).await?));
        } else {
            println!("\nThe worker in Python is left out: there is no {} here.", python.display());
        }
        summary(&shown);
        let alike = models::show(env, &stage, &python, &ffmpeg).await?;
        let judged_right = provenance::show(&stage.clip)?;
        let credited = generative::show(&journals).await?;
        let chute_passed = turbo_vision::show(env, &python, &journals).await?;
        let rehearsed = shown.iter().all(|(_, report)| report.passed());
        let passed = rehearsed && alike && judged_right && credited && chute_passed;
        journals.show()?;
        Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Everything that both rehearsals share.
struct Stage {
    folder: tempfile::TempDir,
    clip: PathBuf,
    truth: Vec<Event>,
    stakes: PathBuf,
    seed: [u8; 32],
    miner: Hotkey,
    journal: Place,
}

impl Stage {
    async fn set(ffmpeg: &Path, journal: Place) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(Failure::new)?;
        let clip = folder.path().join("match.mp4");
        let drawn = Match::new(SEED, FORMAT);
        let drawing = Instant::now() + Duration::from_secs(60);
        drawn.write_clip(&Ffmpeg::find(Some(ffmpeg)).await?, &clip, drawing).await?;
        let truth =
            drawn.truth().iter().map(|action| Event::new(action.frame, action.action.clone())).collect();
        // The validator of the demo, with exactly the stake that is asked for.
        let seed = [44; 32];
        let stakes = folder.path().join("stakes.json");
        let table = HashMap::from([(Keypair::from_seed(&seed).hotkey().to_string(), STAKE)]);
        std::fs::write(&stakes, serde_json::json!(table).to_string()).map_err(Failure::new)?;
        Ok(Self { folder, clip, truth, stakes, seed, miner: Keypair::generate().hotkey(), journal })
    }

    /// Rehearses, and prints what became of it.
    async fn show(&self, predictor: PredictorChoice, ffmpeg: &Path) -> Result<Report, Failure> {
        let report = self.rehearse(predictor, ffmpeg).await?;
        rehearse_command::print(&report, Some(&self.truth));
        Ok(report)
    }

    async fn rehearse(&self, predictor: PredictorChoice, ffmpeg: &Path) -> Result<Report, Failure> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let config = Config {
            listen: SocketAddr::new(loopback, 0),
            head_timeout: Duration::from_secs(10),
            gate: GateConfig {
                policy: Policy {
                    verify: true,
                    stake_gate: StakeGate::Closed,
                    min_stake: STAKE,
                    own_hotkey: Some(self.miner),
                    dialects: Dialect::ALL.to_vec(),
                },
                nonce_capacity: 1000,
                max_body: 1 << 20,
                body_timeout: Duration::from_secs(10),
            },
            stakes: Some(StakeSource::File(self.stakes.clone())),
            facts: None,
            netuid: None,
            stake_max_age: Duration::from_secs(3600),
            guard: AddressGuard::public_only().allowing("127.0.0.1").map_err(Failure::new)?,
            max_clip_bytes: 1 << 30,
            deadline: Duration::from_secs(28),
            concurrency: 1,
            queue: 8,
            mode: Wanted::SoccerActions,
            predictor,
            ffmpeg: ffmpeg.to_owned(),
            journal: Some(self.journal.clone()),
            image: None,
        };
        let server = Server::bind(config).await?;
        let miner = format!("http://{}", server.address());
        let loaded = Instant::now() + Duration::from_secs(30);
        server.predictor().wait_ready(loaded).await.map_err(Failure::new)?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));

        let host = ClipHost::start(&self.clip, loopback).await?;
        let plan = Plan {
            spot_check: Some(miner.clone()),
            miner,
            miner_hotkey: self.miner,
            signer: Keypair::from_seed(&self.seed),
            senders: Sender::ALL.to_vec(),
            repeat: 2,
            video_url: host.url(),
            truth: Some(self.truth.clone()),
        };
        let report = rehearse(&Client::new(AddressGuard::unrestricted())?, &plan).await;
        let _ = stop.send(());
        serving.await.map_err(Failure::new)??;
        Ok(report)
    }
}

fn has_python(python: &Path) -> bool {
    std::process::Command::new(python).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn summary(shown: &[(&str, Report)]) {
    let mut rows =
        table(&["MINER", "TRACK", "ANSWERED", ">BEST SCORE", ">SLOWEST", "SAME BYTES", "SPOT CHECK"]);
    for (name, report) in shown {
        let answered = report.attempts.iter().filter(|attempt| attempt.outcome.is_answer()).count();
        let best = report.attempts.iter().filter_map(|a| a.outcome.score()).fold(0.0, f64::max);
        let slowest = report.attempts.iter().map(|a| a.latency.as_secs_f64()).fold(0.0, f64::max);
        let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        rows.add_row([
            (*name).to_owned(),
            "44 private".to_owned(),
            format!("{answered} of {}", report.attempts.len()),
            format!("{best:.4}"),
            format!("{slowest:.3} s"),
            word(report.identical == Some(true)),
            report.spot_check.as_ref().map_or("-", |c| if c.passed() { "PASS" } else { "FAIL" }).to_owned(),
        ]);
    }
    println!("\nWhat scored what\n\n{}", rows.trim_fmt());
}

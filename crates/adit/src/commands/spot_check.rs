//! `sv spot-check`: the image, pulled as Score pulls it and shut in as Score shuts it in, is asked again what
//! the live miner answered.
//!
//! Two containers of the image on a network that leads nowhere: one serves, the other is what Score's cluster
//! is around it, the clips' host and the checker (`sv spot-check-runner`). So this works wherever the engine is.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use adit_chain::Netuid;
use adit_docker::{Container, Engine, Found, Stored};
use adit_journal::record::{MAX_TEXT, SpotChecked, bounded};
use adit_journal::{Find, Lines, OpenError, PRIVATE_TRACK, Reader};
use adit_keys::Hotkey;
use adit_media::Ffmpeg;
use adit_outbound::{AddressGuard, Client, Limits};
use adit_private_track::deployment::{
    DATA_FOLDER, LARGEST_IMAGE, MINER_LABEL, PORT, Target, checked, checker,
};
use adit_private_track::spot_check::{Check, Job, Status, Verdict, check, jobs_from_journal, read_jobs};
use adit_settings::{Environment, var};
use adit_synthetic::{Match, MatchFormat};
use tokio::time::{Instant, timeout};
use url::Url;

use super::{block_on, live_journal, recorded};
use crate::cli::deploy::{SpotCheck, SpotCheckRunner};
use crate::failure::Failure;

/// From the pull to the last answer (section 7), and what each further challenge adds: Score asks one at a time.
const WHOLE: Duration = Duration::from_secs(720);
const MORE: Duration = Duration::from_secs(240);
/// Most that the checker prints: a line for each challenge.
const MOST_OUTPUT: usize = 1024 * 1024;
/// Label of what a check makes.
const LABEL: &str = "adit.spot-check";
/// Recorded challenges that are looked through, from the newest on.
const MOST_RECORDED: u32 = 10_000;
/// Time for a journal to be read in its container.
const READ: Duration = Duration::from_secs(60);
/// Largest journal that is read out of a container, and all clips together, in bytes.
const LARGEST_JOURNAL: usize = 256 << 20;
const LARGEST_CLIPS: u64 = 1 << 30;
/// Time for one clip to be fetched.
const FETCH: Duration = Duration::from_secs(60);
/// What is drawn where nothing is recorded.
const FORMAT: MatchFormat = MatchFormat { width: 640, height: 360, fps: 25, seconds: 10 };
const DRAWING: Duration = Duration::from_secs(60);
/// Where the checker finds its list and the clips.
const FOLDER: &str = "/spot-check";
/// Lines of a container's log that are shown where something broke.
const LAST_LINES: usize = 50;

pub(crate) fn run(env: &Environment, args: &SpotCheck) -> Result<ExitCode, Failure> {
    let env = args.image.settings(env);
    block_on(async {
        let target = Target::from_settings(&env, &args.image.tag)?;
        let engine = Engine::connect(env.text(&var::DOCKER_HOST)?).await?;
        let registry = target.registry();
        let found = match &args.digest {
            Some(digest) => registry.stored_at(digest).await?,
            None => registry.stored().await?,
        };
        let stored = in_bounds(&target, found)?;
        let netuid = args.netuid.resolve(&env)?;
        let image = target.image.at(&stored.digest);
        let say = |line: &str| {
            if !args.json {
                println!("{line}");
            }
        };
        say(&format!("Checking {image}"));
        let jobs = Jobs::recorded(&env, &engine, args, &image).await?;
        let jobs = if jobs.list.is_empty() {
            say("  nothing recorded of this image can be asked again: a drawn match is asked twice");
            Jobs::drawn(&env).await?
        } else {
            say(&format!("  {} recorded challenges are asked again", jobs.list.len()));
            jobs
        };
        let mut stage = None;
        let checking = examine(&env, &engine, &target, &stored.digest, netuid, jobs, &mut stage);
        let result = tokio::select! {
            result = checking => result,
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                Err(Failure::new("stopped"))
            }
        };
        // Where it was stopped, it could not do so itself.
        clear(&mut stage).await;
        let verdicts = result?;
        record(&env, &image, &verdicts, args.score_only);
        let passed = verdicts.iter().all(|verdict| passes(verdict, args.score_only));
        for verdict in &verdicts {
            println!("{}", serde_json::to_string(verdict).map_err(Failure::new)?);
            if verdict.status == Status::Pass && !passes(verdict, args.score_only) {
                eprintln!(
                    "✗ {}: within what Score allows, but not the same predictions: find out why before it is more",
                    verdict.challenge_id
                );
            }
        }
        say(if passed { "✓ The image passes" } else { "✗ The image does not pass" });
        Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Keeps the verdicts on this host.
pub(super) fn record(env: &Environment, image: &str, verdicts: &[Verdict], score_only: bool) {
    let Some(journal) = recorded::open(env, PRIVATE_TRACK) else { return };
    for verdict in verdicts {
        let passed = passes(verdict, score_only);
        let detail = match verdict.status {
            Status::Fail => Some(verdict.reason.to_string()),
            Status::Pass if !passed => Some("not the same predictions".to_owned()),
            Status::Pass => None,
        };
        let status = match verdict.status {
            Status::Pass => "pass",
            Status::Fail => "fail",
        };
        journal.record(&SpotChecked {
            challenge_id: bounded(&verdict.challenge_id, MAX_TEXT),
            image: image.to_owned(),
            status: status.to_owned(),
            passed,
            identical: verdict.identical,
            live_score: Some(verdict.original_score),
            score: verdict.spotcheck_score,
            detail,
        });
    }
}

/// Score lets differ by 0.02; whoever differs at all is on the way there.
pub(super) fn passes(verdict: &Verdict, score_only: bool) -> bool {
    verdict.status == Status::Pass && (score_only || verdict.identical == Some(true))
}

fn in_bounds(target: &Target, found: Option<Stored>) -> Result<Stored, Failure> {
    match found {
        None => Err(Failure::new(format!("image_unavailable: the registry has no {}", target.image))
            .hint("push it: `sv deploy-pt-miner --tag … --no-commit --no-start`")),
        Some(stored) if stored.size > LARGEST_IMAGE => Err(Failure::new(format!(
            "image_too_large: {} has {} bytes, and Score takes {LARGEST_IMAGE}",
            target.image, stored.size
        ))),
        Some(stored) => Ok(stored),
    }
}

/// The spot check that a deployment makes of what it has just pushed.
/// What it makes is in `stage` until it is removed again: where the caller stops it, that is the caller's to do.
pub(super) async fn of_deployment(
    env: &Environment,
    engine: &Engine,
    target: &Target,
    digest: &str,
    netuid: Netuid,
    stage: &mut Option<Stage>,
) -> Result<Vec<Verdict>, Failure> {
    examine(env, engine, target, digest, netuid, Jobs::drawn(env).await?, stage).await
}

/// What is asked, with the clips.
struct Jobs {
    list: Vec<Job>,
    clips: tempfile::TempDir,
}

impl Jobs {
    /// What the live miner's journal has of this image, as far as the clips can still be fetched.
    async fn recorded(
        env: &Environment,
        engine: &Engine,
        args: &SpotCheck,
        image: &str,
    ) -> Result<Self, Failure> {
        let clips = tempfile::tempdir()?;
        let list = answered(env, engine, args, image).await?;
        let allowed = env.text(&var::ALLOWED_HOSTS)?.unwrap_or_default();
        let guard = AddressGuard::public_only().allowing(allowed).map_err(Failure::new)?;
        let client = Client::new(guard)?;
        let mut there = Vec::new();
        let mut left = LARGEST_CLIPS;
        for job in list {
            let limits = Limits::new(Instant::now() + FETCH, left);
            let fetching = async { client.get(&job.video_url, &limits).await?.bytes().await };
            match fetching.await {
                Ok(clip) => {
                    left = left.saturating_sub(clip.len() as u64);
                    tokio::fs::write(clips.path().join(&job.clip), clip).await?;
                    there.push(job);
                }
                Err(error) => {
                    tracing::warn!("challenge {} is left out: its clip is gone: {error}", job.challenge_id)
                }
            }
        }
        Ok(Self { list: there, clips })
    }

    /// Drawn matches. The image is compared with itself: its first answer counts as the truth, since by the real one
    /// two answers that differ could be worth nothing alike.
    async fn drawn(env: &Environment) -> Result<Self, Failure> {
        let clips = tempfile::tempdir()?;
        let encoder = Ffmpeg::find(Some(&PathBuf::from(env.required(&var::FFMPEG)?))).await?;
        let mut list = Vec::new();
        for seed in 1..=2 {
            let drawn = Match::new(seed, FORMAT);
            let clip = format!("{seed}.mp4");
            drawn.write_clip(&encoder, &clips.path().join(&clip), Instant::now() + DRAWING).await?;
            list.push(Job {
                miner_hotkey: own_hotkey(env),
                challenge_id: format!("drawn-{seed}"),
                video_url: format!("http://video-proxy/drawn/{seed}.mp4"),
                clip,
                live: None,
                truth: None,
                original_score: None,
            });
        }
        Ok(Self { list, clips })
    }

    /// All of it as a tar archive for the checker.
    fn tar(&self) -> Result<Vec<u8>, Failure> {
        let mut tar = tar::Builder::new(Vec::new());
        let folder = FOLDER.trim_start_matches('/');
        let mut add = |name: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("{folder}/{name}"), content)
        };
        add("jobs.json", &serde_json::to_vec(&self.list).map_err(Failure::new)?)?;
        for job in &self.list {
            add(&job.clip, &std::fs::read(self.clips.path().join(&job.clip))?)?;
        }
        Ok(tar.into_inner()?)
    }
}

/// For the lines of the checker only.
fn own_hotkey(env: &Environment) -> String {
    adit_private_track::own_hotkey(env).map(|hotkey: Hotkey| hotkey.to_string()).unwrap_or_default()
}

/// What the live miner's journal has of the image: as told, else out of its container, else from this host's own
/// folder, where there may be none.
async fn answered(
    env: &Environment,
    engine: &Engine,
    args: &SpotCheck,
    image: &str,
) -> Result<Vec<Job>, Failure> {
    let most = usize::from(args.challenges);
    let read = |path: &Path| {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(format!("cannot read the journal {}: {error}", path.display()))
        };
        let mut entries = Vec::new();
        match Reader::open(path) {
            Err(OpenError::File { source, .. })
                if source.kind() == ErrorKind::NotFound && args.journal.is_none() => {}
            Err(error) if error.is_damage() => {
                // Not the file itself, but what was written out of one.
                let lines = Lines::new(BufReader::new(File::open(path)?));
                return jobs_from_journal(lines, Some(image), most).map_err(|error| failed(&error));
            }
            opened => {
                let find = Find { limit: MOST_RECORDED, ..Find::event("challenge") };
                entries =
                    opened.map_err(|error| failed(&error))?.find(&find).map_err(|error| failed(&error))?;
            }
        }
        Ok(jobs_from_journal(entries.into_iter().rev().map(Ok), Some(image), most)?)
    };
    if let Some(file) = &args.journal {
        return read(file);
    }
    let port: u16 = env.parsed(&var::MINER_PORT, "a port from 0 to 65535")?;
    let miners = engine.containers(MINER_LABEL, &port.to_string()).await?;
    if let Some(miner) = miners.iter().find(|one| one.active).or(miners.first()) {
        let lines = if miner.active { printed(engine, miner).await? } else { at_rest(engine, miner).await? };
        return Ok(jobs_from_journal(Lines::new(lines.as_slice()), Some(image), most)?);
    }
    match env.path(&var::DATA_FOLDER)? {
        Some(folder) => read(&folder.join(PRIVATE_TRACK)),
        None => Ok(Vec::new()),
    }
}

/// What a live container prints of its journal.
async fn printed(engine: &Engine, miner: &Found) -> Result<Vec<u8>, Failure> {
    let arguments = ["--event", "challenge", "--limit", &MOST_RECORDED.to_string()];
    live_journal::printed(engine, miner, &arguments, LARGEST_JOURNAL, READ).await.map_err(|failure| {
        failure.hint(
            "name what it recorded with --journal FILE, the file itself or what `adit journal --event challenge` prints",
        )
    })
}

/// The same of a container that has ended: nobody has the file open.
async fn at_rest(engine: &Engine, miner: &Found) -> Result<Vec<u8>, Failure> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join(PRIVATE_TRACK);
    for end in ["", "-wal"] {
        let path = format!("{DATA_FOLDER}/{PRIVATE_TRACK}{end}");
        if let Some(bytes) = engine.download(&miner.id, &path, LARGEST_JOURNAL).await? {
            std::fs::write(folder.path().join(format!("{PRIVATE_TRACK}{end}")), bytes)?;
        }
    }
    if !file.exists() {
        return Ok(Vec::new());
    }
    let find = Find { limit: MOST_RECORDED, ..Find::event("challenge") };
    let mut entries = Reader::open(&file).map_err(Failure::new)?.find(&find).map_err(Failure::new)?;
    entries.reverse();
    let lines: Result<String, _> = entries.iter().map(adit_journal::Entry::to_line).collect();
    Ok(lines.map_err(Failure::new)?.into_bytes())
}

/// Pulls the image and has it checked.
async fn examine(
    env: &Environment,
    engine: &Engine,
    target: &Target,
    digest: &str,
    netuid: Netuid,
    jobs: Jobs,
    stage: &mut Option<Stage>,
) -> Result<Vec<Verdict>, Failure> {
    let most = WHOLE + MORE * u32::try_from(jobs.list.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let played = {
        let stage = stage.insert(Stage::new(env, engine, target.image.at(digest), netuid)?);
        timeout(most, stage.play(target, digest, &jobs)).await
    };
    clear(stage).await;
    played.unwrap_or_else(|_| {
        Err(Failure::new(format!("timeout: the spot check took longer than its {} s", most.as_secs())))
    })
}

/// Removes what a check made.
pub(super) async fn clear(stage: &mut Option<Stage>) {
    // Forgotten only afterwards: whoever is stopped in here can be asked again.
    if let Some(made) = stage {
        made.clear().await;
    }
    *stage = None;
}

/// The containers of one check, and their network.
pub(super) struct Stage {
    engine: Engine,
    network: String,
    miner: Container,
    first: Container,
    checker: Container,
}

impl Stage {
    fn new(env: &Environment, engine: &Engine, image: String, netuid: Netuid) -> Result<Self, Failure> {
        // Two checks on one engine do not meet.
        let network = format!("pt-check-{}", std::process::id());
        let gpus = super::deploy::gpus(env, engine)?;
        let of = |role: &str| {
            checked(format!("{network}-{role}"), &image, &network, netuid, engine.about().cpus, gpus)
        };
        let (miner, first) = (of("miner"), of("first"));
        let command = ["sv", "spot-check-runner", FOLDER].map(str::to_owned).to_vec();
        let checker = checker(format!("{network}-checker"), &image, &network, command);
        let labelled = |mut container: Container| {
            container.labels.push((LABEL.to_owned(), network.clone()));
            container
        };
        let [miner, first, checker] = [miner, first, checker].map(labelled);
        Ok(Self { engine: engine.clone(), network, miner, first, checker })
    }

    async fn play(&self, target: &Target, digest: &str, jobs: &Jobs) -> Result<Vec<Verdict>, Failure> {
        let engine = &self.engine;
        engine.pull(&target.image, Some(digest), target.credentials.as_ref(), &mut |_| ()).await?;
        engine.create_internal_network(&self.network, &[(LABEL.to_owned(), self.network.clone())]).await?;
        self.start(&self.miner, None).await?;
        let url = |container: &Container| format!("http://{}:{PORT}", container.name);
        let mut checker = self.checker.clone();
        let mut more = vec!["--miner".to_owned(), url(&self.miner)];
        if jobs.list.iter().any(|job| job.live.is_none()) {
            self.start(&self.first, None).await?;
            more.extend(["--first".to_owned(), url(&self.first)]);
        }
        // Score puts its own host into each URL before it looks at the host, so that none is refused for it.
        for job in &jobs.list {
            if let Some(host) = host_of(&job.video_url) {
                more.extend(["--host".to_owned(), host]);
            }
        }
        checker.command.get_or_insert_default().extend(more);
        let id = self.start(&checker, Some(jobs.tar()?)).await?;

        let code = engine.wait(&id).await?;
        let output = engine.stdout(&id, MOST_OUTPUT).await?;
        let verdicts: Vec<Verdict> = String::from_utf8_lossy(&output)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        if verdicts.len() == jobs.list.len() {
            return Ok(verdicts);
        }
        let (said, miner) =
            (engine.logs(&id, LAST_LINES).await?, engine.logs(&self.miner.name, LAST_LINES).await?);
        Err(Failure::new(format!(
            "the checker ended with {code} and without a verdict:\n{}\nThe image's own last lines:\n{}",
            said.trim_end(),
            miner.trim_end()
        ))
        .hint(if code == 1 {
            "the lines above say why"
        } else {
            "it is `sv spot-check-runner` of the image itself: one that this version of Dockerfile.miner did not make has \
             none, or another"
        }))
    }

    async fn start(&self, container: &Container, files: Option<Vec<u8>>) -> Result<String, Failure> {
        let id = self.engine.create(container).await?;
        if let Some(tar) = files {
            self.engine.upload(&id, "/", tar).await?;
        }
        self.engine.start(&id, container).await?;
        Ok(id)
    }

    async fn clear(&self) {
        for container in [&self.checker, &self.first, &self.miner] {
            if let Err(error) = self.engine.remove(&container.name).await {
                tracing::warn!("{}: {error}", container.name);
            }
        }
        if let Err(error) = self.engine.remove_network(&self.network).await {
            tracing::warn!("{}: {error}", self.network);
        }
    }
}

fn host_of(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(str::to_owned)
}

/// `sv spot-check-runner`: prints a line for each job.
pub(crate) fn runner(args: &SpotCheckRunner) -> Result<ExitCode, Failure> {
    block_on(async {
        let jobs = read_jobs(&args.folder.join("jobs.json"))?;
        let mut plan = Check::new(&args.miner, &args.folder);
        plan.hosts.extend(args.host.iter().cloned());
        plan.first.clone_from(&args.first);
        // Both are containers beside this one.
        let client = Client::new(AddressGuard::unrestricted())?;
        let verdicts = check(&client, &plan, &jobs).await?;
        for verdict in &verdicts {
            println!("{}", serde_json::to_string(verdict).map_err(Failure::new)?);
        }
        let passed = verdicts.iter().all(|verdict| verdict.status == Status::Pass);
        Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

//! `sv test-chute`.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use adit_http_server::ClipHost;
use adit_journal::TURBO_VISION;
use adit_journal::record::{MAX_TEXT, Rehearsed, bounded};
use adit_manifest::{Element, Manifest};
use adit_media::{Ffmpeg, Media, MediaLimits};
use adit_outbound::{AddressGuard, Client};
use adit_scoring::objects::Truth;
use adit_settings::{Environment, var};
use adit_synthetic::{Match, MatchFormat};
use adit_turbo_vision::chutes::{Cause, Chute, ChutesError};
use adit_turbo_vision::compliance::{RULES, Verdict};
use adit_turbo_vision::documents;
use adit_turbo_vision::ranking::{DocumentRules, FRAMES, Reading};
use adit_turbo_vision::rehearsal::score_api::{Challenge, ScoreApi, Subject};
use adit_turbo_vision::rehearsal::{Rehearsal, Rules, Scene, rehearse, report};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use super::lint::element_in;
use super::{api, client, soon, which};
use crate::cli::turbo_vision::{EraArg, TestChute};
use crate::commands::element::manifest;
use crate::commands::password::open_hotkey;
use crate::commands::table::table;
use crate::commands::{block_on, recorded};
use crate::failure::Failure;

/// What is drawn: as large as validators' canvas, and as long as the document era's answers had to be.
const FORMAT: MatchFormat = MatchFormat { width: 960, height: 540, fps: 25, seconds: 30 };
const SEED: u64 = 44;
/// Time for fetching or drawing what is shown.
const PREPARING: Duration = Duration::from_secs(300);

pub(super) fn run(env: &Environment, args: TestChute) -> Result<ExitCode, Failure> {
    block_on(async {
        let (chute, id) = which(env, &args.chute).await?;
        let era = match args.era {
            Some(era) => era,
            None => speaks(&chute, args.chute.local, Duration::from_secs(args.timeout)).await?,
        };
        let element = element(env, &args, era).await?;
        let stage = Stage::set(env, &args, era, element.as_ref()).await?;
        let rules = match &element {
            Some(element) if era == EraArg::Head => Rules::Head(element),
            _ => Rules::Document(DocumentRules {
                frames: if args.clip.is_some() { stage.scene.total.min(FRAMES) } else { FRAMES },
                challenge_type: Some("football"),
                reading: if args.as_it_ran { Reading::AsItRan } else { Reading::AsItWasMeant },
            }),
        };
        let patience = Duration::from_secs(args.timeout);
        let warm = async || {
            if let (Some(id), Ok(api)) = (&id, api(env))
                && let Err(error) = api.warm_up(id, Instant::now() + patience, |_| ()).await
            {
                tracing::warn!("{error}");
            }
        };
        let done = rehearse(&chute, &stage.scene, rules, args.repeat, patience, warm).await;
        let done = done.map_err(Failure::new)?;
        recorded::record(env, TURBO_VISION, &recorded(&args, &stage.scene, &done));
        if let Some(file) = &args.report {
            let page = report::html(&stage.scene, &done, rules, "Rehearsal of a chute")?;
            std::fs::write(file, page)
                .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
        }
        if args.json {
            println!("{:#}", as_json(&stage.scene, &done, rules));
        } else {
            print(&stage.scene, &done, rules);
            if let Some(file) = &args.report {
                println!("report: {}", file.display());
            }
        }
        Ok(if done.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// What the journal is told.
fn recorded(args: &TestChute, scene: &Scene, done: &Rehearsal) -> Rehearsed {
    let answers = done.rounds.iter().filter_map(|round| round.answer.as_ref().ok());
    let predictions: Vec<_> = answers.clone().map(|answer| &answer.predictions).collect();
    let slowest = done.rounds.iter().filter(|round| round.answer.is_ok());
    let slowest = slowest.map(|round| round.ranking.latency_ms).fold(0.0, f64::max);
    let wrong = done.rounds.iter().find_map(|round| {
        let said = match &round.answer {
            Err(error) => Some(error.clone()),
            Ok(answer) => answer.error.clone(),
        };
        let closed = || round.ranking.gates.iter().find(|gate| !gate.open);
        said.or_else(|| closed().map(|gate| format!("{}: {}", gate.name, gate.reason)))
    });
    Rehearsed {
        target: super::target(&args.chute),
        asked: bounded(&scene.name, MAX_TEXT),
        passed: done.passed(),
        asked_times: u32::try_from(done.rounds.len()).unwrap_or(u32::MAX),
        answered_times: u32::try_from(predictions.len()).unwrap_or(u32::MAX),
        score: done.rounds.iter().map(|round| round.ranking.score).reduce(f64::max),
        identical: (predictions.len() > 1).then(|| predictions.windows(2).all(|pair| pair[0] == pair[1])),
        slowest_ms: slowest as u64,
        detail: wrong.map(|wrong| bounded(&wrong, MAX_TEXT)),
        ..Rehearsed::default()
    }
}

/// Which contract a chute speaks: only today's says as text what is loaded.
async fn speaks(chute: &Chute, local: bool, patience: Duration) -> Result<EraArg, Failure> {
    let health = chute.health(Instant::now() + patience).await.map_err(|error| unheard(error, local))?;
    let plain = matches!(health.model.as_str(), "true" | "false");
    Ok(if plain { EraArg::Document } else { EraArg::Head })
}

/// A chute on this host is not asked for in vain because of the network.
pub(super) fn unheard(error: ChutesError, local: bool) -> Failure {
    let nobody = local && matches!(error.cause, Cause::NoAnswer { .. });
    let failure = Failure::from(error);
    if nobody { failure.hint("`sv deploy-local-chute` starts a chute on this host") } else { failure }
}

async fn element(env: &Environment, args: &TestChute, era: EraArg) -> Result<Option<Element>, Failure> {
    match (&args.element_id, era) {
        (Some(id), EraArg::Head) => Ok(Some(element_in(&manifest(env, None).await?.manifest, id)?)),
        (Some(_), EraArg::Document) => Err(Failure::new("validators of the document era knew no elements")
            .hint("leave --element-id out, or say --era head")),
        (None, EraArg::Head) if args.api || args.clip.is_some() => {
            Err(Failure::new("the element whose rules hold is not named")
                .hint("name it: --element-id manak0/Detect-fire; `sv elements` lists them"))
        }
        (None, EraArg::Head) => Ok(Some(drawn_element()?)),
        (None, EraArg::Document) => Ok(None),
    }
}

/// An element that a drawn match can be scored by; the Manifest has none about players at times.
pub(in crate::commands) fn drawn_element() -> Result<Element, Failure> {
    let text =
        "{window_id: rehearsal, version: 1, expiry_block: 1, tee: {trusted_share_gamma: 0}, elements: [{
        id: adit/PlayerDetect-drawn, track: public, objects: [ball, goalkeeper, player], service_rate_fps: 5,
        metrics: {pillars: {map50: 0.5, iou: 0.25, count: 0.125, palette: 0.125}}}]}";
    let manifest = Manifest::parse(text.as_bytes()).map_err(Failure::new)?;
    manifest.elements.into_iter().next().ok_or_else(|| Failure::new("no element"))
}

/// What is shown, with what must live while it is.
struct Stage {
    scene: Scene,
    _host: Option<ClipHost>,
    _drawn: Option<DrawnClip>,
}

/// A drawn match as a clip that can be fetched, while this is there.
pub(super) struct DrawnClip {
    host: ClipHost,
    _folder: TempDir,
}

impl DrawnClip {
    pub(super) async fn start(env: &Environment, format: MatchFormat, at: IpAddr) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let clip = folder.path().join("match.mp4");
        let drawn = Match::new(SEED, format);
        drawn.write_clip(&ffmpeg(env).await?, &clip, Instant::now() + PREPARING).await?;
        Ok(Self { host: ClipHost::start(&clip, at).await?, _folder: folder })
    }

    pub(super) fn url(&self) -> String {
        self.host.url()
    }
}

impl Stage {
    async fn set(
        env: &Environment,
        args: &TestChute,
        era: EraArg,
        element: Option<&Element>,
    ) -> Result<Self, Failure> {
        let alone = |scene| Self { scene, _host: None, _drawn: None };
        if args.api {
            return Ok(alone(from_api(env, args, era, element).await?));
        }
        if let (Some(clip), Some(truth)) = (&args.clip, &args.truth) {
            let keypoints = element.is_none_or(|element| element.keypoint_template.is_some());
            return Self::of_clip(env, args, clip, read_truth(truth)?, keypoints).await;
        }
        if let Some(objects) = element.and_then(|element| element.objects.as_ref())
            && !objects.iter().any(|object| ["ball", "goalkeeper", "player"].contains(&object.as_str()))
        {
            return Err(Failure::new(format!(
                "a drawn match has balls, goalkeepers and players, and the element is about {}",
                objects.join(", ")
            ))
            .hint("name a clip and what is in it: --clip, --truth"));
        }
        // Today's contract takes the frames themselves, so a chute that is far away can be shown them too.
        if era == EraArg::Head {
            return Ok(alone(drawn_scene(args.frames)));
        }
        if !args.chute.local && args.chute.url.is_none() && args.serve_on.is_loopback() {
            return Err(out_of_reach("the drawn match"));
        }
        let drawn = Match::new(SEED, FORMAT);
        let scored = spread(args.frames, drawn.frame_count());
        let clip = DrawnClip::start(env, FORMAT, args.serve_on).await?;
        let scene = Scene::drawn(&drawn, FORMAT, Some(clip.url()), &scored, true);
        Ok(Self { scene, _host: None, _drawn: Some(clip) })
    }

    async fn of_clip(
        env: &Environment,
        args: &TestChute,
        clip: &str,
        truth: Vec<Truth>,
        keypoints: bool,
    ) -> Result<Self, Failure> {
        let media = media(env).await?;
        let deadline = Instant::now() + PREPARING;
        if clip.contains("://") {
            let scene =
                Scene::of_clip(&media, clip, clip, truth, keypoints, deadline).await.map_err(Failure::new)?;
            return Ok(Self { scene, _host: None, _drawn: None });
        }
        if !args.chute.local && args.chute.url.is_none() && args.serve_on.is_loopback() {
            return Err(out_of_reach("a clip on this host"));
        }
        let host = ClipHost::start(Path::new(clip), args.serve_on).await?;
        let url = host.url();
        let scene =
            Scene::of_clip(&media, &url, &url, truth, keypoints, deadline).await.map_err(Failure::new)?;
        let scene = Scene { name: scene.name.replace(&url, clip), ..scene };
        Ok(Self { scene, _host: Some(host), _drawn: None })
    }
}

fn out_of_reach(what: &str) -> Failure {
    Failure::new(format!("a chute at Chutes cannot fetch {what}")).hint(
        "name a public clip and what is in it: --clip URL --truth FILE; or an address of this host that the chute can \
         reach: --serve-on",
    )
}

async fn ffmpeg(env: &Environment) -> Result<Ffmpeg, Failure> {
    Ok(Ffmpeg::find(Some(Path::new(env.required(&var::FFMPEG)?))).await?)
}

async fn media(env: &Environment) -> Result<Media, Failure> {
    let client = Client::new(AddressGuard::unrestricted())?;
    Ok(Media::new(client, ffmpeg(env).await?, MediaLimits::default()))
}

/// A drawn match, of which so many frames are sent.
pub(in crate::commands) fn drawn_scene(frames: u32) -> Scene {
    let drawn = Match::new(SEED, FORMAT);
    Scene::drawn(&drawn, FORMAT, None, &spread(frames, drawn.frame_count()), false)
}

/// As many frames, over the whole length.
fn spread(count: u32, of: u64) -> Vec<u64> {
    let count = u64::from(count).min(of);
    (0..count).map(|at| at * of / count).collect()
}

fn read_truth(file: &Path) -> Result<Vec<Truth>, Failure> {
    const FORM: &str = r#"expected JSON such as {"annotations": [{"frame_idx": 0, "bbox": [1, 2, 30, 40], "class": "player"}]}"#;
    let shown = file.display();
    let text = std::fs::read(file)
        .map_err(|error| Failure::new(format!("cannot read the truth {shown}: {error}")))?;
    let document: Value = serde_json::from_slice(&text)
        .map_err(|error| Failure::new(format!("{shown} is no truth: {error}")).hint(FORM))?;
    // As Score's API wraps it.
    let document = if document["ground_truth"].is_null() { &document } else { &document["ground_truth"] };
    let truth = documents::truth_with_teams(document);
    if truth.is_empty() {
        return Err(Failure::new(format!("{shown} has no annotation that can be read")).hint(FORM));
    }
    Ok(truth)
}

/// A challenge of Score's, with the truth that validators score it by.
async fn from_api(
    env: &Environment,
    args: &TestChute,
    era: EraArg,
    element: Option<&Element>,
) -> Result<Scene, Failure> {
    let wallet = args.wallet.resolve(env)?;
    let key = open_hotkey(env, &wallet, &args.password)?;
    let client = client()?;
    let score = ScoreApi {
        client: &client,
        base: env.parsed(&var::SCORE_API, "an http or https URL")?,
        hotkey: &key,
        netuid: args.netuid.resolve(env)?.0,
    };
    const HINT: &str = "a miner is mostly refused; --clip and --truth, or a drawn match, need nobody's leave";
    let named = element.map(|element| (element.id.as_str(), element.challenge_type_version.as_deref()));
    let era = if era == EraArg::Document {
        adit_turbo_vision::rehearsal::Era::Document
    } else {
        adit_turbo_vision::rehearsal::Era::Head
    };
    let challenge = score.next(era, named).await.map_err(|error| Failure::new(error).hint(HINT))?;
    let task = challenge.task_id.as_u64().or_else(|| challenge.task_id.as_str()?.parse().ok());
    let task =
        task.ok_or_else(|| Failure::new("Score's API gave a challenge without a number").hint(HINT))?;
    let id = element.map_or("", |element| element.id.as_str());
    let truth = score.ground_truth(task, id).await.map_err(|error| Failure::new(error).hint(HINT))?;
    let truth = documents::truth(&truth);
    let media = media(env).await?;
    let keypoints = element.is_none_or(|element| element.keypoint_template.is_some());
    let Challenge { type_id, seed, fps, subject, task_id } = challenge;
    let mut scene = match subject {
        Subject::Clip(url) => {
            Scene::of_clip(&media, &url, &url, truth, keypoints, Instant::now() + PREPARING)
                .await
                .map_err(Failure::new)?
        }
        Subject::Frames(frames) => {
            Scene::of_pictures(&media, frames, truth, soon()).await.map_err(Failure::new)?
        }
    };
    (scene.task_id, scene.challenge_type_id, scene.seed) = (task_id, type_id, seed);
    scene.fps = fps.unwrap_or(scene.fps);
    Ok(scene)
}

/// What came back, for a reader.
pub(in crate::commands) fn print(scene: &Scene, done: &Rehearsal, rules: Rules<'_>) {
    println!("Shown:  {}", scene.name);
    let by = match rules {
        Rules::Head(element) => format!("today's validators for {}", element.id),
        Rules::Document(_) => "validators of the document era".to_owned(),
    };
    println!("Scored: {} frames, by the rules of {by}\n", scene.truth.len());
    let Some(round) = done.worst() else { return };
    for gate in &round.ranking.gates {
        println!("{} {}: {}", if gate.open { "✓" } else { "✗" }, gate.name, gate.reason);
    }
    match &round.answer {
        Err(error) => println!("✗ no answer: {error}"),
        Ok(answer) => {
            if let Some(error) = &answer.error {
                println!("✗ the chute says: {error}");
            }
        }
    }
    let mut rows = table(&["PILLAR", ">SCORE", ">WEIGHT", ">EARNED", ">LOST", "WHY"]);
    for pillar in &round.ranking.pillars {
        rows.add_row([
            pillar.name.clone(),
            format!("{:.4}", pillar.score),
            format!("{:.3}", pillar.weight),
            format!("{:.4}", pillar.contribution),
            format!("{:.4}", pillar.lost()),
            pillar.reason.clone().unwrap_or_default(),
        ]);
    }
    println!("\n{}\n", rows.trim_fmt());
    let worst: Vec<String> = round
        .ranking
        .worst_frames()
        .iter()
        .take(3)
        .map(|(number, score)| format!("{number} ({score:.2})"))
        .collect();
    if !worst.is_empty() {
        println!("worst frames: {}", worst.join(", "));
    }
    if let Some((median, p95)) = done.latency_ms() {
        let factor = round.ranking.real_time_factor;
        let factor = factor.map(|factor| format!(", real-time factor {factor:.3} of at most 1"));
        println!("latency: p50 {median:.0} ms, p95 {p95:.0} ms{}", factor.unwrap_or_default());
    }
    if let Some(again) = done.again() {
        let mark = if again.verdict(&RULES) == Verdict::Same { "✓" } else { "✗" };
        println!(
            "{mark} asked again, the answers are alike to {:.4} (validators that run a model again want {})",
            again.mean_iou, RULES.least_iou
        );
    }
    let rounds = match done.rounds.len() {
        1 => String::new(),
        several => format!(" (the worst of {several} rounds)"),
    };
    println!(
        "score: {:.4}{rounds} (weighted {:.4}, worth {:.4})",
        round.ranking.score, round.ranking.weighted, round.ranking.worth
    );
}

fn as_json(scene: &Scene, done: &Rehearsal, rules: Rules<'_>) -> Value {
    let rounds: Vec<Value> = done
        .rounds
        .iter()
        .map(|round| {
            let (error, attempts) = match &round.answer {
                Ok(answer) => (answer.error.clone(), Some(answer.attempts)),
                Err(error) => (Some(error.clone()), None),
            };
            json!({"ranking": round.ranking, "error": error, "attempts": attempts})
        })
        .collect();
    let element = match rules {
        Rules::Head(element) => Some(element.id.as_str()),
        Rules::Document(_) => None,
    };
    let (p50, p95) = done.latency_ms().unzip();
    json!({
        "passed": done.passed(), "era": done.era, "element": element, "scene": scene.name,
        "score": done.worst().map(|round| round.ranking.score), "latency_p50_ms": p50, "latency_p95_ms": p95,
        "again": done.again(), "rounds": rounds,
    })
}

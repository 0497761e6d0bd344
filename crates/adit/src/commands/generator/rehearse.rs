//! `gascli generator rehearse`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use adit_generative::check::Checker;
use adit_generative::rehearsal::{Ask, Attempt, Plan, rehearse};
use adit_generative::service::{Services, Slot};
use adit_generative::worker::Rules;
use adit_generative::{Config, Modality, Usd};
use adit_journal::record::{MAX_TEXT, Rehearsed, bounded};
use adit_journal::{GENERATIVE, Journal};
use adit_keys::Keypair;
use adit_provenance::signing::{Authority, Claim};
use adit_provenance::{Era, TrustAnchors, Verifier};
use adit_settings::{Environment, var};
use adit_stand_in::media::{MP4, PNG};
use adit_stand_in::providers::{Providers, Service};
use serde_json::{Map, Value, json};

use super::{one_line, serve, trust_anchors};
use crate::cli::gascli::Rehearse;
use crate::commands::table::table;
use crate::commands::terminal::confirm;
use crate::commands::{block_on, recorded};
use crate::failure::Failure;

pub(crate) fn run(env: &Environment, args: &Rehearse) -> Result<ExitCode, Failure> {
    let folder = tempfile::tempdir()?;
    let kept = args.output.clone().unwrap_or_else(|| folder.path().to_owned());
    std::fs::create_dir_all(&kept)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", kept.display())))?;
    let attempts = block_on(async {
        if args.stand_in {
            let stage = Stage::set().await?;
            let asks = asks(&stage.services, args)?;
            return stage.rehearse(asks, folder.path(), kept, None).await;
        }
        // Whoever the miner is, it is the services that are tried.
        let Config { services, rules, .. } = Config::from_settings(env, Keypair::generate().hotkey())?;
        let asks = asks(&services, args)?;
        agree(&services, &asks, args)?;
        trust_anchors::fetch_missing(env).await?;
        let checker = serve::checker(env)?;
        let database = folder.path().join("tasks.db");
        let budget = args.budget;
        // Its tasks are no validator's: what came of them is recorded as a rehearsal.
        let journal = None;
        rehearse(Plan { services, checker, rules, budget, asks, database, output_dir: kept, journal })
            .await
            .map_err(Failure::new)
    })?;
    recorded::record(env, GENERATIVE, &recorded(&attempts, args));
    if args.json {
        println!("{:#}", json!(attempts.iter().map(as_json).collect::<Vec<_>>()));
    } else {
        print(&attempts);
        if let Some(output) = &args.output {
            println!("The media are in {}.", output.display());
        }
    }
    let credited = attempts.iter().all(Attempt::credited);
    Ok(if credited { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the journal is told.
fn recorded(attempts: &[Attempt], args: &Rehearse) -> Rehearsed {
    let count = |attempts: usize| u32::try_from(attempts).unwrap_or(u32::MAX);
    let credited = attempts.iter().filter(|attempt| attempt.credited()).count();
    let mut services: Vec<&str> =
        attempts.iter().filter_map(|attempt| attempt.task.as_ref()?.service.as_deref()).collect();
    services.sort_unstable();
    services.dedup();
    let what = if args.stand_in { "stand-ins of the services" } else { "the services" };
    let asks: Vec<String> = attempts
        .iter()
        .map(|attempt| format!("{} {}", attempt.ask.modality, attempt.ask.tier.unwrap_or_default()))
        .collect();
    let slowest = attempts.iter().map(|attempt| attempt.took).max().unwrap_or_default();
    let cost = Usd(attempts.iter().map(|attempt| attempt.cost().0).sum());
    let failed = attempts.iter().find(|attempt| !attempt.credited());
    let detail =
        failed.map_or_else(|| format!("{cost} spent"), |failed| format!("{cost} spent; {}", why(failed)));
    Rehearsed {
        target: if services.is_empty() {
            what.to_owned()
        } else {
            format!("{what}: {}", services.join(", "))
        },
        asked: bounded(&asks.join(", "), MAX_TEXT),
        passed: credited == attempts.len(),
        asked_times: count(attempts.len()),
        answered_times: count(credited),
        slowest_ms: u64::try_from(slowest.as_millis()).unwrap_or(u64::MAX),
        detail: Some(bounded(&detail, MAX_TEXT)),
        ..Rehearsed::default()
    }
}

/// Paid services that are not, and an authority that signs what they make.
pub(crate) struct Stage {
    services: Services,
    checker: Checker,
    /// Stop when they are dropped.
    _providers: Providers,
}

impl Stage {
    pub(crate) async fn set() -> Result<Self, Failure> {
        let authority = Authority::new("Adit rehearsal").map_err(Failure::new)?;
        let anchors =
            TrustAnchors::default().trusting("rehearsal", authority.certificate()).map_err(Failure::new)?;
        let signer = authority.signer("OpenAI").map_err(Failure::new)?;
        let sign = |file| signer.sign_bytes(&Claim::now("stand-in"), file).map_err(Failure::new);
        let providers = Providers::start(sign(PNG)?, sign(MP4)?).await.map_err(Failure::new)?;
        // Who watches has waited for the first look already.
        providers.polls(0);
        let settings = [
            (var::IMAGE_SERVICE.name, "openrouter".to_owned()),
            (var::VIDEO_SERVICE.name, "openrouter".to_owned()),
            (var::OPENROUTER_API_KEY.name, "stand-in".to_owned()),
            (var::OPENROUTER_BASE_URL.name, providers.url(Service::OpenRouter)),
        ];
        let env = Environment::layered(settings.map(|(name, value)| (name.to_owned(), value)), None)?;
        let services = Services::from_environment(&env, SystemTime::now()).map_err(Failure::new)?;
        let checker = Checker::Here(vec![Verifier::new(&anchors, Era::Head).map_err(Failure::new)?]);
        Ok(Self { services, checker, _providers: providers })
    }

    /// The tasks are kept in `folder` for as long as it takes.
    pub(crate) async fn rehearse(
        &self,
        asks: Vec<Ask>,
        folder: &Path,
        output_dir: PathBuf,
        journal: Option<Journal>,
    ) -> Result<Vec<Attempt>, Failure> {
        let rules = Rules {
            concurrency: 5,
            timeout: Duration::from_secs(60),
            fail_over: false,
            keep: Duration::from_secs(86_400),
            save_locally: true,
        };
        let (services, checker) = (self.services.clone(), self.checker.clone());
        let database = folder.join("tasks.db");
        rehearse(Plan { services, checker, rules, budget: None, asks, database, output_dir, journal })
            .await
            .map_err(Failure::new)
    }
}

fn asks(services: &Services, args: &Rehearse) -> Result<Vec<Ask>, Failure> {
    let wanted: Vec<Modality> = match args.modality {
        Some(modality) => vec![modality],
        None => Modality::ALL.into_iter().filter(|modality| services.chosen(*modality).is_some()).collect(),
    };
    if wanted.is_empty() {
        let why = Modality::ALL.iter().find_map(|modality| match services.slot(*modality) {
            Slot::Unusable(why) => Some(why.to_string()),
            Slot::Off | Slot::Ready(_) => None,
        });
        let why = why.unwrap_or_else(|| "IMAGE_SERVICE and VIDEO_SERVICE are none".to_owned());
        return Err(Failure::new(format!("there is no service to rehearse with: {why}"))
            .hint("--stand-in rehearses without one"));
    }
    let mut asks = Vec::new();
    for modality in wanted {
        let tiers: [&'static str; 3] = match modality {
            Modality::Image => ["1K", "2K", "4K"],
            Modality::Video => ["480p", "720p", "1080p"],
        };
        let tier = match &args.tier {
            None => tiers[0],
            Some(named) => *tiers.iter().find(|tier| *tier == named).ok_or_else(|| {
                Failure::new(format!("{named} is no tier of {modality}s; those are {}", tiers.join(", ")))
                    .hint("--modality says what to ask for")
            })?,
        };
        for era in args.era.eras() {
            let tier = (*era == Era::Head).then_some(tier);
            let ask = Ask { modality, prompt: args.prompt.clone(), tier };
            asks.extend(std::iter::repeat_n(ask, args.count as usize));
        }
    }
    Ok(asks)
}

/// Says what it will cost, and asks.
fn agree(services: &Services, asks: &[Ask], args: &Rehearse) -> Result<(), Failure> {
    let mut total = Usd(0);
    for ask in asks {
        let Some(service) = services.chosen(ask.modality) else {
            return Err(Failure::new(format!(
                "no service makes {}s: see IMAGE_SERVICE, VIDEO_SERVICE",
                ask.modality
            ))
            .hint("--stand-in rehearses without one"));
        };
        let mut parameters = Map::new();
        if let Some(tier) = ask.tier {
            parameters.insert("resolution".to_owned(), tier.into());
        }
        let plan = service.plan(ask.modality, &ask.prompt, &parameters).map_err(Failure::new)?;
        total.0 += plan.cost.0;
    }
    if let Some(budget) = args.budget.filter(|budget| *budget < total) {
        return Err(Failure::new(format!("it would cost about {total}, more than the budget of {budget}")));
    }
    if args.yes {
        return Ok(());
    }
    let question = format!("{} paid calls, about {total} together. Make them?", asks.len());
    match if args.json { None } else { confirm(&question)? } {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::new("nothing was called, and nothing paid")),
        None => Err(Failure::new(format!("nothing was called, since there is nobody to ask: {question}"))
            .hint("--yes pays without asking, --stand-in costs nothing")),
    }
}

pub(crate) fn print(attempts: &[Attempt]) {
    let mut rows = table(&[
        "ASKED FOR",
        "SERVICE",
        ">201 AFTER",
        ">DELIVERED",
        ">BYTES",
        "C2PA",
        "PAID AS",
        ">COST",
        "WEBHOOK'S ANSWER",
    ]);
    for attempt in attempts {
        let task = attempt.task.as_ref();
        let tier = attempt.ask.tier.map(|tier| format!(" {tier}")).unwrap_or_default();
        let size = attempt
            .size
            .map(|size| format!("{} ({}x{})", size.tier(attempt.ask.modality), size.width, size.height));
        rows.add_row([
            format!("{}{tier}", attempt.ask.modality),
            task.and_then(|task| task.service.clone()).unwrap_or_default(),
            format!("{} ms", attempt.accepted_in.as_millis()),
            if attempt.credited() {
                format!("{:.2} s", attempt.took.as_secs_f64())
            } else {
                "never".to_owned()
            },
            task.and_then(|task| task.media.as_ref())
                .map(|media| media.bytes.to_string())
                .unwrap_or_default(),
            if attempt.credited() { "accepted" } else { "" }.to_owned(),
            size.unwrap_or_default(),
            attempt.cost().to_string(),
            attempt.answers.last().cloned().unwrap_or_default(),
        ]);
    }
    println!("{}", rows.trim_fmt());
    for attempt in attempts.iter().filter(|attempt| !attempt.credited()) {
        println!("✗ {}: {}", attempt.ask.modality, one_line(&why(attempt)));
    }
    let credited = attempts.iter().filter(|attempt| attempt.credited()).count();
    let cost = Usd(attempts.iter().map(|attempt| attempt.cost().0).sum());
    println!("\n{credited} of {} would be credited; {cost} spent.", attempts.len());
}

/// Why a task is not credited.
fn why(attempt: &Attempt) -> String {
    let task = attempt.task.as_ref();
    let said = task.and_then(|task| task.failure.clone().or_else(|| task.note.clone()));
    attempt.refused.clone().or(attempt.overdue.clone()).or(said).unwrap_or_default()
}

fn as_json(attempt: &Attempt) -> Value {
    let task = attempt.task.as_ref();
    json!({
        "modality": attempt.ask.modality,
        "tier": attempt.ask.tier,
        "accepted_ms": attempt.accepted_in.as_secs_f64() * 1000.0,
        "seconds": attempt.took.as_secs_f64(),
        "credited": attempt.credited(),
        "why": (!attempt.credited()).then(|| why(attempt)),
        "task_id": task.map(|task| task.id.to_string()),
        "state": task.map(|task| task.state.as_str()),
        "service": task.and_then(|task| task.service.clone()),
        "bytes": task.and_then(|task| Some(task.media.as_ref()?.bytes)),
        "file": attempt.file,
        "width": attempt.size.map(|size| size.width),
        "height": attempt.size.map(|size| size.height),
        "paid_as": attempt.size.map(|size| size.tier(attempt.ask.modality)),
        "cost_usd": attempt.cost().0 as f64 / 1e6,
        "webhook": attempt.answers,
    })
}

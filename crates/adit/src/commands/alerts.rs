//! `adit alerts`, and the rules and the webhook for the page.

use std::process::ExitCode;
use std::sync::Arc;

use adit_dashboard::alert::{self, Alert, Anchor, DEFAULT_RULES, Facts, Message, Rules, Webhook};
use adit_dashboard::{Connection, Now, Sources};
use adit_outbound::{AddressGuard, Client};
use adit_settings::{Environment, var};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::dashboard::data_folder;
use super::live_journal::sources_once;
use super::{block_on, generator};
use crate::cli::dashboard::{AlertsCommand, AlertsNow};
use crate::failure::Failure;

/// The file of the rules in the data folder.
const FILE: &str = "alerts.toml";

pub(crate) fn run(env: &Environment, command: &AlertsCommand) -> Result<ExitCode, Failure> {
    match command {
        AlertsCommand::Show => {
            print!("{DEFAULT_RULES}");
            Ok(ExitCode::SUCCESS)
        }
        AlertsCommand::Now(args) => now(env, args),
        AlertsCommand::Test => test(env),
    }
}

fn now(env: &Environment, args: &AlertsNow) -> Result<ExitCode, Failure> {
    let rules = rules(env)?;
    let (sources, now) = block_on(async {
        let sources = sources_once(env).await?;
        let now = Now::look(&sources, &Connection::new()?).await;
        Ok((sources, now))
    })?;
    let alerts = judged(&sources, &rules, now, anchors(env)());
    if args.json {
        let rows: Vec<Value> = alerts
            .iter()
            .map(|alert| {
                json!({"rule": alert.rule, "key": alert.key(), "urgent": alert.urgent, "text": alert.text, "todo": alert.todo})
            })
            .collect();
        println!("{:#}", json!(rows));
    } else if alerts.is_empty() {
        println!("✓ nothing to tell");
    }
    for alert in alerts.iter().filter(|_| !args.json) {
        println!("{}", Message::Raised(alert).text());
    }
    let urgent = alerts.iter().any(|alert| alert.urgent);
    Ok(if urgent { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn test(env: &Environment) -> Result<ExitCode, Failure> {
    let rules = rules(env)?;
    let Some(webhook) = webhook(env, &rules)? else {
        return Err(Failure::new("there is no webhook to post to")
            .hint(format!("{} is its address", var::ALERT_WEBHOOK.name)));
    };
    let alert = Alert {
        rule: "test",
        miner: None,
        cause: String::new(),
        urgent: false,
        text: format!("Adit on {}: this is a test of its alerts", host_name()),
        todo: "nothing".to_owned(),
    };
    block_on(async {
        let client = Client::new(AddressGuard::unrestricted())?;
        webhook.post(&client, &Message::Raised(&alert), &host_name()).await.map_err(|error| {
            Failure::new(format!("the message did not get through: {error}"))
                .hint(format!("is {} right?", var::ALERT_WEBHOOK.name))
        })
    })?;
    println!("✓ posted");
    Ok(ExitCode::SUCCESS)
}

/// The rules that hold.
pub(super) fn rules(env: &Environment) -> Result<Rules, Failure> {
    let told = env.path(&var::ALERTS_FILE)?;
    let file = match told {
        Some(file) => file,
        None => {
            let file = data_folder(env)?.join(FILE);
            if !file.exists() {
                return Ok(Rules::default());
            }
            file
        }
    };
    Rules::read(&file)
        .map_err(|error| Failure::new(error).hint("`adit alerts show` prints every rule with a word on it"))
}

/// Where alerts are posted, if they are.
pub(super) fn webhook(env: &Environment, rules: &Rules) -> Result<Option<Webhook>, Failure> {
    let Some(address) = env.secret(&var::ALERT_WEBHOOK)? else { return Ok(None) };
    let webhook = Webhook::new(address.expose_secret(), rules.form)
        .map_err(|error| Failure::new(format!("{}: {error}", var::ALERT_WEBHOOK.name)))?;
    Ok(Some(webhook))
}

/// What there is to tell. It reads the journals.
pub(super) fn judged(sources: &Arc<Sources>, rules: &Rules, now: Now, anchors: Vec<Anchor>) -> Vec<Alert> {
    alert::judge(rules, &Facts::gather(sources, now, anchors))
}

/// The trust anchors on this host's disk, read each time: `trust-anchors update` may have changed them.
pub(super) fn anchors(env: &Environment) -> impl Fn() -> Vec<Anchor> + Clone + Send + Sync + use<> {
    let env = env.clone();
    move || {
        // Where there are none, no generative miner is set up, or its own command says so.
        let Ok(anchors) = generator::trust_anchors::on_disk(&env) else { return Vec::new() };
        let anchor = |anchor: &adit_provenance::Anchor| Anchor {
            name: format!("{} ({})", anchor.file, anchor.subject),
            ends_ms: anchor.expires.timestamp_millis(),
        };
        anchors.iter().map(anchor).collect()
    }
}

/// What messages call this host.
pub(super) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

//! The running miner: what its `/health` says, and what that says of the stake table and the predictor.

use std::time::{Duration, SystemTime};

use adit_auth::{StakeGate, StakeTable};
use adit_chain::{StakeSource, Stakes, stake_file};
use adit_outbound::{AddressGuard, Client, FetchError, Limits};
use adit_private_track::PredictorChoice;
use serde_json::Value;
use tokio::time::Instant;

use super::Check;
use super::chain::Place;
use super::sv::Miner;

/// `/health` has a few hundred bytes.
const MAX_ANSWER: u64 = 1024 * 1024;

/// What answers at the miner's port on this host.
pub(super) enum Server {
    /// Adit, with its `/health`.
    Up(Value),
    /// Adit whose model is not loaded, or something that answers 503.
    Loading,
    /// Nothing.
    Down(String),
    /// Something that takes connections and says nothing.
    Silent,
    /// Another program.
    Other(String),
    /// There is no port to ask.
    Unknown,
}

impl Server {
    /// Whether there is a server to send challenges to.
    pub(super) fn answers(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Loading)
    }

    fn health(&self) -> Option<&Value> {
        if let Self::Up(health) = self { Some(health) } else { None }
    }
}

pub(super) async fn ask(port: Result<u16, &str>, limit: Duration) -> Server {
    let Ok(port) = port else { return Server::Unknown };
    let asking = async {
        // Our own miner is on loopback, which the guard is there to refuse.
        let client = Client::new(AddressGuard::unrestricted())?;
        let limits = Limits::new(Instant::now() + limit, MAX_ANSWER);
        client.get(&format!("http://127.0.0.1:{port}/health"), &limits).await?.bytes().await
    };
    match asking.await {
        Ok(body) => match serde_json::from_slice::<Value>(&body) {
            Ok(health) if health["version"].is_string() && health["queue"].is_object() => Server::Up(health),
            _ => Server::Other("its /health is not Adit's".to_owned()),
        },
        Err(FetchError::Status { status: 503, .. }) => Server::Loading,
        Err(FetchError::Status { status, .. }) => Server::Other(format!("its /health answers with {status}")),
        Err(FetchError::Deadline { .. } | FetchError::Idle { .. }) => Server::Silent,
        Err(error) => Server::Down(error.to_string()),
    }
}

/// What answers at the generative miner's port on this host.
pub(super) enum Generator {
    /// Adit, with its `/metrics`.
    Up(String),
    /// Nothing, or nothing of ours, and what to do.
    Not(String, &'static str),
    /// There is no port to ask.
    Unknown,
}

pub(super) async fn ask_generator(port: Result<u16, &str>, limit: Duration) -> Generator {
    let Ok(port) = port else { return Generator::Unknown };
    let asking = async {
        // Our own miner is on loopback, which the guard is there to refuse.
        let client = Client::new(AddressGuard::unrestricted())?;
        let limits = Limits::new(Instant::now() + limit, MAX_ANSWER);
        client.get(&format!("http://127.0.0.1:{port}/metrics"), &limits).await?.bytes().await
    };
    const OTHER: &str = "stop it, or set BT_AXON_PORT to the miner's port";
    match asking.await {
        Ok(body) => {
            let text = String::from_utf8_lossy(&body).into_owned();
            if text.contains(STAKE_AGE) {
                return Generator::Up(text);
            }
            Generator::Not(format!("another program answers on port {port}"), OTHER)
        }
        Err(FetchError::Status { status, .. }) => {
            Generator::Not(format!("another program answers on port {port}: {status}"), OTHER)
        }
        Err(FetchError::Deadline { .. } | FetchError::Idle { .. }) => Generator::Not(
            format!("port {port} takes connections but does not answer"),
            "look into the miner's log, and start the miner again",
        ),
        Err(error) => {
            Generator::Not(format!("nothing answers on port {port}: {error}"), "gascli generator serve")
        }
    }
}

/// Whether it is up, and whom it lets in.
pub(super) fn check_generator(server: &Generator, place: &Place) -> [Check; 2] {
    let stakes = |why| Check::skipped("stake table", why);
    match server {
        Generator::Unknown => [
            Check::skipped("server", place.port.err().unwrap_or("its port is not known")),
            stakes("no server was asked"),
        ],
        Generator::Not(what, fix) => {
            [Check::fail("server", what, *fix), stakes("no miner answers (see server)")]
        }
        Generator::Up(metrics) => {
            let port = place.port.map_or_else(|_| String::new(), |port| format!(" on port {port}"));
            [
                Check::pass("server", format!("Adit answers{port}")),
                judge_stake_age(metric(metrics, STAKE_AGE)),
            ]
        }
    }
}

const STAKE_AGE: &str = "adit_generative_stake_table_age_seconds";
/// Stakes that are older, in seconds, are not those that validators have.
const OLD_STAKES: f64 = 3600.0;

fn judge_stake_age(age: Option<f64>) -> Check {
    const NAME: &str = "stake table";
    const FIX: &str =
        "the miner's log says why the chain does not answer; BT_CHAIN_ENDPOINT names another node";
    match age {
        Some(age) if (0.0..OLD_STAKES).contains(&age) => Check::pass(NAME, format!("read {age:.0} s ago")),
        Some(age) if age >= OLD_STAKES => Check::warn(NAME, format!("{:.0} min old", age / 60.0), FIX),
        _ => Check::fail(NAME, "none: every validator is refused", FIX),
    }
}

/// A value of Prometheus' text form, by the name of its line.
fn metric(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Whether it is up.
pub(super) fn check(server: &Server, port: &Result<u16, &'static str>) -> Check {
    const NAME: &str = "server";
    let port = match port {
        Ok(port) => port,
        Err(why) => return Check::skipped(NAME, why),
    };
    match server {
        Server::Up(health) => judge(*port, health),
        Server::Loading => Check::warn(
            NAME,
            format!("on port {port}, but its model is not loaded yet"),
            "wait and look again; the miner's log says what it waits for",
        ),
        Server::Down(why) => Check::fail(NAME, format!("nothing answers on port {port}: {why}"), "sv serve"),
        Server::Silent => Check::fail(
            NAME,
            format!("port {port} takes connections but does not answer"),
            "look into the miner's log, and start the miner again",
        ),
        Server::Other(what) => Check::fail(
            NAME,
            format!("another program answers on port {port}: {what}"),
            "stop it, or set MINER_PORT to the miner's port",
        ),
        Server::Unknown => Check::skipped(NAME, "its port is not known"),
    }
}

/// `None` where the baseline answers, which has none.
fn judge_predictor(predictor: &Value) -> Option<Check> {
    const NAME: &str = "predictor";
    if predictor["backend"] == "model" {
        return Some(Check::pass(NAME, "a model in ONNX is loaded"));
    }
    let workers = &predictor["workers"];
    let (up, of) = (workers["up"].as_u64()?, workers["of"].as_u64()?);
    let found = format!("{up} of {of} workers are up");
    Some(if up < of {
        Check::warn(NAME, found, "the miner's log says why the others are not")
    } else {
        Check::pass(NAME, found)
    })
}

fn judge(port: u16, health: &Value) -> Check {
    const NAME: &str = "server";
    const OWN: &str = env!("CARGO_PKG_VERSION");
    let version = health["version"].as_str().unwrap_or_default();
    let found = format!("Adit {version} on port {port}, up for {} s", health["uptime_seconds"]);
    if version == OWN {
        Check::pass(NAME, found)
    } else {
        Check::warn(NAME, format!("{found}, but this is Adit {OWN}"), "start the miner again")
    }
}

/// Whether the stake gate has something to judge by.
pub(super) fn stake_table(miner: &Miner, server: &Server) -> Check {
    const NAME: &str = "stake table";
    let Ok(config) = &miner.config else {
        return Check::skipped(NAME, "the settings do not hold (see configuration)");
    };
    let wanted = config.gate.policy.stake_gate;
    if let Some(health) = server.health() {
        return judge_table(wanted, &health["stake_table"]);
    }
    let Some(source) = &config.stakes else { return Check::pass(NAME, "not needed: the stake gate is off") };
    if matches!(server, Server::Loading) {
        return Check::skipped(NAME, "the miner does not say while its model loads (see server)");
    }
    match at_hand(source) {
        Some((what, table)) => {
            let age = table.age(SystemTime::now()).as_secs();
            Check::skipped(
                NAME,
                format!(
                    "no miner answers (see server); {what} has {} hotkeys and is {age} s old",
                    table.len()
                ),
            )
        }
        None => Check::skipped(NAME, "no miner answers (see server), and no copy of it is on disk"),
    }
}

/// What a miner would start with.
fn at_hand(source: &StakeSource) -> Option<(&'static str, StakeTable)> {
    match source {
        StakeSource::File(file) => Some(("its file", stake_file::read(file).ok()?)),
        StakeSource::Chain(chain) => {
            let copy = chain.copy.as_ref()?;
            let stakes = Stakes::read_copy(copy, &chain.endpoints.to_string(), chain.netuid).ok()?;
            Some(("its copy on disk", stakes.table()))
        }
    }
}

/// `table` is what `/health` says of it; null where the running miner has no stake gate.
fn judge_table(wanted: StakeGate, table: &Value) -> Check {
    const NAME: &str = "stake table";
    const OTHER: &str = "start the miner again with these settings, or run the doctor with its own";
    if table.is_null() {
        return match wanted {
            StakeGate::Off => Check::pass(NAME, "not needed: the stake gate is off"),
            _ => Check::warn(NAME, "these settings want a stake gate, but the running miner has none", OTHER),
        };
    }
    if wanted == StakeGate::Off {
        return Check::warn(NAME, "the running miner has a stake gate that these settings switch off", OTHER);
    }
    let source = table["source"].as_str().unwrap_or("unknown source");
    let hotkeys = table["hotkeys"].as_u64().unwrap_or_default();
    let fix = match source {
        "file" => "write the stakes into STAKE_TABLE_FILE, or unset it to take them from the chain",
        _ => {
            "look for `stake` in the miner's log: SUBTENSOR_NETWORK or SUBTENSOR_ADDRESS must name a node that it \
              can reach; right after a start, wait some seconds"
        }
    };
    match table["age_seconds"].as_u64() {
        None if wanted == StakeGate::OpenUntilKnown => Check::warn(
            NAME,
            format!(
                "empty (from the {source}): everybody passes the stake gate, by ADIT_STAKES_UNKNOWN=open"
            ),
            fix,
        ),
        age if age.is_none() || hotkeys == 0 => {
            Check::fail(NAME, format!("empty (from the {source}): every validator is refused"), fix)
        }
        age => {
            let age = age.unwrap_or_default();
            let found = format!("{hotkeys} hotkeys from the {source}, {age} s old");
            if table["stale"] == Value::Bool(true) {
                Check::warn(NAME, format!("{found}: too old"), fix)
            } else {
                Check::pass(NAME, found)
            }
        }
    }
}

/// What answers challenges.
pub(super) fn predictor(miner: &Miner, server: &Server) -> Check {
    const NAME: &str = "predictor";
    let settings = miner.config.as_ref().map(|config| &config.predictor);
    let baseline = |verb: &str| {
        Check::warn(
            NAME,
            format!("the baseline {verb} (`pass` at every 25th frame), which scores next to nothing"),
            "write scorevision/miner/private_track/predictor.py, or set ADIT_WORKER_COMMAND to your model",
        )
    };
    if let Some(health) = server.health() {
        return judge_predictor(&health["predictor"]).unwrap_or_else(|| baseline("answers"));
    }
    match (server, settings) {
        (Server::Loading, _) => Check::skipped(NAME, "its model is not loaded yet (see server)"),
        (_, Err(_)) => Check::skipped(NAME, "the settings do not hold (see configuration)"),
        (_, Ok(PredictorChoice::Baseline)) => baseline("would answer"),
        (_, Ok(PredictorChoice::Model { name, .. })) => {
            Check::skipped(NAME, format!("no miner answers (see server); the model in {name} would answer"))
        }
        (_, Ok(PredictorChoice::Workers(workers))) => {
            Check::skipped(NAME, format!("no miner answers (see server); {} would answer", workers.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Status;
    use super::*;

    fn table(hotkeys: u64, age: Option<u64>, stale: bool) -> Value {
        json!({"source": "chain", "age_seconds": age, "hotkeys": hotkeys, "stale": stale})
    }

    #[test]
    fn the_generators_stakes_are_judged_by_their_age() {
        let text = "# HELP x\nadit_generative_stake_table_age_seconds 12.5\nother 7\n";
        assert_eq!(metric(text, STAKE_AGE), Some(12.5));
        for (age, status) in [
            (Some(0.0), Status::Pass),
            (Some(3600.0), Status::Warn),
            (Some(-1.0), Status::Fail),
            (None, Status::Fail),
        ] {
            assert_eq!(judge_stake_age(age).status, status, "{age:?}");
        }
    }

    #[test]
    fn a_miner_of_another_version_is_told() {
        let health = |version: &str| json!({"version": version, "uptime_seconds": 5});
        assert_eq!(judge(8000, &health(env!("CARGO_PKG_VERSION"))).status, Status::Pass);
        assert_eq!(judge(8000, &health("0.0.1")).status, Status::Warn);
    }

    #[test]
    fn a_worker_that_is_missing_is_told() {
        let judged = |predictor: Value| judge_predictor(&predictor).map(|check| check.status);
        let status = |workers: Value| judged(json!({"workers": workers}));
        assert_eq!(judged(json!({"backend": "model", "workers": null})), Some(Status::Pass));
        assert_eq!(status(json!({"up": 2, "of": 2})), Some(Status::Pass));
        assert_eq!(status(json!({"up": 1, "of": 2})), Some(Status::Warn));
        assert_eq!(status(Value::Null), None);
    }

    #[test]
    fn an_empty_stake_table_fails_a_stale_one_warns() {
        for (gate, table, status, words) in [
            (
                StakeGate::Closed,
                table(65, Some(12), false),
                Status::Pass,
                "65 hotkeys from the chain, 12 s old",
            ),
            (StakeGate::Closed, table(65, Some(9000), true), Status::Warn, "too old"),
            (StakeGate::Closed, table(0, None, true), Status::Fail, "every validator is refused"),
            (StakeGate::Closed, table(0, Some(1), false), Status::Fail, "every validator is refused"),
            (StakeGate::OpenUntilKnown, table(0, None, true), Status::Warn, "everybody passes"),
            (StakeGate::OpenUntilKnown, table(0, Some(1), false), Status::Fail, "every validator is refused"),
            (StakeGate::Off, Value::Null, Status::Pass, "not needed"),
            (StakeGate::Closed, Value::Null, Status::Warn, "the running miner has none"),
            (StakeGate::Off, table(1, Some(1), false), Status::Warn, "switch off"),
        ] {
            let check = judge_table(gate, &table);
            assert!(check.status == status && check.found.contains(words), "{check:?}");
        }
    }
}

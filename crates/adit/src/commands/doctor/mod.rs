//! `adit doctor`: what is wrong with a miner, from clock to socket, and what to type.
//!
//! A file a group of checks; each judges by a pure function what it has found. Which checks a miner gets,
//! and in which order, is said in one file a miner (`sv`, `gascli`). A fault has one line: what cannot be told because
//! of it is skipped, not failed.

mod axon;
mod chain;
mod challenge;
mod configuration;
mod engine;
mod gascli;
mod host;
mod image;
mod names;
mod registry;
mod server;
mod services;
mod sv;
mod tasks;
mod wallet;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use adit_settings::{Environment, Var, var};
use serde_json::{Value, json};

use crate::cli::doctor::{Doctor, Miner};
use crate::failure::Failure;

pub(crate) fn run(env: &Environment, args: &Doctor) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let checks = runtime.block_on(async {
        match args.miner {
            Miner::Sv => sv::checks(env, args).await,
            Miner::Gascli => gascli::checks(env, args).await,
        }
    });
    // What still hangs, such as a name server that is asked, is not waited for.
    runtime.shutdown_background();
    let passed = checks.iter().all(|check| check.status != Status::Fail);
    if args.json {
        let checks: Vec<Value> = checks.iter().map(Check::json).collect();
        println!("{:#}", json!({"passed": passed, "checks": checks}));
    } else {
        print(&checks);
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Time for the chain, and beside it for the server, the engine and the like.
const ASKING: Duration = Duration::from_millis(3400);
/// Time for everything: an operator waits, and less than 5 s were promised.
const WHOLE: Duration = Duration::from_millis(4600);

/// The settings as the arguments change them: the wallet's, and these of the miner in question.
fn told<const N: usize>(
    env: &Environment,
    args: &Doctor,
    others: [(&'static Var, Option<String>); N],
) -> Environment {
    let wallet = &args.wallet;
    let wallet = [
        (&var::WALLET_NAME, wallet.wallet_name.clone()),
        (&var::HOTKEY_NAME, wallet.wallet_hotkey.clone()),
        (&var::WALLET_PATH, wallet.path.wallet_path.clone()),
    ];
    wallet.into_iter().chain(others).fold(env.clone(), |env, (var, value)| match value {
        Some(value) => env.with(var, &value),
        None => env,
    })
}

/// How a check ended. A failure keeps the miner from being paid or from being safe; a warning may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Pass,
    Warn,
    Fail,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }

    /// The word in its colour of a terminal.
    fn coloured(self) -> String {
        let colour = match self {
            Self::Pass => 32,
            Self::Warn => 33,
            Self::Fail => 31,
        };
        format!("\x1b[{colour}m{}\x1b[0m", self.word())
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    name: &'static str,
    status: Status,
    found: String,
    /// What to type or do. A passed check has none, nor has one that was skipped for the sake of another.
    fix: Option<String>,
}

impl Check {
    fn pass(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Pass, found: found.into(), fix: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, found: found.into(), fix: Some(fix.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, found: found.into(), fix: Some(fix.into()) }
    }

    /// Not judged, because of something that has a line of its own or is no fault.
    fn skipped(name: &'static str, why: impl AsRef<str>) -> Self {
        Self { name, status: Status::Warn, found: format!("skipped: {}", why.as_ref()), fix: None }
    }

    /// An error with its own hint, or else this one.
    fn failed(name: &'static str, failure: impl Into<Failure>, fix: &str) -> Self {
        let failure = failure.into();
        let (what, hint) = failure.parts();
        Self::fail(name, what, hint.unwrap_or(fix))
    }

    fn json(&self) -> Value {
        json!({"name": self.name, "status": self.status.word(), "found": self.found, "fix": self.fix})
    }
}

fn print(checks: &[Check]) {
    let colours =
        io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    for Check { name, status, found, fix } in checks {
        let word = if colours { status.coloured() } else { status.word().to_owned() };
        println!("{word}  {name:width$}  {found}");
        if let Some(fix) = fix {
            println!("      {:width$}  fix: {fix}", "");
        }
    }
    println!("\n{}", summary(checks));
}

fn summary(checks: &[Check]) -> String {
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    let warnings = match count(Status::Warn) {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        more => format!(", {more} warnings"),
    };
    match count(Status::Fail) {
        0 => format!("Nothing fails{warnings}."),
        failed => format!("{failed} of {} checks failed{warnings}.", checks.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_failures_and_warnings() {
        let (pass, warn, fail) =
            (Check::pass("a", "x"), Check::skipped("b", "x"), Check::fail("c", "x", "y"));
        assert_eq!(summary(std::slice::from_ref(&pass)), "Nothing fails.");
        assert_eq!(summary(&[pass.clone(), warn.clone()]), "Nothing fails, 1 warning.");
        assert_eq!(summary(&[warn.clone(), warn, fail]), "1 of 3 checks failed, 2 warnings.");
    }

    #[test]
    fn json_says_what_the_line_says() {
        let check = Check::fail("clock", "an hour off", "timedatectl set-ntp true");
        let expected = json!({
            "name": "clock", "status": "FAIL", "found": "an hour off", "fix": "timedatectl set-ntp true",
        });
        assert_eq!(check.json(), expected);
    }
}

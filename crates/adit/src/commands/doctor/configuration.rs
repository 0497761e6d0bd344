//! What the settings say: whether they hold, which switches are off, and whether all commands mean the same
//! chain.

use adit_chain::{Endpoints, StakeSource};
use adit_private_track::ConfigError;
use adit_settings::{Environment, SettingError, Var, var};

use super::Check;
use super::sv::Miner;

/// Whether `sv serve` would start with these settings.
pub(super) fn check(miner: &Miner) -> Check {
    let wrong = miner.config.as_ref().err().map(|error| {
        let fix = match error {
            ConfigError::Setting(error) => setting_fix(error),
            other => other.hint().map(str::to_owned),
        };
        (error.to_string(), fix)
    });
    judge(&miner.env, wrong)
}

/// What to do about a setting.
pub(super) fn setting_fix(error: &SettingError) -> Option<String> {
    match error {
        SettingError::Invalid { name, .. } => {
            Some(format!("set {name} right, or leave it unset; docs/environment.md says what it takes"))
        }
        SettingError::Conflict { first, second } => Some(format!("unset {first} or {second}")),
        _ => None,
    }
}

/// `wrong` is what keeps the miner from starting, and what to do about it.
pub(super) fn judge(env: &Environment, wrong: Option<(String, Option<String>)>) -> Check {
    const NAME: &str = "configuration";
    let (source, bad_lines) = match env.file() {
        Some((file, bad_lines)) => (file.display().to_string(), bad_lines),
        None => ("no .env file is in use".to_owned(), &[][..]),
    };
    let bad_lines = (!bad_lines.is_empty()).then(|| {
        let lines: Vec<_> = bad_lines.iter().map(ToString::to_string).collect();
        format!("{source}: line {} is not NAME=value and is ignored", lines.join(", "))
    });
    match (wrong, bad_lines) {
        (Some((error, fix)), bad_lines) => {
            let also = bad_lines.map(|text| format!("; {text}")).unwrap_or_default();
            let fix =
                fix.unwrap_or_else(|| "set it right; docs/environment.md says what it takes".to_owned());
            Check::fail(NAME, format!("{error}{also}"), fix)
        }
        (None, Some(text)) => {
            Check::warn(NAME, text, "write each as NAME=value, or put a # before it; a quote needs its end")
        }
        (None, None) => Check::pass(NAME, format!("holds ({source})")),
    }
}

/// The switches, as they will be understood.
pub(super) fn security(env: &Environment) -> Check {
    let state = |var: &'static Var| -> Result<Switch, SettingError> {
        let text = env.written(var)?.or(var.default).unwrap_or_default();
        Ok(Switch { var, on: env.toggle(var)?, text: text.to_owned() })
    };
    let switches: Result<Vec<_>, _> = [&var::BLACKLIST_ENABLED, &var::VERIFY_ENABLED, &var::SPOTCHECK_MODE]
        .into_iter()
        .map(state)
        .collect();
    match switches {
        Ok(switches) => judge_switches(&switches),
        Err(_) => Check::skipped("security", "the settings do not hold (see configuration)"),
    }
}

/// One switch: what is written, and what it means.
struct Switch {
    var: &'static Var,
    on: bool,
    text: String,
}

impl Switch {
    /// True where the writer seems to have meant on, or did not know what is meant.
    fn is_misread(&self) -> bool {
        const OFF: [&str; 7] = ["false", "0", "no", "off", "n", "f", "disabled"];
        !self.on && !OFF.contains(&self.text.trim().to_lowercase().as_str())
    }
}

fn judge_switches(switches: &[Switch]) -> Check {
    const NAME: &str = "security";
    let mut found = Vec::new();
    let mut fix = Vec::new();
    for switch in switches {
        let name = switch.var.name;
        let guards = switch.var.name != var::SPOTCHECK_MODE.name;
        if switch.is_misread() {
            found.push(format!("`{name}={}` means off: only true, 1 and yes are on", switch.text));
            fix.push(format!("{name}={}", if guards { "true" } else { "false" }));
        } else if guards && !switch.on {
            found.push(format!("{name} is off"));
            fix.push(format!("{name}=true"));
        } else if !guards && switch.on {
            found.push(format!("{name} is on, which only Score's spot check is to set"));
            fix.push(format!("{name}=false"));
        }
    }
    if found.is_empty() {
        return Check::pass(NAME, "the stake gate and the signature check are on");
    }
    let fix = format!("{}, unless this is for local testing; then start the miner again", fix.join(" "));
    Check::warn(NAME, found.join("; "), fix)
}

/// Whether commands and the stake gate ask the same chain.
pub(super) fn networks(miner: &Miner, commands: Option<&Endpoints>) -> Check {
    const NAME: &str = "networks";
    let Some(commands) = commands else { return Check::skipped(NAME, "no node to ask (see chain)") };
    match miner.config.as_ref().map(|config| &config.stakes) {
        Err(_) => Check::skipped(NAME, "the settings do not hold (see configuration)"),
        Ok(None) => Check::pass(NAME, format!("{commands}; the stake gate is off and asks no chain")),
        Ok(Some(StakeSource::File(_))) => {
            Check::pass(NAME, format!("{commands}; the stakes come from a file"))
        }
        Ok(Some(StakeSource::Chain(stakes))) => judge_networks(commands, &stakes.endpoints),
    }
}

fn judge_networks(commands: &Endpoints, stakes: &Endpoints) -> Check {
    const NAME: &str = "networks";
    // The first one: a fallback may be of another chain.
    let shared = commands.nodes().first().is_some_and(|node| stakes.nodes().contains(node));
    if shared || (stakes.genesis().is_some() && stakes.genesis() == commands.genesis()) {
        return Check::pass(NAME, format!("commands and the stake gate ask the same chain ({commands})"));
    }
    Check::warn(
        NAME,
        format!("commands ask {commands}, but the stake gate {stakes}: these look like two chains"),
        format!(
            "set {} and {} to the same network (or {} to the same node)",
            var::SUBTENSOR_ENDPOINT.name,
            var::SUBTENSOR_NETWORK.name,
            var::SUBTENSOR_ADDRESS.name
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    fn security_of(pairs: &[(&str, &str)]) -> Check {
        let process = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        security(&Environment::layered(process, None).unwrap())
    }

    #[test]
    fn a_value_that_means_less_than_its_writer_thinks_is_quoted() {
        for value in ["on", "enabled", "", " true ", "2", "y"] {
            let check = security_of(&[("BLACKLIST_ENABLED", value)]);
            assert_eq!(check.status, Status::Warn);
            assert!(check.found.contains(&format!("`BLACKLIST_ENABLED={value}` means off")), "{check:?}");
            assert!(check.fix.unwrap().contains("BLACKLIST_ENABLED=true"));
        }
    }

    #[test]
    fn what_is_off_on_purpose_is_only_said() {
        let check = security_of(&[("BLACKLIST_ENABLED", "false"), ("VERIFY_ENABLED", "off")]);
        assert_eq!(
            (check.status, check.found.as_str()),
            (Status::Warn, "BLACKLIST_ENABLED is off; VERIFY_ENABLED is off")
        );
        assert_eq!(security_of(&[]).status, Status::Pass);
        assert_eq!(security_of(&[("VERIFY_ENABLED", "Yes"), ("SPOTCHECK_MODE", "no")]).status, Status::Pass);
    }

    #[test]
    fn the_spot_checks_own_switch_is_not_for_a_live_miner() {
        let check = security_of(&[("SPOTCHECK_MODE", "true")]);
        assert!(check.found.contains("SPOTCHECK_MODE is on"), "{check:?}");
        assert!(security_of(&[("SPOTCHECK_MODE", "on")]).found.contains("means off"));
    }

    #[test]
    fn networks_are_the_same_by_a_node_or_by_their_genesis() {
        let endpoints = |text: &str| Endpoints::parse(text).unwrap();
        let same = |a: &str, b: &str| judge_networks(&endpoints(a), &endpoints(b)).status == Status::Pass;
        assert!(same("finney", "finney") && same("finney", "archive"));
        assert!(same("local", "ws://127.0.0.1:9944"));
        assert!(same("finney", "wss://lite.sub.latent.to:443"));
        assert!(!same("test", "finney"));
        let with_fallback = endpoints("ws://127.0.0.1:9955").with_fallback("test").unwrap();
        assert_eq!(judge_networks(&with_fallback, &endpoints("test")).status, Status::Warn);
        assert!(!same("finney", "ws://127.0.0.1:9944"));
    }
}

//! Names that are no settings, and what their writer may have meant.

use adit_settings::Environment;

use super::Check;
use crate::commands::names::{meant, unknown};

pub(super) fn check(env: &Environment) -> Check {
    judge(&unknown(env))
}

fn judge(unknown: &[&str]) -> Check {
    const NAME: &str = "variables";
    if unknown.is_empty() {
        return Check::pass(NAME, "every name that looks like a setting is one");
    }
    let said: Vec<String> = unknown
        .iter()
        .map(|name| match meant(name) {
            Some(meant) => format!("`{name}` is no setting; `{meant}` is"),
            None => format!("`{name}` is no setting"),
        })
        .collect();
    let fixes: Vec<String> =
        unknown.iter().filter_map(|name| Some(format!("rename {name} to {}", meant(name)?))).collect();
    let fix = if fixes.is_empty() {
        "remove it; docs/environment.md lists every name, and a worker's own belong into ADIT_WORKER_ENV"
            .to_owned()
    } else {
        fixes.join(", ")
    };
    Check::warn(NAME, said.join("; "), fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(process: &[(&str, &str)], file: &str) -> Check {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), file).unwrap();
        let process = process.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        check(&Environment::layered(process, Some(path.path().to_owned())).unwrap())
    }

    #[test]
    fn a_mistyped_name_is_said_with_the_one_that_was_meant() {
        for (typed, meant) in [
            ("BLACKLIST_ENABLE", "BLACKLIST_ENABLED"),
            ("VERFIY_ENABLED", "VERIFY_ENABLED"),
            ("miner_port", "MINER_PORT"),
            ("BITTENSOR_WALLET_HOTKEY", "BITTENSOR_WALLET_HOT"),
            ("MIN_STAKE_TRESHOLD", "MIN_STAKE_THRESHOLD"),
        ] {
            let check = checked(&[], &format!("{typed}=true\n"));
            assert!(check.found.contains(&format!("`{typed}` is no setting; `{meant}` is")), "{check:?}");
            assert_eq!(check.fix, Some(format!("rename {typed} to {meant}")));
        }
    }

    #[test]
    fn of_the_process_only_what_looks_like_ours_is_judged() {
        let others =
            [("PATH", "/bin"), ("GOPATH", "x"), ("BT_PW__HOME", "x"), ("LS_COLORS", "x"), ("HOTEL", "x")];
        assert_eq!(checked(&others, "").status, super::super::Status::Pass);
        for name in ["ADIT_SOMETHING_ELSE", "DOCKERHUB_USERNAM", "VERIFY_ENABLE", "STAKE_TABLE_FILES"] {
            let check = checked(&[(name, "secret")], "");
            assert!(check.found.contains(name) && !check.found.contains("secret"), "{check:?}");
        }
    }

    #[test]
    fn what_a_worker_is_to_see_is_known() {
        let check = checked(&[], "ADIT_WORKER_ENV=MODEL_DIR, FLAG\nMODEL_DIR=/m\nFLAG=1\nMINER_PORT=1\n");
        assert_eq!(check.status, super::super::Status::Pass, "{check:?}");
    }

    #[test]
    fn a_name_that_is_near_to_nothing_gets_no_guess() {
        let check = checked(&[], "SCOREVISION_SLO_MS=x\n");
        assert_eq!(check.found, "`SCOREVISION_SLO_MS` is no setting");
    }
}

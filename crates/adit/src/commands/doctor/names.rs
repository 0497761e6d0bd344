//! Names that are no settings, and what their writer may have meant.

use std::collections::BTreeSet;

use adit_keys::password;
use adit_settings::{Environment, var};

use super::Check;

/// Beginnings that only our names and those of the programs before us have. In the process environment
/// everything else is somebody else's.
const OURS: [&str; 9] = [
    "ADIT_",
    "BITTENSOR_",
    "SCOREVISION_",
    "SUBTENSOR_",
    "MINER_",
    "DOCKERHUB_",
    "SPOTCHECK_",
    "BLACKLIST_",
    "VERIFY_",
];
/// A name this far from a declared one is another word.
const FAR: usize = 4;
/// A name this near to a declared one is that one, mistyped.
const NEAR: usize = 2;

pub(super) fn check(env: &Environment) -> Check {
    let in_file: BTreeSet<&str> = env.file_names().collect();
    let for_workers = env.text(&var::WORKER_ENV).ok().flatten().unwrap_or_default();
    let for_workers: BTreeSet<&str> = for_workers.split(',').map(str::trim).collect();
    let names: BTreeSet<&str> = env.variables().map(|(name, _)| name).collect();
    let unknown: Vec<&str> = names
        .into_iter()
        .filter(|name| {
            !is_declared(name) && !name.starts_with(password::VARIABLES) && !for_workers.contains(name)
        })
        .filter(|name| in_file.contains(name) || looks_like_ours(name))
        .collect();
    judge(&unknown)
}

fn judge(unknown: &[&str]) -> Check {
    const NAME: &str = "variables";
    if unknown.is_empty() {
        return Check::pass(NAME, "every name that looks like a setting is one");
    }
    let said: Vec<String> = unknown
        .iter()
        .map(|name| match nearest(name, FAR) {
            Some(meant) => format!("`{name}` is no setting; `{meant}` is"),
            None => format!("`{name}` is no setting"),
        })
        .collect();
    let fixes: Vec<String> =
        unknown.iter().filter_map(|name| Some(format!("rename {name} to {}", nearest(name, FAR)?))).collect();
    let fix = if fixes.is_empty() {
        "remove it; docs/environment.md lists every name, and a worker's own belong into ADIT_WORKER_ENV"
            .to_owned()
    } else {
        fixes.join(", ")
    };
    Check::warn(NAME, said.join("; "), fix)
}

fn declared() -> impl Iterator<Item = &'static str> {
    var::ALL.iter().flat_map(|var| var.names())
}

fn is_declared(name: &str) -> bool {
    declared().any(|known| known == name)
}

fn looks_like_ours(name: &str) -> bool {
    // Short names are near to many words.
    OURS.iter().any(|prefix| name.starts_with(prefix)) || (name.len() >= 8 && nearest(name, NEAR).is_some())
}

/// The declared name with the fewest edits, where it takes no more than `most`.
fn nearest(name: &str, most: usize) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    let best = declared().map(|known| (distance(&upper, known), known)).min()?;
    // Of a short name too much would be left to guess.
    (best.0 <= most.min(name.len() / 3)).then_some(best.1)
}

/// Least number of characters to insert, remove, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Rows of the usual table: two before this one, one before, this one.
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
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
        let check = checked(&[], "CHUTES_API_KEY=x\n");
        assert_eq!(check.found, "`CHUTES_API_KEY` is no setting");
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in
            [("", "", 0), ("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (edits, edits), "{a} {b}");
        }
    }
}

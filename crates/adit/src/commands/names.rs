//! Names that are no settings, and what their writer may have meant.

use std::collections::BTreeSet;

use adit_keys::password;
use adit_settings::{Environment, var};

/// Beginnings that only our names and those of the programs before us have. In the process environment
/// everything else is somebody else's.
const OURS: [&str; 10] = [
    "ADIT_",
    "BT_",
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

/// Names that are set and are no settings: every one of the file, and of the process those that look like ours.
pub(crate) fn unknown(env: &Environment) -> Vec<&str> {
    let in_file: BTreeSet<&str> = env.file_names().collect();
    let for_workers = env.text(&var::WORKER_ENV).ok().flatten().unwrap_or_default();
    let for_workers: BTreeSet<&str> = for_workers.split(',').map(str::trim).collect();
    let names: BTreeSet<&str> = env.variables().map(|(name, _)| name).collect();
    names
        .into_iter()
        .filter(|name| {
            !is_declared(name) && !name.starts_with(password::VARIABLES) && !for_workers.contains(name)
        })
        .filter(|name| in_file.contains(name) || looks_like_ours(name))
        .collect()
}

/// The setting that an unknown name may stand for.
pub(crate) fn meant(name: &str) -> Option<&'static str> {
    nearest(name, FAR)
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
    use super::distance;

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in
            [("", "", 0), ("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (edits, edits), "{a} {b}");
        }
    }
}

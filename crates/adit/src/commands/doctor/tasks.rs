//! Where the tasks and their media are kept, what became of them, and what is left of the day's budget.

use adit_generative::Config;
use adit_generative::Modality;
use adit_generative::task::{Ledger, State, StoreError};
use tokio::time::{Instant, timeout_at};

use super::Check;

/// `tasks`, `deliveries` and `budget`.
pub(super) async fn checks(config: Option<&Config>, until: Instant) -> Vec<Check> {
    let skipped = |why: &str| ["deliveries", "budget"].map(|name| Check::skipped(name, why));
    let Some(config) = config else {
        let why = "the settings do not hold (see configuration)";
        return [Check::skipped("tasks", why)].into_iter().chain(skipped(why)).collect();
    };
    let folder = &config.store.output_dir;
    // What is not made yet is made at the start.
    let there = folder.ancestors().find(|folder| folder.is_dir());
    if let Some(there) = there
        && let Err(error) = tempfile::tempfile_in(there)
    {
        let fix = "MINER_OUTPUT_DIR names a directory that the miner can write to";
        let check = Check::fail("tasks", format!("{} cannot be written: {error}", there.display()), fix);
        return [check].into_iter().chain(skipped("the tasks are not known (see tasks)")).collect();
    }
    let looking = async {
        let ledger = Ledger::open(&config.store.database).await?;
        let mut counts = std::collections::BTreeMap::new();
        for modality in Modality::ALL {
            for (state, count) in ledger.counts(modality).await? {
                *counts.entry(state).or_insert(0) += count;
            }
        }
        let spent = ledger.spent(ledger.today()).await?;
        Ok::<_, StoreError>((counts, spent))
    };
    let looked = timeout_at(until, looking).await;
    let looked = looked.unwrap_or_else(|_| Err(StoreError::Unreachable("no answer in time".to_owned())));
    match looked {
        Ok((counts, spent)) => {
            let of = |wanted: fn(State) -> bool| -> u64 {
                counts.iter().filter(|(state, _)| wanted(**state)).map(|(_, count)| count).sum()
            };
            let open = of(|state| !state.is_end());
            let budget = match config.store.daily_budget {
                None => Check::warn(
                    "budget",
                    format!("{spent} spent today, and no limit"),
                    "MINER_DAILY_BUDGET_USD=20 ends a day's spending there",
                ),
                Some(budget) if spent >= budget => Check::fail(
                    "budget",
                    format!("{spent} of {budget} spent: requests are refused until midnight UTC"),
                    "raise MINER_DAILY_BUDGET_USD, or wait",
                ),
                Some(budget) => Check::pass("budget", format!("{spent} of {budget} spent today")),
            };
            vec![
                Check::pass("tasks", format!("{open} under way, media in {}", folder.display())),
                judge_deliveries(of(|state| state == State::Delivered), of(State::is_dead_letter)),
                budget,
            ]
        }
        // The miner makes them when it starts.
        Err(StoreError::NoSchema) => new(folder),
        Err(StoreError::File { path, .. }) if !path.exists() => new(folder),
        Err(error) => {
            let fix = "DATABASE_URL, or MINER_STATE_DIR without one, say where the tasks are";
            let check = Check::fail("tasks", error.to_string(), fix);
            [check].into_iter().chain(skipped("the tasks are not known (see tasks)")).collect()
        }
    }
}

fn new(folder: &std::path::Path) -> Vec<Check> {
    let tasks = format!("none yet; they begin with the first start, media in {}", folder.display());
    vec![
        Check::pass("tasks", tasks),
        Check::pass("deliveries", "none yet"),
        Check::pass("budget", "nothing spent yet"),
    ]
}

fn judge_deliveries(delivered: u64, dead: u64) -> Check {
    const NAME: &str = "deliveries";
    let found = format!("{delivered} delivered, {dead} not, of the tasks that are kept");
    if dead > 0 && dead * 10 > delivered {
        return Check::warn(NAME, found, "gascli generator deliveries says why");
    }
    Check::pass(NAME, found)
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn some_dead_letters_are_no_fault() {
        assert_eq!(judge_deliveries(0, 0).status, Status::Pass);
        assert_eq!(judge_deliveries(100, 10).status, Status::Pass);
        assert_eq!(judge_deliveries(100, 11).status, Status::Warn);
        assert_eq!(judge_deliveries(0, 1).status, Status::Warn);
    }
}

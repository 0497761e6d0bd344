//! What a status says of the miner's tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use adit_generative::task::{Ledger, State};
use adit_generative::{Modality, database};
use adit_settings::Environment;
use serde_json::json;
use tokio::time::timeout;

use crate::commands::block_on;
use crate::commands::process::Fact;
use crate::failure::Failure;

/// Time for the database.
const ASKING: Duration = Duration::from_secs(2);

pub(crate) fn facts(env: &Environment) -> Result<Vec<Fact>, Failure> {
    let address = database(env)?;
    block_on(async {
        let asking = async {
            let ledger = Ledger::open(&address).await?;
            let mut counts: BTreeMap<State, u64> = BTreeMap::new();
            for modality in Modality::ALL {
                for (state, count) in ledger.counts(modality).await? {
                    *counts.entry(state).or_default() += count;
                }
            }
            Ok((counts, ledger.spent(ledger.today()).await?))
        };
        let asked: Result<_, Failure> = timeout(ASKING, asking)
            .await
            .unwrap_or_else(|_| Err(Failure::new(format!("no answer within {} s", ASKING.as_secs()))));
        let (counts, spent) = asked?;
        let sum = |of: fn(State) -> bool| -> u64 {
            counts.iter().filter(|(state, _)| of(**state)).map(|(_, count)| count).sum()
        };
        let queue = sum(|state| !state.is_end());
        let delivered = sum(|state| state == State::Delivered);
        let failed = sum(|state| state == State::Failed);
        let dead = sum(State::is_dead_letter);
        let by_state: BTreeMap<&str, u64> =
            counts.iter().map(|(state, count)| (state.as_str(), *count)).collect();
        Ok(vec![
            Fact {
                key: "queue",
                words: "Queue",
                text: format!("{queue} tasks not ended"),
                value: queue.into(),
            },
            Fact {
                key: "deliveries",
                words: "Deliveries",
                text: format!("{delivered} delivered, {failed} reported failed, {dead} dead letters"),
                value: json!(by_state),
            },
            Fact {
                key: "spent_today_usd",
                words: "Spent today",
                text: format!("{spent} (UTC day)"),
                value: json!(spent.0 as f64 / 1e6),
            },
        ])
    })
}

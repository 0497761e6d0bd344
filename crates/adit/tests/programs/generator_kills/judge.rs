//! What must hold of every task after all kills.

use std::collections::BTreeMap;
use std::fmt;

use adit_generative::Usd;
use adit_generative::task::{State, Task, TaskId};

use super::Struck;
use super::stage::Stage;
use super::validator::{Delivery, Reply};

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Figures {
    kills: u32,
    by_state: BTreeMap<State, u32>,
    promised: usize,
    tasks: usize,
    ended: BTreeMap<State, usize>,
    payments: u32,
    deliveries: usize,
    /// Deliveries of what had been taken already.
    redeliveries: usize,
    /// Tasks that were struck during their paid call, and whose work was found at the service.
    found_again: usize,
    pub(super) cost: Usd,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |counts: Vec<String>| counts.join(", ");
        let states = self.by_state.iter().filter(|(state, _)| !state.is_end());
        writeln!(
            f,
            "{} kills; they found a task {}",
            self.kills,
            words(states.map(|(state, count)| format!("{state} {count}x")).collect())
        )?;
        writeln!(
            f,
            "{} tasks, {} of them promised; {}",
            self.tasks,
            self.promised,
            words(self.ended.iter().map(|(state, count)| format!("{count} {state}")).collect())
        )?;
        write!(
            f,
            "{} payments, {} of them found again after a kill; {} deliveries, {} of them again",
            self.payments, self.found_again, self.deliveries, self.redeliveries
        )
    }
}

/// Looks at every task, and at what services and validator have seen of it.
pub(super) fn judge(stage: &Stage, tasks: &[Task], struck: &Struck) -> Figures {
    let promised = stage.validator.promised();
    let known: BTreeMap<TaskId, &Task> = tasks.iter().map(|task| (task.id, task)).collect();
    for (id, prompt) in &promised {
        assert!(known.contains_key(id), "{prompt} was promised and is lost");
    }
    assert_eq!(stage.validator.unsigned(), Vec::<String>::new());
    let mut figures = Figures {
        kills: struck.kills,
        by_state: struck.by_state.clone(),
        promised: promised.len(),
        tasks: tasks.len(),
        ..Figures::default()
    };
    for task in tasks {
        let id = task.id;
        let paid = stage.providers.paid(&task.request.prompt);
        stage.validator.deliveries(id, |deliveries| {
            let what = format!("{task:#?}\npaid {paid} times\n{deliveries:#?}\n{}", stage.history(id));
            check(stage, task, promised.contains_key(&id), paid, deliveries, struck, &what);
            figures.deliveries += deliveries.len();
            figures.redeliveries +=
                deliveries.iter().skip_while(|delivery| delivery.reply != Reply::Taken).skip(1).count();
        });
        *figures.ended.entry(task.state).or_default() += 1;
        figures.payments += paid;
        figures.found_again += usize::from(task.media.is_some() && struck.calling.contains(&id));
        figures.cost.0 += task.cost().0;
    }
    figures
}

fn check(
    stage: &Stage,
    task: &Task,
    is_promised: bool,
    paid: u32,
    deliveries: &[Delivery],
    struck: &Struck,
    what: &str,
) {
    // No fault of the load is one that is paid for.
    assert!(paid <= 1 && paid <= task.attempt, "paid for too often: {what}");
    assert!(task.reserved.is_none(), "money is still reserved: {what}");
    let is_report = task.failure.is_some();
    let replies: Vec<Reply> = deliveries.iter().map(|delivery| delivery.reply).collect();
    let count = |wanted: Reply| replies.iter().filter(|reply| **reply == wanted).count();
    let (taken, not_found) = (count(Reply::Taken), count(Reply::NotFound));
    for delivery in deliveries {
        assert_eq!(delivery.is_report, is_report, "{what}");
        assert!(is_report || stage.has_made(&delivery.sha256), "not the bytes that were made: {what}");
    }
    match task.state {
        State::Delivered | State::Failed => {
            assert_eq!(task.state == State::Failed, is_report, "{what}");
            assert_eq!(taken, 1, "the validator has it once: {what}");
            assert_eq!(replies.last(), Some(&Reply::Taken), "told again what was acknowledged: {what}");
        }
        // It was taken, and a kill or a broken connection kept that from the miner.
        State::Uncertain if is_promised => {
            assert_eq!(taken, 1, "{what}");
            let kills = struck.delivering.get(&task.id).copied().unwrap_or_default() as usize;
            assert!((1..=1 + kills).contains(&not_found), "told too often: {what}");
        }
        // The validator has never heard of it: the miner was killed before its 201.
        State::Refused | State::Uncertain if !is_promised => assert_eq!(taken, 0, "{what}"),
        other => panic!("a task ends {other}: {what}"),
    }
    if is_report {
        assert!(task.media.is_none(), "media that were there are lost: {what}");
        // Three times it met a fault that costs nothing.
        let was_refused = paid == 0 && task.attempt == 3;
        let reason = was_refused || struck.calling.contains(&task.id);
        assert!(reason, "it failed without being killed in its paid call: {what}");
    } else {
        assert_eq!(paid, 1, "{what}");
    }
}

//! Which server is asked next. Pure: it counts and decides, and waits for nothing.

use std::fmt;

/// Whether a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// It is.
    Closed,
    /// It failed too often in a row and is only probed.
    Open,
    /// It passed a probe after that and gets one call at a time, until one succeeds.
    HalfOpen,
}

impl fmt::Display for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "up",
            Self::Open => "down",
            Self::HalfOpen => "on trial",
        })
    }
}

/// How a call ended, as far as it says something about the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With an answer, or with one that the caller is to blame for.
    Answered,
    /// It failed.
    Failed(String),
    /// It says nothing: given up by the caller, or put off by the server.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) circuit: Circuit,
    pub(super) in_flight: usize,
    /// In a row.
    pub(super) failures: u32,
    pub(super) last_failure: Option<String>,
}

/// All servers of a model.
#[derive(Debug)]
pub(super) struct Board {
    entries: Vec<Entry>,
    /// Where the search begins, so that servers with the same load take turns.
    turn: usize,
    /// So many failures in a row open a circuit.
    most_failures: u32,
}

impl Board {
    pub(super) fn new(entries: Vec<Entry>, most_failures: u32) -> Self {
        Self { entries, turn: 0, most_failures }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Takes a place at the server with the fewest calls in flight that is not in `asked`.
    pub(super) fn take(&mut self, asked: &[bool]) -> Option<usize> {
        let count = self.entries.len();
        let free = |&index: &usize| match self.entries[index] {
            Entry { circuit: Circuit::Closed, .. } => !asked[index],
            Entry { circuit: Circuit::HalfOpen, in_flight, .. } => in_flight == 0 && !asked[index],
            Entry { circuit: Circuit::Open, .. } => false,
        };
        let turns = (0..count).map(|step| (self.turn + step) % count);
        // Of several that are least, `min_by_key` takes the first.
        let index = turns.filter(free).min_by_key(|&index| self.entries[index].in_flight)?;
        self.turn = (index + 1) % count;
        self.entries[index].in_flight += 1;
        Some(index)
    }

    /// Gives the place back.
    pub(super) fn give_back(&mut self, index: usize, outcome: Outcome) {
        self.entries[index].in_flight -= 1;
        match outcome {
            Outcome::Unknown => {}
            Outcome::Failed(what) => self.failed(index, what),
            Outcome::Answered => {
                let entry = &mut self.entries[index];
                // An open one waits for its probe: this call may have begun long before what opened it.
                if entry.circuit != Circuit::Open {
                    entry.circuit = Circuit::Closed;
                    entry.failures = 0;
                }
            }
        }
    }

    /// Takes note of a probe. One that fails counts like a call.
    pub(super) fn probed(&mut self, index: usize, found: Result<(), String>) {
        match found {
            Ok(()) if self.entries[index].circuit == Circuit::Open => {
                self.entries[index].circuit = Circuit::HalfOpen;
            }
            Ok(()) => {}
            Err(what) => self.failed(index, what),
        }
    }

    fn failed(&mut self, index: usize, what: String) {
        let entry = &mut self.entries[index];
        entry.failures = entry.failures.saturating_add(1);
        entry.last_failure = Some(what);
        if entry.circuit == Circuit::HalfOpen || entry.failures >= self.most_failures {
            entry.circuit = Circuit::Open;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn board(servers: usize) -> Board {
        let entry = Entry { circuit: Circuit::Closed, in_flight: 0, failures: 0, last_failure: None };
        Board::new(vec![entry; servers], 3)
    }

    fn failed() -> Outcome {
        Outcome::Failed("broke".to_owned())
    }

    #[test]
    fn the_least_loaded_is_asked_and_equals_take_turns() {
        let mut board = board(3);
        let asked = [false; 3];
        let taken: Vec<_> = (0..6).map(|_| board.take(&asked).unwrap()).collect();
        assert_eq!(taken, [0, 1, 2, 0, 1, 2]);
        board.give_back(1, Outcome::Answered);
        assert_eq!(board.take(&asked), Some(1));
        board.give_back(2, Outcome::Answered);
        assert_eq!(board.take(&[false, false, true]), Some(0), "2 was asked already");
        assert_eq!(board.take(&[true; 3]), None);
    }

    #[test]
    fn failures_in_a_row_open_a_circuit_and_a_probe_puts_it_on_trial() {
        let mut board = board(1);
        for outcome in [failed(), failed(), Outcome::Answered, failed(), Outcome::Unknown, failed()] {
            board.take(&[false]).unwrap();
            board.give_back(0, outcome);
        }
        assert_eq!(board.entries()[0].circuit, Circuit::Closed, "never three in a row");
        board.probed(0, Err("no answer".to_owned()));
        assert_eq!(board.entries()[0].circuit, Circuit::Open);
        assert_eq!(board.entries()[0].last_failure.as_deref(), Some("no answer"));
        assert_eq!(board.take(&[false]), None);
        board.probed(0, Ok(()));
        assert_eq!(board.take(&[false]), Some(0), "on trial");
        assert_eq!(board.take(&[false]), None, "one call at a time");
        board.give_back(0, failed());
        assert_eq!(board.entries()[0].circuit, Circuit::Open, "one failure is enough on trial");
        board.probed(0, Ok(()));
        board.take(&[false]).unwrap();
        board.give_back(0, Outcome::Unknown);
        assert_eq!(board.entries()[0].circuit, Circuit::HalfOpen, "a call that was given up proves nothing");
        board.take(&[false]).unwrap();
        board.give_back(0, Outcome::Answered);
        assert_eq!((board.entries()[0].circuit, board.entries()[0].failures), (Circuit::Closed, 0));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Take(Vec<bool>),
        GiveBack(usize, Outcome),
        Probe(usize, bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        let outcome = prop_oneof![Just(Outcome::Answered), Just(failed()), Just(Outcome::Unknown)];
        prop_oneof![
            prop::collection::vec(any::<bool>(), 3).prop_map(Step::Take),
            (any::<usize>(), outcome).prop_map(|(which, outcome)| Step::GiveBack(which, outcome)),
            (0usize..3, any::<bool>()).prop_map(|(index, well)| Step::Probe(index, well)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_in_flight_is_what_was_taken_and_not_given_back(steps in prop::collection::vec(step(), 0..200)) {
            let mut board = board(3);
            let mut taken: Vec<usize> = Vec::new();
            for step in steps {
                match step {
                    Step::Take(asked) => {
                        let before = board.entries().to_vec();
                        let free = |index: usize| !asked[index] && match before[index].circuit {
                            Circuit::Closed => true,
                            Circuit::HalfOpen => before[index].in_flight == 0,
                            Circuit::Open => false,
                        };
                        let least = (0..3).filter(|&index| free(index)).map(|index| before[index].in_flight).min();
                        let index = board.take(&asked);
                        prop_assert_eq!(index.map(|index| before[index].in_flight), least);
                        if let Some(index) = index {
                            prop_assert!(free(index));
                            taken.push(index);
                        }
                    }
                    Step::GiveBack(..) if taken.is_empty() => {}
                    Step::GiveBack(which, outcome) => {
                        let index = taken.swap_remove(which % taken.len());
                        board.give_back(index, outcome);
                    }
                    Step::Probe(index, well) => board.probed(index, if well { Ok(()) } else { Err(String::new()) }),
                }
                for (index, entry) in board.entries().iter().enumerate() {
                    prop_assert_eq!(entry.in_flight, taken.iter().filter(|&&at| at == index).count());
                    prop_assert_eq!(entry.circuit == Circuit::Closed && entry.failures >= 3, false);
                }
            }
        }
    }
}

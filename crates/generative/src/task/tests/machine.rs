use proptest::prelude::*;

use super::super::machine::*;
use super::super::output::Media;
use super::{job, request};
use crate::{Modality, Usd};

fn media() -> Media {
    Media { extension: "png".to_owned(), bytes: 1, sha256: "00".to_owned() }
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let text = || Just("why".to_owned());
    let time = || 0..10 * HORIZON_MS;
    let cost = || proptest::option::of((0..1_000_u64).prop_map(Usd));
    let next_service = proptest::option::of(Just("runway".to_owned()));
    let answer = prop_oneof![
        text().prop_map(Answer::Acknowledged),
        text().prop_map(Answer::NotFound),
        text().prop_map(Answer::Refused),
        text().prop_map(Answer::Undeliverable),
        (time(), text()).prop_map(|(due_at, why)| Answer::Later { due_at, why }),
    ];
    prop_oneof![
        3 => (0..1_000_u64, 0..5_i64).prop_map(|(price, day)| Event::Call {
            service: "openai".to_owned(),
            model: "m".to_owned(),
            price: Usd(price),
            day: Day(day),
        }),
        2 => Just(Event::Submitted { job: job("job") }),
        2 => cost().prop_map(|cost| Event::Fetched { media: media(), cost }),
        3 => Just(Event::Checked),
        1 => (time(), cost(), text(), next_service).prop_map(|(due_at, cost, why, next_service)| {
            Event::Retry { due_at, cost, why, next_service }
        }),
        1 => (time(), text()).prop_map(|(due_at, why)| Event::Doubt { due_at, why }),
        1 => (time(), text()).prop_map(|(due_at, why)| Event::Postpone { due_at, why }),
        1 => (cost(), text()).prop_map(|(cost, why)| Event::Fail { cost, why }),
        3 => Just(Event::Try),
        3 => answer.prop_map(Event::Answered),
        1 => Just(Event::Expire),
        1 => Just(Event::Orphaned),
        1 => Just(Event::Redeliver),
    ]
}

/// What must hold of a task whatever happened to it, told by the events alone.
#[derive(Default)]
struct Truth {
    calls: u32,
    tries: u32,
    /// A call is under way, and what it may cost.
    open: Option<Usd>,
    paid: u64,
    /// Who is to make the next attempt.
    next_service: Option<String>,
    checked: bool,
}

impl Truth {
    fn note(&mut self, event: &Event, before: State) {
        let cost = match event {
            Event::Call { price, .. } => {
                assert_eq!(self.open, None, "a call while another is under way or in doubt");
                self.calls += 1;
                self.open = Some(*price);
                self.checked = false;
                self.next_service = None;
                return;
            }
            Event::Fetched { cost, .. } | Event::Retry { cost, .. } | Event::Fail { cost, .. } => *cost,
            Event::Expire => None,
            Event::Checked => {
                self.checked = true;
                return;
            }
            Event::Try => {
                self.tries += 1;
                return;
            }
            _ => return,
        };
        if let Event::Retry { next_service, .. } = event {
            self.next_service.clone_from(next_service);
        }
        assert_ne!((before, event.clone()), (State::Calling, Event::Expire), "money may be leaving");
        if let Some(price) = self.open.take() {
            self.paid += cost.unwrap_or(price).0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_happens_nothing_is_paid_twice_or_forgotten(
        events in proptest::collection::vec((event(), 0..HORIZON_MS / 4), 1..60),
    ) {
        let mut now = 0;
        let mut task = Task::new(TaskId::nil(), Modality::Image, "5V".to_owned(), request("p"), now);
        let mut truth = Truth::default();
        for (event, pause) in events {
            now += pause;
            let before = task.clone();
            if task.apply(event.clone(), now).is_err() {
                prop_assert_eq!(&task, &before);
                continue;
            }
            truth.note(&event, before.state);
            prop_assert_eq!(task.attempt, truth.calls);
            prop_assert_eq!(task.tries, truth.tries);
            prop_assert_eq!(task.reserved.map(|(price, _)| price), truth.open);
            prop_assert_eq!(task.spent.0, truth.paid);
            prop_assert_eq!(&task.next_service, &truth.next_service);
            prop_assert_eq!(task.ended_at.is_some(), task.state.is_end());
            prop_assert!(before.state != State::Unknown || task.state != State::Calling);
            prop_assert!(task.state != State::Calling || before.state == State::Accepted);
            if before.state.is_end() {
                let again = matches!(event, Event::Redeliver) && before.state.is_dead_letter();
                let late = before.state == State::Uncertain
                    && matches!(task.state, State::Delivered | State::Failed);
                prop_assert!(again || late);
            }
            if matches!(task.state, State::Checked | State::Delivering | State::Delivered) {
                prop_assert!(task.failure.is_some() || task.media.is_some() && truth.checked);
            }
            if task.state == State::Expired && !matches!(event, Event::Expire) {
                prop_assert!(before.tries > 0 && now >= before.deliver_by);
            }
            prop_assert!(task.due_at == before.due_at || task.due_at <= now + HORIZON_MS);
        }
    }
}

#[test]
fn words_name_one_value_each() {
    for state in State::ALL {
        assert_eq!(state.as_str().parse(), Ok(*state));
    }
    for modality in Modality::ALL {
        assert_eq!(modality.as_str().parse(), Ok(modality));
    }
    assert_eq!("Accepted".parse::<State>().unwrap_err().to_string(), "there is no `Accepted`");
    assert!("Image".parse::<Modality>().is_err());
}

#[test]
fn a_day_is_a_utc_day() {
    assert_eq!(Day::of(0), Day(0));
    assert_eq!(Day::of(86_399_999), Day(0));
    assert_eq!(Day::of(86_400_000), Day(1));
    assert_eq!(Day::of(-1), Day(-1));
}

#[test]
fn texts_of_others_are_bounded_at_a_characters_edge() {
    let mut task = Task::new(TaskId::nil(), Modality::Image, "5V".to_owned(), request("p"), 0);
    let why = format!("\0{}", "ж".repeat(5_000));
    task.apply(Event::Fail { cost: None, why }, 0).unwrap();
    let kept = task.failure.unwrap();
    assert!(kept.starts_with("\u{fffd}ж") && kept.ends_with('ж'));
    assert!((1_990..2_010).contains(&kept.len()), "{}", kept.len());
}

#[test]
fn a_job_is_kept_whole_or_refused_and_never_shown() {
    let longest = "x".repeat(16 * 1024);
    assert_eq!(Job::new(longest.clone()).unwrap().as_str(), longest);
    assert_eq!(Job::new(longest + "x"), Err(JobTooLong { bytes: 16 * 1024 + 1 }));
    assert_eq!(format!("{:?}", job("https://example.com/?sig=s3cret")), "Job(..)");
}

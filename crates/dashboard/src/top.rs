//! How things stand, in a terminal: what the page Now says, for those who live in SSH.
//!
//! [`draw`] draws one moment; reading keys and looking again is the caller's.

use adit_journal::record::Chain;
use ratatui::Frame;
use ratatui::backend::TestBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::bar;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Wrap};

pub use ratatui;

use crate::alert::Alert;
use crate::{Miner, MinerNow, Now, Run};

/// Widest that lines are set: beyond it they are hard to follow.
const WIDEST: u16 = 120;
/// Rows of a page of text that nobody scrolls.
const TALLEST: u16 = 200;

const QUIET: Style = Style::new().fg(Color::DarkGray);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws one moment. `scroll` rows of it are above the screen.
pub fn draw(frame: &mut Frame<'_>, now: &Now, alerts: &[Alert], scroll: u16) {
    let area = frame.area();
    let area = Rect { width: area.width.min(WIDEST), ..area };
    let [body, foot] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(area);
    let lines = lines(now, alerts);
    let text = Paragraph::new(lines).wrap(Wrap { trim: false }).block(Block::new());
    frame.render_widget(text.scroll((scroll, 0)), body);
    frame.render_widget(Line::styled("q quits · r looks again · ↑ ↓ scroll", QUIET), foot);
}

/// One moment as text without colours, for a pipe.
#[must_use]
pub fn text(now: &Now, alerts: &[Alert], width: u16) -> String {
    let lines = lines(now, alerts);
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    let backend = TestBackend::new(width.clamp(40, WIDEST), TALLEST);
    let Ok(mut terminal) = ratatui::Terminal::new(backend);
    let Ok(drawn) = terminal.draw(|frame| frame.render_widget(text, frame.area()));
    let buffer = drawn.buffer;
    let rows = buffer.content().chunks(usize::from(buffer.area.width));
    let text: Vec<String> = rows
        .map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned())
        .collect();
    format!("{}\n", text.join("\n").trim_end())
}

fn lines<'a>(now: &'a Now, alerts: &'a [Alert]) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for alert in alerts {
        let style = if alert.urgent { Style::new().fg(Color::Red) } else { Style::new().fg(Color::Yellow) };
        let sign = if alert.urgent { "✗ " } else { "! " };
        lines.push(Line::from(vec![
            Span::styled(sign, style),
            Span::styled(clean(&alert.text), style.patch(BOLD)),
        ]));
        lines.push(Line::from(format!("  → {}", clean(&alert.todo))));
    }
    if alerts.is_empty() {
        lines.push(Line::styled("✓ nothing to do", Style::new().fg(Color::Green)));
    }
    for miner in &now.miners {
        lines.push(Line::default());
        lines.extend(of_miner(miner, now.at_ms));
    }
    lines
}

fn of_miner(now: &MinerNow, at_ms: i64) -> Vec<Line<'static>> {
    let (sign, colour) = match now.run {
        Run::Online => ("●", Color::Green),
        Run::Silent => ("✗", Color::Red),
        Run::Stopped => ("■", Color::Yellow),
        Run::Never | Run::Elsewhere => ("○", Color::DarkGray),
    };
    let mut head = vec![
        Span::styled(format!("{sign} "), Style::new().fg(colour)),
        Span::styled(now.miner.title(), BOLD),
        Span::raw(format!("  {}", now.run.as_str())),
    ];
    if let (Run::Online, Some(started), Some(since)) = (now.run, &now.started, now.started_ms) {
        head.push(Span::raw(format!(" for {}", ago(at_ms, since))));
        head.push(Span::styled(
            format!("  v{} at {}", clean(&started.version), clean(&started.address)),
            QUIET,
        ));
    }
    let mut lines = vec![Line::from(head)];
    let mut add = |words: &str, text: String| {
        lines.push(Line::from(vec![Span::styled(format!("  {words:<10} "), QUIET), Span::raw(text)]));
    };
    if let Some(reason) = now.stopped.as_ref().or(now.unreadable.as_ref()) {
        add("Error", clean(reason));
    }
    let nothing = now.run == Run::Never || (now.run == Run::Elsewhere && now.journal.is_none());
    if nothing {
        let start = match now.miner {
            Miner::PrivateTrack => "`sv start` starts it; `sv deploy-pt-miner` deploys its image",
            Miner::Generative => "`gascli generator start` starts it",
            Miner::TurboVision => "`sv push` deploys a model",
        };
        add("", start.to_owned());
        return lines;
    }
    if let Some(last) = &now.last {
        let by = last.who.as_deref().map(|who| format!(" by {}", short(who))).unwrap_or_default();
        add(
            "Last",
            format!(
                "{} ago: {}{by}, {}",
                ago(at_ms, last.at_ms),
                short(&clean(&last.key)),
                clean(&last.outcome)
            ),
        );
    }
    if let Some(queue) = now.queue {
        add("Queue", format!("{} worked on, {} waiting", queue.working, queue.waiting));
    }
    let day = now.day;
    let spent =
        if day.micro_usd > 0 { format!(", ${:.2}", day.micro_usd as f64 / 1e6) } else { String::new() };
    add("24 h", format!("{} good, {} bad, {} refused{spent}", day.good, day.bad, day.refused));
    add("", bars(&now.hours));
    if let Some(chain) = &now.chain {
        let since = now.chain_ms.map(|at| format!(", {} ago", ago(at_ms, at))).unwrap_or_default();
        add("Chain", format!("{}{since}", on_chain(chain)));
    }
    lines
}

fn on_chain(chain: &Chain) -> String {
    let Some(uid) = chain.uid else {
        return format!("subnet {}, not registered", chain.netuid);
    };
    let place = chain.place.map(|place| format!(" ({place}. of {})", chain.hotkeys)).unwrap_or_default();
    let axon =
        chain.axon.as_deref().map_or_else(|| "no axon".to_owned(), |axon| format!("axon {}", clean(axon)));
    let emission = chain.emission_rao as f64 / 1e9;
    format!(
        "subnet {}, uid {uid}, incentive {:.5}{place}, {emission:.4} α a tempo, {axon}",
        chain.netuid, chain.incentive
    )
}

/// An hour a bar, the highest as high as there is.
fn bars(hours: &[(u64, u64); 24]) -> String {
    const LEVELS: [&str; 8] = [
        bar::ONE_EIGHTH,
        bar::ONE_QUARTER,
        bar::THREE_EIGHTHS,
        bar::HALF,
        bar::FIVE_EIGHTHS,
        bar::THREE_QUARTERS,
        bar::SEVEN_EIGHTHS,
        bar::FULL,
    ];
    let counts = hours.map(|(good, bad)| good + bad);
    let highest = counts.into_iter().max().unwrap_or(0).max(1);
    let level = |count: u64| match count {
        0 => "·",
        count => LEVELS[usize::try_from((count * 8).div_ceil(highest)).unwrap_or(8) - 1],
    };
    counts.map(level).concat()
}

fn ago(now_ms: i64, at_ms: i64) -> String {
    crate::alert::span((now_ms - at_ms).max(0))
}

/// The beginning of a name that is too long for a line.
fn short(text: &str) -> String {
    if text.chars().count() <= 20 {
        text.to_owned()
    } else {
        format!("{}…", text.chars().take(12).collect::<String>())
    }
}

/// What others wrote must not steer the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(400).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use adit_journal::record::Started;

    use super::*;
    use crate::{Counts, Last, Queue};

    fn now() -> Now {
        let at_ms = 1_800_000_000_000;
        let started = Started {
            version: "0.1.0".to_owned(),
            pid: 1,
            address: "0.0.0.0:8000".to_owned(),
            hotkey: None,
            netuid: Some(44),
            works_by: Vec::new(),
            image: None,
            daily_budget_micro_usd: None,
            warnings: Vec::new(),
        };
        let empty = |miner, run| MinerNow {
            miner,
            run,
            started: None,
            started_ms: None,
            stopped: None,
            last: None,
            queue: None,
            day: Counts::default(),
            hours: [(0, 0); 24],
            chain: None,
            chain_ms: None,
            figures: BTreeMap::new(),
            journal: None,
            unreadable: None,
        };
        let private = MinerNow {
            started: Some(started),
            started_ms: Some(at_ms - 90_000_000),
            last: Some(Last {
                at_ms: at_ms - 180_000,
                id: 1,
                key: "c-\u{1b}[2J1".to_owned(),
                who: Some("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY".to_owned()),
                outcome: "answered".to_owned(),
            }),
            queue: Some(Queue { working: 1, waiting: 2 }),
            day: Counts { good: 46, bad: 2, refused: 13, micro_usd: 0 },
            hours: std::array::from_fn(|hour| (hour as u64 % 5, 0)),
            chain: Some(Chain {
                netuid: 44,
                uid: Some(12),
                incentive: 0.012_34,
                place: Some(5),
                hotkeys: 256,
                emission_rao: 1_234_500_000,
                axon: Some("203.0.113.7:8000".to_owned()),
                ..Chain::default()
            }),
            chain_ms: Some(at_ms - 60_000),
            ..empty(Miner::PrivateTrack, Run::Online)
        };
        let generative = MinerNow {
            stopped: Some("cannot listen".to_owned()),
            day: Counts { micro_usd: 1_250_000, ..Counts::default() },
            ..empty(Miner::Generative, Run::Stopped)
        };
        Now { at_ms, miners: vec![private, generative, empty(Miner::TurboVision, Run::Elsewhere)] }
    }

    fn alert() -> Alert {
        Alert {
            rule: "down",
            miner: Some(Miner::Generative),
            cause: String::new(),
            urgent: true,
            text: "Generative: it ended by an error: cannot listen".to_owned(),
            todo: "`gascli generator start` starts it".to_owned(),
        }
    }

    #[test]
    fn a_moment_in_a_pipe() {
        insta::assert_snapshot!(text(&now(), &[alert()], 100));
    }

    #[test]
    fn a_moment_on_a_narrow_terminal_loses_nothing() {
        let text = text(&now(), &[], 40);
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        for word in ["nothing to do", "answered", "203.0.113.7:8000", "sv push"] {
            assert!(text.replace('\n', "").contains(word) || text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_screen_of_any_size_is_drawn() {
        for (width, height) in [(1, 1), (10, 3), (80, 24), (300, 100)] {
            let mut terminal = ratatui::Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw(frame, &now(), &[alert()], 2)).unwrap();
        }
    }
}

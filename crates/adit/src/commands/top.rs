//! `adit top`.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use adit_dashboard::alert::Alert;
use adit_dashboard::top::ratatui::{self, crossterm};
use adit_dashboard::{Connection, Now, top};
use adit_settings::Environment;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use super::alerts;
use super::live_journal::{sources, sources_once};
use crate::cli::dashboard::Top;
use crate::failure::Failure;

/// Width of what is printed once, where no terminal says.
const WIDTH: u16 = 100;

pub(crate) fn run(env: &Environment, args: &Top) -> Result<ExitCode, Failure> {
    let rules = alerts::rules(env)?;
    let anchors = alerts::anchors(env);
    let connection = Connection::new()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let sources = if args.once { runtime.block_on(sources_once(env))? } else { sources(env)? };
    let look = || {
        let now = runtime.block_on(Now::look(&sources, &connection));
        let alerts = alerts::judged(&sources, &rules, now.clone(), anchors());
        (now, alerts)
    };
    if args.once {
        let (now, alerts) = look();
        let width = crossterm::terminal::size().ok().filter(|_| io::stdout().is_terminal());
        print!("{}", top::text(&now, &alerts, width.map_or(WIDTH, |(width, _)| width)));
        return Ok(ExitCode::SUCCESS);
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::new("`adit top` needs a terminal").hint("`adit top --once` prints it once"));
    }
    let mut terminal = ratatui::init();
    let shown = show(&mut terminal, Duration::from_secs(args.every), look);
    ratatui::restore();
    shown?;
    Ok(ExitCode::SUCCESS)
}

/// Until somebody quits.
fn show(
    terminal: &mut ratatui::DefaultTerminal,
    every: Duration,
    look: impl Fn() -> (Now, Vec<Alert>),
) -> io::Result<()> {
    let mut scroll: u16 = 0;
    loop {
        let (now, alerts) = look();
        let until = Instant::now() + every;
        loop {
            terminal.draw(|frame| top::draw(frame, &now, &alerts, scroll))?;
            let left = until.saturating_duration_since(Instant::now());
            if !event::poll(left)? {
                break;
            }
            let Event::Key(key) = event::read()? else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                KeyCode::Char('r') => break,
                KeyCode::Up | KeyCode::Char('k') => scroll = scroll.saturating_sub(1),
                KeyCode::Down | KeyCode::Char('j') => scroll = scroll.saturating_add(1).min(200),
                KeyCode::Home => scroll = 0,
                _ => {}
            }
        }
    }
}

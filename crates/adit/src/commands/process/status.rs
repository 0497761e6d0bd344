//! `status`.

use std::process::ExitCode;

use adit_settings::Environment;
use adit_supervisor::{Phase, State};
use chrono::Utc;
use serde_json::json;

use super::Track;
use crate::cli::process::Status;
use crate::commands::span;
use crate::failure::Failure;

/// Lines of a miner's last words that are shown.
const LAST_WORDS: usize = 6;

pub(crate) fn run(track: &Track, env: &Environment, args: &Status) -> Result<ExitCode, Failure> {
    let place = track.place(env)?;
    let Some(status) = place.status()? else {
        if args.json {
            println!("{:#}", json!({"name": place.name(), "state": "not found"}));
        } else {
            println!("{} not found", track.title());
            println!("`{}` starts it.", track.command("start"));
        }
        return Ok(ExitCode::FAILURE);
    };
    let state = &status.state;
    let code = if state.phase == Phase::Online { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    let work = track.work_of(env, state);
    let uptime = status.pid.map(|_| Utc::now().timestamp_millis() - state.started_at);
    if args.json {
        let end = state
            .last_end
            .as_ref()
            .map(|end| json!({"at": end.at as f64 / 1000.0, "how": end.how, "last_words": end.last_words}));
        let mut shown = json!({
            "name": place.name(),
            "state": state.phase.as_str(),
            "pid": status.pid,
            "supervisor_pid": state.phase.is_supervised().then_some(state.supervisor()),
            "uptime_seconds": uptime.map(|ms| ms as f64 / 1000.0),
            "restarts": state.restarts,
            "memory_bytes": state.memory,
            "cpu_percent": state.cpu_percent,
            "last_end": end,
            "directory": state.directory.display().to_string(),
            "log": place.log_file().display().to_string(),
        });
        match work {
            Ok(facts) => facts.into_iter().for_each(|fact| shown[fact.key] = fact.value),
            Err(failure) => shown["work_error"] = failure.parts().0.into(),
        }
        println!("{shown:#}");
        return Ok(code);
    }
    println!("{} ({})", track.title(), place.name());
    let line = |words: &str, text: String| println!("  {words:<13} {text}");
    line("State:", described(track, state));
    if let Some(pid) = status.pid {
        line("Pid:", format!("{pid} (its supervisor: {})", state.supervisor()));
    }
    if let Some(ms) = uptime {
        line("Uptime:", span(ms));
        line("Memory:", format!("{:.1} MiB", state.memory as f64 / f64::from(1 << 20)));
        line("CPU:", format!("{:.1} % of a core", state.cpu_percent));
    }
    line("Restarts:", state.restarts.to_string());
    match work {
        Ok(facts) => facts.into_iter().for_each(|fact| line(&format!("{}:", fact.words), fact.text)),
        Err(failure) => line("Tasks:", format!("unknown: {}", failure.parts().0)),
    }
    if let Some(end) = &state.last_end {
        let ago = span(Utc::now().timestamp_millis() - end.at);
        line("Last error:", format!("{ago} ago, it ended by itself: {}", end.how));
        let shown = if status.pid.is_some() { 0 } else { LAST_WORDS };
        // What it said last is most often why it does not run now.
        for word in end.last_words.lines().rev().take(shown).collect::<Vec<_>>().into_iter().rev() {
            line("", word.to_owned());
        }
    }
    line("Directory:", state.directory.display().to_string());
    line("Log:", place.log_file().display().to_string());
    Ok(code)
}

fn described(track: &Track, state: &State) -> String {
    let more = match state.phase {
        Phase::Starting => "not ready yet".to_owned(),
        Phase::Online => return "✅ online".to_owned(),
        Phase::Waiting => "it ended by itself, and is started again".to_owned(),
        Phase::Stopping => "it ends what it has begun".to_owned(),
        Phase::Stopped => format!("`{}` starts it", track.command("start")),
        Phase::Errored => {
            format!("it ended by itself, and is not started again; `{}` tries", track.command("start"))
        }
        Phase::Abandoned => {
            format!(
                "its supervisor was killed, and it has ended with it; `{}` starts it",
                track.command("start")
            )
        }
    };
    format!("❌ {}: {more}", state.phase.as_str())
}

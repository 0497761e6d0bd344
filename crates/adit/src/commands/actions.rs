//! `sv actions`.

use std::process::ExitCode;

use adit_scoring::soccer::{self, ActionRule, Era, FRAME_RATE};
use serde_json::{Value, json};

use super::table::table;
use crate::cli::Actions;
use crate::failure::Failure;

/// Whole frames within the tolerance: the scorer counts 25 frames a second whatever the clip's rate.
fn frames(rule: &ActionRule) -> f64 {
    (rule.tolerance_s * FRAME_RATE).floor()
}

pub(crate) fn run(args: &Actions) -> Result<ExitCode, Failure> {
    let current = soccer::actions(Era::Head);
    let all = soccer::actions(Era::DocumentEra);
    let scored_now = |rule: &ActionRule| current.iter().any(|other| other.name == rule.name);
    if args.json {
        let rows: Value = all
            .iter()
            .map(|rule| {
                json!({
                    "action": rule.name, "weight": rule.weight, "tolerance_s": rule.tolerance_s,
                    "tolerance_frames": frames(rule), "min_score": rule.min_score, "scored_now": scored_now(rule),
                })
            })
            .collect();
        println!("{rows:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&["ACTION", ">WEIGHT", ">TOLERANCE", ">FRAMES", ">AT THE EDGE", "SCORED BY"]);
    for rule in all {
        rows.add_row([
            rule.name.to_owned(),
            format!("{:.1}", rule.weight),
            format!("{:.1} s", rule.tolerance_s),
            format!("{}", frames(rule)),
            format!("{:.0} %", rule.min_score * 100.0),
            if scored_now(rule) { "all validators" } else { "the guide's generation only" }.to_owned(),
        ]);
    }
    println!("{}", rows.trim_fmt());
    println!(
        "\nA prediction earns the weight at the exact frame, less with distance, and costs the whole weight where it \
         matches nothing.\nFrames count at 25 a second whatever the clip's rate."
    );
    Ok(ExitCode::SUCCESS)
}

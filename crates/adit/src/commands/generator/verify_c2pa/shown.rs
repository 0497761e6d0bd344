//! What `verify-c2pa` prints: a line a file, the validator's own block with the tree of manifests, or JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use adit_provenance::{FRESHNESS, Verdict};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::Judged;
use crate::cli::gascli::VerifyC2pa;
use crate::commands::generator::one_line;
use crate::failure::Failure;

/// Prints as results come, and counts them.
pub(super) struct Output<'args> {
    args: &'args VerifyC2pa,
    accepted: usize,
    refused: usize,
    unreadable: usize,
    left_out: usize,
    entries: usize,
}

impl<'args> Output<'args> {
    pub(super) fn new(args: &'args VerifyC2pa) -> Self {
        if args.json {
            print!("[");
        }
        Self { args, accepted: 0, refused: 0, unreadable: 0, left_out: 0, entries: 0 }
    }

    pub(super) fn verdict(&mut self, name: String, judged: &Judged) {
        if judged.accepted() {
            self.accepted += 1;
        } else {
            self.refused += 1;
        }
        if self.args.json {
            self.entry(&json!({ "file": name, "result": result(judged, self.args.verbose) }));
        } else if self.args.verbose {
            print!("{}", block(&name, judged));
        } else {
            let era = (self.args.era.eras().len() > 1).then(|| judged.verdict.era.to_string());
            println!("{}", line(&name, era.as_deref(), judged));
        }
    }

    pub(super) fn unreadable(&mut self, name: String, failure: &Failure) {
        self.unreadable += 1;
        eprintln!("{failure}");
        if self.args.json {
            self.entry(&json!({ "file": name, "error": failure.parts().0 }));
        }
    }

    /// Something in a directory is no media.
    pub(super) fn left_out(&mut self) {
        self.left_out += 1;
    }

    /// A list of JSON as one whole would be printed.
    fn entry(&mut self, entry: &Value) {
        let separator = if self.entries == 0 { "" } else { "," };
        let indented = format!("{entry:#}").replace('\n', "\n  ");
        print!("{separator}\n  {indented}");
        self.entries += 1;
    }

    /// The exit code: 2 where something could not be read, else 1 where something is refused.
    pub(super) fn end(self) -> ExitCode {
        let verdicts = self.accepted + self.refused;
        if self.args.json {
            println!("{}]", if self.entries == 0 { "" } else { "\n" });
        } else if verdicts > 1 {
            println!("\n{} of {verdicts} would be accepted.", self.accepted);
        }
        if self.left_out > 0 {
            eprintln!("note: {} in the directories left out: no media.", count(self.left_out, "file"));
        }
        if self.unreadable > 0 || verdicts == 0 {
            ExitCode::from(2)
        } else if self.refused > 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

fn mark(judged: &Judged) -> &'static str {
    if judged.accepted() { "✅ PASSED" } else { "❌ FAILED" }
}

/// One line, and one more with what would help.
fn line(name: &str, era: Option<&str>, judged: &Judged) -> String {
    let verdict = &judged.verdict;
    let era = era.map(|era| format!(" [{era}]")).unwrap_or_default();
    let mut line = format!("{}{era}  {}: ", mark(judged), one_line(name));
    if let Some((why, remedy)) = judged.refused() {
        let _ = write!(line, "{}\n           hint: {remedy}", one_line(&why));
        return line;
    }
    let _ = write!(line, "signed by {}", one_line(signer(verdict)));
    if let Some(generator) = &verdict.claim_generator {
        let _ = write!(line, ", made by {}", one_line(generator));
    }
    if verdict.ai_generated {
        line.push_str(", AI-generated");
    }
    if let Some(time) = verdict.signing_time {
        let _ = write!(line, ", {}", shown_time(time));
    }
    line
}

fn signer(verdict: &Verdict) -> &str {
    verdict.signer.as_ref().and_then(|signer| signer.organisation.as_deref()).unwrap_or("nobody")
}

fn shown_time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The block that the subnet's own command prints, and under it what that leaves out.
fn block(name: &str, judged: &Judged) -> String {
    let verdict = &judged.verdict;
    let reported = verdict.reported();
    let rule = "=".repeat(60);
    let mut block = format!("\n{rule}\nFile: {}\nStatus: {}\n{rule}\n", one_line(name), mark(judged));
    let mut field = |label: &str, value: &str| {
        let _ = writeln!(block, "  {:<19}{}", format!("{label}:"), one_line(value));
    };
    for label in [
        "verified",
        "signature_valid",
        "is_self_signed",
        "is_trusted_issuer",
        "issuer",
        "cert_issuer",
        "ai_generated",
    ] {
        field(label, &as_python(&reported[label]));
    }
    let refused = judged.refused();
    if let Some((why, _)) = &refused {
        field("error", why);
    }
    if reported["validation_errors"].as_array().is_some_and(|errors| !errors.is_empty()) {
        field("validation_errors", &as_python(&reported["validation_errors"]));
    }
    field("rules", &verdict.era.to_string());
    field("format", &verdict.format.to_string());
    field("model", verdict.model_name.as_deref().unwrap_or("not named"));
    field("hard binding", verdict.hard_binding.as_deref().unwrap_or("none"));
    match verdict.signing_time {
        None => field("signed", "no time is known"),
        Some(time) => {
            field("signed", &shown_time(time));
            let until = shown_time(time + FRESHNESS);
            field("in time for", &format!("challenges that were sent until {until}"));
        }
    }
    for failure in verdict.failures.iter().filter(|failure| !failure.fatal) {
        field("overlooked", &failure.to_string());
    }
    for warning in verdict.policy_warnings() {
        field("remark", warning);
    }
    if let Some((_, remedy)) = refused {
        field("hint", remedy);
    }
    block.push_str(&tree(&verdict.manifests));
    block
}

/// A value as Python's `print` shows it, as far as strings in it need no escapes.
fn as_python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| format!("'{}'", as_python(item))).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// The fields that the subnet's own command prints, and ours behind them.
fn result(judged: &Judged, verbose: bool) -> Value {
    let verdict = &judged.verdict;
    let failures: Vec<_> = verdict
        .failures
        .iter()
        .map(|failure| {
            json!({ "code": failure.code, "explanation": failure.explanation, "fatal": failure.fatal })
        })
        .collect();
    let refused = judged.refused();
    let mut result = verdict.reported();
    result["era"] = json!(verdict.era.to_string());
    result["accepted"] = json!(judged.accepted());
    result["refused_for"] = json!(refused.as_ref().map(|(why, _)| why));
    result["remedy"] = json!(refused.as_ref().map(|(_, remedy)| remedy));
    result["format"] = json!(verdict.format.to_string());
    result["hard_binding"] = json!(verdict.hard_binding);
    result["signed_at"] = json!(verdict.signing_time);
    result["failures"] = json!(failures);
    if verbose {
        result["manifests"] = verdict.manifests.clone();
    }
    result
}

/// The active manifest with what it says of the file, and below it those of its ingredients.
fn tree(store: &Value) -> String {
    let mut lines = String::new();
    if let Some(active) = store["active_manifest"].as_str() {
        lines.push_str("\n  Manifests:\n");
        branch(store, active, "active", 1, &mut BTreeSet::new(), &mut lines);
    }
    lines
}

/// Each manifest once, however many name it as their ingredient.
fn branch<'store>(
    store: &'store Value,
    label: &'store str,
    role: &str,
    depth: usize,
    seen: &mut BTreeSet<&'store str>,
    lines: &mut String,
) {
    let indent = "  ".repeat(depth);
    let again = if seen.insert(label) { "" } else { ", see above" };
    let _ = writeln!(lines, "{indent}└─ {} ({}{again})", one_line(label), one_line(role));
    if !again.is_empty() {
        return;
    }
    let manifest = &store["manifests"][label];
    let mut detail = |name: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(lines, "{indent}     {name}: {}", one_line(text));
        }
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |values: &Value, shown: &dyn Fn(&Value) -> String| -> String {
        let shown: Vec<_> = values.as_array().into_iter().flatten().map(shown).collect();
        shown.join(", ")
    };
    detail("title", &text(&manifest["title"]));
    detail("claim generator", &text(&manifest["claim_generator"]));
    detail(
        "claim generator info",
        &list(&manifest["claim_generator_info"], &|info| {
            format!("{} {}", text(&info["name"]), text(&info["version"])).trim_end().to_owned()
        }),
    );
    let signature = &manifest["signature_info"];
    let signed: Vec<_> = ["issuer", "common_name", "alg", "time"]
        .iter()
        .map(|key| text(&signature[key]))
        .filter(|part| !part.is_empty())
        .collect();
    detail("signature", &signed.join(", "));
    for assertion in manifest["assertions"].as_array().into_iter().flatten() {
        let actions = list(&assertion["data"]["actions"], &|action| {
            let agent = &action["softwareAgent"];
            let agent = agent.as_str().or_else(|| agent["name"].as_str());
            let what = text(&action["action"]);
            agent.map_or_else(|| what.clone(), |agent| format!("{what} by {agent}"))
        });
        let label = text(&assertion["label"]);
        detail("assertion", &if actions.is_empty() { label } else { format!("{label}: {actions}") });
    }
    for ingredient in manifest["ingredients"].as_array().into_iter().flatten() {
        let role = format!("{}, ingredient", text(&ingredient["relationship"]));
        let title = text(&ingredient["title"]);
        match ingredient["active_manifest"].as_str() {
            Some(below) => branch(store, below, &role, depth + 1, seen, lines),
            None => {
                let _ = writeln!(
                    lines,
                    "{indent}  └─ {} ({} without a manifest)",
                    one_line(&title),
                    one_line(&role)
                );
            }
        }
    }
}

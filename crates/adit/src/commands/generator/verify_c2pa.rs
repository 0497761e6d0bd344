//! `gascli generator verify-c2pa`.

mod files;
mod shown;

use std::process::ExitCode;

use adit_provenance::{Stale, Verdict, Verifier};
use adit_settings::Environment;
use chrono::{DateTime, Utc};

use self::files::{Input, Room, in_order};
use super::trust_anchors;
use crate::cli::gascli::VerifyC2pa;
use crate::failure::Failure;

/// The verdict on one file, and whether it comes in time.
struct Judged {
    verdict: Verdict,
    stale: Option<Stale>,
}

impl Judged {
    fn accepted(&self) -> bool {
        self.verdict.accepted() && self.stale.is_none()
    }

    /// Why it is refused, in the validator's words, and what would help.
    fn refused(&self) -> Option<(String, &'static str)> {
        match (&self.verdict.refusal, self.stale) {
            (Some(refusal), _) => Some((refusal.to_string(), refusal.remedy())),
            (None, Some(stale)) => Some((stale.to_string(), stale.remedy())),
            (None, None) => None,
        }
    }
}

pub(crate) fn run(env: &Environment, args: &VerifyC2pa) -> Result<ExitCode, Failure> {
    let anchors = trust_anchors::load(env)?;
    let verifiers: Vec<Verifier> = args
        .era
        .eras()
        .iter()
        .map(|era| Verifier::new(&anchors, *era).map_err(|error| Failure::new(error).unanswered()))
        .collect::<Result<_, _>>()?;
    let inputs = files::find(&args.files);
    let room = Room::default();
    let judge = |input: &Input| -> Result<Vec<Judged>, Failure> {
        let _held = room.take(input.size());
        verifiers.iter().map(|verifier| judge(verifier, input, args.sent_at)).collect()
    };
    let mut output = shown::Output::new(args);
    in_order(&inputs, judge, |input, judged| match judged {
        Ok(judged) if input.is_no_media(&judged) => output.left_out(),
        Ok(judged) => judged.iter().for_each(|judged| output.verdict(input.name(), judged)),
        Err(failure) => output.unreadable(input.name(), &failure),
    });
    Ok(output.end())
}

fn judge(verifier: &Verifier, input: &Input, sent_at: Option<DateTime<Utc>>) -> Result<Judged, Failure> {
    let verdict = input.verify(verifier)?;
    let stale = verdict.freshness(Utc::now(), sent_at).err().filter(|_| verdict.accepted());
    Ok(Judged { verdict, stale })
}

//! The C2PA part of `adit demo`: what a validator of subnet 34 says to files as a miner may come to hold them.

use std::path::Path;

use adit_provenance::signing::{Authority, Claim};
use adit_provenance::{Era, TrustAnchors, Verifier};
use adit_stand_in::media::PNG;
use chrono::{TimeDelta, Utc};

use crate::commands::table::table;
use crate::failure::Failure;

/// Shows the verdicts on signed, unsigned and changed files. Whether each is the one that was to come.
pub(super) fn show(clip: &Path) -> Result<bool, Failure> {
    println!(
        "\nSubnet 34, generative track: the C2PA verdict of its validators on files signed under an authority made \
         for this demo.\n"
    );
    let authority = Authority::new("Adit demo").map_err(Failure::new)?;
    let anchors = TrustAnchors::default().trusting("demo", authority.certificate()).map_err(Failure::new)?;
    let verifier = Verifier::new(&anchors, Era::Head).map_err(Failure::new)?;
    let known = authority.signer("OpenAI").map_err(Failure::new)?;
    let unknown = authority.signer("Nobody Ltd").map_err(Failure::new)?;
    let stranger = Authority::new("Another authority").and_then(|other| other.signer("OpenAI"));
    let stranger = stranger.map_err(Failure::new)?;

    let now = Claim::now("demo-model");
    let earlier = Claim { created: now.created - TimeDelta::hours(1), ..now.clone() };
    let sign = |claim, file: &[u8]| known.sign_bytes(claim, file).map_err(Failure::new);
    let picture = sign(&now, PNG)?;
    let mut changed = picture.clone();
    let last = changed.len() - 20;
    changed[last] ^= 1;
    let drawn = std::fs::read(clip)?;
    let cases = [
        ("a picture as the service made it", picture, true),
        ("a clip as the service made it", sign(&now, &drawn)?, true),
        ("the same clip without its manifest", drawn, false),
        ("the picture with one bit changed", changed, false),
        ("a picture of an hour ago", sign(&earlier, PNG)?, false),
        (
            "signed by a company that is on no list",
            unknown.sign_bytes(&now, PNG).map_err(Failure::new)?,
            false,
        ),
        ("signed under another authority", stranger.sign_bytes(&now, PNG).map_err(Failure::new)?, false),
    ];
    let mut rows = table(&["FILE", "VERDICT", "WHY"]);
    let mut as_expected = true;
    for (what, file, expected) in cases {
        let verdict = verifier.verify(std::io::Cursor::new(file))?;
        let stale = verdict.freshness(Utc::now(), Some(now.created)).err();
        let why = match (&verdict.refusal, stale) {
            (Some(refusal), _) => refusal.to_string(),
            (None, Some(stale)) => stale.to_string(),
            (None, None) => String::new(),
        };
        let accepted = why.is_empty();
        as_expected &= accepted == expected;
        rows.add_row([what, if accepted { "accepted" } else { "refused" }, &why]);
    }
    println!("{}", rows.trim_fmt());
    Ok(as_expected)
}

//! A challenge that we sign and send ourselves, the whole way: socket, gate, model, answer.

use std::net::{IpAddr, Ipv4Addr};

use adit_auth::{Dialect, StakeGate};
use adit_http_server::ClipHost;
use adit_keys::Keypair;
use adit_media::Ffmpeg;
use adit_outbound::{AddressGuard, Client};
use adit_private_track::Config;
use adit_private_track::rehearsal::{Attempt, Outcome, Plan, Sender, rehearse};
use adit_synthetic::{Match, MatchFormat};
use tempfile::TempDir;
use tokio::time::{Instant, timeout_at};

use super::Check;
use super::server::Server;
use super::sv::Miner;

const NAME: &str = "challenge";
/// A clip that takes no time to draw, nor to answer.
const CLIP: MatchFormat = MatchFormat { width: 64, height: 36, fps: 25, seconds: 1 };
/// Where no clip is, and nothing listens.
const NO_CLIP: &str = "http://127.0.0.1:9/doctor.mp4";

/// `signer` is our own hotkey where it can be had, else a new one: no validator's key is on this host.
pub(super) async fn check(miner: &Miner, signer: Keypair, server: &Server, until: Instant) -> Check {
    let (hotkey, port) = match (miner.place.hotkey, miner.place.port) {
        (Ok(hotkey), Ok(port)) => (hotkey, port),
        (Err(why), _) | (_, Err(why)) => return Check::skipped(NAME, why),
    };
    if !server.answers() {
        return Check::skipped(NAME, "no miner answers (see server)");
    }
    let Ok(config) = &miner.config else {
        return Check::skipped(NAME, "the settings do not hold (see configuration)");
    };
    // The whole chain of rules is taken in one of the forms that are accepted; Score's is the one in use.
    let score = config.gate.policy.dialects.contains(&Dialect::Score);
    let sender = if score { Sender::Head } else { Sender::Fiber };
    let sending = async {
        let clip = serve_clip(config, until).await;
        let client = Client::new(AddressGuard::unrestricted()).ok()?;
        let plan = Plan {
            miner: format!("http://127.0.0.1:{port}"),
            miner_hotkey: hotkey,
            signer,
            senders: vec![sender],
            repeat: 1,
            video_url: clip.as_ref().map_or_else(|| NO_CLIP.to_owned(), |(host, _)| host.url()),
            truth: None,
            spot_check: None,
        };
        rehearse(&client, &plan).await.attempts.pop()
    };
    match timeout_at(until, sending).await {
        Ok(Some(attempt)) => judge(&attempt, config.gate.policy.stake_gate),
        Ok(None) => Check::skipped(NAME, "no HTTP client can be made on this host"),
        Err(_) => Check::warn(
            NAME,
            "no answer in the time that the doctor has",
            "sv rehearse CLIP sends one with a validator's limit of 30 s",
        ),
    }
}

/// A clip on loopback, where the miner may fetch from there.
async fn serve_clip(config: &Config, until: Instant) -> Option<(ClipHost, TempDir)> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if !config.guard.allows(loopback) {
        return None;
    }
    let folder = tempfile::tempdir().ok()?;
    let clip = folder.path().join("doctor.mp4");
    Match::new(1, CLIP).write_clip(&Ffmpeg::at(Some(&config.ffmpeg)), &clip, until).await.ok()?;
    Some((ClipHost::start(&clip, loopback).await.ok()?, folder))
}

fn judge(attempt: &Attempt, gate: StakeGate) -> Check {
    let (status, detail) = match &attempt.outcome {
        Outcome::Answered { predictions, .. } => {
            let (seconds, count) = (attempt.latency.as_secs_f64(), predictions.len());
            return Check::pass(
                NAME,
                format!("signed, accepted, and answered in {seconds:.2} s ({count} actions)"),
            );
        }
        Outcome::Status { status, detail } => (*status, detail.as_str()),
        Outcome::Rejected(why) => {
            return Check::fail(
                NAME,
                format!("accepted, but validators would refuse the answer: {why}"),
                "sv rehearse CLIP shows what the model answers",
            );
        }
        Outcome::TimedOut => {
            return Check::fail(NAME, "no answer within a validator's limit", "sv rehearse CLIP");
        }
        Outcome::Unreachable(why) => {
            return Check::fail(NAME, format!("it was not taken: {why}"), "the miner's log says why");
        }
    };
    let said = format!("{status} {}", detail.trim());
    let own_settings = "start the miner again with these settings, or run the doctor with its own";
    match status {
        403 if gate == StakeGate::Off => Check::warn(
            NAME,
            format!("the running miner has a stake gate that these settings switch off ({said})"),
            own_settings,
        ),
        // The gate comes after nonce and addressee and before the signature.
        403 => Check::pass(
            NAME,
            format!("headers, nonce and addressee are accepted; then the stake gate does its job ({said})"),
        ),
        401 if detail.contains("nonce") => Check::fail(
            NAME,
            format!("the miner refuses a nonce of this very moment ({said}): it runs by another clock"),
            "timedatectl set-ntp true on both hosts",
        ),
        401 if detail.contains("miner hotkey") => Check::fail(
            NAME,
            format!("the running miner has another hotkey than these settings ({said})"),
            "start it with the same ADIT_HOTKEY, BITTENSOR_WALLET_COLD and BITTENSOR_WALLET_HOT",
        ),
        401 => Check::fail(
            NAME,
            format!("our own signature is refused ({said})"),
            "is ADIT_DIALECTS the same for both? A proxy before the miner must not change the body",
        ),
        422 => Check::fail(
            NAME,
            format!("not understood ({said})"),
            "a proxy before the miner must leave headers and body as they are",
        ),
        _ if detail.contains("cannot be fetched") => Check::pass(
            NAME,
            "signature accepted; no clip was sent along, since ADIT_ALLOWED_HOSTS does not allow 127.0.0.1",
        ),
        503 => Check::warn(
            NAME,
            format!("signature accepted, but the miner is not ready or busy ({said})"),
            "wait and look again",
        ),
        _ => Check::fail(
            NAME,
            format!("accepted, but not answered ({said})"),
            "the miner's log says why; sv rehearse CLIP repeats it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Status;
    use super::*;

    fn judged(outcome: Outcome, gate: StakeGate) -> Check {
        let attempt = Attempt {
            sender: Sender::Head,
            latency: Duration::from_millis(40),
            budget: Duration::from_secs(30),
            outcome,
        };
        judge(&attempt, gate)
    }

    #[test]
    fn every_answer_of_the_gate_is_told_apart() {
        for (status, detail, verdict, words) in [
            (403, "Insufficient stake of 0.0 ", Status::Pass, "(403 Insufficient stake of 0.0)"),
            (403, "Hotkey not found in metagraph", Status::Pass, "does its job"),
            (401, "Invalid nonce", Status::Fail, "another clock"),
            (401, "Invalid miner hotkey", Status::Fail, "another hotkey"),
            (401, "Invalid signature", Status::Fail, "signature is refused"),
            (422, "[]", Status::Fail, "not understood"),
            (500, "the clip cannot be fetched", Status::Pass, "signature accepted"),
            (503, "the queue is full", Status::Warn, "busy"),
            (500, "Prediction failed", Status::Fail, "not answered"),
        ] {
            let outcome = Outcome::Status { status, detail: detail.to_owned() };
            let check = judged(outcome, StakeGate::Closed);
            assert!(check.status == verdict && check.found.contains(words), "{check:?}");
        }
    }

    #[test]
    fn a_gate_that_should_be_off_is_said() {
        let outcome = Outcome::Status { status: 403, detail: "Hotkey not found in metagraph".to_owned() };
        assert_eq!(judged(outcome, StakeGate::Off).status, Status::Warn);
    }

    #[test]
    fn what_is_no_answer_fails() {
        for outcome in [Outcome::TimedOut, Outcome::Rejected("x".into()), Outcome::Unreachable("y".into())] {
            assert_eq!(judged(outcome, StakeGate::Off).status, Status::Fail);
        }
    }
}

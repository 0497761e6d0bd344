//! What the chain says: the time, our place on the subnet, and our commitment. All of it is asked at one
//! block.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use adit_chain::{Chain, ChainError, Commitment, Endpoints, Field, Limits, Netuid, Registration, Revealed};
use adit_keys::Hotkey;
use adit_settings::{Environment, Var, var};
use tokio::time::{Instant, timeout};

use super::Check;
use super::sv::DEPLOY;
use crate::failure::Failure;

/// Two nodes that are silent leave no time for a third; one that is silent leaves enough for the next.
const LIMITS: Limits = Limits {
    connect: Duration::from_millis(1500),
    answer: Duration::from_secs(3),
    rounds: 1,
    pause: Duration::ZERO,
};
/// A finalized block is half a minute old when it is seen. From this age on, in seconds, something is wrong.
const OLD: i64 = 90;
/// From here on the nonces of honest validators lie outside the window of 120 s (chain reference, section 3),
/// whether the clock is wrong or not; a clock that is right and a node that is behind look the same.
const TOO_OLD: i64 = 150;
/// A block from the future, in seconds: authors' clocks differ by less.
const EARLY: i64 = -10;
/// With the half minute added that a block takes to be seen, the clock is two minutes off.
const TOO_EARLY: i64 = -90;

/// Whose place on which subnet is asked for; each as it is known, or why it is not.
pub(super) struct Place {
    /// The subnet.
    pub(super) netuid: Result<Netuid, &'static str>,
    /// Our own.
    pub(super) hotkey: Result<Hotkey, &'static str>,
    /// The port that the miner listens on.
    pub(super) port: Result<u16, &'static str>,
    /// The setting that says it.
    pub(super) port_name: &'static str,
}

impl Place {
    /// The subnet and our hotkey, or why they are not known.
    pub(super) fn known(&self) -> Result<(Netuid, Hotkey), &'static str> {
        Ok((self.netuid?, self.hotkey?))
    }

    /// What publishes an address: the generative miner does it itself.
    pub(super) fn publish(&self, ip: impl Display, port: impl Display) -> String {
        if self.port_name == var::AXON_PORT.name {
            return format!("BT_AXON_EXTERNAL_IP={ip} and BT_AXON_PORT={port}, and start the miner again");
        }
        let netuid = self.netuid.map(|netuid| format!("--netuid {netuid} ")).unwrap_or_default();
        format!("adit axon set {netuid}--ip {ip} --port {port}")
    }
}

/// The port of a setting.
pub(super) fn port(env: &Environment, var: &'static Var) -> Result<u16, &'static str> {
    match env.parsed(var, "a port from 0 to 65535") {
        Ok(0) => Err("port 0 takes any free port, so the server's is not known"),
        Ok(port) => Ok(port),
        Err(_) => Err("the port is not known (see configuration)"),
    }
}

/// The chain at one block.
pub(super) struct Seen {
    node: String,
    block: u64,
    took: Duration,
    /// This host's time less the block's, in seconds.
    age: i64,
    pub(super) place: Option<Result<Registration, ChainError>>,
    commitment: Option<(Option<Commitment>, Vec<Revealed>)>,
}

/// What the chain showed, or why there is nothing.
pub(super) type Answer<'a> = Result<&'a Seen, &'a Failure>;

/// Asks for everything at once, within `limit`.
pub(super) async fn ask(
    endpoints: Result<Endpoints, Failure>,
    netuid: Option<Netuid>,
    hotkey: Option<Hotkey>,
    limit: Duration,
) -> Result<Seen, Failure> {
    let endpoints = endpoints?;
    let nodes = endpoints.to_string();
    let who = netuid.zip(hotkey);
    let chain = Chain::new(endpoints, LIMITS);
    let began = Instant::now();
    let reading = chain.read(|head| async move {
        let time = head.time().await?;
        let age = seconds_between(time, SystemTime::now());
        let (place, commitment) = match who {
            None => (None, None),
            Some((netuid, hotkey)) => {
                let (place, commitment, revealed) = tokio::join!(
                    head.registration(netuid, &hotkey),
                    head.commitment(netuid, &hotkey),
                    head.revealed(netuid, &hotkey)
                );
                (Some(place), Some((commitment?, revealed?)))
            }
        };
        let node = head.node().to_owned();
        Ok(Seen { node, block: head.number(), took: Duration::ZERO, age, place, commitment })
    });
    match timeout(limit, reading).await {
        Ok(seen) => Ok(Seen { took: began.elapsed(), ..seen? }),
        Err(_) => Err(Failure::new(format!("no answer within {:.1} s from {nodes}", limit.as_secs_f32()))
            .hint("name another node with --network, or set BITTENSOR_SUBTENSOR_FALLBACK to one")),
    }
}

fn seconds_between(earlier: SystemTime, later: SystemTime) -> i64 {
    let whole = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    match later.duration_since(earlier) {
        Ok(span) => whole(span),
        Err(error) => -whole(error.duration()),
    }
}

/// Whether a node answers.
pub(super) fn check(seen: Answer<'_>) -> Check {
    const NAME: &str = "chain";
    match seen {
        Ok(seen) => {
            let took = seen.took.as_millis();
            Check::pass(NAME, format!("{} is at block {} and answered in {took} ms", seen.node, seen.block))
        }
        Err(failure) => {
            let (what, hint) = failure.parts();
            Check::fail(
                NAME,
                what,
                hint.unwrap_or("set BITTENSOR_SUBTENSOR_ENDPOINT to finney or to a node's URL"),
            )
        }
    }
}

/// This host's clock beside the chain's.
pub(super) fn clock(seen: Answer<'_>) -> Check {
    match seen {
        Ok(seen) => judge_clock(seen.age),
        Err(_) => Check::skipped("clock", "the chain does not say the time (see chain)"),
    }
}

fn judge_clock(age: i64) -> Check {
    const NAME: &str = "clock";
    const FIX: &str = "timedatectl set-ntp true (in a container: on its host); if this clock is right, the node is \
                       behind, and --network names another one";
    if (EARLY..=OLD).contains(&age) {
        let found = match age {
            0.. => format!("the newest block was made {age} s ago: right to within a minute or so"),
            _ => format!("the newest block was made {} s from now: right to within seconds", -age),
        };
        return Check::pass(NAME, found);
    }
    let window = "validators' nonces are accepted within 120 s";
    let found = if age > 0 {
        format!("this clock is {} ahead of the newest block; {window}", span(age))
    } else {
        format!("this clock is {} behind the newest block, or more; {window}", span(-age))
    };
    if (TOO_EARLY..=TOO_OLD).contains(&age) {
        Check::warn(NAME, found, FIX)
    } else {
        Check::fail(NAME, found, FIX)
    }
}

/// Seconds as a person says them.
fn span(seconds: i64) -> String {
    match seconds {
        0..=599 => format!("{seconds} s"),
        600..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Whether the hotkey has a place on the subnet.
pub(super) fn registration(place: &Place, seen: Answer<'_>) -> Check {
    const NAME: &str = "registration";
    let (netuid, hotkey) = match place.known() {
        Ok(known) => known,
        Err(why) => return Check::skipped(NAME, why),
    };
    let Some(place) = seen.ok().and_then(|seen| seen.place.as_ref()) else {
        return Check::skipped(NAME, "the chain does not say (see chain)");
    };
    match place {
        Ok(Registration { uid: Some(uid), .. }) => {
            Check::pass(NAME, format!("{hotkey} is uid {uid} on subnet {netuid}"))
        }
        Ok(Registration { open, cost, .. }) => {
            let cost =
                if *open { format!("; it costs {cost} now") } else { "; nobody can register now".to_owned() };
            Check::fail(
                NAME,
                format!("{hotkey} is not registered on subnet {netuid}{cost}"),
                format!("adit subnet register --netuid {netuid} (where the coldkey is, not on this host)"),
            )
        }
        Err(error) => Check::fail(
            NAME,
            error.to_string(),
            error.hint().unwrap_or("is --network the chain that you meant?"),
        ),
    }
}

/// Whether the hotkey has committed something that validators read.
pub(super) fn commitment(place: &Place, seen: Answer<'_>) -> Check {
    const NAME: &str = "commitment";
    let (netuid, _) = match place.known() {
        Ok(known) => known,
        Err(why) => return Check::skipped(NAME, why),
    };
    let Some(seen) = seen.ok() else { return Check::skipped(NAME, "the chain does not say (see chain)") };
    if !is_registered(seen) {
        return Check::skipped(NAME, "only a registered hotkey can commit (see registration)");
    }
    match &seen.commitment {
        Some((open, revealed)) => judge_commitment(netuid, open.as_ref(), revealed),
        None => Check::skipped(NAME, "the chain does not say (see chain)"),
    }
}

pub(super) fn is_registered(seen: &Seen) -> bool {
    matches!(&seen.place, Some(Ok(Registration { uid: Some(_), .. })))
}

/// The newest commitment that validators read; `None` where there is none, or it was not asked for.
pub(super) fn newest_reveal(seen: &Seen) -> Option<&Revealed> {
    seen.commitment.as_ref()?.1.last()
}

fn judge_commitment(netuid: Netuid, commitment: Option<&Commitment>, revealed: &[Revealed]) -> Check {
    const NAME: &str = "commitment";
    let fix = format!(
        "{DEPLOY}, or for an image that is pushed already \
         adit commitment set --netuid {netuid} --file commitment.json --blocks-until-reveal 1"
    );
    let sealed = commitment.and_then(|commitment| {
        commitment.fields.iter().find_map(|field| match field {
            Field::Timelocked { round, .. } => Some(format!("sealed until round {round} of drand")),
            _ => None,
        })
    });
    match (revealed.last(), sealed, commitment) {
        (Some(newest), sealed, _) => {
            let sealed = sealed.map(|text| format!("; a newer one is {text}")).unwrap_or_default();
            Check::pass(NAME, format!("revealed in block {}{sealed}", newest.block))
        }
        (None, Some(sealed), _) => Check::pass(NAME, format!("{sealed}; validators read it from then on")),
        (None, None, Some(open)) => Check::warn(
            NAME,
            format!("in the open since block {}; Score's validators read only revealed ones", open.block),
            fix,
        ),
        (None, None, None) => {
            Check::warn(NAME, "none on chain: validators skip a miner without one".to_owned(), fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn the_clock_is_judged_with_the_half_minute_that_a_block_takes() {
        for (age, status) in [
            (0, Status::Pass),
            (36, Status::Pass),
            (90, Status::Pass),
            (-10, Status::Pass),
            (91, Status::Warn),
            (150, Status::Warn),
            (151, Status::Fail),
            (-11, Status::Warn),
            (-91, Status::Fail),
            (i64::MAX, Status::Fail),
            (-i64::MAX, Status::Fail),
        ] {
            assert_eq!(judge_clock(age).status, status, "{age}");
        }
        assert!(judge_clock(3600).found.contains("60 min ahead"));
        assert!(judge_clock(-7300).found.contains("2 h behind"));
    }

    #[test]
    fn times_differ_in_both_directions() {
        let (early, late) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(5));
        assert_eq!((seconds_between(early, late), seconds_between(late, early)), (5, -5));
    }

    #[test]
    fn only_what_validators_read_counts_as_a_commitment() {
        let open = |field| Commitment { block: 7, fields: vec![field] };
        let judge = |commitment: Option<Commitment>, revealed: &[Revealed]| {
            judge_commitment(Netuid(44), commitment.as_ref(), revealed)
        };
        let text = open(Field::text("x").unwrap());
        let sealed = open(Field::Timelocked { ciphertext: vec![1], round: 9 });
        let revealed = [Revealed { data: b"x".to_vec(), block: 12 }];
        assert_eq!(judge(None, &[]).status, Status::Warn);
        assert_eq!(judge(Some(text), &[]).status, Status::Warn);
        assert!(judge(Some(sealed.clone()), &[]).found.starts_with("sealed until round 9"));
        assert_eq!(
            judge(Some(sealed), &revealed).found,
            "revealed in block 12; a newer one is sealed until round 9 of drand"
        );
    }
}

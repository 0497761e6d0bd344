//! The published axon: whether it is what is served here, and whether it answers.

use std::net::{IpAddr, SocketAddr};

use adit_outbound::not_public;
use tokio::time::{Duration, Instant, timeout_at};

use super::Check;
use super::chain::{Place, Seen, is_registered};
use crate::commands::chain::{public_address, reach};

/// The address on chain beside what is served here.
pub(super) fn published(place: &Place, seen: Option<&Seen>) -> Check {
    const NAME: &str = "axon";
    if let Err(why) = place.known() {
        return Check::skipped(NAME, why);
    }
    let Some(seen) = seen else { return Check::skipped(NAME, "the chain does not say (see chain)") };
    if !is_registered(seen) {
        return Check::skipped(NAME, "only a registered hotkey can publish one (see registration)");
    }
    let Some(axon) = address(seen) else {
        let port = place.port.map_or("PORT".to_owned(), |port| port.to_string());
        return Check::fail(
            NAME,
            "none is published: validators do not find this miner",
            place.publish("<this miner's public address>", port),
        );
    };
    match place.port {
        Ok(port) => judge(axon, port, place, public_address().ok()),
        Err(why) => Check::skipped(NAME, format!("{axon} is published, but {why}")),
    }
}

fn address(seen: &Seen) -> Option<SocketAddr> {
    Some(seen.place.as_ref()?.as_ref().ok()?.axon?.address)
}

/// `own` is this host's public address, where it has one.
fn judge(axon: SocketAddr, port: u16, place: &Place, own: Option<IpAddr>) -> Check {
    const NAME: &str = "axon";
    if axon.port() != port {
        return Check::warn(
            NAME,
            format!("{axon} is published, but {} is {port}", place.port_name),
            format!(
                "{}; nothing, where a router or container leads port {} to {port}",
                place.publish(axon.ip(), port),
                axon.port()
            ),
        );
    }
    if axon.is_ipv6() {
        return Check::warn(
            NAME,
            format!("{axon} is published, but validators reach IPv4 addresses only"),
            place.publish("<the public IPv4 address>", port),
        );
    }
    // Behind a router an own address says nothing, and nor does one that nobody can reach anyway.
    match own.filter(|own| *own != axon.ip() && not_public(axon.ip()).is_none()) {
        Some(own) => Check::warn(
            NAME,
            format!("{axon} is published, but this host's address is {own}"),
            format!("{}; nothing, where {} leads here too", place.publish(own, port), axon.ip()),
        ),
        None => Check::pass(NAME, format!("{axon} is published, and {port} is the port served here")),
    }
}

/// Whether the published address answers, as far as that can be seen from here.
pub(super) async fn reachable(place: &Place, seen: Option<&Seen>, answers: bool, until: Instant) -> Check {
    const NAME: &str = "reachable";
    if let Err(why) = place.known() {
        return Check::skipped(NAME, why);
    }
    let Some(axon) = seen.filter(|seen| is_registered(seen)).and_then(address) else {
        return Check::skipped(NAME, "no address is known (see axon)");
    };
    if let Some(what) = not_public(axon.ip()) {
        return Check::warn(
            NAME,
            format!("not tried: {} is {what}, and validators on the internet cannot reach it", axon.ip()),
            place.publish("<the public address>", axon.port()),
        );
    }
    if !answers {
        return Check::skipped(NAME, "nothing is served here (see server)");
    }
    let left = until.saturating_duration_since(Instant::now());
    let answer = timeout_at(until, reach(axon, left / 2)).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {:.1} s", left.as_secs_f32())));
    judge_reach(axon, answer, public_address().ok(), left)
}

fn judge_reach(
    axon: SocketAddr,
    answer: Result<String, String>,
    own: Option<IpAddr>,
    left: Duration,
) -> Check {
    const NAME: &str = "reachable";
    let port = axon.port();
    match answer {
        Ok(what) => Check::pass(NAME, format!("{axon} answers: {what}")),
        Err(_) if left < Duration::from_millis(200) => Check::skipped(NAME, "no time was left (see chain)"),
        Err(why) if own == Some(axon.ip()) => Check::fail(
            NAME,
            format!("{axon} is this host's own, but does not answer: {why}"),
            format!(
                "let TCP port {port} in: in the firewall of this host (ufw allow {port}/tcp) and of its provider"
            ),
        ),
        Err(why) => Check::warn(
            NAME,
            format!("{axon} does not answer from here: {why}; a router may not lead back inside"),
            "adit axon probe --ss58 <hotkey> from another host is sure; if it fails, let the port in there",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    const SERVED: &str = "8.8.8.8:8000";

    fn judged(axon: &str, own: Option<&str>) -> Check {
        let place =
            Place { netuid: Err("unknown"), hotkey: Err("unknown"), port: Ok(8000), port_name: "MINER_PORT" };
        judge(axon.parse().unwrap(), 8000, &place, own.map(|own| own.parse().unwrap()))
    }

    #[test]
    fn another_port_or_another_host_is_a_warning() {
        assert_eq!(judged(SERVED, None).status, Status::Pass);
        assert_eq!(judged(SERVED, Some("8.8.8.8")).status, Status::Pass);
        let port = judged("8.8.8.8:8091", None);
        assert!(port.status == Status::Warn && port.found.contains("MINER_PORT is 8000"), "{port:?}");
        assert_eq!(port.fix.unwrap().split(';').next(), Some("adit axon set --ip 8.8.8.8 --port 8000"));
        let host = judged(SERVED, Some("1.1.1.1"));
        assert!(host.status == Status::Warn && host.found.contains("1.1.1.1"), "{host:?}");
        assert_eq!(judged("[2606:4700::1]:8000", None).status, Status::Warn);
        // Nobody reaches a private address, so it is judged where that is said.
        assert_eq!(judged("10.0.0.1:8000", Some("1.1.1.1")).status, Status::Pass);
    }

    #[test]
    fn silence_is_sure_only_where_the_address_is_our_own() {
        let axon = SERVED.parse().unwrap();
        let time = Duration::from_secs(1);
        let judge = |own: Option<&str>, time| {
            judge_reach(axon, Err("refused".to_owned()), own.map(|own| own.parse().unwrap()), time)
        };
        assert_eq!(judge(Some("8.8.8.8"), time).status, Status::Fail);
        assert_eq!(judge(None, time).status, Status::Warn);
        assert!(judge(None, Duration::ZERO).found.starts_with("skipped"));
        assert_eq!(judge_reach(axon, Ok("Adit".to_owned()), None, time).status, Status::Pass);
    }
}

//! Which hosts may be reached: http and https only, public addresses of other hosts only, and the exceptions
//! that the operator lists. What a public address is, is `address`'s; which are this host's, `own`'s.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::{
    FetchError,
    address::{destination, not_public},
    own::OwnAddresses,
};

/// Decides which addresses may be connected to.
///
/// It is asked twice: about the URL (scheme, literal addresses in any spelling) and, as the resolver of the
/// client, about the very addresses that a connection will use. So there is no moment between check and use
/// in which a name could change its mind.
#[derive(Debug, Clone)]
pub struct AddressGuard {
    unrestricted: bool,
    hosts: HashSet<String>,
    networks: Vec<Network>,
    own: OwnAddresses,
}

impl AddressGuard {
    /// Public addresses only: refuses loopback, private, link-local, carrier-grade NAT, multicast,
    /// unspecified, documentation and reserved ones, those of this host's own interfaces, and the one by which
    /// a virtual machine reaches the cloud host below it.
    #[must_use]
    pub fn public_only() -> Self {
        Self {
            unrestricted: false,
            hosts: HashSet::new(),
            networks: Vec::new(),
            own: OwnAddresses::default(),
        }
    }

    /// Any address: for URLs that the operator typed, never for one that came over the wire.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self { unrestricted: true, ..Self::public_only() }
    }

    /// Also allows what `list` names: host names, addresses and networks, separated by commas or white space,
    /// such as `video-proxy, 10.0.0.0/8, 127.0.0.1`. A listed host name may resolve to any address.
    ///
    /// # Errors
    /// [`AllowListError`] for the first entry that is none of these.
    pub fn allowing(mut self, list: &str) -> Result<Self, AllowListError> {
        let entries = list.split(|c: char| c == ',' || c.is_whitespace());
        for entry in entries.filter(|entry| !entry.is_empty()) {
            match Network::parse(entry)? {
                Some(network) => self.networks.push(network),
                None => {
                    self.hosts.insert(parse_host(entry)?);
                }
            }
        }
        Ok(self)
    }

    /// Whether this very address may be used, whatever a name in the list may lead to.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        self.refusal(address).is_none()
    }

    /// Parses `url` and refuses what can be refused before a name is resolved.
    ///
    /// # Errors
    /// [`FetchError::BadUrl`] or [`FetchError::Refused`].
    pub(crate) fn check_url(&self, url: &str) -> Result<Url, FetchError> {
        let bad = |reason: String| FetchError::BadUrl { reason };
        let url = Url::parse(url).map_err(|error| bad(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(format!("its scheme is {:?}, not http or https", url.scheme())));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            // A name is judged by `resolve`, by the addresses that it has then.
            Some(Host::Domain(_)) => return Ok(url),
            None => return Err(bad("it names no host".to_owned())),
        };
        match self.refusal(address) {
            None => Ok(url),
            Some(what) => Err(FetchError::Refused { host: address.to_string(), what }),
        }
    }

    fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        if self.unrestricted || self.networks.iter().any(|network| network.holds(address)) {
            return None;
        }
        not_public(address).or_else(|| {
            self.own.list().contains(&destination(address)).then_some("an address of this very host")
        })
    }

    /// Those of `addresses` that may be used for `name`, or why there is none.
    fn filter(&self, name: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NoAddress> {
        if self.hosts.contains(canonical(name).as_str()) {
            return Ok(addresses);
        }
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in addresses {
            match self.refusal(address.ip()) {
                None => allowed.push(address),
                Some(what) => refused = Some(what),
            }
        }
        match refused {
            Some(what) if allowed.is_empty() => Err(NoAddress { what }),
            _ => Ok(allowed),
        }
    }
}

impl Resolve for AddressGuard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            // Port 0: the client puts in the port of the URL.
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed = guard.filter(name.as_str(), addresses)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// A name all of whose addresses are refused. It travels through the client's error chain and is taken out
/// of it again by `error`.
#[derive(Debug, thiserror::Error)]
#[error("it resolves to {what}")]
pub(crate) struct NoAddress {
    pub(crate) what: &'static str,
}

/// An entry of the allow-list that is neither a host name, nor an address, nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "allow-list entry {entry:?} {reason}; write host names, addresses or networks, such as \
     \"video-proxy, 10.0.0.0/8, 127.0.0.1\""
)]
pub struct AllowListError {
    /// The entry as it was written.
    pub entry: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// `None` when `entry` does not look like an address or network at all, so may be a host name.
    fn parse(entry: &str) -> Result<Option<Self>, AllowListError> {
        let wrong = |reason| AllowListError { entry: entry.to_owned(), reason };
        let (address, prefix) = match entry.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (entry, None),
        };
        let address = address.trim_start_matches('[').trim_end_matches(']');
        let address: IpAddr = match address.parse() {
            Ok(address) => address,
            Err(_) if prefix.is_some() => return Err(wrong("is not a network")),
            Err(_) => return Ok(None),
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(text) => text
                .parse()
                .ok()
                .filter(|prefix| *prefix <= longest)
                .ok_or_else(|| wrong("has a prefix length that is not a number in range"))?,
        };
        Ok(Some(Self { address, prefix }))
    }

    fn holds(self, address: IpAddr) -> bool {
        // A mapped address is the IPv4 address it carries, whichever way it was spelt.
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let [network, address] = [network, address].map(Ipv4Addr::to_bits);
                (network ^ address).checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let [network, address] = [network, address].map(Ipv6Addr::to_bits);
                (network ^ address).checked_shr(128 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

fn parse_host(entry: &str) -> Result<String, AllowListError> {
    let wrong = |reason| AllowListError { entry: entry.to_owned(), reason };
    let host = canonical(entry);
    if !host.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(wrong("is not a host name (no scheme, port or wildcard)"));
    }
    if host.ends_with(|c: char| c.is_ascii_digit()) && host.contains('.') {
        return Err(wrong("is not an IP address"));
    }
    Ok(host)
}

/// Names compare without case and without the dot of the root.
fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guard(list: &str) -> AddressGuard {
        AddressGuard::public_only().allowing(list).unwrap()
    }

    fn sockets(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn every_spelling_of_a_loopback_address_is_refused() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://0/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://user@127.0.0.1:8080/x?y",
            "http://①②⑦.0.0.1/",
        ] {
            let refused = AddressGuard::public_only().check_url(url);
            assert!(matches!(refused, Err(FetchError::Refused { .. })), "{url}: {refused:?}");
        }
    }

    #[test]
    fn only_http_and_https_are_fetched() {
        for url in ["file:///etc/passwd", "ftp://example.org/", "data:,x", "clip.mp4", "http://"] {
            let refused = AddressGuard::unrestricted().check_url(url);
            assert!(matches!(refused, Err(FetchError::BadUrl { .. })), "{url}: {refused:?}");
        }
        assert!(AddressGuard::public_only().check_url("https://scoredata.me/a").is_ok());
    }

    #[test]
    fn a_name_keeps_only_its_public_addresses() {
        let mixed = sockets(&["10.0.0.1", "8.8.8.8", "::1"]);
        let kept = AddressGuard::public_only().filter("example.org", mixed).unwrap();
        assert_eq!(kept, sockets(&["8.8.8.8"]));
        let inside = sockets(&["169.254.169.254"]);
        assert!(AddressGuard::public_only().filter("example.org", inside).is_err());
    }

    #[test]
    fn this_hosts_own_public_addresses_are_refused_in_any_form_unless_listed() {
        let own = ["203.0.114.9", "2606:4700::7"].map(|ip| ip.parse().unwrap());
        let guard = AddressGuard { own: OwnAddresses::these(&own), ..AddressGuard::public_only() };
        for host in ["203.0.114.9", "[2606:4700::7]", "[::ffff:203.0.114.9]", "[64:ff9b::203.0.114.9]"] {
            let url = format!("http://{host}/");
            assert!(AddressGuard::public_only().check_url(&url).is_ok(), "{url}");
            let refused = guard.check_url(&url);
            assert!(matches!(refused, Err(FetchError::Refused { .. })), "{url}: {refused:?}");
        }
        assert!(guard.filter("my-own-name.example", sockets(&["203.0.114.9"])).is_err());
        assert!(guard.check_url("http://203.0.114.8/").is_ok());
        let listed = guard.allowing("203.0.114.9").unwrap();
        assert!(listed.check_url("http://203.0.114.9/").is_ok());
    }

    #[test]
    fn a_listed_host_name_may_resolve_to_any_address() {
        let inside = sockets(&["10.96.3.4"]);
        let guard = guard("Video-Proxy.");
        assert_eq!(guard.filter("video-proxy", inside.clone()).unwrap(), inside);
        assert!(guard.filter("video-proxy.evil.example", inside).is_err());
    }

    #[test]
    fn a_listed_network_allows_its_addresses_and_no_others() {
        let guard = guard("10.1.0.0/16 fd00::/8,127.0.0.1");
        for inside in ["10.1.255.255", "fd12::1", "127.0.0.1", "::ffff:10.1.2.3"] {
            assert_eq!(guard.refusal(inside.parse().unwrap()), None, "{inside}");
        }
        for outside in ["10.2.0.0", "fc00::1", "127.0.0.2"] {
            assert!(guard.refusal(outside.parse().unwrap()).is_some(), "{outside}");
        }
    }

    #[test]
    fn an_entry_that_is_no_host_address_or_network_is_named_in_the_error() {
        for entry in [
            "10.0.0.0/33",
            "10.0.0.0/x",
            "fd00::/129",
            "video-proxy/8",
            "10.0.0.256",
            "http://a",
            "a:80",
            "*.b",
        ] {
            let error = AddressGuard::public_only().allowing(&format!("ok, {entry}")).unwrap_err();
            assert_eq!(error.entry, entry);
            assert!(error.to_string().contains(entry));
        }
    }

    proptest! {
        #[test]
        fn a_network_holds_exactly_the_addresses_that_share_its_prefix(
            network: u32, prefix in 0u8..=32, address: u32
        ) {
            let same = (0..u32::from(prefix)).all(|bit| {
                (network >> (31 - bit)) & 1 == (address >> (31 - bit)) & 1
            });
            let network = Network { address: Ipv4Addr::from(network).into(), prefix };
            prop_assert_eq!(network.holds(Ipv4Addr::from(address).into()), same);
        }
    }
}

//! Where a hotkey answers, as the chain stores it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use subxt::ext::scale_decode::DecodeAsType;

/// The protocol number that the SDK and fiber send.
const PROTOCOL: u8 = 4;

/// A published axon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AxonInfo {
    /// Address and port.
    pub address: SocketAddr,
    /// Version of the software, digits in base 1000; fiber sends 1.
    pub version: u32,
    /// 4, as the SDK and fiber send.
    pub protocol: u8,
    /// Block at which it was published; 0 where it is not published yet.
    pub block: u64,
}

/// Why the chain would refuse an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AxonAddressError {
    /// Port 0.
    #[error("port 0 is no port; name the one that validators reach")]
    Port,
    /// One of those that the runtime refuses.
    #[error("{0} is refused by the chain: it is not the address of a host; name the public one")]
    Address(IpAddr),
}

impl AxonInfo {
    /// An axon to publish, with this program's version.
    ///
    /// # Errors
    /// For what the runtime refuses: port 0, the unspecified and broadcast addresses, loopback.
    pub fn new(address: SocketAddr) -> Result<Self, AxonAddressError> {
        if address.port() == 0 {
            return Err(AxonAddressError::Port);
        }
        let ip = address.ip();
        let refused = match ip {
            IpAddr::V4(ip) => ip.is_unspecified() || ip.is_broadcast() || ip.is_loopback(),
            IpAddr::V6(ip) => {
                ip.is_unspecified() || ip.is_loopback() || ip.octets().iter().all(|octet| *octet == 0xff)
            }
        };
        if refused {
            return Err(AxonAddressError::Address(ip));
        }
        Ok(Self { address, version: version(), protocol: PROTOCOL, block: 0 })
    }

    /// True where another publication would change nothing; the runtime limits how often one may come.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        self.address == other.address && self.protocol == other.protocol
    }

    pub(crate) fn ip_number(&self) -> u128 {
        match self.address.ip() {
            IpAddr::V4(ip) => u32::from(ip).into(),
            IpAddr::V6(ip) => u128::from(ip),
        }
    }

    pub(crate) fn ip_type(&self) -> u8 {
        if self.address.is_ipv4() { 4 } else { 6 }
    }
}

/// Digits in base 1000, as the SDK numbers its own versions.
fn version() -> u32 {
    let part = |text: &str| text.parse::<u32>().unwrap_or(0);
    part(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + part(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + part(env!("CARGO_PKG_VERSION_PATCH"))
}

/// The chain's own form.
#[derive(Debug, Clone, Copy, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(crate) struct StoredAxon {
    pub(crate) block: u64,
    pub(crate) version: u32,
    pub(crate) ip: u128,
    pub(crate) port: u16,
    pub(crate) ip_type: u8,
    pub(crate) protocol: u8,
}

impl StoredAxon {
    /// `None` where nothing is served: all zero, or an IPv4 address that is none.
    pub(crate) fn served(self) -> Option<AxonInfo> {
        if self.ip == 0 || self.port == 0 {
            return None;
        }
        let ip = match self.ip_type {
            6 => IpAddr::V6(Ipv6Addr::from(self.ip)),
            _ => IpAddr::V4(Ipv4Addr::from(u32::try_from(self.ip).ok()?)),
        };
        Some(AxonInfo {
            address: SocketAddr::new(ip, self.port),
            version: self.version,
            protocol: self.protocol,
            block: self.block,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_runtime_refuses_is_refused_here() {
        for address in [
            "0.0.0.0:80",
            "255.255.255.255:80",
            "127.0.0.1:80",
            "127.9.9.9:80",
            "[::1]:80",
            "[::]:80",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80",
            "203.0.113.10:0",
        ] {
            assert!(AxonInfo::new(address.parse().unwrap()).is_err(), "{address}");
        }
        for address in ["203.0.113.10:8091", "10.0.0.1:1", "[2001:db8::44]:9059"] {
            assert!(AxonInfo::new(address.parse().unwrap()).is_ok(), "{address}");
        }
    }

    #[test]
    fn both_families_come_back_from_the_stored_form() {
        for address in ["203.0.113.10:8091", "[2001:db8::44]:9059"] {
            let axon = AxonInfo::new(address.parse().unwrap()).unwrap();
            let stored = StoredAxon {
                block: 0,
                version: axon.version,
                ip: axon.ip_number(),
                port: axon.address.port(),
                ip_type: axon.ip_type(),
                protocol: axon.protocol,
            };
            assert_eq!(stored.served(), Some(axon));
        }
    }

    #[test]
    fn zero_is_not_served_and_a_wild_number_is_no_address() {
        let zero = StoredAxon { block: 0, version: 0, ip: 0, port: 0, ip_type: 0, protocol: 0 };
        assert_eq!(zero.served(), None);
        let wild = StoredAxon { ip: u128::MAX, port: 1, ip_type: 4, ..zero };
        assert_eq!(wild.served(), None);
    }
}

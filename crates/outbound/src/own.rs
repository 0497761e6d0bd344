//! The addresses of this host's own interfaces. A public one leads to whatever listens on this host, as
//! loopback does.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a list is used: interfaces come and go while a miner runs.
const FRESH: Duration = Duration::from_secs(30);

/// The list, read when it is first needed. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnAddresses(Arc<Mutex<Option<Read>>>);

#[derive(Debug)]
struct Read {
    at: Instant,
    list: Arc<[IpAddr]>,
}

impl OwnAddresses {
    /// The list as the kernel gives it, not older than half a minute. Empty on a system without `/proc`.
    pub(crate) fn list(&self) -> Arc<[IpAddr]> {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Read { at, list }) = &*read
            && at.elapsed() < FRESH
        {
            return Arc::clone(list);
        }
        let list = interfaces();
        *read = Some(Read { at: Instant::now(), list: Arc::clone(&list) });
        list
    }

    /// These, for as long as a test takes.
    #[cfg(test)]
    pub(crate) fn these(list: &[IpAddr]) -> Self {
        Self(Arc::new(Mutex::new(Some(Read { at: Instant::now(), list: list.into() }))))
    }
}

fn interfaces() -> Arc<[IpAddr]> {
    let v4 = v4_local(&table("/proc/net/fib_trie")).into_iter().map(IpAddr::V4);
    let v6 = v6_interfaces(&table("/proc/net/if_inet6")).into_iter().map(IpAddr::V6);
    v4.chain(v6).collect()
}

fn table(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| {
        // As on a host without IPv6.
        tracing::debug!(path, %error, "addresses of this host are not known by this table");
        String::new()
    })
}

/// The addresses of the routes `/32 host LOCAL`, each on the line after its address (`|-- 192.0.2.7`).
fn v4_local(fib_trie: &str) -> Vec<Ipv4Addr> {
    let mut address: Option<Ipv4Addr> = None;
    let mut found = Vec::new();
    for line in fib_trie.lines().map(str::trim) {
        match line.strip_prefix("|-- ") {
            Some(text) => address = text.parse().ok(),
            None if line.starts_with("/32 ") && line.ends_with(" LOCAL") => found.extend(address),
            None => {}
        }
    }
    // The table is listed once as local and once as main.
    found.sort_unstable();
    found.dedup();
    found
}

/// The first column, 32 hexadecimal digits.
fn v6_interfaces(if_inet6: &str) -> Vec<Ipv6Addr> {
    let digits = if_inet6.lines().filter_map(|line| line.split_whitespace().next());
    digits.filter_map(|digits| u128::from_str_radix(digits, 16).ok()).map(Ipv6Addr::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIB_TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 203.0.114.0/24 2 0 2
        |-- 203.0.114.0
           /24 link UNICAST
        |-- 203.0.114.9
           /32 host LOCAL
        |-- 203.0.114.255
           /32 link BROADCAST
Local:
        |-- 127.0.0.0
           /8 host LOCAL
           /32 link BROADCAST
        |-- 127.0.0.1
           /32 host LOCAL
        |-- 203.0.114.9
           /32 host LOCAL
";

    #[test]
    fn the_kernels_tables_name_the_hosts_own_addresses() {
        let v4: Vec<String> = v4_local(FIB_TRIE).iter().map(ToString::to_string).collect();
        assert_eq!(v4, ["127.0.0.1", "203.0.114.9"]);
        let v6 = v6_interfaces("20010db8000000000000000000000007 02 40 00 80     eth0\nrubbish\n");
        assert_eq!(v6, ["2001:db8::7".parse::<Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn this_hosts_own_list_has_its_loopback_address() {
        let own = OwnAddresses::default().list();
        if own.is_empty() && !std::path::Path::new("/proc/net/fib_trie").exists() {
            assert_ne!(std::env::var("ADIT_CI").as_deref(), Ok("1"), "no /proc/net/fib_trie");
            eprintln!("skipped: no /proc/net/fib_trie here");
            return;
        }
        assert!(own.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)), "{own:?}");
    }
}

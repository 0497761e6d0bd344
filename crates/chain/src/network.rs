//! Where the chain is asked: networks by name, or WebSocket URLs, one after the other.

use std::fmt;

use url::Url;

/// Genesis hash of the main network.
const FINNEY_GENESIS: [u8; 32] = [
    0x2f, 0x05, 0x55, 0xcc, 0x76, 0xfc, 0x28, 0x40, 0xa2, 0x5a, 0x6e, 0xa3, 0xb9, 0x63, 0x71, 0x46, 0x80,
    0x6f, 0x1f, 0x44, 0xb0, 0x90, 0xc1, 0x75, 0xff, 0xde, 0x2a, 0x7e, 0x5a, 0xb3, 0x6c, 0x03,
];

/// Name, nodes in the order in which they are tried, genesis hash where it is known.
type Network = (&'static str, &'static [&'static str], Option<[u8; 32]>);

/// The named networks (chain reference, section 1).
const NETWORKS: [Network; 5] = [
    (
        "finney",
        &["wss://entrypoint-finney.opentensor.ai:443", "wss://lite.sub.latent.to:443"],
        Some(FINNEY_GENESIS),
    ),
    ("test", &["wss://test.finney.opentensor.ai:443"], None),
    ("archive", &["wss://archive.chain.opentensor.ai:443"], Some(FINNEY_GENESIS)),
    ("latent-lite", &["wss://lite.sub.latent.to:443"], Some(FINNEY_GENESIS)),
    ("local", &["ws://127.0.0.1:9944"], None),
];

/// A node's WebSocket URL. Shows only scheme, host and port: the path may hold an access key.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// The whole URL, for the connection.
    pub(crate) fn url(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// A text that names no network and no node.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` is neither a network (finney, test, archive, latent-lite, local) nor a ws:// or wss:// URL"
)]
pub struct EndpointError {
    /// What was given, cut to 64 characters and at any `@`, `?` or path.
    text: String,
}

/// The nodes of one network, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    nodes: Vec<Endpoint>,
    genesis: Option<[u8; 32]>,
}

impl Endpoints {
    /// A network's name, or one node's URL.
    ///
    /// # Errors
    /// Where the text is neither.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        if let Some((_, urls, genesis)) = NETWORKS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(text)) {
            let nodes = urls.iter().map(|url| endpoint(url)).collect::<Result<_, _>>()?;
            return Ok(Self { nodes, genesis: *genesis });
        }
        let node = endpoint(text)?;
        // A node of a named network is held to that network's genesis.
        let known = NETWORKS.iter().find(|(_, urls, _)| {
            urls.iter().any(|url| endpoint(url).is_ok_and(|known| known.0.host() == node.0.host()))
        });
        let genesis = known.and_then(|(name, _, genesis)| if *name == "local" { None } else { *genesis });
        Ok(Self { nodes: vec![node], genesis })
    }

    /// Adds what is tried when all others fail. A node of another chain is noticed by its genesis when
    /// it is asked.
    ///
    /// # Errors
    /// Where the text names no network and no node.
    pub fn with_fallback(mut self, text: &str) -> Result<Self, EndpointError> {
        for node in Self::parse(text)?.nodes {
            if !self.nodes.contains(&node) {
                self.nodes.push(node);
            }
        }
        Ok(self)
    }

    /// The nodes; never none.
    #[must_use]
    pub fn nodes(&self) -> &[Endpoint] {
        &self.nodes
    }

    /// The genesis hash that every node must have, where the network is a known one.
    #[must_use]
    pub fn genesis(&self) -> Option<[u8; 32]> {
        self.genesis
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            node.fmt(f)?;
        }
        Ok(())
    }
}

fn endpoint(text: &str) -> Result<Endpoint, EndpointError> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "ws" | "wss") && url.host_str().is_some_and(|host| !host.is_empty())
    });
    url.map(Endpoint).ok_or_else(|| {
        let shown = text.rsplit('@').next().unwrap_or_default();
        let shown = shown.split_inclusive("://").take(2).collect::<String>();
        let end = shown.find("://").map_or(0, |at| at + 3);
        let host = shown[end..].split(['/', '?']).next().unwrap_or_default();
        EndpointError { text: format!("{}{host}", &shown[..end]).chars().take(64).collect() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_urls_give_their_nodes() {
        let finney = Endpoints::parse("finney").unwrap();
        assert_eq!(finney.to_string(), "wss://entrypoint-finney.opentensor.ai, wss://lite.sub.latent.to");
        assert_eq!(finney.genesis(), Some(FINNEY_GENESIS));
        let local = Endpoints::parse("ws://127.0.0.1:9955").unwrap();
        assert_eq!((local.to_string().as_str(), local.genesis()), ("ws://127.0.0.1:9955", None));
    }

    #[test]
    fn a_known_node_by_its_url_is_held_to_its_network() {
        let node = Endpoints::parse("wss://entrypoint-finney.opentensor.ai:443").unwrap();
        assert_eq!(node.genesis(), Some(FINNEY_GENESIS));
    }

    #[test]
    fn a_fallback_comes_last_and_once() {
        let both = Endpoints::parse("local").unwrap().with_fallback("test").unwrap();
        let again = both.clone().with_fallback("test").unwrap();
        assert_eq!(both.to_string(), "ws://127.0.0.1:9944, wss://test.finney.opentensor.ai");
        assert_eq!(again, both);
    }

    #[test]
    fn what_names_no_node_is_said_without_its_secrets() {
        for text in ["", "mainnet", "https://example.org", "wss://", "127.0.0.1:9944"] {
            assert!(Endpoints::parse(text).is_err(), "{text}");
        }
        let error =
            Endpoints::parse("http://user:password@example.org/key?k=secret").unwrap_err().to_string();
        assert!(!error.contains("password") && !error.contains("key"), "{error}");
    }

    #[test]
    fn a_path_with_a_key_is_not_shown() {
        let node = Endpoints::parse("wss://example.org/v1/secret-key").unwrap();
        assert_eq!(format!("{node} {node:?}").matches("secret").count(), 0);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,80}") {
            let _ = Endpoints::parse(&text);
        }
    }
}

//! Where a model is served.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// One server and the model on it: `http://HOST:PORT/v2/models/NAME[/versions/VERSION]`, where a proxy's path may stand
/// before `/v2`, or `grpc://HOST:PORT/NAME[/VERSION]`; with TLS as `https` and `grpcs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub(super) protocol: Protocol,
    /// What stands before the protocol's own paths, without a slash at its end; its scheme is `http` or `https`.
    pub(super) root: String,
    pub(super) model: String,
    /// `None`: the server chooses, mostly the newest.
    pub(super) version: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Rest,
    Grpc,
}

/// Why a text names no model on a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{shown:?} names no model on a server: {why}; write http://HOST:PORT/v2/models/NAME or grpc://HOST:PORT/NAME"
)]
pub struct ServerError {
    /// The text, without what may be a password.
    shown: String,
    why: String,
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        let text = text.trim();
        // A password would stand before an @.
        let shown = text.rsplit('@').next().unwrap_or_default();
        let refused = |why: &str| ServerError { shown: shown.to_owned(), why: why.to_owned() };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| refused("it has no scheme"))?;
        let (protocol, scheme) = match scheme {
            "http" | "https" => (Protocol::Rest, scheme),
            "grpc" => (Protocol::Grpc, "http"),
            "grpcs" => (Protocol::Grpc, "https"),
            _ => return Err(refused("its scheme is none of http, https, grpc and grpcs")),
        };
        let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|error| refused(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it holds a user or password; a token goes into ADIT_MODEL_SERVER_TOKEN"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("it holds a ? or #"));
        }
        let path = url.path().trim_end_matches('/');
        let (before, names) = match protocol {
            Protocol::Rest => {
                path.split_once("/v2/models/").ok_or_else(|| refused("its path has no /v2/models/NAME"))?
            }
            // The port of gRPC is another one on every server, so a default would only be a guess.
            Protocol::Grpc if !has_port(rest) => return Err(refused("it names no port")),
            Protocol::Grpc => ("", path.trim_start_matches('/')),
        };
        let names: Vec<&str> = names.split('/').collect();
        let (model, version) = match (protocol, &names[..]) {
            (_, [model]) => (*model, None),
            (Protocol::Rest, [model, "versions", version]) | (Protocol::Grpc, [model, version]) => {
                (*model, Some(*version))
            }
            _ => return Err(refused("after the model's name comes a version or nothing")),
        };
        if !is_name(model) || version.is_some_and(|version| !is_name(version)) {
            return Err(refused("the names of a model and its version are of letters, digits, . _ and -"));
        }
        let root = format!("{}{before}", url.origin().ascii_serialization());
        Ok(Self { protocol, root, model: model.to_owned(), version: version.map(str::to_owned) })
    }
}

fn has_port(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// What needs no escaping in a URL, so that it can be shown and sent as it is.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && text.bytes().all(plain) && text != "." && text != ".."
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (models, versions) = match self.protocol {
            Protocol::Rest => ("/v2/models/", "/versions/"),
            Protocol::Grpc => ("/", "/"),
        };
        match self.protocol {
            Protocol::Rest => write!(f, "{}{models}{}", self.root, self.model)?,
            // http becomes grpc, and https grpcs.
            Protocol::Grpc => write!(f, "{}{models}{}", self.root.replacen("http", "grpc", 1), self.model)?,
        }
        match &self.version {
            Some(version) => write!(f, "{versions}{version}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_shown_as_it_was_written() {
        for text in [
            "http://10.0.0.2:8000/v2/models/spotter",
            "https://gpu.example/v2/models/spotter/versions/3",
            "http://gateway:8080/serving/mine/v2/models/spot.ter-1_b",
            "grpc://10.0.0.2:8001/spotter",
            "grpcs://[fd00::2]:8001/spotter/3",
        ] {
            let server: Server = text.parse().unwrap();
            assert_eq!(server.to_string(), text);
        }
        let server: Server = " http://gpu:80/v2/models/spotter/ ".parse().unwrap();
        assert_eq!(server.to_string(), "http://gpu/v2/models/spotter");
        let server: Server = "grpc://gpu:80/spotter".parse().unwrap();
        assert_eq!((server.root.as_str(), server.protocol), ("http://gpu", Protocol::Grpc));
    }

    #[test]
    fn what_names_no_model_is_refused_with_what_is_wrong() {
        for (text, why) in [
            ("10.0.0.2:8000", "no scheme"),
            ("ftp://gpu/v2/models/spotter", "none of http"),
            ("http:///v2/models/spotter", "spotter"),
            ("http://gpu:8000", "no /v2/models/NAME"),
            ("http://gpu:8000/v2/models/", "no /v2/models/NAME"),
            ("http://gpu:8000/v2/models/spotter/infer", "a version or nothing"),
            ("http://gpu:8000/v2/models/spotter/versions/", "a version or nothing"),
            ("http://gpu:8000/v2/models/spot%20ter", "letters, digits"),
            ("http://gpu:8000/v2/models/spotter?x=1", "? or #"),
            ("grpc://gpu/spotter", "no port"),
            ("grpc://gpu:8001", "letters, digits"),
            ("grpc://gpu:8001/v2/models/spotter", "a version or nothing"),
            ("", "no scheme"),
        ] {
            let refused = text.parse::<Server>().unwrap_err().to_string();
            assert!(refused.contains(why) && refused.contains("grpc://HOST:PORT/NAME"), "{text}: {refused}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let refused = "http://me:hunter2@gpu/v2/models/spotter".parse::<Server>().unwrap_err().to_string();
        assert!(refused.contains("ADIT_MODEL_SERVER_TOKEN") && !refused.contains("hunter2"), "{refused}");
    }
}

//! Who may read and who may act: which names the page goes by, the token and its cookie, and where a button may be pressed.
//! The headers that keep a browser from running what strangers wrote.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use url::form_urlencoded;

use super::{Shared, Token};
use crate::page;

/// Longest path and query that is looked at, in bytes.
const LONGEST_TARGET: usize = 4096;
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What a request may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// It is the operator's: it may act, and see the settings.
    pub(crate) operator: bool,
}

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It goes by a name that is not this page's, as after DNS was rebound.
    Name,
    /// It brings another token.
    WrongToken,
    /// It brings none where there must be one.
    NoToken,
    /// It comes from a page of somebody else, or says nothing of where it comes from.
    ElsewhereFrom,
    /// Its address is longer than any that the page makes.
    TooLong,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::TooLong => StatusCode::URI_TOO_LONG,
            _ => StatusCode::FORBIDDEN,
        }
    }

    /// What happened, and what to do.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Name => (
                "This page does not go by that name.",
                "Open it by the address that `adit dashboard` printed.",
            ),
            Self::WrongToken => (
                "That is not the token.",
                "Type `adit dashboard --link` where the miner runs, and open what it prints.",
            ),
            Self::NoToken => (
                "This needs the operator's token.",
                "Type `adit dashboard --link` where the miner runs, and open what it prints.",
            ),
            Self::ElsewhereFrom => {
                ("That did not come from this page.", "Reload the page; if it was a button, press it again.")
            }
            Self::TooLong => ("That address is too long.", "Begin at the first page."),
        }
    }
}

enum Verdict {
    Pass(Access),
    /// The token was right: it goes into a cookie, and the browser to the same place without it.
    Enter(String),
    Refuse(Refusal),
}

/// The rules of one address.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    token: Token,
}

impl Gate {
    pub(crate) fn new(address: SocketAddr, token: Token) -> Self {
        Self { address, token }
    }

    /// Only this host reaches it.
    fn is_local(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// Cookies do not keep ports apart, so the name does.
    fn cookie(&self) -> String {
        format!("adit_{}", self.address.port())
    }

    pub(crate) fn login_link(&self) -> String {
        self.token.link(self.address)
    }

    fn judge(&self, request: &Request) -> Verdict {
        let uri = request.uri();
        let query = uri.query().unwrap_or_default();
        if uri.path().len() + query.len() > LONGEST_TARGET {
            return Verdict::Refuse(Refusal::TooLong);
        }
        let headers = request.headers();
        let host = uri.authority().map(http::uri::Authority::as_str).or_else(|| text(headers, &header::HOST));
        let Some(host) = host.filter(|host| !self.is_local() || self.goes_by(host)) else {
            return Verdict::Refuse(Refusal::Name);
        };
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if reads && is_embedded_elsewhere(headers) {
            return Verdict::Refuse(Refusal::ElsewhereFrom);
        }
        let given = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "token");
        if let (true, Some((_, given))) = (reads, given) {
            if !self.token.is(&given) {
                return Verdict::Refuse(Refusal::WrongToken);
            }
            return Verdict::Enter(without_token(uri.path(), query));
        }
        let operator = self.has_cookie(headers);
        if !reads {
            return match operator {
                false => Verdict::Refuse(Refusal::NoToken),
                true if !is_own_button(headers, host) => Verdict::Refuse(Refusal::ElsewhereFrom),
                true => Verdict::Pass(Access { operator }),
            };
        }
        if operator || self.is_local() || uri.path().starts_with("/assets/") {
            Verdict::Pass(Access { operator })
        } else {
            Verdict::Refuse(Refusal::NoToken)
        }
    }

    fn goes_by(&self, host: &str) -> bool {
        let port = self.address.port();
        let own = [self.address.ip().to_string(), format!("[{}]", self.address.ip())];
        let names = ["localhost", "127.0.0.1", "[::1]"];
        let (name, given) = match host.rsplit_once(':') {
            Some((name, given)) if !given.ends_with(']') => (name, given.parse().ok()),
            _ => (host, Some(80)),
        };
        given == Some(port)
            && (names.iter().any(|own| name.eq_ignore_ascii_case(own)) || own.iter().any(|own| name == own))
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let name = self.cookie();
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .any(|(found, value)| found == name && self.token.is(value))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Pressed on a page that came from here. A browser says so; what is no browser has no cookie to abuse.
fn is_own_button(headers: &HeaderMap, host: &str) -> bool {
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return false;
    }
    // Behind a proxy with TLS the scheme is another one.
    let origin = text(headers, &header::ORIGIN)
        .and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
    origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
}

/// Another site's page has it fetched, not as a page of its own: it could not read it, but hold all streams.
fn is_embedded_elsewhere(headers: &HeaderMap) -> bool {
    let is = |name: &str, values: &[&str]| {
        headers.get(name).is_some_and(|value| values.iter().any(|one| value == one))
    };
    is("sec-fetch-site", &["cross-site", "same-site"]) && !is("sec-fetch-mode", &["navigate"])
}

fn without_token(path: &str, query: &str) -> String {
    // Two slashes would lead to another host.
    let mut place = format!("/{}", path.trim_start_matches(['/', '\\']));
    let rest = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "token");
    let rest = form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish();
    if !rest.is_empty() {
        place.push('?');
        place += &rest;
    }
    place
}

/// In front of everything.
pub(crate) async fn guard(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let _busy = shared.activity.begin();
    let mut response = match shared.gate.judge(&request) {
        Verdict::Pass(access) => {
            request.extensions_mut().insert(access);
            next.run(request).await
        }
        Verdict::Enter(place) => enter(&shared.gate, &place),
        Verdict::Refuse(refusal) => {
            let (what, to_do) = refusal.words();
            page::refused(refusal.status(), request.headers(), what, to_do)
        }
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer` a form would be sent with the origin `null`, by which no button can be told from another's.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn enter(gate: &Gate, place: &str) -> Response {
    let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", gate.cookie(), gate.token.expose());
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    for (name, value) in [(header::LOCATION, place), (header::SET_COOKIE, &cookie)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(address: &str) -> Gate {
        Gate::new(address.parse().unwrap(), Token::given("0123456789abcdef").unwrap())
    }

    #[test]
    fn it_goes_by_names_of_this_host_with_its_port() {
        let gate = gate("127.0.0.1:8787");
        for host in ["127.0.0.1:8787", "localhost:8787", "LOCALHOST:8787", "[::1]:8787"] {
            assert!(gate.goes_by(host), "{host}");
        }
        for host in [
            "evil.example:8787",
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost:8787.evil.example",
            "",
            ":8787",
            "::1",
        ] {
            assert!(!gate.goes_by(host), "{host}");
        }
    }

    #[test]
    fn where_it_leads_after_the_token_is_never_another_host() {
        assert_eq!(without_token("//evil.example/", "token=x"), "/evil.example/");
        assert_eq!(without_token("/\\evil.example", ""), "/evil.example");
        assert_eq!(without_token("/challenges", "a=1&token=x&b=%262"), "/challenges?a=1&b=%262");
    }

    #[test]
    fn a_link_to_all_addresses_names_one() {
        assert_eq!(gate("0.0.0.0:81").login_link(), "http://127.0.0.1:81/?token=0123456789abcdef");
        assert_eq!(gate("[::]:81").login_link(), "http://[::1]:81/?token=0123456789abcdef");
    }
}

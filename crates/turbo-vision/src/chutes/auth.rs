//! Who asks: an API key, or the hotkey's signature of each request (Turbo Vision reference, section 5.1).

use std::time::{SystemTime, UNIX_EPOCH};

use adit_keys::{Hotkey, Keypair};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::Config;

/// A text that is no API key. Does not quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "CHUTES_API_KEY {0}; a key looks like cpk_<32 hex digits>.<32 hex digits>.<32 letters and digits>: copy it again \
     from https://chutes.ai, or make one with `chutes keys create --name adit --admin`"
)]
pub struct ApiKeyError(&'static str);

/// How requests say whose they are.
#[derive(Debug)]
pub enum Auth {
    /// A key of the account.
    ApiKey(SecretString),
    /// The account's hotkey, which signs each request.
    Hotkey {
        /// The key pair.
        pair: Box<Keypair>,
        /// The account's id.
        user_id: String,
    },
}

impl Auth {
    /// By an API key.
    ///
    /// # Errors
    /// Where the text has not the form of one.
    pub fn api_key(key: SecretString) -> Result<Self, ApiKeyError> {
        let text = key.expose_secret();
        let Some(rest) = text.strip_prefix("cpk_") else {
            return Err(ApiKeyError(if text.is_empty() { "is empty" } else { "does not begin with cpk_" }));
        };
        let parts: Vec<&str> = rest.split('.').collect();
        let [token, user, secret] = parts[..] else {
            return Err(ApiKeyError("has not three parts between dots"));
        };
        let hex =
            |part: &str| part.len() == 32 && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !hex(token)
            || !hex(user)
            || secret.len() != 32
            || !secret.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            return Err(ApiKeyError("has a part of another length or with other characters"));
        }
        Ok(Self::ApiKey(key))
    }

    /// By the hotkey of a configuration.
    #[must_use]
    pub fn hotkey(config: &Config) -> Self {
        Self::Hotkey { pair: Box::new(config.keypair()), user_id: config.user_id.clone() }
    }

    /// The key's text, where a text of the other side must not show it.
    pub(super) fn secret(&self) -> Option<&str> {
        match self {
            Self::ApiKey(key) => Some(key.expose_secret()),
            Self::Hotkey { .. } => None,
        }
    }

    /// The headers of one request, which are good for some minutes.
    pub(super) fn headers(&self, purpose: &str, body: &[u8]) -> HeaderMap {
        match self {
            Self::ApiKey(key) => bearer(key),
            Self::Hotkey { pair, user_id } => {
                let mut headers = signed(pair, purpose, body);
                if let Ok(id) = HeaderValue::try_from(user_id) {
                    headers.insert(HeaderName::from_static("x-chutes-userid"), id);
                }
                headers
            }
        }
    }
}

/// The header of a key, if its characters can stand in one.
pub(super) fn bearer(key: &SecretString) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", key.expose_secret())) {
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    headers
}

/// The headers with the hotkey's signature: over the body's digest, or over the purpose where there is no body.
pub(super) fn signed(pair: &Keypair, purpose: &str, body: &[u8]) -> HeaderMap {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let hotkey = pair.hotkey();
    let nonce = now.as_secs().to_string();
    let signature = pair.sign(message(&hotkey, &nonce, purpose, body).as_bytes());
    let text = |text: String| HeaderValue::try_from(text).expect("digits and letters");
    let mut secret = text(hex::encode(signature.to_bytes()));
    secret.set_sensitive(true);
    HeaderMap::from_iter([
        (HeaderName::from_static("x-chutes-hotkey"), text(hotkey.to_string())),
        (HeaderName::from_static("x-chutes-nonce"), text(nonce)),
        (HeaderName::from_static("x-chutes-signature"), secret),
    ])
}

fn message(hotkey: &Hotkey, nonce: &str, purpose: &str, body: &[u8]) -> String {
    if body.is_empty() {
        format!("{hotkey}:{nonce}:{purpose}")
    } else {
        format!("{hotkey}:{nonce}:{}", hex::encode(Sha256::digest(body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_platforms_form() {
        let (a, s) = ("0123456789abcdef".repeat(2), "Az09".repeat(8));
        Auth::api_key(format!("cpk_{a}.{a}.{s}").into()).unwrap();
        for bad in [
            String::new(),
            "sk-1".to_owned(),
            format!("cpk_{a}.{a}"),
            format!("cpk_{a}.{a}.{s}.x"),
            format!("cpk_{}.{a}.{s}", a.to_uppercase()),
            format!("cpk_{a}.{a}.{s}\n"),
            format!("cpk_{a}.{a}.{}-", &s[1..]),
        ] {
            let error = Auth::api_key(bad.clone().into()).unwrap_err().to_string();
            assert!(bad.len() < 10 || !error.contains(&bad), "{error}");
        }
    }

    #[test]
    fn a_request_is_signed_over_its_body_or_its_purpose() {
        let pair = Keypair::from_seed(&[7; 32]);
        for (body, end) in [
            (&b""[..], "images".to_owned()),
            (b"{}", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a".to_owned()),
        ] {
            let headers = signed(&pair, "images", body);
            let text = |name: &str| headers[name].to_str().unwrap().to_owned();
            let message = format!("{}:{}:{end}", text("x-chutes-hotkey"), text("x-chutes-nonce"));
            let signature: adit_keys::Signature =
                format!("0x{}", text("x-chutes-signature")).parse().unwrap();
            assert!(signature.verifies(message.as_bytes(), &pair.hotkey()));
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let (a, s) = ("0123456789abcdef".repeat(2), "Az09".repeat(8));
        let auth = Auth::api_key(format!("cpk_{a}.{a}.{s}").into()).unwrap();
        let shown = format!("{auth:?} {:?}", auth.headers("me", b""));
        assert!(!shown.contains(&s), "{shown}");
    }
}

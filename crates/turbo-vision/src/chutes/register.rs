//! A new account, as `chutes register` makes one (Turbo Vision reference, section 5.2).

use std::io;
use std::path::Path;

use adit_keys::{Hotkey, Secret};
use adit_outbound::{Client, Limits};
use http::{HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Duration, Instant};
use zeroize::Zeroizing;

use super::api::{DEFAULT_API, escaped};
use super::auth::signed;
use super::{Cause, ChutesError, Config};

const MAX_BYTES: u64 = 1 << 20;
/// Longest wait for the API to say that it is there.
const PING: Duration = Duration::from_secs(12);

/// A new account.
#[derive(Debug, Deserialize)]
pub struct Registration {
    /// Its id.
    pub user_id: String,
    /// Its name.
    pub username: String,
    /// Where TAO for its balance goes.
    pub payment_address: String,
    /// What logs in at <https://chutes.ai>. Shown this once.
    #[serde(deserialize_with = "secret")]
    pub fingerprint: SecretString,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    Ok(String::deserialize(deserializer)?.into())
}

/// What is wrong with a name for an account, if anything: 3 to 15 letters, digits and `_`.
#[must_use]
pub fn bad_username(name: &str) -> Option<String> {
    let fits = (3..=15).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (!fits).then(|| format!("`{name}` is no name for an account: 3 to 15 letters, digits and `_`"))
}

/// Where accounts of an API are made: with the public one, at another host, whose page
/// `/users/registration_token` gives the token in a browser.
#[must_use]
pub fn registration_base(api: &str) -> &str {
    let api = api.trim_end_matches('/');
    if api == DEFAULT_API { "https://rtok.chutes.ai" } else { api }
}

/// Makes an account of this name for a hotkey. Sent once: after an error without an answer, `chutes login` tells
/// whether there is one.
///
/// # Errors
/// What any call can meet.
pub async fn register(
    client: &Client,
    api: &str,
    token: &SecretString,
    username: &str,
    (hotkey, coldkey): (&Secret, &Hotkey),
    deadline: Instant,
) -> Result<Registration, ChutesError> {
    let result = async {
        let api = api.trim_end_matches('/');
        let limits = Limits::new(deadline.min(Instant::now() + PING), MAX_BYTES);
        client.get(&format!("{api}/ping"), &limits).await.map_err(|error| Cause::no_answer(error, true))?;

        let url =
            format!("{}/users/register?token={}", registration_base(api), escaped(token.expose_secret()));
        let body = json!({"username": username, "coldkey": coldkey.to_string()}).to_string();
        let mut headers = signed(hotkey.keypair(), "", body.as_bytes());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let limits = Limits::new(deadline, MAX_BYTES);
        let answer = client.post(&url, headers, body, &limits).await;
        let answer = answer.map_err(|error| Cause::no_answer(error, false))?;
        if answer.status != 200 {
            return Err(Cause::of(&answer, 1, &[Some(token.expose_secret())]));
        }
        serde_json::from_slice(&answer.body).map_err(|_| {
            Cause::unreadable(&answer, "is not that of a registration; an account may have been made")
        })
    };
    result.await.map_err(|cause| ChutesError::new(format!("register the account `{username}`"), cause))
}

impl Registration {
    /// Writes the `config.ini` by which the `chutes` program knows the account.
    ///
    /// # Errors
    /// Where the hotkey has no seed, or the file exists or cannot be written.
    pub fn write_config(&self, path: &Path, api: &str, hotkey_name: &str, hotkey: &Secret) -> io::Result<()> {
        let seed = hotkey.seed().ok_or_else(|| {
            io::Error::other("the hotkey was kept without its seed, which config.ini must hold")
        })?;
        let seed = Zeroizing::new(hex::encode(seed.expose_bytes()));
        let text = Zeroizing::new(format!(
            "[api]\nbase_url = {}\n\n[auth]\nusername = {}\nuser_id = {}\nhotkey_seed = {}\nhotkey_name = {hotkey_name}\n\
             hotkey_ss58address = {}\n\n[payment]\naddress = {}\n",
            api.trim_end_matches('/'),
            self.username,
            self.user_id,
            seed.as_str(),
            hotkey.address(),
            self.payment_address
        ));
        Config::write(path, &text)
    }
}

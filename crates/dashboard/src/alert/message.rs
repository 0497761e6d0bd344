//! What is posted, and where.

use std::fmt;

use adit_outbound::{Client, FetchError, Limits};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};
use url::Url;

use super::judge::Alert;
use super::rules::Form;

/// Time for one message.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of an answer that are read.
const MOST_ANSWER: u64 = 64 * 1024;
/// Discord takes 2,000 characters.
const MOST_TEXT: usize = 1900;

/// An address that alerts are posted to. It is a secret: whoever has it can post.
pub struct Webhook {
    url: Url,
    form: Form,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("host", &self.url.host_str())
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

/// Why a message did not get through. It holds nothing of the address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The address is none.
    #[error("the webhook's address is no http or https URL")]
    Address,
    /// It does not take the message.
    #[error("{host} answers {status}")]
    Refused {
        /// Whom it was posted to.
        host: String,
        /// What it says.
        status: u16,
    },
    /// It cannot be reached.
    #[error("{host} cannot be reached ({kind})")]
    Unreachable {
        /// Whom.
        host: String,
        /// In a word.
        kind: &'static str,
    },
}

/// A message about one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// It is there, or still is.
    Raised(&'a Alert),
    /// It is no more.
    Cleared(&'a Alert),
}

impl Message<'_> {
    fn alert(&self) -> &Alert {
        let (Self::Raised(alert) | Self::Cleared(alert)) = self;
        alert
    }

    /// For a person: what is the matter, and what to do.
    #[must_use]
    pub fn text(&self) -> String {
        let text = match self {
            Self::Raised(alert) => {
                let sign = if alert.urgent { "🔴" } else { "🟠" };
                format!("{sign} {}\n→ {}", alert.text, alert.todo)
            }
            Self::Cleared(alert) => format!("🟢 Over: {}", alert.text),
        };
        text.chars().take(MOST_TEXT).collect()
    }

    fn body(&self, form: Form, host: &str) -> Value {
        let alert = self.alert();
        match form {
            // What miners and validators wrote must not call anybody.
            Form::Discord => json!({"content": self.text(), "allowed_mentions": {"parse": []}}),
            Form::Slack => {
                let text = self.text().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                json!({ "text": text })
            }
            Form::Json | Form::Auto => json!({
                "state": if matches!(self, Self::Raised(_)) { "raised" } else { "cleared" },
                "rule": alert.rule,
                "miner": alert.miner.map(crate::Miner::name),
                "key": alert.key(),
                "urgent": alert.urgent,
                "text": alert.text,
                "todo": alert.todo,
                "host": host,
            }),
        }
    }
}

impl Webhook {
    /// The webhook at an address.
    ///
    /// # Errors
    /// [`WebhookError::Address`].
    pub fn new(address: &str, form: Form) -> Result<Self, WebhookError> {
        let url = Url::parse(address.trim()).map_err(|_| WebhookError::Address)?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(WebhookError::Address);
        }
        let host = url.host_str().unwrap_or_default();
        let is = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
        let form = match form {
            Form::Auto if is("discord.com") || is("discordapp.com") => Form::Discord,
            Form::Auto if is("slack.com") => Form::Slack,
            Form::Auto => Form::Json,
            told => told,
        };
        Ok(Self { url, form })
    }

    /// Posts a message, of which `host` tells where it comes from.
    ///
    /// # Errors
    /// Where it did not get through, for whatever reason.
    pub async fn post(&self, client: &Client, message: &Message<'_>, host: &str) -> Result<(), WebhookError> {
        let to = self.url.host_str().unwrap_or_default().to_owned();
        let body = Bytes::from(message.body(self.form, host).to_string());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let limits = Limits::new(Instant::now() + PATIENCE, MOST_ANSWER);
        match client.post(self.url.as_str(), headers, body, &limits).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(WebhookError::Refused { host: to, status: answer.status.as_u16() }),
            Err(error) => Err(WebhookError::Unreachable { host: to, kind: kind(&error) }),
        }
    }
}

/// The errors of the client name the whole address.
fn kind(error: &FetchError) -> &'static str {
    match error {
        FetchError::Deadline { .. } => "no answer in time",
        _ => "no connection, or no answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Miner;

    fn alert() -> Alert {
        Alert {
            rule: "budget",
            miner: Some(Miner::Generative),
            cause: String::new(),
            urgent: true,
            text: "Generative: <b>@everyone</b>".to_owned(),
            todo: "wait".to_owned(),
        }
    }

    #[test]
    fn each_service_gets_its_form() {
        let alert = alert();
        let message = Message::Raised(&alert);
        let body = |address: &str, form| {
            let webhook = Webhook::new(address, form).unwrap();
            message.body(webhook.form, "h")
        };
        let discord = body("https://discord.com/api/webhooks/1/secret", Form::Auto);
        assert_eq!(discord["content"], "🔴 Generative: <b>@everyone</b>\n→ wait");
        assert_eq!(discord["allowed_mentions"]["parse"], json!([]));
        let slack = body("https://hooks.slack.com/services/T/B/secret", Form::Auto);
        assert_eq!(slack, json!({"text": "🔴 Generative: &lt;b&gt;@everyone&lt;/b&gt;\n→ wait"}));
        let plain = body("https://notslack.com/x", Form::Auto);
        assert_eq!(
            (&plain["state"], &plain["rule"], &plain["key"]),
            (&json!("raised"), &json!("budget"), &json!("budget/generative/"))
        );
        assert_eq!(body("http://127.0.0.1:1/x", Form::Slack), slack);
    }

    #[test]
    fn the_address_is_in_no_error_and_no_debug_output() {
        let webhook = Webhook::new("https://discord.com/api/webhooks/1/secret", Form::Auto).unwrap();
        assert!(!format!("{webhook:?}").contains("secret"));
        for address in ["", "discord.com/secret", "ftp://h/secret", "https://"] {
            let error = Webhook::new(address, Form::Auto).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_to_what_discord_takes() {
        let long = Alert { text: "ä".repeat(5000), ..alert() };
        assert_eq!(Message::Raised(&long).text().chars().count(), MOST_TEXT);
    }
}

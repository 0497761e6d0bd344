//! Who was told of what, and looking from time to time.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adit_outbound::{AddressGuard, Client, FetchError};
use serde::{Deserialize, Serialize};
use tokio::time::Duration;

use super::facts::{Anchor, Facts};
use super::judge::{Alert, RULES, judge};
use super::message::{Message, Webhook};
use super::rules::Rules;
use crate::{Connection, Miner, Now, Sources};

/// The file of what was told, in the data folder.
const FILE: &str = "alerts-told.json";
/// A cause that is gone for so many looks is over: what comes and goes is one cause.
const GONE: u32 = 3;

/// Which causes somebody was told of, so that each is told once until it is quiet no longer. It is kept on disk: a restart
/// tells nothing twice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    causes: BTreeMap<String, Cause>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cause {
    /// When it was told last, in Unix milliseconds.
    told_ms: i64,
    /// Looks since it was seen last.
    gone: u32,
    text: String,
}

/// What is to be told now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// A cause that is new, or has not been told for the quiet time.
    Raised(Alert),
    /// The text of one that is over.
    Cleared(Alert),
}

impl Told {
    /// Judges what is to be told, and takes it for told: one that did not get through is to be given back with
    /// [`Told::not_told`].
    pub fn tell(&mut self, alerts: &[Alert], now_ms: i64, quiet_ms: i64) -> Vec<Tell> {
        let mut tell = Vec::new();
        for alert in alerts {
            let key = alert.key();
            let known = self.causes.get(&key);
            // A clock that was set back must not keep it quiet for longer.
            let quiet = known.is_some_and(|cause| (0..quiet_ms).contains(&(now_ms - cause.told_ms)));
            let told_ms = if quiet { known.map_or(now_ms, |cause| cause.told_ms) } else { now_ms };
            self.causes.insert(key, Cause { told_ms, gone: 0, text: alert.text.clone() });
            if !quiet {
                tell.push(Tell::Raised(alert.clone()));
            }
        }
        let there: Vec<String> = alerts.iter().map(Alert::key).collect();
        self.causes.retain(|key, cause| {
            if there.contains(key) {
                return true;
            }
            cause.gone += 1;
            if cause.gone < GONE {
                return true;
            }
            tell.extend(over(key, &cause.text).map(Tell::Cleared));
            false
        });
        tell
    }

    /// A message did not get through: the next look tells of it again.
    pub fn not_told(&mut self, tell: &Tell) {
        match tell {
            Tell::Raised(alert) => {
                self.causes.remove(&alert.key());
            }
            // That it is over is told once, or not.
            Tell::Cleared(_) => {}
        }
    }

    fn read(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(serde_json::to_string(self)?.as_bytes())?;
        std::fs::rename(&beside, path)
    }
}

/// What is left to say of a cause that is over; nothing where no rule has its name any more.
fn over(key: &str, text: &str) -> Option<Alert> {
    let mut parts = key.splitn(3, '/');
    let name = parts.next()?;
    let rule = RULES.into_iter().find(|rule| *rule == name)?;
    let miner = parts.next().and_then(Miner::named);
    let cause = parts.next()?.to_owned();
    Some(Alert { rule, miner, cause, urgent: false, text: text.to_owned(), todo: String::new() })
}

/// Looks from time to time, and posts what is new.
#[derive(Debug)]
pub struct Watch {
    sources: Arc<Sources>,
    connection: Connection,
    rules: Rules,
    webhook: Webhook,
    client: Client,
    host: String,
    told: Told,
    file: PathBuf,
}

impl Watch {
    /// One for this webhook; `host` is what messages call this host.
    ///
    /// # Errors
    /// Where there can be no HTTP client.
    pub fn new(
        sources: Arc<Sources>,
        connection: Connection,
        rules: Rules,
        webhook: Webhook,
        host: String,
    ) -> Result<Self, FetchError> {
        let file = sources.folder().join(FILE);
        // The operator's own address may be anywhere.
        let client = Client::new(AddressGuard::unrestricted())?;
        let told = Told::read(&file);
        Ok(Self { sources, connection, rules, webhook, client, host, told, file })
    }

    /// Looks for as long as it is polled. `anchors` says which certificates are at hand.
    pub async fn keep(mut self, anchors: impl Fn() -> Vec<Anchor>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(self.rules.every_seconds));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look(anchors()).await;
        }
    }

    /// Looks once, and posts what is to be told.
    pub async fn look(&mut self, anchors: Vec<Anchor>) {
        let now = Now::look(&self.sources, &self.connection).await;
        let at_ms = now.at_ms;
        let sources = Arc::clone(&self.sources);
        let gathering = tokio::task::spawn_blocking(move || Facts::gather(&sources, now, anchors));
        let Ok(facts) = gathering.await else { return };
        let alerts = judge(&self.rules, &facts);
        let quiet_ms = i64::try_from(self.rules.quiet_minutes).unwrap_or(i64::MAX).saturating_mul(60_000);
        let before = self.told.clone();
        for tell in self.told.tell(&alerts, at_ms, quiet_ms) {
            let message = match &tell {
                Tell::Raised(alert) => Message::Raised(alert),
                Tell::Cleared(alert) => Message::Cleared(alert),
            };
            if let Err(error) = self.webhook.post(&self.client, &message, &self.host).await {
                tracing::warn!("an alert did not get through: {error}");
                self.told.not_told(&tell);
            }
        }
        if self.told != before
            && let Err(error) = self.told.write(&self.file)
        {
            tracing::warn!("which alerts were told is not kept: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use proptest::prelude::*;

    use super::*;

    const QUIET: i64 = 1000;

    fn alert(rule: &'static str, cause: &str) -> Alert {
        let (text, todo) = (format!("{rule} {cause}"), String::new());
        Alert { rule, miner: Some(Miner::PrivateTrack), cause: cause.to_owned(), urgent: false, text, todo }
    }

    fn keys(tell: &[Tell]) -> Vec<String> {
        let word = |tell: &Tell| match tell {
            Tell::Raised(alert) => format!("+{}", alert.text),
            Tell::Cleared(alert) => format!("-{}", alert.text),
        };
        tell.iter().map(word).collect()
    }

    #[test]
    fn a_cause_is_told_once_until_it_was_quiet_for_long_enough() {
        let mut told = Told::default();
        let (a, b) = (alert("down", "a"), alert("down", "b"));
        assert_eq!(keys(&told.tell(slice::from_ref(&a), 0, QUIET)), ["+down a"]);
        assert_eq!(keys(&told.tell(&[a.clone(), b.clone()], 500, QUIET)), ["+down b"]);
        assert_eq!(keys(&told.tell(&[a.clone(), b.clone()], 1000, QUIET)), ["+down a"]);
        assert_eq!(keys(&told.tell(&[a, b], 1499, QUIET)), [""; 0]);
    }

    #[test]
    fn what_comes_and_goes_is_one_cause_and_what_is_gone_is_over_once() {
        let mut told = Told::default();
        let a = alert("refusals", "a");
        told.tell(slice::from_ref(&a), 0, QUIET);
        assert!(told.tell(&[], 1, QUIET).is_empty());
        assert!(told.tell(slice::from_ref(&a), 2, QUIET).is_empty());
        assert!(told.tell(&[], 3, QUIET).is_empty());
        assert!(told.tell(&[], 4, QUIET).is_empty());
        assert_eq!(keys(&told.tell(&[], 5, QUIET)), ["-refusals a"]);
        assert!(told.tell(&[], 6, QUIET).is_empty());
        assert_eq!(keys(&told.tell(&[a], 7, QUIET)), ["+refusals a"]);
    }

    #[test]
    fn what_did_not_get_through_is_told_again() {
        let mut told = Told::default();
        let a = alert("down", "a");
        let tell = told.tell(slice::from_ref(&a), 0, QUIET);
        told.not_told(&tell[0]);
        assert_eq!(keys(&told.tell(&[a], 1, QUIET)), ["+down a"]);
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nothing_quiet_for_longer() {
        let mut told = Told::default();
        let a = alert("down", "a");
        told.tell(slice::from_ref(&a), 1_000_000, QUIET);
        assert_eq!(keys(&told.tell(slice::from_ref(&a), 10, QUIET)), ["+down a"]);
        assert!(told.tell(&[a], 20, QUIET).is_empty());
    }

    #[test]
    fn it_is_the_same_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut told = Told::default();
        told.tell(&[alert("down", "a")], 0, QUIET);
        told.write(&path).unwrap();
        assert_eq!(Told::read(&path), told);
        std::fs::write(&path, "{torn").unwrap();
        assert_eq!(Told::read(&path), Told::default());
    }

    proptest! {
        /// Whatever comes and goes: between two messages that a cause is there lies the quiet time, or one that it was over.
        #[test]
        fn no_cause_is_told_twice_within_the_quiet_time(looks in prop::collection::vec((0_u8..4, 1_i64..400), 1..60)) {
            let mut told = Told::default();
            let mut now = 0;
            let mut last: BTreeMap<String, i64> = BTreeMap::new();
            for (there, pause) in looks {
                now += pause;
                let alerts: Vec<Alert> = ["a", "b"].iter().enumerate()
                    .filter(|(bit, _)| there & (1 << bit) != 0)
                    .map(|(_, cause)| alert("down", cause))
                    .collect();
                for tell in told.tell(&alerts, now, QUIET) {
                    match tell {
                        Tell::Raised(alert) => {
                            let before = last.insert(alert.text.clone(), now);
                            prop_assert!(before.is_none_or(|before| now - before >= QUIET));
                        }
                        Tell::Cleared(alert) => prop_assert!(last.remove(&alert.text).is_some()),
                    }
                }
            }
        }
    }
}

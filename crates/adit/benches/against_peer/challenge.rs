//! Signed challenges, made beforehand.

use std::time::{SystemTime, UNIX_EPOCH};

use adit_auth::{Dialect, Spelling, sign_headers};
use adit_keys::{Hotkey, Keypair};

/// Connections to a miner, which are kept alive.
pub(crate) const CONNECTIONS: usize = 32;

/// Who signs, for whom, and what is asked.
pub(crate) struct Signer {
    pub(crate) validator: Keypair,
    pub(crate) miner: Hotkey,
    pub(crate) clip_url: String,
}

impl Signer {
    /// Settings of a private-track server that answers these challenges, and more.
    pub(crate) fn settings<const N: usize>(
        &self,
        port: u16,
        more: [(&str, String); N],
    ) -> Vec<(String, String)> {
        let settings = [
            ("MINER_PORT", port.to_string()),
            ("MIN_STAKE_THRESHOLD", "1000".to_owned()),
            ("ADIT_HOTKEY", self.miner.to_string()),
            ("ADIT_ALLOWED_HOSTS", "127.0.0.1".to_owned()),
            ("ADIT_PREDICTOR", "baseline".to_owned()),
            ("ADIT_NONCE_CAPACITY", "4000000".to_owned()),
            ("ADIT_CONCURRENCY", CONNECTIONS.to_string()),
            ("ADIT_QUEUE", "1024".to_owned()),
        ];
        settings.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// `count` challenges with fresh nonces, to be sent within the nonce window of 120 s. They take turns
    /// between fiber's client and Score's validator, which differ in message form and header spelling.
    pub(crate) fn requests(&self, count: usize) -> Vec<Vec<u8>> {
        let body = format!(r#"{{"challenge_id":"bench","video_url":"{}","frames":null}}"#, self.clip_url);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_nanos();
        let request = |number: usize| {
            let clock = now + number as u128;
            let (dialect, spelling, nonce) = if number.is_multiple_of(2) {
                (Dialect::Fiber, Spelling::Plain, format!("{clock}_{number:010}"))
            } else {
                (Dialect::Score, Spelling::Both, clock.to_string())
            };
            let headers =
                sign_headers(&self.validator, dialect, spelling, &nonce, &self.miner, body.as_bytes());
            let mut bytes = format!(
                "POST /challenge HTTP/1.1\r\nHost: miner\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            )
            .into_bytes();
            for (name, value) in &headers {
                bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
            }
            bytes.extend([b"\r\n", body.as_bytes()].concat());
            bytes
        };
        (0..count).map(request).collect()
    }
}

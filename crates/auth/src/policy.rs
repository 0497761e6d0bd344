//! The rules of the private-track reference, section 3.6, as pure functions.

use adit_keys::{AddressError, Hotkey, Keypair, Signature, SignatureFormatError};
use http::{HeaderMap, HeaderValue};

use crate::{Dialect, Nonce, Refusal, StakeTable, UnixNanos};

/// A header in fiber's spelling and in that of Score's validator.
type Spellings = [&'static str; 2];
const VALIDATOR: Spellings = ["validator-hotkey", "x-validator-hotkey"];
const MINER: Spellings = ["miner-hotkey", "x-miner-hotkey"];
const NONCE: Spellings = ["nonce", "x-nonce"];
const SIGNATURE: Spellings = ["signature", "x-signature"];

/// What is demanded of a caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// `VERIFY_ENABLED`.
    pub verify: bool,
    /// `BLACKLIST_ENABLED`.
    pub stake_gate: StakeGate,
    /// `MIN_STAKE_THRESHOLD`; equal passes.
    pub min_stake: f64,
    /// Our own hotkey. Where unknown, requests for other miners pass too.
    pub own_hotkey: Option<Hotkey>,
    /// Message forms that are accepted.
    pub dialects: Vec<Dialect>,
}

/// Whether callers are judged by their stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StakeGate {
    /// They are not.
    Off,
    /// They are; while no table was ever read, everybody is refused.
    Closed,
    /// They are, once a table was read; until then everybody passes.
    OpenUntilKnown,
}

/// A caller whose headers passed. Its signature is still to be checked against the body.
#[derive(Debug)]
pub struct Claim<'a> {
    policy: &'a Policy,
    /// `None` where no header names one that is an address.
    validator: Option<Hotkey>,
    /// `None` where signatures are not checked.
    signed: Option<Signed<'a>>,
}

/// The values of the headers that only signed requests have.
struct Headers<'a> {
    signature: &'a str,
    miner: &'a str,
    nonce: &'a str,
    /// Any value came in the `X-` spelling, which fiber's client never uses.
    x_spelling: bool,
}

/// The same, well formed.
#[derive(Debug)]
struct Signed<'a> {
    validator: Hotkey,
    signature: Signature,
    miner: &'a str,
    nonce: Nonce<'a>,
    x_spelling: bool,
}

/// A caller that passed everything but the replay memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The validator, where its header was demanded.
    pub validator: Option<Hotkey>,
    /// The nonce to remember and the form that matched, where the signature was checked.
    pub signature: Option<(String, Dialect)>,
}

impl Policy {
    /// Everything that can be judged before the body: headers, nonce, addressee, stake.
    ///
    /// `stakes` is `None` while no table was ever read; [`StakeGate`] says what holds then.
    ///
    /// # Errors
    /// The first reason found, in the order above.
    pub fn check_headers<'a>(
        &'a self,
        headers: &'a HeaderMap,
        stakes: Option<&StakeTable>,
        now: UnixNanos,
    ) -> Result<Claim<'a>, Refusal> {
        let mut found = Found { headers, missing: Vec::new(), x_spelling: false };
        let validator =
            if self.verify || self.stake_gate != StakeGate::Off { found.take(VALIDATOR) } else { "" };
        let signed = self.verify.then(|| {
            // Taken in the order in which FastAPI lists them when they are missing.
            let (signature, miner, nonce) = (found.take(SIGNATURE), found.take(MINER), found.take(NONCE));
            Headers { signature, miner, nonce, x_spelling: found.x_spelling }
        });
        if !found.missing.is_empty() {
            return Err(Refusal::MissingHeaders(found.missing));
        }
        let nonce = signed.as_ref().map(|signed| self.check_nonce(signed, now)).transpose()?;
        let validator = validator.parse::<Hotkey>();
        let judged = match self.stake_gate {
            StakeGate::Off => false,
            StakeGate::Closed => true,
            StakeGate::OpenUntilKnown => stakes.is_some(),
        };
        if judged {
            self.check_stake(validator.ok(), stakes)?;
        }
        // Still before the body is read: what cannot verify is not worth receiving.
        let signed = match signed.zip(nonce) {
            None => None,
            Some((headers, nonce)) => Some(headers.well_formed(validator, nonce)?),
        };
        Ok(Claim { policy: self, validator: validator.ok(), signed })
    }

    fn check_nonce<'a>(&self, signed: &Headers<'a>, now: UnixNanos) -> Result<Nonce<'a>, Refusal> {
        let nonce = Nonce::parse(signed.nonce).ok_or(Refusal::NonceShape)?;
        if !nonce.is_fresh(now) {
            return Err(Refusal::NonceWindow);
        }
        match self.own_hotkey {
            Some(own) if signed.miner.parse() != Ok(own) => Err(Refusal::OtherMiner),
            _ => Ok(nonce),
        }
    }

    fn check_stake(&self, validator: Option<Hotkey>, stakes: Option<&StakeTable>) -> Result<(), Refusal> {
        let stake = stakes.zip(validator).and_then(|(stakes, validator)| stakes.stake(&validator));
        let stake = stake.ok_or(Refusal::NotInMetagraph)?;
        if stake < self.min_stake { Err(Refusal::LowStake { stake }) } else { Ok(()) }
    }
}

impl<'a> Headers<'a> {
    fn well_formed(
        self,
        validator: Result<Hotkey, AddressError>,
        nonce: Nonce<'a>,
    ) -> Result<Signed<'a>, Refusal> {
        let Self { signature, miner, x_spelling, .. } = self;
        let signature = signature
            .parse()
            .map_err(|error: SignatureFormatError| Refusal::SignatureShape(error.to_string()))?;
        let validator =
            validator.map_err(|error| Refusal::SignatureShape(format!("validator hotkey is {error}")))?;
        Ok(Signed { validator, signature, miner, nonce, x_spelling })
    }
}

impl Claim<'_> {
    /// The signature over the body exactly as it arrived: never over a re-serialised one. `now` is
    /// read again, since the body may have taken its time.
    ///
    /// # Errors
    /// [`Refusal::NonceWindow`], or [`Refusal::Signature`], which names the dialects tried.
    pub fn check_body(&self, body: &[u8], now: UnixNanos) -> Result<Verified, Refusal> {
        let Some(signed) = &self.signed else {
            return Ok(Verified { validator: self.validator, signature: None });
        };
        if !signed.nonce.is_fresh(now) {
            return Err(Refusal::NonceWindow);
        }
        let Signed { signature, validator, .. } = signed;
        let mut tried = Vec::new();
        for dialect in self.order(signed) {
            let message = dialect.message(signed.nonce.text(), signed.miner, body);
            if signature.verifies(&message, validator) || signature.verifies_wrapped(&message, validator) {
                let signature = Some((signed.nonce.text().to_owned(), dialect));
                return Ok(Verified { validator: Some(*validator), signature });
            }
            tried.push(dialect);
        }
        Err(Refusal::Signature { tried })
    }

    /// The accepted dialects, first the one that the nonce's shape and the spelling suggest, so
    /// that an honest request costs one verification.
    fn order(&self, signed: &Signed<'_>) -> Vec<Dialect> {
        let likely =
            if signed.nonce.has_suffix() || !signed.x_spelling { Dialect::Fiber } else { Dialect::Score };
        let mut order = self.policy.dialects.clone();
        order.sort_by_key(|dialect| *dialect != likely);
        order
    }
}

/// Takes each value from its plain header, else from its `X-` one.
struct Found<'a> {
    headers: &'a HeaderMap,
    missing: Vec<&'static str>,
    x_spelling: bool,
}

impl<'a> Found<'a> {
    /// A value that is not ASCII text becomes empty, which no later check accepts.
    fn take(&mut self, [name, prefixed]: Spellings) -> &'a str {
        let prefixed = self.headers.get(prefixed);
        self.x_spelling |= prefixed.is_some();
        match self.headers.get(name).or(prefixed) {
            Some(value) => value.to_str().unwrap_or_default(),
            None => {
                self.missing.push(name);
                ""
            }
        }
    }
}

/// Which spelling of the headers a sender uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `validator-hotkey`, as fiber's client.
    Plain,
    /// `X-Validator-Hotkey`, as Score's first validator.
    Prefixed,
    /// Both, as Score's validator since.
    Both,
}

/// The headers of a sender of this dialect and spelling: what a rehearsal needs.
#[must_use]
pub fn sign_headers(
    pair: &Keypair,
    dialect: Dialect,
    spelling: Spelling,
    nonce: &str,
    miner: &Hotkey,
    body: &[u8],
) -> HeaderMap {
    let signature = pair.sign(&dialect.message(nonce, &miner.to_string(), body));
    let values = [
        (VALIDATOR, pair.hotkey().to_string()),
        (NONCE, nonce.to_owned()),
        (SIGNATURE, signature.to_string()),
        (MINER, miner.to_string()),
    ];
    let mut headers = HeaderMap::new();
    for ([plain, prefixed], value) in values {
        let Ok(value) = HeaderValue::try_from(value) else { continue };
        if spelling != Spelling::Plain {
            headers.insert(prefixed, value.clone());
        }
        if spelling != Spelling::Prefixed {
            headers.insert(plain, value);
        }
    }
    headers
}

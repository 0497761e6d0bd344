//! What a validator would say, and why.

use std::fmt;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::Format;

/// A generation of the validator's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// That of the guide (4.7.6, May 2026).
    Document,
    /// That of today (4.9.9, August 2026): also asks for a hard binding and a fresh signing time, and knows
    /// Byteplus and ByteDance's root.
    Head,
}

impl Era {
    /// Both, the older first.
    pub const ALL: [Self; 2] = [Self::Document, Self::Head];
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Document => "document",
            Self::Head => "head",
        })
    }
}

/// One thing that the C2PA library found wrong, with a code of the C2PA specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Such as `signingCredential.untrusted`.
    pub code: String,
    /// The library's words for it.
    pub explanation: String,
    /// Whether the validators refuse for it. They overlook some, `claimSignature.missing` among them.
    pub fatal: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.explanation)
    }
}

/// Who signed, as the active manifest's signing certificate says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signer {
    /// Organisation of the certificate's subject: what the validators call the issuer.
    pub organisation: Option<String>,
    /// Common name of its subject.
    pub common_name: Option<String>,
    /// Its serial number, decimal.
    pub serial: Option<String>,
    /// Signature algorithm, such as `Es256`.
    pub algorithm: Option<String>,
}

/// Why a validator refuses. As text it is the validator's error, word for word.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no manifest, it cannot be read, or the file is of no kind that can have one.
    NoManifest(String),
    /// The manifest is there and something in it does not hold.
    Invalid(Vec<Failure>),
    /// No hash of the media itself is part of what was signed and checked.
    NoHardBinding,
    /// The signing certificate names no organisation.
    SelfSigned,
    /// The organisation is on no list of the validator's.
    UnknownOrganisation(String),
    /// Neither the organisation nor the claim generator is a generator that the validator knows.
    UnknownGenerator(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoManifest(why) => write!(f, "No C2PA manifest found: {why}"),
            Self::Invalid(failures) => {
                f.write_str("Signature validation failed: ")?;
                for (index, failure) in failures.iter().enumerate() {
                    write!(f, "{}{failure}", if index == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Self::NoHardBinding => {
                f.write_str("No verified hard-binding content hash assertion in C2PA manifest")
            }
            Self::SelfSigned => f.write_str("Self-signed certificates are not accepted"),
            Self::UnknownOrganisation(organisation) => {
                write!(f, "Certificate issuer not from trusted CA: {organisation}")
            }
            Self::UnknownGenerator(who) => write!(f, "Not from a trusted AI generator: {who}"),
        }
    }
}

impl Refusal {
    /// What would make a validator accept, as one sentence.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        const UNTOUCHED: &str = "deliver the bytes that the service sent: whatever decodes, resizes, re-muxes or re-tags \
            the file takes the signature away";
        match self {
            Self::NoManifest(_) => {
                "use a service and a model that sign with C2PA, and deliver the bytes that they sent: saving, \
                 converting or resizing a file drops its manifest"
            }
            Self::Invalid(failures) => {
                let has = |part: &str| failures.iter().any(|failure| failure.code.contains(part));
                if has("Hash.mismatch") || has("hashedURI.mismatch") {
                    UNTOUCHED
                } else if has("claimSignature") || has("claim.signature") {
                    "no change on this side helps, the signature itself is wrong: use another model or service"
                } else if has("signingCredential.untrusted") {
                    "the signer's certificate leads to none of the trust anchors: use a service that the \
                     validators trust, or update the anchors where they have new ones"
                } else if has("signingCredential.expired") {
                    "the signer's certificate was out of date when it signed: nothing but a new file helps"
                } else {
                    "make the file again; where that does not help, use another model or service"
                }
            }
            Self::NoHardBinding => {
                "deliver the file as the service made it: a manifest added later (an update manifest) does not \
                 cover the media"
            }
            Self::SelfSigned | Self::UnknownOrganisation(_) | Self::UnknownGenerator(_) => {
                "use a service that the validators know: OpenAI, Google, Runway, Stability AI, Black Forest Labs, \
                 ByteDance and the like"
            }
        }
    }
}

/// Why a good file is refused on delivery all the same: today's validators want it made for the challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// Nothing says when it was signed.
    NoSigningTime,
    /// It was signed more than ten minutes before the challenge was sent.
    BeforeChallenge,
    /// It is said to be signed more than ten minutes from now.
    Future,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSigningTime => "C2PA manifest has no signing timestamp",
            Self::BeforeChallenge => "C2PA manifest signed before challenge was issued",
            Self::Future => "C2PA signing timestamp is in the future",
        })
    }
}

impl Stale {
    /// What would make a validator accept, as one sentence.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NoSigningTime => "use a model whose files carry a time stamp or an action with a time",
            Self::BeforeChallenge => "make a new file for each challenge: an older one never passes",
            Self::Future => "set the clock of the machine that signed, or deliver later",
        }
    }
}

/// How far a signing time may lie before the challenge, and after the delivery.
pub const FRESHNESS: TimeDelta = TimeDelta::seconds(600);

/// What validators of one era would say of one file.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Whose rules were applied.
    pub era: Era,
    /// What kind of file it is.
    pub format: Format,
    /// Why it is refused; `None` where its C2PA data is accepted.
    pub refusal: Option<Refusal>,
    /// Everything that the library found wrong, what the validators overlook too, of the active manifest and
    /// its ingredients.
    pub failures: Vec<Failure>,
    /// Code of the check by which the media itself is known to be what was signed.
    pub hard_binding: Option<String>,
    /// Who signed; `None` where there is no manifest.
    pub signer: Option<Signer>,
    /// The program that says it made the file: what the validators report as issuer.
    pub claim_generator: Option<String>,
    /// Whether a manifest says that the file was made by a trained algorithm. No validator asks for it.
    pub ai_generated: bool,
    /// The model, as far as the validator of this era finds its name.
    pub model_name: Option<String>,
    /// The maker's profile that the validator files it under. It decides nothing.
    pub provider_profile: Option<&'static str>,
    /// When it was signed: the time stamp of the signature, else the latest time of an action.
    pub signing_time: Option<DateTime<Utc>>,
    /// The manifests as the C2PA library gives them; null where there are none.
    pub manifests: Value,
}

impl Verdict {
    /// Whether the C2PA data is accepted. Today's validators look at [`Verdict::freshness`] too.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.refusal.is_none()
    }

    /// Whether a delivery at `now` is in time, for a challenge that was sent at `sent_at`, where that is known.
    /// Validators of the guide's time do not ask.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn freshness(&self, now: DateTime<Utc>, sent_at: Option<DateTime<Utc>>) -> Result<(), Stale> {
        if self.era == Era::Document {
            return Ok(());
        }
        let signed = self.signing_time.ok_or(Stale::NoSigningTime)?;
        if sent_at.is_some_and(|sent_at| signed < sent_at - FRESHNESS) {
            return Err(Stale::BeforeChallenge);
        }
        if signed > now + FRESHNESS { Err(Stale::Future) } else { Ok(()) }
    }

    /// The fields that the validator's own command prints, in its order and with its names: those that it had
    /// not come to when it refused are null or false.
    #[must_use]
    pub fn reported(&self) -> Value {
        let accepted = self.accepted();
        let (signature_valid, self_signed, organisation_known) = match &self.refusal {
            Some(Refusal::NoManifest(_) | Refusal::Invalid(_)) => (false, false, false),
            Some(Refusal::NoHardBinding) => (true, false, false),
            Some(Refusal::SelfSigned) => (true, true, true),
            Some(Refusal::UnknownOrganisation(_) | Refusal::UnknownGenerator(_)) | None => {
                (true, false, true)
            }
        };
        let issuer_known = accepted || matches!(self.refusal, Some(Refusal::UnknownGenerator(_)));
        let signer = self.signer.as_ref().filter(|_| organisation_known);
        let errors = match &self.refusal {
            Some(Refusal::Invalid(failures)) => failures.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        let mut fields = json!({
            "verified": accepted,
            "signature_valid": signature_valid,
            "issuer": self.claim_generator.as_ref().filter(|_| issuer_known),
            "cert_issuer": signer.and_then(|signer| signer.organisation.as_ref()),
            "is_trusted_issuer": accepted,
            "is_self_signed": self_signed,
            "ai_generated": accepted && self.ai_generated,
            "model_name": self.model_name.as_ref().filter(|_| accepted),
            "provider_profile": self.provider_profile.filter(|_| accepted),
            "metadata_complete": accepted && self.metadata_complete(),
            "policy_warnings": if accepted { self.policy_warnings() } else { Vec::new() },
            "validation_errors": errors,
            "error": self.refusal.as_ref().map(ToString::to_string),
        });
        if self.era == Era::Head {
            let time = self.signing_time.filter(|_| accepted);
            fields["signing_time"] = json!(time.map(python_iso));
        }
        fields
    }

    fn organisation(&self) -> Option<&str> {
        self.signer.as_ref()?.organisation.as_deref()
    }

    fn serial(&self) -> Option<&str> {
        self.signer.as_ref()?.serial.as_deref()
    }

    fn metadata_complete(&self) -> bool {
        self.organisation().is_some() && (self.serial().is_some() || self.claim_generator.is_some())
    }

    /// What the validator remarks on and lets pass.
    #[must_use]
    pub fn policy_warnings(&self) -> Vec<&'static str> {
        let missing = [
            ("unknown_provider_profile", self.provider_profile.is_none()),
            ("missing_cert_issuer", self.organisation().is_none()),
            ("missing_cert_subject", self.serial().is_none()),
            ("missing_claim_generator", self.claim_generator.is_none()),
            // Every profile goes without, so that it is asked for only where there is none.
            ("missing_ai_source_assertion", !self.ai_generated && self.provider_profile.is_none()),
        ];
        missing.into_iter().filter(|(_, missing)| *missing).map(|(warning, _)| warning).collect()
    }
}

/// A time as Python's `isoformat` writes it: with microseconds where there are any, and `+00:00`.
fn python_iso(time: DateTime<Utc>) -> String {
    let digits =
        if time.timestamp_subsec_micros() == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros };
    time.to_rfc3339_opts(digits, false)
}

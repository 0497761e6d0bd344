//! Signed files of one's own: an authority, certificates under it, and files that carry a manifest.
//!
//! No validator trusts what is made here. It is what rehearsals and tests put in place of a paid service's
//! files, and they tell the [`Verifier`](crate::Verifier) to trust the authority
//! ([`TrustAnchors::trusting`](crate::TrustAnchors::trusting)).

use std::io::{Read, Seek, Write};

use c2pa::{Builder, Context, SigningAlg, create_signer};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use crate::Format;

/// Why nothing could be made or signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The file could not be signed.
    #[error("cannot sign the file: {0}")]
    Sign(#[from] c2pa::Error),
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: String,
}

impl Authority {
    /// A self-signed root, good for ten years.
    ///
    /// # Errors
    /// [`SigningError::Certificate`].
    pub fn new(common_name: &str) -> Result<Self, SigningError> {
        let (params, key) = (authority(common_name), KeyPair::generate()?);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { params, key, certificate })
    }

    /// An authority whose certificate `issuer` signed, and not it itself.
    ///
    /// # Errors
    /// [`SigningError::Certificate`].
    pub fn under(issuer: &Self, common_name: &str) -> Result<Self, SigningError> {
        let (params, key) = (authority(common_name), KeyPair::generate()?);
        let certificate = params.signed_by(&key, &issuer.issuer())?.pem();
        Ok(Self { params, key, certificate })
    }

    /// Another certificate of the same name and key, signed by `issuer`: by which two authorities can vouch for
    /// each other in a circle.
    ///
    /// # Errors
    /// [`SigningError::Certificate`].
    pub fn cross_signed(&self, issuer: &Self) -> Result<String, SigningError> {
        Ok(self.params.signed_by(&self.key, &issuer.issuer())?.pem())
    }

    /// Its certificate, as PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A signer whose certificate names this organisation, in date from `not_before` to `not_after`. The
    /// signature carries `chain` after it, PEM texts from the issuer's on.
    ///
    /// # Errors
    /// [`SigningError::Certificate`].
    pub fn signer_valid(
        &self,
        organisation: &str,
        not_before: DateTime<Utc>,
        not_after: DateTime<Utc>,
        chain: &[&str],
    ) -> Result<Signer, SigningError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, organisation);
        params.distinguished_name.push(DnType::CommonName, format!("{organisation} signer"));
        params.not_before = offset(not_before);
        params.not_after = offset(not_after);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer())?.pem();
        Ok(Signer { chain: certificate + &chain.concat(), key: key.serialize_pem() })
    }

    /// A signer whose certificate names this organisation, in date since yesterday and for a year.
    ///
    /// # Errors
    /// [`SigningError::Certificate`].
    pub fn signer(&self, organisation: &str) -> Result<Signer, SigningError> {
        let now = Utc::now();
        self.signer_valid(organisation, now - TimeDelta::days(1), now + TimeDelta::days(365), &[])
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

fn authority(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = Utc::now();
    params.not_before = offset(now - TimeDelta::days(2));
    params.not_after = offset(now + TimeDelta::days(3650));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn offset(time: DateTime<Utc>) -> time::OffsetDateTime {
    time::OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(time.timestamp())
}

/// A key with the certificates that vouch for it. Its `Debug` shows neither.
pub struct Signer {
    chain: String,
    key: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

/// What a manifest claims of its file.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The program that made it.
    pub generator: String,
    /// The model that made it.
    pub model: String,
    /// When. Without a time stamping service this is the signing time.
    pub created: DateTime<Utc>,
}

impl Claim {
    /// Made by this model just now.
    #[must_use]
    pub fn now(model: &str) -> Self {
        Self { generator: model.to_owned(), model: model.to_owned(), created: Utc::now() }
    }
}

impl Signer {
    /// Copies `source` to `dest` with a manifest in it.
    ///
    /// # Errors
    /// [`SigningError::Sign`], also where `source` is no file of this format.
    pub fn sign(
        &self,
        format: Format,
        claim: &Claim,
        source: &mut (impl Read + Seek + Send),
        dest: &mut (impl Read + Write + Seek + Send),
    ) -> Result<(), SigningError> {
        let signer =
            create_signer::from_keys(self.chain.as_bytes(), self.key.as_bytes(), SigningAlg::Es256, None)?;
        self::builder(format, claim)?.sign(signer.as_ref(), format.extension(), source, dest)?;
        Ok(())
    }

    /// [`Signer::sign`] for a file in memory.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    pub fn sign_bytes(&self, claim: &Claim, file: &[u8]) -> Result<Vec<u8>, SigningError> {
        let mut signed = std::io::Cursor::new(Vec::new());
        self.sign(Format::detect(file), claim, &mut std::io::Cursor::new(file), &mut signed)?;
        Ok(signed.into_inner())
    }
}

fn builder(format: Format, claim: &Claim) -> Result<Builder, SigningError> {
    let definition = json!({
        "claim_generator_info": [{ "name": claim.generator }],
        "format": format.extension(),
        "assertions": [{ "label": "c2pa.actions", "data": { "actions": [{
            "action": "c2pa.created",
            "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
            "softwareAgent": { "name": claim.model },
            "when": claim.created.to_rfc3339_opts(SecondsFormat::Secs, true),
        }] } }],
    });
    let context = Context::new().with_settings(
        json!({
            "builder": { "thumbnail": { "enabled": false } },
            "core": { "allowed_network_hosts": [] },
        })
        .to_string()
        .as_str(),
    )?;
    Ok(Builder::from_context(context).with_definition(definition)?)
}

//! The certificates that the validators trust: which they are, and reading them from a directory.
//!
//! The files belong to the subnet's repository and are not part of this crate; what is part of it is the
//! SHA-256 fingerprint of each certificate in them, so that a file is taken only where it holds what the
//! validators have (generative reference, section 9).

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use crate::Era;

/// Largest file of certificates that is read, in bytes. The validators' have at most 8 KB.
pub const MAX_ANCHOR_FILE: usize = 256 * 1024;

/// One file of the subnet's repository.
struct PinnedFile {
    name: &'static str,
    /// Whether the validators of the guide's time load it too.
    document: bool,
    /// SHA-256 of each certificate's DER form.
    certificates: &'static [&'static str],
}

const fn pinned(name: &'static str, certificates: &'static [&'static str]) -> PinnedFile {
    PinnedFile { name, document: true, certificates }
}

const GLOBALSIGN_R6: &str = "2cabeafe37d06ca22aba7391c0033d25982952c453647349763a3ab5ad6ccf69";
const GLOBALSIGN_GCC_R6: &str = "36d7314848accb3e4c5792d1b07120b1035bfb8b67e6600952d6745f5d6e22bd";
const GLOBALSIGN_R45: &[&str] = &["319af0a7729e6f89269c131ea6a3a16fcd86389fdcab3c47a4a675c161a3f974"];

/// Every file that the validators load.
static PINNED: &[PinnedFile] = &[
    pinned(
        "adobe.pem",
        &[
            "83b0ee3897bcd746415e70f6c35472ecfa73aec8d80c0a3d8a052a825f03b6af",
            "8d8e4288231c244f7892e935bbf1ba85a2744e8993b49993016eee63952733fe",
        ],
    ),
    pinned(
        "black_forest_labs.pem",
        &[
            "217ddd2f75892d6b9517f7e4d4a55fd01c3d323d7c74e43faf04c271d3fde062",
            GLOBALSIGN_GCC_R6,
            GLOBALSIGN_R6,
        ],
    ),
    PinnedFile { document: false, ..pinned("bytedance_seedance.pem", GLOBALSIGN_R45) },
    PinnedFile { document: false, ..pinned("globalsign_r45.pem", GLOBALSIGN_R45) },
    pinned("google_c2pa.pem", &["e383a91825ff2a0944857f2e0c1bebb3bdf84a3e430bb505fef8e4023ed8a3c7"]),
    pinned(
        "microsoft.pem",
        &[
            "a5ca14db3db1c05304d53510db18e7f39d0391ea36af40fa77881804eac320cf",
            "1e92ec6f4c801736ee024905210c4cb95fe4e2a42f404bdb5cc772b12336a6d9",
            "23ffe2b8bdb9a1711515d4cffda04bc7f793d513c76c243f1020507d8669b7db",
        ],
    ),
    pinned(
        "openai_truepic.pem",
        &[
            "f5630fc1618418635536cd5c88377b96958d2d428e8b7f4ad08fcab1b58559ab",
            "e2202c12c00880ddfe53af5e787c0431abb6dc566382886ac5540789ffc912d9",
        ],
    ),
    pinned(
        "runway.pem",
        &["873974c5487c1c53b99a86a774817f65a2b57e8a1e07ff721fc8b3fa18ffcbb6", GLOBALSIGN_R6],
    ),
    pinned(
        "runway_gen4.pem",
        &[
            "a3f74d75172c7ebff3b3389f7e8a5745f385a58d5fb06d142a5e49fef86fd8c6",
            "5b6ead9729a56a58166834913b2783f774426a175947d558ddf253e28ca92263",
        ],
    ),
    pinned(
        "stability_ai.pem",
        &[
            "dbca8cf3532f46c4bc225e0e86861fcd243576748881ea45f7fe79de3dbe3137",
            GLOBALSIGN_GCC_R6,
            GLOBALSIGN_R6,
        ],
    ),
];

/// A file of anchors, and the certificates that it may hold.
#[derive(Debug, Clone)]
pub struct AnchorFile {
    /// Where it is; a relative path is meant from the anchors' directory.
    pub path: PathBuf,
    /// Whether the validators load a file of this name, so that it is no fault where it is absent.
    pub validators: bool,
    document: bool,
    pins: BTreeSet<Fingerprint>,
}

impl AnchorFile {
    /// Every file that the validators load, and those of `extra` behind them. Where `extra` names a file of the
    /// validators', its fingerprints are added to those pinned here.
    #[must_use]
    pub fn all(extra: &[ExtraFile]) -> Vec<Self> {
        let mut files: Vec<Self> = PINNED
            .iter()
            .map(|file| Self {
                path: PathBuf::from(file.name),
                validators: true,
                document: file.document,
                pins: file.certificates.iter().filter_map(|pin| pin.parse().ok()).collect(),
            })
            .collect();
        for ExtraFile { path, fingerprints } in extra {
            match files.iter_mut().find(|file| file.path == *path) {
                Some(file) => file.pins.extend(fingerprints),
                None => files.push(Self {
                    path: path.clone(),
                    validators: false,
                    document: true,
                    pins: fingerprints.clone(),
                }),
            }
        }
        files
    }

    /// Reads what is said to be this file.
    ///
    /// # Errors
    /// [`AnchorError`] where it is too large, holds no certificate, or one that is not pinned.
    pub fn read(&self, bytes: &[u8]) -> Result<Vec<Anchor>, AnchorError> {
        let name = self.path.display().to_string();
        let anchors = certificates(&name, bytes, self.document)?;
        match anchors.iter().find(|anchor| !self.pins.contains(&anchor.fingerprint)) {
            None => Ok(anchors),
            Some(stranger) => Err(AnchorError::NotPinned {
                file: name,
                subject: stranger.subject.clone(),
                fingerprint: stranger.fingerprint,
            }),
        }
    }
}

/// Why a set of anchors cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// A file that is there cannot be read.
    #[error("cannot read the trust anchors of {path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not one file of certificates is there.
    #[error("there are no trust anchors in {}", .0.display())]
    None(PathBuf),
    /// More than [`MAX_ANCHOR_FILE`].
    #[error("{0} has more than {MAX_ANCHOR_FILE} bytes: that is no file of trust anchors")]
    TooLarge(String),
    /// Nothing in it, or nothing that is a certificate.
    #[error("{file} holds no usable certificate: {why}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A certificate that nobody vouched for.
    #[error("{file} holds a certificate that is not pinned: {subject}, SHA-256 {fingerprint}")]
    NotPinned {
        /// The file.
        file: String,
        /// Whose certificate it is.
        subject: String,
        /// What would have to be pinned.
        fingerprint: Fingerprint,
    },
}

/// SHA-256 over a certificate's DER form. Read as 64 hex digits in any case, with or without colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// Not a [`Fingerprint`].
#[derive(Debug, thiserror::Error)]
#[error("not a SHA-256 fingerprint, which has 64 hex digits")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.replace(':', ""), &mut bytes).map_err(|_| FingerprintError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A file that the operator vouches for beside the pinned ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraFile {
    /// Where it is; a relative path is meant from the anchors' directory.
    pub path: PathBuf,
    /// The certificates that it may hold.
    pub fingerprints: BTreeSet<Fingerprint>,
}

/// An entry that is not `FILE@FINGERPRINT`.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not FILE@FINGERPRINT, with the SHA-256 fingerprint of a certificate in the file (64 hex digits)"
)]
pub struct ExtraFileError(String);

impl ExtraFile {
    /// Reads `FILE@FINGERPRINT` entries that are separated by commas or white space. A file with several
    /// certificates is named once for each.
    ///
    /// # Errors
    /// [`ExtraFileError`] for the first entry of another form.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ExtraFileError> {
        let mut files: Vec<Self> = Vec::new();
        for entry in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty()) {
            let parsed = entry.rsplit_once('@').and_then(|(path, fingerprint)| {
                Some((PathBuf::from(path), fingerprint.parse().ok()?)).filter(|_| !path.is_empty())
            });
            let (path, fingerprint) = parsed.ok_or_else(|| ExtraFileError(entry.to_owned()))?;
            match files.iter_mut().find(|file| file.path == path) {
                Some(file) => {
                    file.fingerprints.insert(fingerprint);
                }
                None => files.push(Self { path, fingerprints: BTreeSet::from([fingerprint]) }),
            }
        }
        Ok(files)
    }
}

/// One trusted certificate.
#[derive(Debug, Clone)]
pub struct Anchor {
    /// The file that it came from.
    pub file: String,
    /// Whose it is: common name, and the organisation in brackets.
    pub subject: String,
    /// SHA-256 of its DER form.
    pub fingerprint: Fingerprint,
    /// From when it is out of date.
    pub expires: DateTime<Utc>,
    /// Whether the validators of the guide's time have it too.
    document: bool,
    pem: String,
}

impl Anchor {
    /// Whether validators of this era trust it.
    #[must_use]
    pub fn trusted_in(&self, era: Era) -> bool {
        self.document || era == Era::Head
    }

    /// Out of date at `now`.
    #[must_use]
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires <= now
    }

    /// Still in date at `now`, but not for 30 days more.
    #[must_use]
    pub fn expires_soon(&self, now: DateTime<Utc>) -> bool {
        !self.has_expired(now) && self.expires <= now + TimeDelta::days(30)
    }
}

/// The certificates that a validator trusts.
#[derive(Debug, Clone, Default)]
pub struct TrustAnchors {
    anchors: Vec<Anchor>,
}

impl TrustAnchors {
    /// Reads the files of [`AnchorFile::all`] that are in `folder`. One of the validators' that is absent is
    /// left out, as they do themselves.
    ///
    /// # Errors
    /// [`AnchorError::None`] where there is none at all, else the first file that cannot be used.
    pub fn load(folder: &Path, extra: &[ExtraFile]) -> Result<Self, AnchorError> {
        let mut anchors = Vec::new();
        for file in AnchorFile::all(extra) {
            match read_bounded(&folder.join(&file.path)) {
                Err(AnchorError::Unreadable { source, .. })
                    if file.validators && source.kind() == std::io::ErrorKind::NotFound => {}
                read => anchors.extend(file.read(&read?)?),
            }
        }
        if anchors.is_empty() { Err(AnchorError::None(folder.to_owned())) } else { Ok(Self { anchors }) }
    }

    /// Also trusts every certificate of this PEM text: for an authority of one's own, in tests and rehearsals.
    ///
    /// # Errors
    /// [`AnchorError::Malformed`].
    pub fn trusting(mut self, name: &str, pem: &str) -> Result<Self, AnchorError> {
        self.anchors.extend(certificates(name, pem.as_bytes(), true)?);
        Ok(self)
    }

    /// Each certificate, a doubled one as often as it is there.
    pub fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.anchors.iter()
    }

    /// What validators of this era are given, as one PEM text.
    pub(crate) fn pem(&self, era: Era) -> String {
        let mut seen = BTreeSet::new();
        let trusted = self.anchors.iter().filter(|anchor| anchor.trusted_in(era));
        trusted.filter(|anchor| seen.insert(anchor.fingerprint)).map(|anchor| anchor.pem.as_str()).collect()
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, AnchorError> {
    use std::io::Read as _;

    let unreadable = |source| AnchorError::Unreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_ANCHOR_FILE as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn certificates(file: &str, bytes: &[u8], document: bool) -> Result<Vec<Anchor>, AnchorError> {
    let malformed = |why: String| AnchorError::Malformed { file: file.to_owned(), why };
    if bytes.len() > MAX_ANCHOR_FILE {
        return Err(AnchorError::TooLarge(file.to_owned()));
    }
    let mut anchors = Vec::new();
    for block in pem::parse_many(bytes).map_err(|error| malformed(error.to_string()))? {
        let der = block.into_contents();
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|error| malformed(error.to_string()))?;
        let expires = certificate.validity().not_after.timestamp();
        anchors.push(Anchor {
            file: file.to_owned(),
            subject: display_name(certificate.subject()),
            fingerprint: Fingerprint(Sha256::digest(&der).into()),
            expires: DateTime::from_timestamp(expires, 0)
                .ok_or_else(|| malformed("its end of validity is no date".to_owned()))?,
            document,
            // Put together anew, so that what stands around it in the file cannot matter.
            pem: pem::encode(&pem::Pem::new("CERTIFICATE", der)),
        });
    }
    if anchors.is_empty() {
        return Err(malformed("there is no PEM block in it".to_owned()));
    }
    Ok(anchors)
}

/// Common name and organisation, as far as they are there. Control characters are left out: it is shown on
/// terminals.
fn display_name(name: &X509Name<'_>) -> String {
    let text = |value: Option<&str>| -> String {
        value.unwrap_or_default().chars().filter(|c| !c.is_control()).collect()
    };
    let common = text(name.iter_common_name().next().and_then(|name| name.as_str().ok()));
    let organisation = text(name.iter_organization().next().and_then(|name| name.as_str().ok()));
    match (common.is_empty(), organisation.is_empty()) {
        (false, true) => common,
        (true, false) => organisation,
        (false, false) if common == organisation => common,
        (false, false) => format!("{common} ({organisation})"),
        (true, true) => "a certificate without a name".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{AnchorFile, Era, ExtraFile, Fingerprint, PINNED, TrustAnchors};

    #[test]
    fn every_pin_is_a_fingerprint() {
        for file in PINNED {
            for pin in file.certificates {
                assert!(pin.parse::<Fingerprint>().is_ok(), "{}: {pin}", file.name);
            }
        }
    }

    #[test]
    fn a_list_of_files_names_each_certificate() {
        let (one, two) = ("ab".repeat(32), "CD:".repeat(31) + "CD");
        let files = ExtraFile::parse_list(&format!("a.pem@{one}, /b/c@d.pem@{two}\na.pem@{two}")).unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].path.to_str(), Some("a.pem"));
        assert_eq!(files[0].fingerprints.len(), 2);
        assert_eq!(files[1].path.to_str(), Some("/b/c@d.pem"));
        assert!(ExtraFile::parse_list(" , ").unwrap().is_empty());
        for bad in ["a.pem", "a.pem@abcd", &format!("@{one}"), &format!("a.pem@{one}0")] {
            assert_eq!(ExtraFile::parse_list(bad).unwrap_err().0, *bad);
        }
    }

    #[test]
    fn a_renewed_certificate_is_vouched_for_beside_the_pinned_ones() {
        let one = "ab".repeat(32);
        let extra = ExtraFile::parse_list(&format!("google_c2pa.pem@{one}, own.pem@{one}")).unwrap();
        let files = AnchorFile::all(&extra);
        assert_eq!(files.len(), PINNED.len() + 1);
        let google = files.iter().find(|file| file.path.to_str() == Some("google_c2pa.pem")).unwrap();
        assert!(google.validators && google.pins.len() == 2);
        assert!(!files.last().unwrap().validators);
    }

    #[test]
    fn no_anchors_are_no_pem() {
        assert_eq!(TrustAnchors::default().pem(Era::Head), "");
    }
}

//! Wallet files, password variables, signatures and derivations made with bittensor-wallet 4.0.1.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::PathBuf;

use adit_keys::{Format, Hotkey, KeyFile, Keypair, Password, Phrase, Secret, Seed, Signature, password};
use serde::Deserialize;

#[derive(Deserialize)]
struct Index {
    cases: Vec<Case>,
    password_variables: Vec<PasswordVariable>,
    signatures: Vec<Signed>,
    derivations: Vec<Derivation>,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    kind: String,
    format: String,
    password: Option<String>,
    expected: Expected,
    mnemonic: Option<String>,
    seed: Option<String>,
}

#[derive(Deserialize)]
struct Expected {
    ss58: String,
    public_key: String,
}

#[derive(Deserialize)]
struct PasswordVariable {
    path: String,
    variable: String,
    value: String,
    password: String,
}

#[derive(Deserialize)]
struct Signed {
    signer: String,
    message_hex: String,
    signature: String,
    valid: bool,
}

#[derive(Deserialize)]
struct Derivation {
    mnemonic: Option<String>,
    uri: Option<String>,
    seed: Option<String>,
    ss58: String,
    public_key: String,
}

fn folder() -> PathBuf {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    std::env::var_os("ADIT_VECTORS").map_or_else(|| PathBuf::from(own), PathBuf::from).join("wallets")
}

fn index() -> Index {
    let path = folder().join("index.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn public_key(address: &Hotkey) -> String {
    format!("0x{}", hex::encode(address.as_bytes()))
}

#[test]
fn vectors_index_every_file_opens_to_its_key() {
    let cases = index().cases;
    assert!(!cases.is_empty(), "no cases");
    for case in &cases {
        let file = KeyFile::read(&folder().join(&case.file)).unwrap();
        let password = case.password.as_deref().map(|text| Password::new(text).unwrap());
        let format = match case.format.split([',', ' ']).next().unwrap() {
            "plain" => Format::Plain,
            "nacl" => Format::Nacl,
            "ansible" => Format::AnsibleVault,
            "legacy" => Format::Fernet,
            other => panic!("{}: unknown format {other}", case.file),
        };
        assert_eq!(file.format(), format, "{}", case.file);
        let address = if case.kind.ends_with("pub") {
            file.address().unwrap().unwrap()
        } else {
            let secret = file.open(password.as_ref()).unwrap();
            if let Some(phrase) = &case.mnemonic {
                assert_eq!(secret.phrase().unwrap().expose_words(), phrase, "{}", case.file);
            }
            if let Some(seed) = &case.seed {
                assert_eq!(secret.seed(), Some(&seed.parse().unwrap()), "{}", case.file);
            }
            secret.address()
        };
        assert_eq!(address.to_string(), case.expected.ss58, "{}", case.file);
        assert_eq!(public_key(&address), case.expected.public_key, "{}", case.file);
        if format == Format::Plain {
            assert_eq!(file.address().unwrap(), Some(address), "{}", case.file);
        } else {
            assert_eq!(file.address().unwrap(), None, "{}", case.file);
        }
    }
}

#[test]
fn vectors_index_password_variables_in_both_directions() {
    let variables = index().password_variables;
    assert!(!variables.is_empty(), "no cases");
    for case in &variables {
        assert_eq!(password::variable(&case.path), case.variable);
        let plain = Password::new(case.password.as_str()).unwrap();
        assert_eq!(*password::encode(&case.variable, &plain), case.value);
        assert!(password::decode(&case.variable, &case.value).unwrap() == plain);
    }
}

#[test]
fn vectors_index_signatures() {
    let signatures = index().signatures;
    assert!(!signatures.is_empty(), "no cases");
    for case in &signatures {
        let message = hex::decode(&case.message_hex).unwrap();
        let signer: Hotkey = case.signer.parse().unwrap();
        let signature: Signature = case.signature.parse().unwrap();
        assert_eq!(signature.verifies_bare_or_wrapped(&message, &signer), case.valid, "{}", case.signature);
    }
}

#[test]
fn vectors_index_derivations() {
    let derivations = index().derivations;
    assert!(!derivations.is_empty(), "no cases");
    for case in &derivations {
        let pair = match (&case.mnemonic, &case.uri) {
            (Some(phrase), None) => {
                let phrase: Phrase = phrase.parse().unwrap();
                let seed: Seed = case.seed.as_ref().unwrap().parse().unwrap();
                assert_eq!(phrase.seed(""), seed);
                assert_eq!(Secret::from_seed(seed).address(), Secret::from_phrase(phrase).address());
                Keypair::from_uri(case.mnemonic.as_ref().unwrap()).unwrap()
            }
            (None, Some(uri)) => Keypair::from_uri(uri).unwrap(),
            _ => panic!("neither a mnemonic nor a uri: {}", case.ss58),
        };
        assert_eq!(pair.hotkey().to_string(), case.ss58);
        assert_eq!(public_key(&pair.hotkey()), case.public_key);
    }
}

//! Key files as they should not be: each fault is told apart, names the file and quotes nothing of it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::{Path, PathBuf};

use adit_keys::{Format, Hotkey, KeyFile, KeyFileError, Keypair, Password, Secret};

const SEED: &str = "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const PHRASE: &str = "inject float sword latin aerobic need gallery defense firm kind ketchup grass";

fn vector(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/wallets").join(file);
    std::fs::read(path).unwrap()
}

fn written(content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, content).unwrap();
    (folder, file)
}

fn open(content: impl AsRef<[u8]>, password: Option<&str>) -> Result<Secret, KeyFileError> {
    let (_kept, file) = written(content);
    let password = password.map(|text| Password::new(text).unwrap());
    let result = KeyFile::read(&file)?.open(password.as_ref());
    if let Err(error) = &result {
        let told = format!("{error} {error:?} {:?}", error.hint());
        assert!(told.contains(file.to_str().unwrap()), "does not name the file: {told}");
        for secret in ["e5be9a50", "inject", "float", "hunter2"] {
            assert!(!told.contains(secret), "quotes a secret: {told}");
        }
        assert!(error.hint().is_some(), "says nothing to do: {told}");
        assert_eq!(error.path(), file);
    }
    result
}

fn address_of(content: &str) -> String {
    open(content, None).unwrap().address().to_string()
}

#[test]
fn the_phrase_comes_before_the_seed_and_the_seed_before_the_private_key() {
    let of_phrase = Keypair::from_uri(PHRASE).unwrap().hotkey().to_string();
    let of_private_key = "5EWcNTCUXLBwm8kMeg3aRUpT92xBCsxc3cRqQTS8cmbWbY2j";
    let private_key = "0x37b9f46af97a0ddae45c80d3655dc9f37ed57149c837cf8184625db0475e7e022883695f7465e166297fac7880b3a90628a7f5c8b0baf7f333cec4fb469e7d82";
    let all = |phrase: &str, seed: &str| {
        format!(r#"{{"privateKey":"{private_key}","secretSeed":{seed},"secretPhrase":{phrase}}}"#)
    };
    assert_eq!(address_of(&all(&format!("\"{PHRASE}\""), &format!("\"{SEED}\""))), of_phrase);
    for nothing in ["null", "\"\""] {
        assert_eq!(address_of(&all(nothing, &format!("\"{SEED}\""))), ALICE);
        assert_eq!(address_of(&all(nothing, nothing)), of_private_key);
    }
}

#[test]
fn unknown_fields_escapes_and_blanks_are_read_over() {
    let content = format!(
        "\n {{\"x\":[1,{{}}],\"secretSeed\":\"{}\",\"ss58Address\":\"{ALICE}\",\"version\":2}}\n",
        SEED.replace('e', "\\u0065")
    );
    assert_eq!(address_of(&content), ALICE);
}

#[test]
fn an_address_of_another_key_is_refused() {
    let other = Keypair::generate().hotkey();
    let error = open(format!(r#"{{"secretSeed":"{SEED}","ss58Address":"{other}"}}"#), None).unwrap_err();
    assert!(matches!(error, KeyFileError::Mismatch { address, .. } if address == other));
}

#[test]
fn a_public_file_signs_nothing() {
    let content = format!(r#"{{"ss58Address":"{ALICE}"}}"#);
    assert!(matches!(open(&content, None).unwrap_err(), KeyFileError::NoSecret { .. }));
    let (_kept, file) = written(content);
    assert_eq!(KeyFile::read(&file).unwrap().address().unwrap().unwrap().to_string(), ALICE);
}

#[test]
fn an_address_comes_from_whatever_is_there() {
    let alice: Hotkey = ALICE.parse().unwrap();
    for content in [
        format!(r#"{{"publicKey":"0x{}"}}"#, hex::encode(alice.as_bytes())),
        format!(r#"{{"ss58Address":null,"secretSeed":"{SEED}"}}"#),
    ] {
        let (_kept, file) = written(content);
        assert_eq!(KeyFile::read(&file).unwrap().address().unwrap(), Some(alice));
    }
}

#[test]
fn half_written_json_is_cut_short_at_any_length() {
    let whole = format!(r#"{{"secretSeed":"{SEED}","ss58Address":"{ALICE}"}}"#);
    for length in 0..whole.len() {
        let error = open(&whole[..length], None).unwrap_err();
        assert!(matches!(error, KeyFileError::Truncated { .. }), "{length}: {error:?}");
    }
    assert!(matches!(open("  \n", None).unwrap_err(), KeyFileError::Truncated { .. }));
}

#[test]
fn what_is_no_key_file_is_malformed() {
    let mistyped = PHRASE.replace("sword", "sward");
    for content in [
        SEED.to_owned(),
        format!("[\"{SEED}\"]"),
        format!(r#"{{"secretSeed": "{SEED}zz"}}"#),
        format!(r#"{{"secretSeed": 5, "x": "{SEED}"}}"#),
        format!(r#"{{"secretPhrase": "{mistyped}", "secretSeed": "{SEED}"}}"#),
        format!(r#"{{"privateKey": "{SEED}"}}"#),
        format!(r#"{{"privateKey": "0x{}"}}"#, "ff".repeat(64)),
        "{}".to_owned(),
        "\0\0\0\0".to_owned(),
        "\u{feff}{}".to_owned(),
        format!("${SEED}"),
    ] {
        let error = open(&content, None).unwrap_err();
        assert!(matches!(error, KeyFileError::Malformed { .. }), "{content}: {error:?}");
    }
    let error = open(format!(r#"{{"secretSeed":"{SEED}","ss58Address":"5Grw"}}"#), None).unwrap_err();
    assert!(matches!(error, KeyFileError::Address { .. }), "{error:?}");
}

#[test]
fn an_encrypted_file_without_a_password_says_so_at_once() {
    for (file, expected) in [
        ("dev0/coldkey", Format::Nacl),
        ("dev-vault/coldkey", Format::AnsibleVault),
        ("dev-fernet/coldkey", Format::Fernet),
    ] {
        let error = open(vector(file), None).unwrap_err();
        assert!(matches!(error, KeyFileError::NeedsPassword { format, .. } if format == expected));
    }
}

#[test]
fn a_wrong_password_is_said_for_each_encryption() {
    for file in ["dev0/coldkey", "dev-vault/coldkey", "dev-fernet/coldkey"] {
        let error = open(vector(file), Some("hunter2")).unwrap_err();
        assert!(matches!(error, KeyFileError::WrongPassword { .. }), "{file}: {error:?}");
    }
}

/// Only the cuts that show before the key is derived: deriving takes seconds.
#[test]
fn encrypted_files_that_end_in_their_header_are_cut_short() {
    for (file, lengths) in [
        ("dev0/coldkey", [5, 20, 44, 45]),
        ("dev-vault/coldkey", [14, 29, 200, 201]),
        ("dev-fernet/coldkey", [7, 40, 76, 301]),
    ] {
        for length in lengths {
            let error = open(&vector(file)[..length], Some("hunter2")).unwrap_err();
            assert!(matches!(error, KeyFileError::Truncated { .. }), "{file} {length}: {error:?}");
        }
    }
}

#[test]
fn damaged_texts_of_the_old_encryptions_are_malformed() {
    for content in ["$ANSIBLE_VAULT;1.1;AES\n00", "$ANSIBLE_VAULT;1.1;AES256\nzz", "gAAAAA!!"] {
        let error = open(content, Some("hunter2")).unwrap_err();
        assert!(matches!(error, KeyFileError::Malformed { .. }), "{content}: {error:?}");
    }
    // A cut after a whole byte of the last text shows only in the check of the whole.
    let mut vault = vector("dev-vault/coldkey").trim_ascii().to_vec();
    vault.truncate(vault.len() - 4);
    assert!(matches!(open(vault, Some("x")).unwrap_err(), KeyFileError::WrongPassword { .. }));
}

#[test]
fn what_is_no_file_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(KeyFile::read(folder.path()), Err(KeyFileError::NotAFile { what: "a directory", .. })));
    assert!(matches!(KeyFile::read(Path::new("/dev/null")), Err(KeyFileError::NotAFile { .. })));
    assert!(matches!(KeyFile::read(&folder.path().join("x")), Err(KeyFileError::Missing { .. })));
    let (_kept, file) = written(vec![b' '; 64 * 1024 + 1]);
    assert!(matches!(KeyFile::read(&file), Err(KeyFileError::TooLarge { .. })));
}

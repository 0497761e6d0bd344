//! `adit wallet`, with good wallets and with every bad one that an operator brings.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use adit_keys::{Hotkey, Password, Wallet, password};
use serde_json::Value;

use crate::foreign_clips::python;
use crate::process::{finish, finish_reading, program, run, shown};

const WORDS: &str = "inject float sword latin aerobic need gallery defense firm kind ketchup grass";
/// The address of those words.
const ADDRESS: &str = "5E1ozDjzPAFdTepz7oTtouKwbzRZZ6DAuN3hKRWkbjkuLA92";
/// The password of the wallet `dev-vault`, whose key is derived in no time.
const VAULT_PASSWORD: &str = "pässwörd-2 ✓";

/// A copy of the wallets that bittensor-wallet made (crates/keys/tests/vectors/wallets), to spoil.
struct Wallets {
    folder: tempfile::TempDir,
}

impl Wallets {
    fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn with(names: &[&str]) -> Self {
        let wallets = Self::empty();
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../keys/tests/vectors/wallets");
        for name in names {
            copy(&vectors.join(name), &wallets.path().join(name));
        }
        wallets
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, file: &str) -> PathBuf {
        self.path().join(file)
    }

    fn write(&self, file: &str, content: &str) -> PathBuf {
        let path = self.file(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// `adit wallet <command>` of these wallets.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program("adit");
        command.arg("wallet").args(arguments).env("BITTENSOR_WALLET_PATH", self.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        finish(&mut self.command(arguments))
    }

    /// What is printed, with the folder's name taken out.
    fn shown(&self, output: &Output) -> String {
        shown(output).replace(self.path().to_str().unwrap(), "[WALLETS]")
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::write(&to, std::fs::read(&from).unwrap()).unwrap();
            std::fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", shown(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn wallet_help() {
    insta::assert_snapshot!(shown(&run("adit", &["wallet", "--help"])));
}

#[test]
fn wallet_help_of_new_coldkey() {
    insta::assert_snapshot!(shown(&run("adit", &["wallet", "new-coldkey", "--help"])));
}

#[test]
fn wallet_help_of_regen_hotkey() {
    insta::assert_snapshot!(shown(&run("adit", &["wallet", "regen-hotkey", "--help"])));
}

#[test]
fn wallet_list() {
    let wallets = Wallets::with(&["dev0", "dev1", "dev-vault"]);
    insta::assert_snapshot!(wallets.shown(&wallets.run(&["list"])));
}

#[test]
fn wallet_list_goes_on_behind_what_is_damaged() {
    let wallets = Wallets::with(&["dev1", "dev-fernet"]);
    wallets.write("dev1/hotkeys/half", r#"{"secretSeed":"0xe5be9a5092b8"#);
    wallets.write("dev1/hotkeys/onlypub.txt", &format!(r#"{{"ss58Address":"{ADDRESS}"}}"#));
    std::fs::create_dir(wallets.file("dev1/hotkeys/folder")).unwrap();
    wallets.write("odd/coldkeypub.txt", "5F…");
    std::fs::create_dir(wallets.file("new")).unwrap();
    insta::assert_snapshot!(wallets.shown(&wallets.run(&["list"])));
}

#[test]
fn wallet_list_as_json() {
    let wallets = Wallets::with(&["dev1"]);
    std::fs::remove_file(wallets.file("dev1/coldkey")).unwrap();
    let list = json(&wallets.run(&["list", "--json"]));
    let wallet = &list["wallets"][0];
    assert_eq!(wallet["coldkey"]["address"], "5EeKkjD3BtB14ho1t1SZq31NMXbpoyyxxPb8B8HYsi6vxzR5");
    assert_eq!(wallet["coldkey_present"], false);
    assert_eq!(wallet["hotkeys"][0]["name"], "default");
}

#[test]
fn wallet_list_of_nothing() {
    let wallets = Wallets::empty();
    insta::assert_snapshot!(wallets.shown(&wallets.run(&["list"])));
    let nowhere = run("adit", &["wallet", "list", "-p", "/nowhere/wallets"]);
    insta::assert_snapshot!("wallet_list_of_nowhere", shown(&nowhere));
}

#[test]
fn wallet_show() {
    let wallets = Wallets::with(&["dev0"]);
    let output = wallets.run(&["show", "--wallet.name", "dev0"]);
    insta::assert_snapshot!(wallets.shown(&output));
}

#[test]
fn wallet_show_of_a_miners_host_finds_nothing_wrong() {
    let wallets = Wallets::with(&["dev0"]);
    std::fs::remove_file(wallets.file("dev0/coldkey")).unwrap();
    let output = wallets.run(&["show", "--name", "dev0", "-H", "derived"]);
    insta::assert_snapshot!(wallets.shown(&output));
}

#[test]
fn wallet_show_of_what_is_damaged() {
    let wallets = Wallets::with(&["dev1"]);
    let hotkey = wallets.write("dev1/hotkeys/default", r#"{"secretSeed":"0xe5be9a5092b8"#);
    std::fs::set_permissions(hotkey, Permissions::from_mode(0o644)).unwrap();
    wallets.write("dev1/coldkeypub.txt", "");
    let output = wallets.run(&["show", "--wallet-name", "dev1"]);
    insta::assert_snapshot!(wallets.shown(&output));
}

#[test]
fn wallet_show_of_no_wallet() {
    let wallets = Wallets::empty();
    insta::assert_snapshot!(wallets.shown(&wallets.run(&["show"])));
}

#[test]
fn wallet_names_come_from_every_spelling_of_the_settings() {
    let wallets = Wallets::with(&["dev0"]);
    let mut command = program("adit");
    command.args(["wallet", "show", "--json"]).env("BT_WALLET_PATH", wallets.path());
    command.env("BT_WALLET_NAME", "dev0").env("BT_WALLET_HOTKEY", "seed");
    let shown = json(&finish(&mut command));
    assert_eq!(shown["hotkey"]["address"], "5HeLavRfsSm7YTWuWqTopwdGusYbtWH4nhkqjYY5SffrNJRm");
}

#[test]
fn wallet_signatures_verify_and_others_do_not() {
    let wallets = Wallets::with(&["dev0"]);
    let arguments = ["sign", "--wallet.name", "dev0", "--use-hotkey", "--message", "0x68656c6c6f"];
    let signed = wallets.run(&arguments);
    assert!(signed.status.success(), "{}", shown(&signed));
    let signature = String::from_utf8(signed.stdout).unwrap();
    let address = "5FL3Zhq3D4fpStEABq6B8fBvJZD5tT3Xchg2Zdf6Vy4mL22c";
    let verify = |message: &str| {
        let arguments = ["verify", "--signature", signature.trim(), "--ss58", address, "--message", message];
        wallets.run(&arguments)
    };
    insta::assert_snapshot!("wallet_verify_valid", shown(&verify("hello")));
    insta::assert_snapshot!("wallet_verify_not_valid", shown(&verify("hallo")));
    let bare = signature.trim().trim_start_matches("0x");
    let output = wallets.run(&["verify", "--signature", bare, "--ss58", address, "--message", "hello"]);
    assert!(output.status.success(), "btcli prints no 0x: {}", shown(&output));
}

#[test]
fn wallet_signs_the_bytes_of_stdin() {
    let wallets = Wallets::with(&["dev0"]);
    let message = wallets.write("message", "0x68\n");
    let mut command = wallets.command(&["sign", "--wallet.name", "dev0", "--json"]);
    let signed = json(&finish_reading(&mut command, File::open(message).unwrap()));
    assert_eq!(signed["message_hex"], hex::encode("0x68\n"));
    let signature: adit_keys::Signature = signed["signature"].as_str().unwrap().parse().unwrap();
    let signer: Hotkey = signed["ss58"].as_str().unwrap().parse().unwrap();
    assert!(signature.verifies(b"0x68\n", &signer));
}

#[test]
fn wallet_new_coldkey_needs_a_place_for_its_words() {
    let wallets = Wallets::empty();
    insta::assert_snapshot!(wallets.shown(&wallets.run(&["new-coldkey"])));
    insta::assert_snapshot!("wallet_new_coldkey_needs_a_password", {
        wallets.shown(&wallets.run(&["new-coldkey", "--json"]))
    });
    assert_eq!(std::fs::read_dir(wallets.path()).unwrap().count(), 0);
}

#[test]
fn wallet_new_coldkey_is_encrypted_under_the_password_of_the_file() {
    let wallets = Wallets::empty();
    let file = wallets.write("password", "hunter2\n");
    let arguments = ["new-coldkey", "--json", "--n_words", "24", "--password-file", file.to_str().unwrap()];
    let made = json(&wallets.run(&arguments));
    let words = made["mnemonic"].as_str().unwrap();
    assert_eq!(words.split(' ').count(), 24);
    let wallet = Wallet::new(wallets.path(), "default", "default").unwrap();
    let secret = wallet.open_coldkey(Some(&Password::new("hunter2").unwrap())).unwrap();
    assert_eq!(secret.phrase().unwrap().expose_words(), words);
    assert_eq!(made["address"], secret.address().to_string());
    assert_eq!(made["encrypted"], true);
}

#[test]
fn wallet_new_hotkey_is_plain_and_is_not_replaced() {
    let wallets = Wallets::empty();
    let output = wallets.run(&["new-hotkey", "--wallet.name", "main", "--wallet.hotkey", "m1"]);
    let wallet = Wallet::new(wallets.path(), "main", "m1").unwrap();
    let address = wallet.open_hotkey(None).unwrap().address().to_string();
    insta::assert_snapshot!(wallets.shown(&output).replace(&address, "[ADDRESS]"));
    let again = wallets.run(&["new_hotkey", "--wallet_name", "main", "--wallet_hotkey", "m1"]);
    insta::assert_snapshot!("wallet_new_hotkey_again", wallets.shown(&again));
    assert_eq!(wallet.hotkey_address().unwrap().to_string(), address);
}

#[test]
fn wallet_regen_reads_the_words_from_a_pipe() {
    let wallets = Wallets::empty();
    let words = wallets.write("words", &format!("{}\n", WORDS.replace(' ', "\n")));
    let mut command = wallets.command(&["regen-coldkey", "--no-use-password"]);
    let output = finish_reading(&mut command, File::open(words).unwrap());
    insta::assert_snapshot!(wallets.shown(&output));
    assert!(shown(&output).contains(ADDRESS));
}

#[test]
fn wallet_regen_takes_words_and_seeds_as_arguments() {
    let wallets = Wallets::empty();
    let seed = "0x310f7364ffbb49f6fa19a6e55b47a5a0bfeb54d97fe44a884245be8901c0f88a";
    let words: Vec<_> = WORDS.split(' ').collect();
    for given in
        [&[&["--mnemonic"], words.as_slice()].concat(), &vec!["--mnemonic", WORDS], &vec!["--seed", seed]]
    {
        let arguments = [&["regen-hotkey", "--overwrite", "--json"], given.as_slice()].concat();
        assert_eq!(json(&wallets.run(&arguments))["address"], ADDRESS, "{arguments:?}");
    }
}

#[test]
fn wallet_regen_says_which_word_is_mistyped() {
    let wallets = Wallets::empty();
    let mistyped = WORDS.replace("latin", "latein");
    insta::assert_snapshot!(wallets.shown(&wallets.run(&["regen-hotkey", "--mnemonic", &mistyped])));
    insta::assert_snapshot!("wallet_regen_of_nothing", wallets.shown(&wallets.run(&["regen-hotkey"])));
}

/// Signs with a key that cannot be used as it is.
fn sign(wallets: &Wallets, arguments: &[&str]) -> String {
    wallets.shown(&wallets.run(&[&["sign", "--message", "m"], arguments].concat()))
}

const VAULT: [&str; 3] = ["--coldkey", "--wallet.name", "dev-vault"];

#[test]
fn wallet_without_the_password_of_an_encrypted_key() {
    insta::assert_snapshot!(sign(&Wallets::with(&["dev-vault"]), &VAULT));
}

#[test]
fn wallet_with_a_wrong_password() {
    let wallets = Wallets::with(&["dev-vault"]);
    let file = wallets.write("password", "hunter2\n");
    let arguments = [&VAULT[..], &["--password-file", file.to_str().unwrap()]].concat();
    insta::assert_snapshot!(sign(&wallets, &arguments));
}

#[test]
fn wallet_with_the_right_password_in_a_file_or_btclis_variable() {
    let wallets = Wallets::with(&["dev-vault"]);
    let arguments = [&["sign", "--message", "m"], &VAULT[..]].concat();
    let file = wallets.write("password", VAULT_PASSWORD);
    let output = finish(wallets.command(&arguments).env("ADIT_WALLET_PASSWORD_FILE", &file));
    assert!(output.status.success(), "{}", shown(&output));
    let name = password::variable(wallets.file("dev-vault/coldkey").to_str().unwrap());
    let value = password::encode(&name, &Password::new(VAULT_PASSWORD).unwrap());
    let output = finish(wallets.command(&arguments).env(&name, value.as_str()));
    assert!(output.status.success(), "{}", shown(&output));
    let plain = finish(wallets.command(&arguments).env(&name, VAULT_PASSWORD));
    let text = wallets.shown(&plain).replace(&name, "[VARIABLE]");
    insta::assert_snapshot!("wallet_with_a_plain_password_in_btclis_variable", text);
}

#[test]
fn wallet_with_a_half_written_key() {
    let wallets = Wallets::with(&["dev0"]);
    wallets.write("dev0/hotkeys/default", r#"{"secretSeed":"0xe5be9a5092b8"#);
    insta::assert_snapshot!(sign(&wallets, &["--wallet.name", "dev0"]));
}

#[test]
fn wallet_with_a_damaged_key() {
    let wallets = Wallets::with(&["dev0"]);
    wallets.write("dev0/hotkeys/default", "0xe5be9a5092b8");
    insta::assert_snapshot!(sign(&wallets, &["--wallet.name", "dev0"]));
}

#[test]
fn wallet_with_a_directory_as_a_key() {
    let wallets = Wallets::empty();
    std::fs::create_dir_all(wallets.file("default/hotkeys/default")).unwrap();
    insta::assert_snapshot!(sign(&wallets, &[]));
}

#[test]
fn wallet_with_no_key() {
    insta::assert_snapshot!(sign(&Wallets::empty(), &[]));
}

#[test]
fn wallet_with_a_name_that_is_none() {
    insta::assert_snapshot!(sign(&Wallets::empty(), &["--wallet.name", "../other"]));
}

#[test]
fn wallet_with_a_key_that_everybody_can_read_signs_and_warns() {
    let wallets = Wallets::with(&["dev0"]);
    std::fs::set_permissions(wallets.file("dev0/hotkeys/default"), Permissions::from_mode(0o644)).unwrap();
    let output = wallets.run(&["sign", "--wallet.name", "dev0", "--message", "m"]);
    let signature = String::from_utf8(output.stdout.clone()).unwrap();
    insta::assert_snapshot!(wallets.shown(&output).replace(signature.trim(), "[SIGNATURE]"));
}

#[test]
fn wallet_with_a_coldkeypub_of_another_coldkey() {
    let wallets = Wallets::with(&["dev-vault"]);
    wallets.write("dev-vault/coldkeypub.txt", &format!(r#"{{"ss58Address":"{ADDRESS}"}}"#));
    let file = wallets.write("password", VAULT_PASSWORD);
    let arguments = [&VAULT[..], &["--password-file", file.to_str().unwrap()]].concat();
    insta::assert_snapshot!(sign(&wallets, &arguments));
}

/// The answer is typed in the very moment in which the question is seen: it must be neither lost nor shown.
#[test]
fn a_password_that_is_typed_at_once_is_taken_and_not_shown() {
    let Some(python) = python() else { return };
    let wallets = Wallets::with(&["dev-vault"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/on_a_terminal.py");
    let sign = wallets.command(&["sign", "--coldkey", "--wallet.name", "dev-vault", "--message", "hello"]);
    let mut on_terminal = Command::new(python);
    on_terminal
        .arg(script)
        .args(["Password of", VAULT_PASSWORD])
        .arg(sign.get_program())
        .args(sign.get_args());
    on_terminal.env_clear().envs(sign.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = finish(&mut on_terminal);
    let text = shown(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("0x") && !text.contains(VAULT_PASSWORD), "{text}");
}

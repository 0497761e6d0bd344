//! Files that we write open in PyPI's bittensor-wallet, and those that it writes open here.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed unwrap fails the test, a skip says why"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use adit_keys::{Overwrite, Password, Protection, Secret, Wallet, WordCount, password};
use serde_json::Value;

const PASSWORD: &str = "pä ss-✓";

/// Opens what is in the folder, and writes a wallet `theirs` beside it. The password of our coldkey
/// comes in the package's own environment variable.
const SCRIPT: &str = r#"
import json, sys
from bittensor_wallet import Keypair, Wallet
folder, password = sys.argv[1], sys.argv[2]

def shown(pair):
    return {"ss58": pair.ss58_address, "signature": "0x" + pair.sign("0x68656c6c6f").hex()}

found = {}
ours = Wallet(name="ours", hotkey="phrase", path=folder)
found["coldkey"] = shown(ours.get_coldkey())
found["coldkeypub"] = ours.coldkeypub.ss58_address
for hotkey in ("phrase", "seed", "uri"):
    wallet = Wallet(name="ours", hotkey=hotkey, path=folder)
    found[hotkey] = shown(wallet.get_hotkey())
    found[hotkey + "pub"] = wallet.hotkeypub.ss58_address

theirs = Wallet(name="theirs", hotkey="phrase", path=folder)
pair = Keypair.create_from_mnemonic(Keypair.generate_mnemonic(24))
theirs.set_coldkey(pair, encrypt=True, overwrite=False, coldkey_password=password)
theirs.set_coldkeypub(pair)
theirs.create_new_hotkey(n_words=12, use_password=False, overwrite=False, suppress=True)
value = theirs.coldkey_file.save_password_to_env(password)
found["theirs"] = {
    "coldkey": pair.ss58_address, "hotkey": theirs.hotkey.ss58_address,
    "variable": theirs.coldkey_file.env_var_name(), "value": value,
}
print(json.dumps(found))
"#;

/// The Python that `scripts/setup test` prepared, or `None` with a word about it.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("ADIT_TEST_PYTHON").map(PathBuf::from).filter(|path| path.exists());
    if python.is_none() {
        let missing =
            "skipped: ADIT_TEST_PYTHON names no Python with bittensor-wallet; `make test` sets it up";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{missing}");
        eprintln!("{missing}");
    }
    python
}

fn run(python: &Path, folder: &Path, password: (&str, &str)) -> Value {
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]).arg(folder).arg(PASSWORD).env("HOME", folder);
    command.env(password.0, password.1).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The package prints on stdout too; our line is the last.
    let stdout = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap_or_else(|e| panic!("{e}: {stdout}"))
}

#[test]
fn wallets_open_in_both_directions() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let named = |name, hotkey| Wallet::new(folder.path(), name, hotkey).unwrap();
    let secret_password = Password::new(PASSWORD).unwrap();
    let coldkey = Secret::generate(WordCount::TwentyFour);
    named("ours", "phrase")
        .store_coldkey(&coldkey, Protection::Nacl(&secret_password), Overwrite::No)
        .unwrap();
    let seed = Secret::generate(WordCount::Twelve).seed().unwrap().clone();
    let hotkeys = [
        ("phrase", Secret::generate(WordCount::Twelve)),
        ("seed", Secret::from_seed(seed)),
        ("uri", Secret::from_uri("//Alice/soft").unwrap()),
    ];
    for (name, secret) in &hotkeys {
        named("ours", *name).store_hotkey(secret, Protection::Plain, Overwrite::No).unwrap();
    }

    let ours = named("ours", "phrase");
    let variable = &ours.password_variables(&ours.coldkey_file())[0];
    let value = password::encode(variable, &secret_password);
    let found = run(&python, folder.path(), (variable, &value));
    for (name, secret) in hotkeys.iter().map(|(n, s)| (*n, s)).chain([("coldkey", &coldkey)]) {
        let address = secret.address();
        assert_eq!(found[name]["ss58"], address.to_string(), "{name}");
        assert_eq!(found[format!("{name}pub")], address.to_string(), "{name}");
        let signature: adit_keys::Signature = found[name]["signature"].as_str().unwrap().parse().unwrap();
        assert!(signature.verifies(b"hello", &address), "{name}");
    }

    let theirs = named("theirs", "phrase");
    let opened = theirs.open_coldkey(Some(&secret_password)).unwrap();
    assert_eq!(found["theirs"]["coldkey"], opened.address().to_string());
    let opened = theirs.open_hotkey(None).unwrap();
    assert_eq!(found["theirs"]["hotkey"], opened.address().to_string());
    assert!(opened.phrase().is_some());

    let variable = found["theirs"]["variable"].as_str().unwrap();
    assert!(theirs.password_variables(&theirs.coldkey_file()).iter().any(|name| name == variable));
    let value = found["theirs"]["value"].as_str().unwrap();
    assert!(password::decode(variable, value).unwrap() == secret_password);
}

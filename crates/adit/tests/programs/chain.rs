//! The commands that ask the chain or write to it, against a real runtime on loopback.

use std::path::Path;
use std::process::{Command, Output};

use adit_stand_in::local_chain::LocalChain;
use serde_json::{Value, json};

use crate::process::{finish, program, run, shown};

/// Runs `adit` with wallets in `folder` over `chain`.
fn adit(chain: &str, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = program("adit");
    command.args(arguments).env("BITTENSOR_WALLET_PATH", folder).env("BITTENSOR_SUBTENSOR_ENDPOINT", chain);
    finish(&mut command)
}

/// The same, which must succeed; its JSON.
fn answer(chain: &str, folder: &Path, arguments: &[&str]) -> Value {
    let output = adit(chain, folder, &[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", shown(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same, which must fail; what it says.
fn refused(chain: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = adit(chain, folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", shown(&output));
    String::from_utf8(output.stderr).unwrap()
}

/// Makes a wallet of one of the chain's accounts.
pub(crate) fn account(folder: &Path, name: &str, coldkey: &str, hotkey: &str) {
    for (kind, uri) in [("regen-coldkey", coldkey), ("regen-hotkey", hotkey)] {
        let uri = LocalChain::uri(uri);
        answer("local", folder, &["wallet", kind, "--wallet.name", name, "--no-password", "--uri", &uri]);
    }
}

/// What the Python SDK says, run by the Python that `scripts/setup test` prepared; `None` with a word
/// about it where there is none.
fn python_sdk(chain: &str, hotkey: &str) -> Option<Value> {
    let python = std::env::var_os("ADIT_TEST_SDK_PYTHON").filter(|path| Path::new(path).exists());
    let Some(python) = python else {
        let missing = "ADIT_TEST_SDK_PYTHON names no Python with bittensor; `make test` sets it up";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{missing}");
        eprintln!("skipped: {missing}");
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/sdk_reads.py");
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    // Nothing of this process's environment: the SDK has settings of its own.
    command.env_clear().env("HOME", home.path()).args([script, chain, hotkey]);
    let output = finish(&mut command);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let line = String::from_utf8(output.stdout).unwrap();
    Some(serde_json::from_str(line.lines().last().unwrap()).unwrap())
}

/// New wallet, money, registration, axon, commitment: all by Adit, each read back, and read alike by
/// Bittensor's own SDK.
#[test]
fn from_a_new_wallet_to_a_commitment_that_the_sdk_reads_too() {
    let Some(local) = LocalChain::start(&[]) else { return };
    let (chain, folder) = (local.url(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    account(folder, "bank", "//Alice", "//Stranger//hot");
    answer(chain, folder, &["wallet", "new-coldkey", "--wallet.name", "new", "--no-password"]);
    let new = ["--wallet.name", "new", "--netuid", "44"];
    let hotkey = answer(chain, folder, &["wallet", "new-hotkey", "--wallet.name", "new"]);
    let hotkey = hotkey["address"].as_str().unwrap().to_owned();

    let shown = answer(chain, folder, &["wallet", "show", "--wallet.name", "new"]);
    let coldkey = shown["coldkey"]["address"].as_str().unwrap().to_owned();
    let register = |more: &[&'static str]| [&["subnet", "register"], &new[..], more].concat();
    assert!(
        refused(chain, folder, &register(&["--yes"])).contains("has 0 TAO, and a registration costs 1 TAO")
    );
    let bank =
        ["wallet", "transfer", "--wallet.name", "bank", "--dest", &coldkey, "--amount", "2.5", "--yes"];
    assert_eq!(answer(chain, folder, &bank)["balance_of_receiver_rao"], 2_500_000_000_u64);

    let plan = answer(chain, folder, &register(&["--dry-run"]));
    assert!(
        plan["call"].as_str().unwrap().starts_with("SubtensorModule.burned_register(netuid: 44, hotkey: 5")
    );
    assert!(refused(chain, folder, &register(&[])).contains("--yes sends without asking"));
    assert!(refused(chain, folder, &register(&["--yes", "--max-cost", "0.5"])).contains("more than 0.5 TAO"));
    let done = answer(chain, folder, &register(&["--yes"]));
    assert_eq!((&done["uid"], &done["already"]), (&65.into(), &false.into()));
    let again = answer(chain, folder, &register(&["--yes"]));
    assert_eq!((&again["uid"], &again["already"]), (&65.into(), &true.into()));

    let axon =
        |ip: &'static str| [&["axon", "set"], &new[..], &["--ip", ip, "--port", "8001", "--yes"]].concat();
    assert!(refused(chain, folder, &axon("127.0.0.1")).contains("127.0.0.1 is refused by the chain"));
    assert_eq!(answer(chain, folder, &axon("198.51.100.200"))["already"], false);
    assert_eq!(answer(chain, folder, &axon("198.51.100.200"))["already"], true);
    assert!(refused(chain, folder, &axon("198.51.100.201")).contains("may not be again so soon"));
    let published = answer(chain, folder, &[&["axon", "show"], &new[..]].concat());
    assert_eq!(
        (&published["axon"]["ip"], &published["axon"]["port"]),
        (&"198.51.100.200".into(), &8001.into())
    );

    let commit = |text: &'static str| [&["commitment", "set", text, "--yes"], &new[..]].concat();
    answer(chain, folder, &commit("adit/model@1"));
    assert_eq!(answer(chain, folder, &commit("adit/model@1"))["already"], true);
    assert!(refused(chain, folder, &commit("adit/model@2")).contains("may not again so soon"));
    let committed = answer(chain, folder, &[&["commitment", "show"], &new[..]].concat());
    assert_eq!(committed["commitments"][0]["text"], "adit/model@1");

    let metagraph = answer(chain, folder, &["metagraph", "--netuid", "44"]);
    let ours = &metagraph["neurons"][65];
    assert_eq!((&ours["hotkey"], &ours["axon"]["port"]), (&hotkey.as_str().into(), &8001.into()));

    let Some(sdk) = python_sdk(chain, &hotkey) else { return };
    assert_eq!(sdk["uid"], 65);
    assert_eq!(sdk["coldkey"], coldkey);
    assert_eq!((&sdk["axon"]["ip"], &sdk["axon"]["port"]), (&"198.51.100.200".into(), &8001.into()));
    assert_eq!(sdk["commitment"], "adit/model@1");
    assert_eq!(sdk["balance_rao"], 1_500_000_000_u64);
    let neurons = metagraph["neurons"].as_array().unwrap().iter();
    let neurons: Vec<_> =
        neurons.map(|neuron| json!([neuron["uid"], neuron["hotkey"], neuron["coldkey"]])).collect();
    assert_eq!(sdk["neurons"], Value::from(neurons));
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_sent() {
    let Some(local) = LocalChain::start(&[]) else { return };
    let (chain, folder) = (local.url(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    account(folder, "poor", "//Poor", "//Stranger//hot");
    account(folder, "miner", "//Miner", "//Miner//hot");
    // On subnet 44 only, so that 34 is open to it.
    account(folder, "thief", "//Newcomer", "//Fleet//20");
    let say = |arguments: &[&str]| refused(chain, folder, arguments);

    let poor = ["--wallet.name", "poor", "--netuid", "44", "--yes"];
    let text = say(&[&["subnet", "register"], &poor[..]].concat());
    assert!(text.contains("has 0.0000005 TAO") && text.contains("hint: send TAO to it"), "{text}");
    let text = say(&[&["axon", "set", "--ip", "198.51.100.9"], &poor[..]].concat());
    assert!(
        text.contains("is not registered on subnet 44") && text.contains("adit subnet register"),
        "{text}"
    );
    let text = say(&[&["commitment", "set", "x"], &poor[..]].concat());
    assert!(text.contains("is not registered on subnet 44"), "{text}");
    let text = say(&["subnet", "register", "--wallet.name", "thief", "--netuid", "34", "--yes"]);
    assert!(text.contains("belongs to another coldkey") && text.contains("adit wallet new-hotkey"), "{text}");

    let text = say(&["subnet", "show", "--netuid", "9"]);
    assert!(text.contains("there is no subnet 9") && text.contains("hint: "), "{text}");
    let miner = ["--wallet.name", "miner", "--netuid", "44", "--yes"];
    let long = "x".repeat(129);
    let text = say(&[&["commitment", "set", &long], &miner[..]].concat());
    assert!(text.contains("129 bytes") && text.contains("--blocks-until-reveal"), "{text}");
    let text = say(&[&["commitment", "set", "sealed", "--blocks-until-reveal", "1"], &miner[..]].concat());
    assert!(text.contains("does not take these arguments for Commitments.set_commitment"), "{text}");
    let text =
        say(&["commitment", "show", "--wallet.name", "miner", "--await-reveal", "never", "--within", "1"]);
    assert!(text.contains("has not revealed that text") && text.contains("revealed-miner"), "{text}");
    let found = ["commitment", "show", "--wallet.name", "miner", "--await-reveal", "revealed-miner"];
    assert_eq!(answer(chain, folder, &found)["commitments"][0]["revealed"][0]["block"], 51);
}

#[test]
fn a_chain_that_is_away_is_named_with_what_to_do() {
    let output = run("adit", &["metagraph", "--network", "ws://127.0.0.1:1"]);
    insta::assert_snapshot!(shown(&output));
    let output = run("adit", &["metagraph", "--network", "mainnet"]);
    insta::assert_snapshot!(shown(&output));
}

#[test]
fn help_of_adit() {
    insta::assert_snapshot!(shown(&run("adit", &["--help"])));
}

#[test]
fn help_of_subnet_register() {
    insta::assert_snapshot!(shown(&run("adit", &["subnet", "register", "--help"])));
}

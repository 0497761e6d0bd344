//! The commands that ask Chutes, and a chute.

use std::fs;

use adit_journal::record::Rehearsed;
use adit_stand_in::chutes::{Call, Fault, Predict};
use adit_stand_in::hub;
use serde_json::json;

use super::{KEY, REPOSITORY, World, chute_name};
use crate::chain::account;
use crate::process::{finish, program};

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn the_slug_is_the_one_that_chutes_gave() {
    let world = World::new().await;
    world.hub.repository(REPOSITORY, false);
    let commit = world.hub.commit(REPOSITORY, &[("README.md", b"# A model\n")]);
    let guess = format!("miner-{}", chute_name(&commit));
    world.chutes.take_slug(&guess);
    let (commit, id) = {
        let id = world.chutes.chute("miner", &chute_name(&commit), "# a script\n");
        (commit, id)
    };
    let slug = world.chutes.slug(&id).unwrap();
    assert!(slug.starts_with(&guess) && slug != guess, "{slug}");
    for revision in ["main", &commit] {
        let (stdout, _) = world.sv(0, &["chute-slug", "--revision", revision]);
        assert_eq!(stdout, format!("Slug: {slug}\nID: {id}\n"));
    }
    let said = world.json(0, &["chute-slug", "--revision", "main"]);
    assert_eq!(said, json!({"slug": slug, "id": id, "guessed": false}));
    // A guess asks nobody.
    let away = [("HF_ENDPOINT", NOWHERE), ("CHUTES_MINERS_ENDPOINT", NOWHERE), ("CHUTES_API_KEY", "")];
    let (stdout, _) = world.sv_with(0, &["chute-slug", "--revision", &commit, "--guess"], &away);
    assert_eq!(stdout, format!("Slug: {guess}\nID: None\n"));

    let mut seen = String::new();
    world.show(&mut seen, &["chute-slug", "--revision", "main", "--guess"], &[]);
    world.show(&mut seen, &["chute-slug", "--revision", "v2"], &[]);
    world.show(&mut seen, &["chute-slug", "--revision", &"0".repeat(40)], &[]);
    world.show(&mut seen, &["chute-slug", "--revision", "main"], &[("CHUTES_USERNAME", "")]);
    world.show(&mut seen, &["chute-slug", "--revision", "main"], &[("HF_USER", "nobody")]);
    insta::assert_snapshot!(seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chute_goes_with_its_image() {
    let world = World::new().await;
    let (commit, id) = world.deployed();
    let mut seen = String::new();
    world.show(&mut seen, &["delete-chute", "--revision", "main"], &[]);
    assert!(world.chutes.slug(&id).is_some());
    world.show(&mut seen, &["delete-chute", "--revision", &commit, "--yes"], &[]);
    assert!(world.chutes.slug(&id).is_none());
    assert_eq!(world.chutes.times(Call::DeleteImage), 1);
    world.show(&mut seen, &["delete-chute", "--revision", &commit, "--yes"], &[]);
    insta::assert_snapshot!(seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_of_an_instance_and_of_a_revision() {
    let world = World::new().await;
    let (_, id) = world.deployed();
    let instance = world.chutes.instance(&id).unwrap();
    world.chutes.write(&instance, "[TurboVision] Loading HuggingFace Repository");
    world.chutes.write(&instance, "Traceback (most recent call last):");
    let all = "loading the model\n[TurboVision] Loading HuggingFace Repository\nTraceback (most recent call last):\n";
    let (stdout, _) = world.sv(0, &["chute-logs", "--revision", "main", "--no-follow"]);
    assert_eq!(stdout, all);
    let (stdout, _) =
        world.sv(0, &["chute-logs", "--instance-id", &instance, "--backfill", "1", "--seconds", "1"]);
    assert_eq!(stdout, "Traceback (most recent call last):\n");

    let mut seen = String::new();
    world.show(&mut seen, &["chute-logs"], &[]);
    world.show(&mut seen, &["chute-logs", "--instance-id", "0a1b2c3d", "--no-follow"], &[]);
    world.chutes.account("other", Some(&KEY.replace("abc", "xyz")), None);
    let other = [("CHUTES_API_KEY", &*KEY.replace("abc", "xyz"))];
    let (_, stderr) = world.sv_with(1, &["chute-logs", "--instance-id", &instance, "--no-follow"], &other);
    seen += &format!("another account's key:\n{}\n", world.named(&stderr));
    world.chutes.end_instance(&instance);
    world.show(&mut seen, &["chute-logs", "--revision", "main", "--no-follow"], &[]);
    insta::assert_snapshot!(seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_made_and_its_chutes_listed() {
    let world = World::new().await;
    let wallets = world.path("wallets");
    account(&wallets, "default", "//Newcomer", "//Newcomer//hot");
    let mut fresh = program("adit");
    fresh.args(["wallet", "new-hotkey", "--wallet.hotkey", "fresh"]).env("BITTENSOR_WALLET_PATH", &wallets);
    assert!(finish(&mut fresh).status.success());
    let mut seen = String::new();
    let named =
        |name| ["chutes", "register", "--wallet.hotkey", "fresh", "--token", "secret", "--username", name];
    let register = named("new_one");
    world.show(&mut seen, &register, &[]);
    fs::remove_file(world.path("config.ini")).unwrap();
    world.show(&mut seen, &named("a b"), &[]);
    world.show(&mut seen, &["chutes", "register", "--username", "new_one", "--wallet.hotkey", "fresh"], &[]);
    // One of which only the key is known, as its wallet was made of a URI.
    world.show(&mut seen, &["chutes", "register", "--username", "new_one", "--token", "secret"], &[]);
    assert_eq!(world.chutes.times(Call::Register), 0);
    world.show(&mut seen, &named("miner"), &[]);
    world.chutes.plant(Call::Register, Fault::Refused(403, "Invalid registration token".to_owned()), 1);
    world.show(&mut seen, &register, &[]);
    assert!(!world.path("config.ini").exists());
    world.show(&mut seen, &register, &[]);
    let config = fs::read_to_string(world.path("config.ini")).unwrap_or_else(|_| panic!("{seen}"));
    assert!(config.contains("username = new_one") && config.contains("hotkey_seed = "), "{config}");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(world.path("config.ini")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    // By what was written, without a key.
    let keyless = [("CHUTES_API_KEY", ""), ("CHUTES_USERNAME", "new_one")];
    world.show(&mut seen, &["chutes", "list"], &keyless);
    world.deployed();
    world.show(&mut seen, &["chutes", "list"], &[]);
    world.show(&mut seen, &["chutes", "list", "--json"], &[]);
    insta::assert_snapshot!(seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_is_in_the_journal_without_what_its_url_may_hide() {
    let world = World::new().await;
    let (_, id) = world.deployed();
    world.sv(0, &["ping-chute", "--revision", "main", "--timeout", "5"]);
    let url = world.chutes.chute_url(&world.chutes.slug(&id).unwrap());
    world.chutes.predicts([Predict::Failed("CUDA out of memory".to_owned())]);
    world.sv(1, &["ping-chute", "--url", &url, "--timeout", "5"]);
    world.sv(1, &["ping-chute", "--url", &format!("{NOWHERE}/?token=hidden"), "--timeout", "2"]);
    // Where nothing can be recorded, the command does what it does.
    let nowhere = [("ADIT_DATA_DIR", "/dev/null/data")];
    world.sv_with(0, &["ping-chute", "--revision", "main", "--health-only"], &nowhere);
    let told: Vec<Rehearsed> = world.told("rehearsed");
    let shown: Vec<_> =
        told.iter().map(|told| (told.target.as_str(), told.passed, told.asked_times)).collect();
    assert_eq!(
        shown,
        [("the chute of revision main", true, 2), (&*url, false, 2), ("http://127.0.0.1:1/", false, 1)]
    );
    assert!(told[1].detail.as_ref().unwrap().contains("CUDA out of memory"), "{:?}", told[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_says_what_is_wrong() {
    let world = World::new().await;
    let (_, id) = world.deployed();
    let ping = ["ping-chute", "--revision", "main", "--timeout", "5"];
    let mut seen = String::new();
    world.show(&mut seen, &ping, &[]);
    world.chutes.predicts([Predict::Failed("CUDA out of memory".to_owned())]);
    world.show(&mut seen, &ping, &[]);
    world.chutes.predicts([Predict::Missing(745)]);
    world.show(&mut seen, &ping, &[]);
    let frame = |id: u32| json!({"frame_id": id, "boxes": [], "keypoints": []});
    let twice = [frame(0), frame(1), frame(1)];
    world.chutes.predicts([Predict::Json(json!({"success": true, "predictions": {"frames": twice}}))]);
    let url = world.chutes.chute_url(&world.chutes.slug(&id).unwrap());
    world.show(&mut seen, &["ping-chute", "--url", &url, "--n-frames", "3"], &[]);
    world.chutes.predicts([Predict::Json(json!({"success": true, "predictions": null}))]);
    world.show(&mut seen, &["ping-chute", "--url", &url, "--json"], &[]);
    world.chutes.predicts([Predict::Json(json!([1, 2]))]);
    world.show(&mut seen, &ping, &[]);
    world.chutes.health(json!({"status": "unhealthy: no weights", "model_loaded": false}));
    world.show(&mut seen, &ping, &[]);
    world.chutes.plant(Call::Health, Fault::Silent, 10);
    world.show(&mut seen, &["ping-chute", "--url", &url, "--timeout", "1"], &[]);
    world.show(&mut seen, &["ping-chute", "--url", NOWHERE, "--timeout", "2"], &[]);
    world.show(&mut seen, &["ping-chute"], &[]);
    // How long it took differs, and so does the port.
    let port = world.chutes.url().replace("http://", "");
    insta::assert_snapshot!(without_seconds(&seen.replace(&port, "<chutes>")));
}

fn without_seconds(text: &str) -> String {
    let mut rest = text;
    let mut seen = String::new();
    while let Some(at) = rest.find(" frames in ") {
        let (before, after) = rest.split_at(at + " frames in ".len());
        seen += before;
        seen.push('…');
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    }
    seen + rest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_says_what_validators_would() {
    let world = World::new().await;
    let (_, id) = world.deployed();
    let url = world.chutes.chute_url(&world.chutes.slug(&id).unwrap());
    let test = ["test-chute", "--url", &url, "--timeout", "5", "--json"];
    let score = |predict: Predict| {
        let code = if matches!(predict, Predict::Missing(3)) { 0 } else { 1 };
        world.chutes.predicts([predict]);
        let (stdout, _) = world.sv(code, &test);
        let said: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let round = &said["rounds"][0];
        let mut why = round["error"].as_str().map_or(String::new(), |error| format!("  error: {error}\n"));
        for gate in round["ranking"]["gates"].as_array().unwrap() {
            if gate["open"] == false {
                why +=
                    &format!("  {}: {}\n", gate["name"].as_str().unwrap(), gate["reason"].as_str().unwrap());
            }
        }
        (said["score"].as_f64().unwrap(), why)
    };
    let mut seen = String::new();
    let frame = |id: u32| json!({"frame_id": id, "boxes": [], "keypoints": []});
    for (name, answer) in [
        ("success is false", Predict::Failed("CUDA out of memory".to_owned())),
        (
            "a frame twice",
            Predict::Json(json!({"success": true, "predictions": {"frames": [frame(0), frame(0)]}})),
        ),
        // As many as that are allowed for; what is not there scores nothing.
        ("some frames are missing", Predict::Missing(3)),
        ("most frames are missing", Predict::Missing(10)),
        ("500", Predict::Status(500, "boom".to_owned())),
        ("400", Predict::Status(400, "bad frames".to_owned())),
    ] {
        let (score, why) = score(answer);
        seen += &format!("{name}: {score}\n{why}");
    }
    insta::assert_snapshot!(seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_written_whole_or_not_at_all() {
    let world = World::new().await;
    let first = world.hub.repository(REPOSITORY, true);
    let mut seen = String::new();
    world.show(&mut seen, &["generate-chute-script", "--revision", "main"], &[]);
    let script = fs::read_to_string(world.path("my_chute.py")).unwrap();
    assert!(script.contains(&format!("revision=\"{first}\"")), "{script}");
    let line = format!("chute = init_chute(username=\"miner\", name=\"{}\")", chute_name(&first));
    assert!(script.contains(&line), "{script}");

    let broken = world.path("broken");
    fs::create_dir(&broken).unwrap();
    for name in ["chute.py.j2", "schemas.py", "setup.py", "load.py"] {
        fs::write(broken.join(name), "{{ oops\n").unwrap();
    }
    let one = ["generate-chute-script", "--revision", "main"];
    let folder = broken.to_str().unwrap();
    world.show(&mut seen, &["generate-chute-script", "--revision", "v9"], &[]);
    world.show(&mut seen, &["generate-chute-script", "--revision", ".."], &[]);
    world.show(&mut seen, &["generate-chute-script"], &[]);
    world.show(&mut seen, &one, &[("HF_TOKEN", "")]);
    world.show(&mut seen, &one, &[("HF_USER", "nobody")]);
    world.show(&mut seen, &one, &[("CHUTES_USERNAME", "it\"s")]);
    world.show(&mut seen, &one, &[("PATH_CHUTE_TEMPLATES", folder)]);
    fs::write(broken.join("predict.py"), "").unwrap();
    world.show(&mut seen, &one, &[("PATH_CHUTE_TEMPLATES", folder)]);
    world.show(&mut seen, &[&one[..], &["--output", "no/such/folder.py"]].concat(), &[]);
    world.show(&mut seen, &[&one[..], &["--template", "broken/setup.py"]].concat(), &[]);
    world.show(&mut seen, &[&one[..], &["--template", "setup.py", "--template-sha256", "12"]].concat(), &[]);
    world.hub.plant(hub::Call::Info, hub::Fault::Page, 1);
    world.show(&mut seen, &one, &[]);
    insta::assert_snapshot!(seen);
    assert_eq!(fs::read_to_string(world.path("my_chute.py")).unwrap(), script);
}

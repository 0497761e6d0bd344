//! What Score and its validators publish: Manifest, elements, results; and what they refuse.

use std::fs;

use adit_stand_in::video_host::{Reply, VideoHost};
use serde_json::{Value, json};

use super::{MANIFEST, World, example};
use crate::deploy::HOTKEY;

#[tokio::test(flavor = "multi_thread")]
async fn what_validators_gave_is_shown() {
    let world = World::new().await;
    let host = VideoHost::start().await.unwrap();
    let line = |score: f64, more: Value| {
        let mut payload = json!({
            "element_id": "manak0/Detect-fire", "composite_score": score, "latency_pass": true, "p95_latency_ms": 41.5,
            "metrics": {"acc_breakdown": {"map50": 0.5}},
            "telemetry": {"miner": {"revision": "ab".repeat(20)}, "run": {"success": true, "error": null}},
        });
        for (key, value) in more.as_object().unwrap() {
            payload[key] = value.clone();
        }
        serde_json::to_vec(
            &json!([{"version": "1", "signature": "00", "hotkey": "5Val", "payload": payload}]),
        )
        .unwrap()
    };
    let place = |block: u32| format!("manak0_Detect-fire/{HOTKEY}/008087000/evaluation/{block:09}-a.json");
    let other = format!("manak0_Detect-fire/{}/evaluation/008088000-b.json", "5Other");
    let listed = json!([
        place(8_088_000),
        place(8_088_100),
        place(8_000_000),
        place(8_088_200),
        place(8_088_300),
        other
    ]);
    let index = host.serve("/manako/index.json", Reply::bytes(listed.to_string()));
    let failed =
        json!({"telemetry": {"miner": {}, "run": {"success": false, "error": "503 No instances available"}}});
    for (block, body) in [
        (8_000_000, line(0.9, json!({}))),
        (8_088_000, line(0.5, json!({}))),
        (8_088_100, line(0.25, json!({"latency_pass": false, "p95_latency_ms": 912.25}))),
        (8_088_200, line(0.0, failed)),
        (8_088_300, b"<html>".to_vec()),
    ] {
        host.serve(&format!("/manako/{}", place(block)), Reply::bytes(body));
    }
    let winners = host.serve("/winners/index.json", Reply::bytes(json!(["winners/100-a.json"]).to_string()));
    let won =
        json!({"winners": {"manak0/Detect-fire": {"winner_hotkey": HOTKEY}, "x": {"winner_hotkey": null}}});
    host.serve("/winners/100-a.json", Reply::bytes(won.to_string()));
    host.serve("/winners/winners/100-a.json", Reply::bytes(won.to_string()));
    let here = [("ADIT_RESULTS_URL", &*index), ("SCOREVISION_WINNERS_INDEX_URL", &*winners)];
    let ours = ["scores", "--ss58", HOTKEY];

    let mut seen = String::new();
    world.show(&mut seen, &ours, &here);
    world.show(&mut seen, &[&ours[..], &["--last", "1"]].concat(), &here);
    world.show(&mut seen, &[&ours[..], &["--element-id", "manak0/Detect-car"]].concat(), &here);
    let nowhere = host.url("/nothing.json");
    world.show(&mut seen, &ours, &[("ADIT_RESULTS_URL", &nowhere), here[1]]);
    let page = host.serve("/page.json", Reply::bytes("<!DOCTYPE html>"));
    world.show(&mut seen, &ours, &[("ADIT_RESULTS_URL", &page), here[1]]);
    world.show(&mut seen, &ours, &[("ADIT_RESULTS_URL", "results"), here[1]]);
    let address = host.address().to_string();
    insta::assert_snapshot!(seen.replace(&host.url(""), "<host>").replace(&address, "<host>"));

    // Who won is good to know and no more.
    let unknown = [here[0], ("SCOREVISION_WINNERS_INDEX_URL", &*nowhere)];
    let (stdout, stderr) = world.sv_with(0, &ours, &unknown);
    assert!(stdout.contains("0.2500   3  -\n") && stderr.contains("the winners"), "{stdout}{stderr}");

    let (stdout, _) = world.sv_with(0, &[&ours[..], &["--json"]].concat(), &here);
    let said: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&said["listed"], &said["elements"][0]["evaluations"]), (&5.into(), &3.into()), "{said:#}");
    assert_eq!((&said["elements"][0]["mean"], &said["elements"][0]["winning"]), (&0.25.into(), &true.into()));
    assert_eq!(said["evaluations"][0]["error"], "503 No instances available");
    assert_eq!(said["not_read"].as_array().unwrap().len(), 1, "{said:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_is_shown_listed_and_checked() {
    let world = World::new().await;
    let mut seen = String::new();
    world.show(&mut seen, &["manifest", "current"], &[]);
    world.show(&mut seen, &["elements"], &[]);
    world.show(&mut seen, &["elements", "list", "--json"], &[]);
    world.show(&mut seen, &["manifest", "list"], &[]);

    let host = VideoHost::start().await.unwrap();
    let index = host.serve(
        "/manifest/index.json",
        Reply::bytes(
            json!([format!("manifest/200-{}.yaml", "0".repeat(64)), "manifest/50-draft.yaml"]).to_string(),
        ),
    );
    host.serve(&format!("/manifest/200-{}.yaml", "0".repeat(64)), Reply::bytes(MANIFEST));
    let here = [("SCOREVISION_MANIFEST_PATH", ""), ("URL_MANIFEST", &*index)];
    world.show(&mut seen, &["manifest", "list"], &here);
    world.show(&mut seen, &["manifest", "list", "--json"], &here);
    world.show(&mut seen, &["manifest", "current"], &here);
    let page = host.serve("/page.json", Reply::bytes("<!DOCTYPE html>"));
    world.show(&mut seen, &["manifest", "current"], &[here[0], ("URL_MANIFEST", &page)]);
    world.show(&mut seen, &["manifest", "list"], &[here[0], ("URL_MANIFEST", &page)]);

    world.show(&mut seen, &["manifest", "validate", "manifest.yaml"], &[]);
    world.write("light.yaml", &MANIFEST.replace("0.6", "0.7"));
    world.show(&mut seen, &["manifest", "validate", "light.yaml"], &[]);
    world.write("odd.yaml", &MANIFEST.replace("expiry_block: 9000000", "expiry_block: soon"));
    world.show(&mut seen, &["manifest", "validate", "odd.yaml"], &[]);
    world.write("broken.yaml", "elements: [");
    world.show(&mut seen, &["manifest", "validate", "broken.yaml"], &[]);
    world.show(&mut seen, &["manifest", "validate", "none.yaml"], &[]);
    let key = "ab".repeat(32);
    world.show(&mut seen, &["manifest", "validate", "manifest.yaml", "--public-key", &key], &[]);
    world.show(&mut seen, &["manifest", "validate", "manifest.yaml", "--public-key", "xyz"], &[]);
    insta::assert_snapshot!(seen.replace(&host.url(""), "<host>"));

    let canonical = world.sv(0, &["manifest", "current", "--json"]).0;
    let parsed: Value = serde_json::from_str(&canonical).unwrap();
    assert_eq!(parsed["elements"][0]["id"], "manak0/Detect-fire");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_looked_at_before_it_is_uploaded() {
    let world = World::new().await;
    let mut seen = String::new();
    for file in ["miner.py", "chute_config.yml"] {
        fs::copy(example().join(file), world.path("model").join(file)).unwrap();
    }
    // The example has no weights.
    world.show(&mut seen, &["lint", "model"], &[]);
    world.write("model/model.onnx", "weights");
    world.show(&mut seen, &["lint", "model"], &[]);
    world.write("model/weights.pt", "not allowed everywhere");
    world.write("model/helper.py", "x = 1\n");
    let fire = ["lint", "model", "--element-id", "manak0/Detect-fire"];
    world.show(&mut seen, &fire, &[]);
    let said = world.json(1, &fire);
    assert_eq!(said["passed"], false);
    assert!(
        said["findings"].as_array().unwrap().iter().all(|finding| finding["code"].is_string()),
        "{said:#}"
    );
    world.show(&mut seen, &["lint", "model", "--element-id", "manak0/Detect-car"], &[]);
    world.show(&mut seen, &["lint", "model", "--element-id", "manako/DetectFootballEvent"], &[]);
    world.show(&mut seen, &["lint", "nowhere"], &[]);
    world.show(&mut seen, &["lint", "cache"], &[]);
    fs::remove_file(world.path("model/miner.py")).unwrap();
    world.show(&mut seen, &["lint", "model"], &[]);
    insta::assert_snapshot!(seen);
}

//! Metagraphs against recorded ones, and against the types of the recorded metadata.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::PathBuf;

use adit_stand_in::node::{MetagraphFixture, metagraph};
use serde_json::Value;

/// The recorded answers of the chain. A number of more digits than JSON's reader keeps becomes text.
fn recorded() -> Value {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let folder = std::env::var_os("ADIT_VECTORS").map_or_else(|| PathBuf::from(own), PathBuf::from);
    let path = folder.join("chain_scale.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let quoted = text.split_inclusive([' ', ',', '\n']).map(|piece| {
        let digits = piece.trim_end_matches([' ', ',', '\n']);
        let long = digits.len() > 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if long { piece.replace(digits, &format!("\"{digits}\"")) } else { piece.to_owned() }
    });
    serde_json::from_str::<Value>(&quoted.collect::<String>()).unwrap()["chain"].take()
}

fn fixture(fields: &Value) -> MetagraphFixture {
    MetagraphFixture::from_fields(fields.as_object().unwrap().clone())
}

fn hexed(bytes: &[u8]) -> Value {
    format!("0x{}", hex::encode(bytes)).into()
}

#[test]
fn vectors_chain_scale_recorded_metagraphs_are_encoded_to_the_same_bytes() {
    let recorded = recorded();
    let metagraphs = recorded["runtime_get_metagraph"].as_object().unwrap();
    assert!(!metagraphs.is_empty(), "no cases");
    for (netuid, case) in metagraphs {
        assert_eq!(hexed(&fixture(&case["expected"]).encode()), case["result"], "{netuid}");
    }
}

#[test]
fn vectors_chain_scale_a_selective_metagraph_is_encoded_to_the_same_bytes() {
    let mut recorded = recorded();
    let whole = fixture(&recorded["runtime_get_metagraph"]["44"]["expected"]);
    let case = recorded["runtime_get_selective_metagraph"].take();
    let indexes: Vec<u16> = serde_json::from_value(case["indexes"].clone()).unwrap();
    assert!(!indexes.is_empty());
    assert_eq!(hexed(&whole.encode_selective(&indexes)), case["result"]);
}

#[test]
fn a_made_up_metagraph_has_the_size_that_was_asked_for_and_is_always_the_same() {
    for neurons in [0, 1, 256, 4096] {
        let one = metagraph(neurons);
        assert_eq!(one.get("hotkeys").as_array().unwrap().len(), neurons);
        assert_eq!(one.get("num_uids"), neurons);
        assert_eq!(one.encode(), metagraph(neurons).encode());
    }
    assert_eq!(metagraph(256).hotkey(255), metagraph(4096).hotkey(255));
}

#[test]
fn a_field_of_one_neuron_can_be_changed() {
    let mut changed = metagraph(3);
    changed.set_of("total_stake", 2, 1_000_000_000_000_u64);
    assert_eq!(changed.get("total_stake")[2], 1_000_000_000_000_u64);
    assert_ne!(changed.encode(), metagraph(3).encode());
}

//! Bytes with known meaning, made by the Python SDK and by real chains (chain_scale.json).

use std::path::PathBuf;

use adit_chain::{AxonInfo, Call, Commitment, Field, Netuid, Rao, Runtime, metagraph};
use adit_keys::Hotkey;
use adit_stand_in::local_chain::newest_metadata;
use serde_json::Value;

fn vectors() -> Value {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let folder = std::env::var_os("ADIT_VECTORS").map_or_else(|| PathBuf::from(own), PathBuf::from);
    let path = folder.join("chain_scale.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&quote_wide_numbers(&text)).unwrap()
}

/// JSON readers make floats of numbers that 64 bits do not hold (IPv6 addresses): texts keep their digits.
fn quote_wide_numbers(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for (index, part) in text.split('"').enumerate() {
        if index > 0 {
            quoted.push('"');
        }
        let inside_a_text = index % 2 == 1;
        for word in part.split_inclusive(|character: char| !character.is_ascii_digit()) {
            let digits = word.trim_end_matches(|character: char| !character.is_ascii_digit());
            if inside_a_text || digits.len() < 20 {
                quoted.push_str(word);
            } else {
                quoted.extend(["\"", digits, "\"", &word[digits.len()..]]);
            }
        }
    }
    quoted
}

/// A number, or the digits of a wide one.
fn digits(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list<'a>(vectors: &'a Value, key: &str) -> &'a Vec<Value> {
    let cases = vectors[key].as_array().unwrap_or_else(|| panic!("no {key}"));
    assert!(!cases.is_empty(), "no cases in {key}");
    cases
}

/// Hexadecimal after `0x`, else the text's own bytes, as the Python SDK shows them.
fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    text.strip_prefix("0x").map_or_else(|| text.as_bytes().to_vec(), |digits| hex::decode(digits).unwrap())
}

/// The newest runtime, or `None` with a word about what is missing.
fn newest() -> Option<Runtime> {
    Some(Runtime::from_metadata(&newest_metadata()?).unwrap())
}

fn field(value: &Value) -> Field {
    if let Some(name) = value.as_str() {
        return if name == "None" { Field::Empty } else { Field::ResetBonds };
    }
    let (name, content) = value.as_object().unwrap().iter().next().unwrap();
    match name.as_str() {
        "TimelockEncrypted" => Field::Timelocked {
            ciphertext: bytes(&content["encrypted"]),
            round: content["reveal_round"].as_u64().unwrap(),
        },
        "BigRaw" => Field::BigRaw(bytes(content)),
        raw if raw.starts_with("Raw") => Field::Raw(bytes(content)),
        hash => Field::Hash(hash.to_owned(), bytes(content)),
    }
}

fn fields(info: &Value) -> Vec<Field> {
    info["fields"].as_array().unwrap().iter().map(field).collect()
}

/// The call of a case, where it is one that we send.
fn call(case: &Value) -> Option<Call> {
    let params = &case["params"];
    let netuid = || Netuid(params["netuid"].as_u64().unwrap().try_into().unwrap());
    let hotkey = || params["hotkey"].as_str().unwrap().parse::<Hotkey>().unwrap();
    match case["function"].as_str().unwrap() {
        "set_commitment" => Some(Call::set_commitment(netuid(), &fields(&params["info"]))),
        "transfer_keep_alive" => {
            let to = params["dest"].as_str().unwrap().parse().unwrap();
            Some(Call::transfer(&to, Rao(params["value"].as_u64().unwrap())))
        }
        "burned_register" => Some(Call::burned_register(netuid(), &hotkey())),
        "serve_axon" => {
            let ip: u128 = digits(&params["ip"]).parse().unwrap();
            let ip = if params["ip_type"] == 4 {
                std::net::IpAddr::V4(u32::try_from(ip).unwrap().into())
            } else {
                std::net::IpAddr::V6(ip.into())
            };
            let port = params["port"].as_u64().unwrap().try_into().unwrap();
            let axon = AxonInfo {
                address: (ip, port).into(),
                version: params["version"].as_u64().unwrap().try_into().unwrap(),
                protocol: params["protocol"].as_u64().unwrap().try_into().unwrap(),
                block: 0,
            };
            Some(Call::serve_axon(netuid(), &axon))
        }
        _ => None,
    }
}

#[test]
fn vectors_chain_scale_calls() {
    let vectors = vectors();
    let Some(newest) = newest() else { return };
    let mut checked = 0;
    for case in list(&vectors, "calls") {
        let Some(call) = call(case) else { continue };
        let encoded = newest.call_data(&call).unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
        assert_eq!(hex::encode(encoded), hex::encode(bytes(&case["hex"])), "{}", case["name"]);
        checked += 1;
    }
    assert!(checked >= 20 || std::env::var_os("ADIT_VECTORS").is_some() && checked > 0, "{checked} calls");
}

#[test]
fn vectors_chain_scale_registrations() {
    let vectors = vectors();
    let Some(newest) = newest() else { return };
    for case in list(&vectors, "registrations") {
        let read: Commitment = newest.commitment(Netuid(44), &bytes(&case["value"])).unwrap();
        assert_eq!(read.block, case["expected"]["block"].as_u64().unwrap(), "{}", case["name"]);
        assert_eq!(read.fields, fields(&case["expected"]["info"]), "{}", case["name"]);
    }
}

/// Both ways to read a metagraph: by the metadata that describes it, and without.
#[test]
fn vectors_chain_scale_metagraph() {
    let vectors = vectors();
    let Some(newest) = newest() else { return };
    let cases = vectors["chain"]["runtime_get_metagraph"].as_object().unwrap();
    assert!(!cases.is_empty());
    for case in cases.values() {
        let (expected, answer) = (&case["expected"], bytes(&case["result"]));
        let netuid = Netuid(expected["netuid"].as_u64().unwrap().try_into().unwrap());
        let described = metagraph::decode(&newest, netuid, &answer).unwrap();
        assert_eq!(metagraph::decode_first_layout(netuid, &answer).unwrap(), described);
        assert_eq!(described.block, expected["block"].as_u64().unwrap());
        assert_eq!(described.registration_cost, Rao(expected["burn"].as_u64().unwrap()));
        assert_eq!(described.neurons.len(), expected["hotkeys"].as_array().unwrap().len());
        for (index, neuron) in described.neurons.iter().enumerate() {
            assert_eq!(neuron.hotkey.to_string(), expected["hotkeys"][index].as_str().unwrap());
            assert_eq!(neuron.coldkey.to_string(), expected["coldkeys"][index].as_str().unwrap());
            assert_eq!(neuron.stake, Rao(expected["total_stake"][index].as_u64().unwrap()));
            assert_eq!(neuron.alpha_stake, Rao(expected["alpha_stake"][index].as_u64().unwrap()));
            assert_eq!(neuron.tao_stake, Rao(expected["tao_stake"][index].as_u64().unwrap()));
            assert_eq!(neuron.emission, Rao(expected["emission"][index].as_u64().unwrap()));
            assert_eq!(neuron.last_update, expected["last_update"][index].as_u64().unwrap());
            assert_eq!(neuron.registered_at, expected["block_at_registration"][index].as_u64().unwrap());
            assert_eq!(Some(neuron.validator_permit), expected["validator_permit"][index].as_bool());
            let incentive = expected["incentives"][index].as_f64().unwrap() / 65535.0;
            assert!((neuron.incentive - incentive).abs() < 1e-12);
            let axon = &expected["axons"][index];
            match neuron.axon {
                None => assert_eq!(axon["port"], 0),
                Some(axon_read) => {
                    assert_eq!(u64::from(axon_read.address.port()), axon["port"].as_u64().unwrap());
                    let ip = match axon_read.address.ip() {
                        std::net::IpAddr::V4(ip) => u128::from(u32::from(ip)),
                        std::net::IpAddr::V6(ip) => u128::from(ip),
                    };
                    assert_eq!(ip.to_string(), digits(&axon["ip"]));
                }
            }
        }
    }
}

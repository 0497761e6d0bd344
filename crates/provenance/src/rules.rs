//! The validator's rules over what the C2PA library read, as pure functions (generative reference, section 9).
//!
//! They look at the library's JSON, as the validator does: which fields it has and which it overlooks is part
//! of the rule.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde_json::Value;

use crate::Format;
use crate::verdict::{Era, Failure, Refusal, Signer, Verdict};

/// A refusal for one of these, wherever in the code it stands.
const FATAL: [&str; 10] = [
    "assertion.hashedURI.mismatch",
    "assertion.dataHash.mismatch",
    "assertion.bmffHash.mismatch",
    "claim.signature.mismatch",
    "signingCredential.invalid",
    "signingCredential.expired",
    "signingCredential.revoked",
    "signingCredential.untrusted",
    "manifest.inaccessible",
    "assertion.inaccessible",
];

/// One of these says that the media is what was signed.
const HARD_BINDINGS: [&str; 4] = [
    "assertion.dataHash.match",
    "assertion.bmffHash.match",
    "assertion.boxesHash.match",
    "assertion.collectionHash.match",
];

/// Makers of models that the validators know. Compared in lower case, as a part of the name.
const GENERATORS: [&str; 20] = [
    "openai",
    "google",
    "adobe",
    "microsoft",
    "meta",
    "runway",
    "stability ai",
    "black forest labs",
    "midjourney",
    "pika",
    "luma",
    "ideogram",
    "leonardo",
    "kuaishou",
    "kling",
    "minimax",
    "haiper",
    "lightricks",
    "shutterstock",
    "bytedance",
];

/// Known since the guide's time.
const GENERATORS_SINCE: [&str; 1] = ["byteplus"];

/// Certificate authorities, whose name is as good as a generator's for the first of the two questions.
const AUTHORITIES: [&str; 19] = [
    "digicert",
    "globalsign",
    "entrust",
    "sectigo",
    "let's encrypt",
    "amazon",
    "google",
    "microsoft",
    "apple",
    "cloudflare",
    "comodo",
    "geotrust",
    "thawte",
    "verisign",
    "godaddy",
    "identrust",
    "symantec",
    "quovadis",
    "swisssign",
];

/// The profile is the first of which a name occurs in serial number and claim generator.
const PROFILES: [(&str, &[&str]); 7] = [
    ("openai", &["openai", "dall-e", "sora", "truepic"]),
    ("google", &["google", "imagen", "gemini", "veo"]),
    ("adobe", &["adobe", "firefly"]),
    ("microsoft", &["microsoft", "copilot", "designer"]),
    ("runway", &["runway"]),
    ("stability_ai", &["stability ai", "stable diffusion", "stable video"]),
    ("black_forest_labs", &["black forest labs", "flux"]),
];

/// Known since the guide's time.
const PROFILES_SINCE: [(&str, &[&str]); 1] =
    [("bytedance", &["bytedance", "byteplus", "seedance", "byteplus_modelark"])];

/// Names of libraries, which a claim generator lists beside the product.
const LIBRARIES: [&str; 4] = ["c2pa", "libc2pa", "contentauth", "trustedpublisher"];

const SOURCE_TYPES: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/";

/// Judges a manifest store.
pub(crate) fn judge(era: Era, format: Format, store: Value) -> Verdict {
    let facts = Facts { era, store: &store };
    let failures = facts.failures();
    let hard_binding = facts.hard_binding();
    let signer = facts.signer();
    let claim_generator = facts.claim_generator();
    let refusal = refusal(era, &failures, hard_binding.as_deref(), &signer, claim_generator.as_deref());
    let provider_profile = provider_profile(era, &signer, claim_generator.as_deref());
    Verdict {
        era,
        format,
        refusal,
        failures,
        hard_binding,
        ai_generated: facts.ai_generated(),
        model_name: facts.model_name(),
        provider_profile,
        signing_time: facts.signing_time(),
        signer: Some(signer),
        claim_generator,
        manifests: store,
    }
}

/// The verdict where there is nothing to judge.
pub(crate) fn no_manifest(era: Era, format: Format, why: String) -> Verdict {
    Verdict {
        era,
        format,
        refusal: Some(Refusal::NoManifest(why)),
        failures: Vec::new(),
        hard_binding: None,
        signer: None,
        claim_generator: None,
        ai_generated: false,
        model_name: None,
        provider_profile: None,
        signing_time: None,
        manifests: Value::Null,
    }
}

/// The questions in the validator's order; the first that is answered badly is its error.
fn refusal(
    era: Era,
    failures: &[Failure],
    hard_binding: Option<&str>,
    signer: &Signer,
    claim_generator: Option<&str>,
) -> Option<Refusal> {
    let fatal: Vec<_> = failures.iter().filter(|failure| failure.fatal).cloned().collect();
    if !fatal.is_empty() {
        return Some(Refusal::Invalid(fatal));
    }
    // made_update_manifest.png: the guide's validators accept it.
    if era == Era::Head && hard_binding.is_none() {
        return Some(Refusal::NoHardBinding);
    }
    // What it calls self-signed is a certificate whose subject has no organisation.
    let Some(organisation) = &signer.organisation else { return Some(Refusal::SelfSigned) };
    let known = |names: &[&str], text: &str| {
        let text = text.to_lowercase();
        names.iter().any(|name| text.contains(name))
    };
    let generator =
        |text: &str| known(&GENERATORS, text) || (era == Era::Head && known(&GENERATORS_SINCE, text));
    if !known(&AUTHORITIES, organisation) && !generator(organisation) {
        return Some(Refusal::UnknownOrganisation(organisation.clone()));
    }
    // made_ca_org_known_generator.png: the claim generator, which anybody may choose, is enough here.
    if !generator(organisation) && !claim_generator.is_some_and(generator) {
        let serial = signer.serial.as_ref().map(|serial| format!("serial:{serial}"));
        let who = serial.or_else(|| claim_generator.map(str::to_owned));
        return Some(Refusal::UnknownGenerator(who.unwrap_or_else(|| "None".to_owned())));
    }
    None
}

fn provider_profile(era: Era, signer: &Signer, claim_generator: Option<&str>) -> Option<&'static str> {
    let serial = signer.serial.as_ref().map_or_else(String::new, |serial| format!("serial:{serial} "));
    let text = (serial + claim_generator.unwrap_or_default()).to_lowercase();
    let since: &[_] = if era == Era::Head { &PROFILES_SINCE } else { &[] };
    let mut profiles = PROFILES.iter().chain(since);
    profiles.find(|(_, names)| names.iter().any(|name| text.contains(name))).map(|(profile, _)| *profile)
}

struct Facts<'a> {
    era: Era,
    store: &'a Value,
}

impl<'a> Facts<'a> {
    fn failures(&self) -> Vec<Failure> {
        let text = |status: &Value, key: &str| status[key].as_str().unwrap_or_default().to_owned();
        items(&self.store["validation_status"])
            .map(|status| {
                let code = text(status, "code");
                let lower = code.to_lowercase();
                let fatal = FATAL.iter().any(|fatal| code.contains(fatal))
                    || lower.contains("mismatch")
                    || lower.contains("error");
                Failure { code, explanation: text(status, "explanation"), fatal }
            })
            .collect()
    }

    /// Of the active manifest itself. The library that the validators have knows no other; ours also lists the
    /// binding of the manifest that an update manifest adds to (made_update_manifest.png).
    fn hard_binding(&self) -> Option<String> {
        let active = self.store["active_manifest"].as_str().unwrap_or_default();
        let is_own = |url: &str| match url.strip_prefix("self#jumbf=/c2pa/") {
            Some(path) => path.strip_prefix(active).is_some_and(|rest| rest.starts_with('/')),
            None => true,
        };
        items(&self.store["validation_results"]["activeManifest"]["success"])
            .filter(|success| success["url"].as_str().is_none_or(is_own))
            .filter_map(|success| success["code"].as_str())
            .find(|code| HARD_BINDINGS.contains(code))
            .map(str::to_owned)
    }

    fn active(&self) -> &'a Value {
        let label = self.store["active_manifest"].as_str().unwrap_or_default();
        &self.store["manifests"][label]
    }

    fn signer(&self) -> Signer {
        let info = &self.active()["signature_info"];
        let text = |key: &str| info[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Signer {
            organisation: text("issuer"),
            common_name: text("common_name"),
            serial: text("cert_serial_number"),
            algorithm: text("alg"),
        }
    }

    fn claim_generator(&self) -> Option<String> {
        let manifest = self.active();
        let named = [&manifest["claim_generator"], &manifest["claim_generator_info"][0]["name"]];
        named.into_iter().filter_map(Value::as_str).find(|name| !name.is_empty()).map(str::to_owned)
    }

    /// Of every manifest in the store, the ingredients' too.
    fn ai_generated(&self) -> bool {
        let is_trained = |source: &Value| {
            let source = source.as_str().unwrap_or_default();
            matches!(
                source.strip_prefix(SOURCE_TYPES).unwrap_or(source),
                "trainedAlgorithmicMedia" | "compositeWithTrainedAlgorithmicMedia"
            )
        };
        let manifests = self.store["manifests"].as_object();
        manifests.into_iter().flatten().flat_map(|(_, manifest)| items(&manifest["assertions"])).any(
            |assertion| {
                let data = &assertion["data"];
                assertion["label"].as_str().is_some_and(|label| label.contains("c2pa.ai"))
                    || is_trained(&data["digitalSourceType"])
                    || items(&data["actions"]).any(|action| is_trained(&action["digitalSourceType"]))
            },
        )
    }

    fn actions(&self, of: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = &'a Value> {
        items(&self.active()["assertions"])
            .filter(move |assertion| assertion["label"].as_str().is_some_and(&of))
            .flat_map(|assertion| items(&assertion["data"]["actions"]))
    }

    fn model_name(&self) -> Option<String> {
        for action in self.actions(|label| label.contains("c2pa.actions")) {
            let agent = &action["softwareAgent"];
            match (self.era, agent) {
                (_, Value::String(agent)) if !agent.is_empty() => match (self.era, product(agent)) {
                    (Era::Head, None) => {}
                    (_, found) => return found,
                },
                // It trips over an agent with parts and reports no name at all.
                (Era::Document, Value::Object(agent)) if !agent.is_empty() => return None,
                _ => {}
            }
            let name = action["parameters"]["model_name"].as_str().unwrap_or_default();
            if self.era == Era::Head && !name.is_empty() {
                return Some(name.to_owned());
            }
        }
        self.active()["claim_generator"].as_str().and_then(product)
    }

    fn signing_time(&self) -> Option<DateTime<Utc>> {
        let stamped = self.active()["signature_info"]["time"].as_str().and_then(time);
        stamped.or_else(|| {
            let actions = self.actions(|label| label.starts_with("c2pa.actions"));
            actions.filter_map(|action| action["when"].as_str().and_then(time)).max()
        })
    }
}

/// The elements of a list; nothing of anything else.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The product in a text such as `DALL-E/3 c2pa-rs/0.36.1`: its first word up to a slash that is no library's.
fn product(text: &str) -> Option<String> {
    let products = text.split_whitespace().filter_map(|word| word.split('/').next());
    let mut named = products.filter(|product| {
        let lower = product.to_lowercase();
        !product.is_empty() && !LIBRARIES.iter().any(|library| lower.starts_with(library))
    });
    named.next().map(str::to_owned)
}

/// A time of the ISO form; one without an offset is UTC.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let local = text.parse::<NaiveDateTime>().or_else(|_| NaiveDateTime::parse_from_str(text, "%F %T%.f"));
    let date = || text.parse::<NaiveDate>().map(|date| date.and_time(NaiveTime::MIN));
    Some(local.or_else(|_| date()).ok()?.and_utc())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Era, Format, Refusal, judge, product, time};

    /// A store whose active manifest has everything; `change` spoils it.
    fn store(change: impl FnOnce(&mut serde_json::Value)) -> serde_json::Value {
        let mut store = json!({
            "active_manifest": "m",
            "manifests": {"m": {
                "claim_generator": "Seedance/1 c2pa-rs/0.78",
                "signature_info": {"issuer": "Byteplus Pte. Ltd.", "cert_serial_number": "7", "alg": "Es256"},
                "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [
                    {"action": "c2pa.created", "softwareAgent": {"name": "BytePlus_ModelArk"},
                     "parameters": {"model_name": "seedance-2-0"}, "when": "2026-08-01T00:00:00Z"},
                    {"action": "c2pa.edited", "when": "2026-08-01T00:00:05.25+00:00"}
                ]}}]
            }},
            "validation_results": {"activeManifest": {"success": [{"code": "assertion.bmffHash.match"}]}}
        });
        change(&mut store);
        store
    }

    #[test]
    fn the_eras_differ_where_the_validator_was_changed() {
        let head = judge(Era::Head, Format::Mp4, store(|_| {}));
        assert!(head.accepted());
        assert_eq!(head.model_name.as_deref(), Some("seedance-2-0"));
        assert_eq!(head.provider_profile, Some("bytedance"));
        assert_eq!(head.reported()["signing_time"], "2026-08-01T00:00:05.250000+00:00");

        let document = judge(Era::Document, Format::Mp4, store(|_| {}));
        assert_eq!(document.refusal, Some(Refusal::UnknownOrganisation("Byteplus Pte. Ltd.".to_owned())));
        assert_eq!((document.model_name, document.provider_profile), (None, None));
    }

    #[test]
    fn the_first_thing_wrong_is_the_error() {
        let refused = |change: fn(&mut serde_json::Value)| {
            judge(Era::Head, Format::Mp4, store(change)).refusal.map(|refusal| refusal.to_string())
        };
        assert_eq!(
            refused(|store| {
                store["validation_status"] = json!([
                    {"code": "claimSignature.missing", "explanation": "overlooked"},
                    {"code": "general.Error", "explanation": "so it is"},
                    {"code": "algorithm.misMatch"}
                ]);
            })
            .as_deref(),
            Some("Signature validation failed: general.Error: so it is; algorithm.misMatch: ")
        );
        assert_eq!(
            refused(|store| store["validation_results"] = json!(null)).as_deref(),
            Some("No verified hard-binding content hash assertion in C2PA manifest")
        );
        assert_eq!(
            refused(|store| store["manifests"]["m"]["signature_info"]["issuer"] = json!(null)).as_deref(),
            Some("Self-signed certificates are not accepted")
        );
        assert_eq!(
            refused(|store| {
                store["manifests"]["m"]["signature_info"]["issuer"] = json!("DigiCert, Inc.");
                store["manifests"]["m"]["claim_generator"] = json!("Camera/1");
            })
            .as_deref(),
            Some("Not from a trusted AI generator: serial:7")
        );
    }

    #[test]
    fn a_product_is_the_first_word_that_is_no_library() {
        for (text, found) in [
            ("DALL-E 3/1.0 c2pa-rs/0.36.1", Some("DALL-E")),
            ("c2pa-rs/0.36.1 Firefly/3", Some("Firefly")),
            ("LibC2PA ContentAuth/2", None),
            ("/1 x", Some("x")),
            ("", None),
        ] {
            assert_eq!(product(text).as_deref(), found, "{text}");
        }
    }

    #[test]
    fn times_are_read_with_and_without_an_offset() {
        for (text, seconds) in [
            ("1970-01-01T00:00:10Z", Some(10)),
            (" 1970-01-01T01:00:10+01:00", Some(10)),
            ("1970-01-01 00:00:10", Some(10)),
            ("1970-01-01T00:00:10.5", Some(10)),
            ("1970-01-02", Some(86_400)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(time(text).map(|time| time.timestamp()), seconds, "{text}");
        }
    }
}

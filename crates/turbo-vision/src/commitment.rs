//! The text that is committed on chain (section 8): the current form, which validators of both generations read.

use adit_keys::Hotkey;
use adit_python::json::dumps;

/// Which chute answers for a hotkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// The repository at Hugging Face, such as `me/ScoreVision`.
    pub model: String,
    /// Its commit, 40 hexadecimal digits.
    pub revision: String,
    /// The chute's id at Chutes.
    pub chute_id: String,
    /// Its slug, as Chutes gives it: a guessed one is what validators refuse.
    pub slug: String,
    /// Whose it is.
    pub hotkey: Hotkey,
    /// The Manifest's element that it answers for. The first generation of validators knows none.
    pub element_id: Option<String>,
}

impl Commitment {
    /// The text, as Python's `json.dumps` writes it: key order and blanks are what other readers have seen.
    #[must_use]
    pub fn text(&self) -> String {
        let hotkey = self.hotkey.to_string();
        let mut fields = vec![
            ("role", "miner"),
            ("model", &self.model),
            ("revision", &self.revision),
            ("chute_id", &self.chute_id),
            ("slug", &self.slug),
            ("hotkey", &hotkey),
        ];
        if let Some(element) = &self.element_id {
            fields.push(("element_id", element));
        }
        dumps(fields)
    }

    /// Reads such a text of either generation; `None` where it is another kind of commitment.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let field = |key: &str| value[key].as_str().map(str::to_owned);
        // The first generation wrote no role.
        if value["role"].as_str().is_some_and(|role| role != "miner") {
            return None;
        }
        Some(Self {
            model: field("model")?,
            revision: field("revision")?,
            chute_id: field("chute_id")?,
            slug: field("slug")?,
            hotkey: field("hotkey")?.parse().ok()?,
            element_id: field("element_id"),
        })
    }

    /// Whether a committed text speaks for the same element, and so takes this one's place or is replaced by it.
    #[must_use]
    pub fn competes_with(&self, text: &str) -> bool {
        Self::parse(text).is_some_and(|other| other.element_id == self.element_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOTKEY: &str = "5H6TiKX8XNWAfyzk8SDfCn7rvv1UVH7nyKVn8YQogq5Ky4rr";

    fn commitment() -> Commitment {
        Commitment {
            model: "me/ScoreVision".into(),
            revision: "ab".repeat(20),
            chute_id: "8a6e1c1e-0f9b-5d2c-9c1f-1b6a6a3f0c11".into(),
            slug: "me-turbovision-me-otter".into(),
            hotkey: HOTKEY.parse().unwrap(),
            element_id: Some("manak0/Detect-fire".into()),
        }
    }

    #[test]
    fn the_text_has_pythons_blanks_and_the_readers_keys_in_order() {
        let expected = format!(
            "{{\"role\": \"miner\", \"model\": \"me/ScoreVision\", \"revision\": \"{}\", \
             \"chute_id\": \"8a6e1c1e-0f9b-5d2c-9c1f-1b6a6a3f0c11\", \"slug\": \"me-turbovision-me-otter\", \
             \"hotkey\": \"{HOTKEY}\", \"element_id\": \"manak0/Detect-fire\"}}",
            "ab".repeat(20)
        );
        assert_eq!(commitment().text(), expected);
        assert_eq!(Commitment::parse(&expected), Some(commitment()));
        let unnamed = Commitment { element_id: None, ..commitment() };
        assert!(unnamed.text().ends_with(&format!("\"hotkey\": \"{HOTKEY}\"}}")));
    }

    #[test]
    fn what_competes_is_a_chute_of_the_same_element() {
        let ours = commitment();
        let newer = Commitment { revision: "cd".repeat(20), ..commitment() };
        assert!(ours.competes_with(&newer.text()));
        let other = Commitment { element_id: Some("manak0/Detect-car".into()), ..commitment() };
        assert!(!ours.competes_with(&other.text()));
        // An image of the private track, and a text that is no JSON.
        assert!(!ours.competes_with(r#"{"role": "miner", "track": "private", "image_repo": "me/x"}"#));
        assert!(!ours.competes_with("hello"));
    }

    #[test]
    fn the_first_generations_text_reads() {
        let text = format!(
            "{{\"model\": \"me/ScoreVision\", \"revision\": \"{}\", \"chute_id\": \"c\", \"slug\": \"s\", \"hotkey\": \
             \"{HOTKEY}\"}}",
            "ab".repeat(20)
        );
        let read = Commitment::parse(&text).unwrap();
        assert_eq!((read.element_id, read.slug), (None, "s".to_owned()));
    }
}

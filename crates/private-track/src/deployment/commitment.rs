//! The text that is committed on chain (section 8.3): the current form, which validators of both
//! generations read.

use adit_keys::Hotkey;
use adit_python::json::dumps;

/// Which image answers for a hotkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// Registry and repository, Docker Hub's own name left out: `me/pt-solution`, `ghcr.io/me/pt-solution`.
    pub image_repo: String,
    /// The tag.
    pub image_tag: String,
    /// `sha256:…` of the image's manifest.
    pub image_digest: String,
    /// The Manifest's element that the image answers for.
    pub element_id: String,
    /// Whose it is.
    pub hotkey: Hotkey,
}

impl Commitment {
    /// The text, as Python's `json.dumps` writes it: key order and blanks are what other readers have seen.
    #[must_use]
    pub fn text(&self) -> String {
        let hotkey = self.hotkey.to_string();
        dumps([
            ("role", "miner"),
            ("track", "private"),
            ("image_repo", &self.image_repo),
            ("image_tag", &self.image_tag),
            ("image_digest", &self.image_digest),
            ("element_id", &self.element_id),
            ("hotkey", &hotkey),
        ])
    }

    /// Reads such a text; `None` where it is another kind of commitment.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let field = |key: &str| value[key].as_str().map(str::to_owned);
        if value["track"] != "private" {
            return None;
        }
        Some(Self {
            image_repo: field("image_repo")?,
            image_tag: field("image_tag")?,
            // The first generation committed neither.
            image_digest: field("image_digest").unwrap_or_default(),
            element_id: field("element_id").unwrap_or_default(),
            hotkey: field("hotkey")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOTKEY: &str = "5H6TiKX8XNWAfyzk8SDfCn7rvv1UVH7nyKVn8YQogq5Ky4rr";

    fn commitment() -> Commitment {
        Commitment {
            image_repo: "me/pt-solution".into(),
            image_tag: "v1.0.0".into(),
            image_digest: format!("sha256:{}", "ab".repeat(32)),
            element_id: "manako/DetectFootballEvent".into(),
            hotkey: HOTKEY.parse().unwrap(),
        }
    }

    #[test]
    fn the_text_has_pythons_blanks_and_the_readers_keys_in_order() {
        let expected = format!(
            "{{\"role\": \"miner\", \"track\": \"private\", \"image_repo\": \"me/pt-solution\", \"image_tag\": \"v1.0.0\", \
             \"image_digest\": \"sha256:{}\", \"element_id\": \"manako/DetectFootballEvent\", \"hotkey\": \"{HOTKEY}\"}}",
            "ab".repeat(32)
        );
        assert_eq!(commitment().text(), expected);
        assert_eq!(Commitment::parse(&expected), Some(commitment()));
    }

    #[test]
    fn the_first_generations_text_is_read_and_other_tracks_are_not() {
        let old = format!(
            r#"{{"role": "miner", "track": "private", "image_repo": "me/x", "image_tag": "v1", "hotkey": "{HOTKEY}"}}"#
        );
        assert_eq!(Commitment::parse(&old).unwrap().image_digest, "");
        assert_eq!(Commitment::parse(&old.replace("private", "public")), None);
        assert_eq!(Commitment::parse("revealed-miner"), None);
    }
}

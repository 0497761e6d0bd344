//! The list of published Manifests, and which of them holds at a block (Turbo Vision reference, section 10).

use serde_json::Value;
use url::Url;

/// A published Manifest. Its file name begins with the block that it was published at, and by custom goes on with
/// its hash: `8500000-<sha256>.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The block in its name.
    pub block: u64,
    /// Where it is.
    pub url: String,
}

impl Entry {
    /// `None` where the file name does not begin with a block number.
    #[must_use]
    pub fn new(url: &str) -> Option<Self> {
        let block = file_name(url)?.split('-').next()?.parse().ok()?;
        Some(Self { block, url: url.to_owned() })
    }

    /// The hash in its name, if there is one.
    #[must_use]
    pub fn hash(&self) -> Option<String> {
        let name = file_name(&self.url)?;
        let (_, rest) = name.split_once('-')?;
        let hash = rest.strip_suffix(".yaml").unwrap_or(rest);
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| hash.to_ascii_lowercase())
    }
}

fn file_name(url: &str) -> Option<String> {
    Url::parse(url).ok()?.path_segments()?.rfind(|segment| !segment.is_empty()).map(str::to_owned)
}

/// The URL of each file that an index lists, in its order, those without a block number included. The index is a
/// list of keys or `{"entries": [{"path": key}]}`; what is no key is left out, and anything else lists nothing.
///
/// A key is a URL, a path from the root of the index's host (`/…`, `manifest/…`, `manako/…`), or else a path from
/// the index's own directory.
#[must_use]
pub fn urls(index_url: &Url, index: &Value) -> Vec<String> {
    let keys: Vec<&str> = match (index, &index["entries"]) {
        (Value::Array(keys), _) => keys.iter().filter_map(Value::as_str).collect(),
        (_, Value::Array(entries)) => entries.iter().filter_map(|entry| entry["path"].as_str()).collect(),
        _ => Vec::new(),
    };
    keys.into_iter().filter_map(|key| resolve(index_url, key)).collect()
}

fn resolve(index_url: &Url, key: &str) -> Option<String> {
    let mut key = key.trim();
    while let Some(rest) = key.strip_prefix("./") {
        key = rest;
    }
    if key.starts_with("http://") || key.starts_with("https://") {
        return Some(key.to_owned());
    }
    let from_root = ["/", "manako/", "manifest/"].iter().any(|prefix| key.starts_with(prefix));
    let path = if from_root { format!("/{}", key.trim_start_matches('/')) } else { key.to_owned() };
    index_url.join(&path).ok().map(Url::into)
}

/// The Manifest that holds at `block`: the last one published up to then. The newest of all where there is no such
/// one, or no block is given. Of two of the same block, the later in the list.
#[must_use]
pub fn pick(urls: &[String], block: Option<u64>) -> Option<Entry> {
    let entries: Vec<_> = urls.iter().filter_map(|url| Entry::new(url)).collect();
    let due = |entry: &&Entry| block.is_none_or(|block| entry.block <= block);
    let newest_due = entries.iter().filter(due).max_by_key(|entry| entry.block);
    newest_due.or_else(|| entries.iter().max_by_key(|entry| entry.block)).cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::{Entry, pick, urls};

    #[test]
    fn keys_are_resolved_against_the_index_its_host_or_nothing() {
        let index = Url::parse("https://host:8443/a/b/index.json?token=x").unwrap();
        for (key, url) in [
            ("1-x.yaml", "https://host:8443/a/b/1-x.yaml"),
            (" ././1-x.yaml\n", "https://host:8443/a/b/1-x.yaml"),
            ("../1-x.yaml", "https://host:8443/a/1-x.yaml"),
            ("x/manifest/1-x.yaml", "https://host:8443/a/b/x/manifest/1-x.yaml"),
            ("manifest/1-x.yaml", "https://host:8443/manifest/1-x.yaml"),
            ("./manako/1-x.yaml", "https://host:8443/manako/1-x.yaml"),
            ("//other/1-x.yaml", "https://host:8443/other/1-x.yaml"),
            ("http://other/1-x.yaml?y", "http://other/1-x.yaml?y"),
        ] {
            assert_eq!(urls(&index, &json!([key])), [url], "{key}");
        }
    }

    #[test]
    fn what_is_no_list_of_keys_lists_nothing() {
        let index = Url::parse("https://host/index.json").unwrap();
        for document in
            [json!(null), json!("1-x"), json!({}), json!({"entries": {"path": "1-x"}}), json!([5, null, []])]
        {
            assert!(urls(&index, &document).is_empty(), "{document}");
        }
        let document = json!({"entries": ["1-x", {}, {"path": 5}, {"path": "2-x"}]});
        assert_eq!(urls(&index, &document), ["https://host/2-x"]);
    }

    #[test]
    fn the_block_picks_the_last_that_is_due_or_else_the_newest() {
        let urls: Vec<_> =
            ["200-a", "latest", "100-a", "200-b", "300-a"].map(|name| format!("https://h/{name}")).into();
        for (block, name) in
            [(None, "300-a"), (Some(99), "300-a"), (Some(100), "100-a"), (Some(299), "200-b")]
        {
            assert_eq!(pick(&urls, block).unwrap().url, format!("https://h/{name}"), "{block:?}");
        }
        assert_eq!(pick(&urls[1..2], None), None);
    }

    #[test]
    fn a_name_has_a_block_and_perhaps_a_hash() {
        let hash = "AB".repeat(32);
        let entry = |name: &str| Entry::new(&format!("https://host/manifest/{name}"));
        for name in [format!("12-{hash}.yaml"), format!("12-{hash}.yaml?x=1-2#y"), format!("12-{hash}/")] {
            let entry = entry(&name).unwrap();
            assert_eq!((entry.block, entry.hash()), (12, Some("ab".repeat(32))), "{name}");
        }
        assert_eq!(entry("12-latest.yaml").unwrap().hash(), None);
        assert_eq!(entry("12").unwrap().hash(), None);
        for name in ["latest.yaml", "-12-x", "12.yaml", "", "99999999999999999999-x"] {
            assert_eq!(entry(name), None, "{name}");
        }
        assert_eq!(Entry::new("no URL"), None);
    }
}

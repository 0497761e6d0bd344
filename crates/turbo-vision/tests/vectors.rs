//! Names against those of the programs that validators run.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::PathBuf;

use adit_turbo_vision::names::{ChuteName, Petnames, nickname, repository};
use serde::Deserialize;
use serde::de::DeserializeOwned;

fn read<T: DeserializeOwned>(name: &str) -> T {
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let path = folder.join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

#[derive(Deserialize)]
struct Case {
    revision: String,
    username: String,
    chutes_username: String,
    nickname: String,
    chute_name: String,
    slug: String,
    hf_repo: String,
}

#[derive(Deserialize)]
struct Edge {
    revision: String,
    accept: bool,
    nickname: Option<String>,
}

#[derive(Deserialize)]
struct Naming {
    cases: Vec<Case>,
    edge: Vec<Edge>,
    cases_petname_2_9: Vec<Case>,
}

#[test]
fn vectors_turbo_naming() {
    let naming: Naming = read("turbo_naming.json");
    for (petnames, cases) in [(Petnames::V2_6, &naming.cases), (Petnames::V2_9, &naming.cases_petname_2_9)] {
        assert!(!cases.is_empty(), "no cases of {petnames:?}");
        for case in cases {
            let nickname = nickname(&case.revision, petnames).unwrap();
            assert_eq!(nickname, case.nickname, "{}", case.revision);
            let name = ChuteName::new(&case.username, nickname);
            assert_eq!(name.to_string(), case.chute_name);
            assert_eq!(name.guessed_slug(&case.chutes_username), case.slug);
            assert_eq!(repository(&case.username), case.hf_repo);
        }
    }
    assert!(!naming.edge.is_empty(), "no edge cases");
    for edge in &naming.edge {
        let found = nickname(&edge.revision, Petnames::V2_6).ok();
        assert_eq!(found.is_some(), edge.accept, "{:?}", edge.revision);
        assert_eq!(found, edge.nickname.as_deref(), "{:?}", edge.revision);
    }
}

/// Longer words are never taken, but count in what is drawn: so the lists are whole, and in order.
#[test]
fn vectors_turbo_petname_words() {
    #[derive(Deserialize)]
    struct Words {
        names_2_6: Vec<String>,
        names_2_9: Vec<String>,
    }
    let words: Words = read("turbo_petname_words.json");
    for (petnames, words) in [(Petnames::V2_6, words.names_2_6), (Petnames::V2_9, words.names_2_9)] {
        assert!(!words.is_empty());
        assert_eq!(petnames.list().collect::<Vec<_>>(), words, "{petnames:?}");
    }
}

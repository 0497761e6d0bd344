//! A Manifest from an index on loopback, and from a file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use adit_manifest::{MAX_BYTES, Manifest, ManifestError, Source};
use adit_outbound::{AddressGuard, Client, FetchError};
use adit_settings::Environment;
use adit_stand_in::video_host::{Reply, VideoHost};
use tokio::time::Instant;

const TEXT: &str = "\
# The window of today.
window_id: '2025-10-27'
version: 1.3
expiry_block: 9000000
tee:
  trusted_share_gamma: 0.2
elements:
- id: manak0/Detect-fire
  track: public
  metrics:
    pillars: {map50: 0.6, false_positive: 0.4}
- id: manako/TCGGrading
  track: private
  groundtruth_type: tcg_grading
";

fn client() -> Client {
    Client::new(AddressGuard::public_only().allowing("127.0.0.1").unwrap()).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A host whose index lists these keys.
async fn listing(keys: &[&str]) -> (VideoHost, Source) {
    let host = VideoHost::start().await.unwrap();
    let index = host.serve("/manifest/index.json", Reply::bytes(serde_json::to_vec(keys).unwrap()));
    (host, Source::Index(index.parse().unwrap()))
}

#[tokio::test]
async fn the_manifest_that_holds_is_fetched_and_compared_with_its_name() {
    let hash = Manifest::parse(TEXT.as_bytes()).unwrap().hash();
    let newest = format!("manifest/200-{}.yaml", "0".repeat(64));
    let due = format!("manifest/100-{hash}.yaml");
    let (host, source) = listing(&[&newest, &due, "manifest/50-draft.yaml"]).await;
    for key in [&newest, &due, "manifest/50-draft.yaml"] {
        host.serve(&format!("/{key}"), Reply::bytes(TEXT));
    }

    for (block, picked, as_named) in
        [(Some(150), 100, Some(true)), (None, 200, Some(false)), (Some(60), 50, None)]
    {
        let loaded = source.load(&client(), block, soon()).await.unwrap();
        assert_eq!(loaded.is_as_named(), as_named, "{block:?}");
        assert_eq!(loaded.entry.unwrap().block, picked, "{block:?}");
        assert_eq!(loaded.manifest.elements.len(), 2);
    }
    assert_eq!(host.served().len(), 6, "each time the index and one Manifest");
}

#[tokio::test]
async fn each_step_that_fails_is_named() {
    let load = |source: Source| async move { source.load(&client(), None, soon()).await.unwrap_err() };
    let missing = |error: &FetchError| matches!(error, FetchError::Status { status: 404, .. });
    let large = |error: &FetchError| matches!(error, FetchError::TooLarge { .. });

    let host = VideoHost::start().await.unwrap();
    let at = |path: &str| Source::Index(host.url(path).parse().unwrap());
    let error = load(at("/none")).await;
    assert!(matches!(&error, ManifestError::FetchIndex(error) if missing(error)), "{error}");
    host.serve("/html", Reply::bytes("<html>"));
    assert!(matches!(load(at("/html")).await, ManifestError::Index(_)));
    host.serve("/empty", Reply::bytes("[\"manifest/latest.yaml\"]"));
    assert!(matches!(load(at("/empty")).await, ManifestError::NoEntry));
    host.serve("/endless", Reply::bytes("[").endless());
    let error = load(at("/endless")).await;
    assert!(matches!(&error, ManifestError::FetchIndex(error) if large(error)), "{error}");

    let (host, source) = listing(&["1-x.yaml"]).await;
    let error = load(source.clone()).await;
    assert!(matches!(&error, ManifestError::Fetch { block: 1, source } if missing(source)), "{error}");
    host.serve("/manifest/1-x.yaml", Reply::bytes(vec![b'#'; MAX_BYTES + 1]).without_length());
    let error = load(source.clone()).await;
    assert!(matches!(&error, ManifestError::Fetch { source, .. } if large(source)), "{error}");
    host.serve("/manifest/1-x.yaml", Reply::bytes("window_id: [w"));
    assert!(matches!(load(source).await, ManifestError::Yaml { .. }));
}

#[tokio::test]
async fn the_deadline_is_for_index_and_manifest_together() {
    let (host, source) = listing(&["1-x.yaml"]).await;
    host.serve("/manifest/1-x.yaml", Reply::bytes(TEXT).stalling_at(10));
    let error = source.load(&client(), None, Instant::now() + Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, ManifestError::Fetch { source: FetchError::Deadline { .. }, .. }), "{error}");
}

#[tokio::test]
async fn an_index_cannot_lead_to_an_address_that_is_not_allowed() {
    let (_host, source) = listing(&["http://127.0.0.2/1-x.yaml"]).await;
    let error = source.load(&client(), None, soon()).await.unwrap_err();
    assert!(matches!(error, ManifestError::Fetch { source: FetchError::Refused { .. }, .. }), "{error}");
}

#[tokio::test]
async fn a_file_is_read_in_place_of_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifest.yaml");
    let source = Source::File(path.clone());
    let client = client();
    let load = || source.load(&client, Some(1), soon());

    assert!(matches!(load().await, Err(ManifestError::File { .. })));
    std::fs::write(&path, TEXT).unwrap();
    let loaded = load().await.unwrap();
    assert_eq!(loaded.manifest, Manifest::parse(TEXT.as_bytes()).unwrap());
    assert_eq!((loaded.is_as_named(), loaded.entry), (None, None));
    std::fs::write(&path, vec![b'#'; MAX_BYTES + 1]).unwrap();
    assert!(matches!(load().await, Err(ManifestError::TooLarge)));
    std::fs::write(&path, b"a: \xff").unwrap();
    assert!(matches!(load().await, Err(ManifestError::Encoding(3))));
}

#[test]
fn the_settings_name_a_file_or_else_the_index() {
    let source = |variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Source::from_environment(&Environment::layered(variables, None).unwrap())
    };
    let index = |url: &str| Source::Index(url.parse().unwrap());
    assert_eq!(source(&[]).unwrap(), index("https://turbo.scoredata.me/manifest/index.json"));
    assert_eq!(
        source(&[("URL_MANIFEST", "http://127.0.0.1:8/i.json")]).unwrap(),
        index("http://127.0.0.1:8/i.json")
    );
    assert_eq!(
        source(&[("SV_MANIFEST_PATH", "~/m.yaml"), ("HOME", "/home/op"), ("URL_MANIFEST", "unused")])
            .unwrap(),
        Source::File("/home/op/m.yaml".into())
    );
    for url in ["manifest/index.json", "ftp://host/index.json"] {
        let error = source(&[("URL_MANIFEST", url)]).unwrap_err().to_string();
        assert_eq!(error, format!("`URL_MANIFEST={url}` is not an http or https URL"));
    }
}

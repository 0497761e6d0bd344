//! The picture itself: the file that the journal names, or nothing.

use std::os::unix::fs::symlink;

use adit_journal::record::{TaskMedia, TaskStep};

use crate::support::Site;
use crate::traffic::{self, PNG};

/// Has the journal name a file of this size and type, and says where to ask for it.
fn named(site: &Site, number: u64, path: &str, content_type: &str, bytes: usize) -> String {
    let task = traffic::task_name(number);
    let media = TaskMedia {
        path: path.to_owned(),
        content_type: content_type.to_owned(),
        bytes: bytes as u64,
        sha256: "00".repeat(32),
    };
    let journal = site.journal("generative.sqlite");
    journal.record(&TaskStep { media: Some(media), ..traffic::step(&task, "fetched", "fetched") });
    drop(journal);
    format!("/media/{task}")
}

#[tokio::test]
async fn it_is_served_as_what_it_is_and_may_do_nothing() {
    let site = Site::new().await;
    let path = site.folder.path().join("picture.png");
    std::fs::write(&path, PNG).unwrap();
    let place = named(&site, 1, path.to_str().unwrap(), "image/png", PNG.len());
    let answer = site.get(&place).await;
    assert_eq!((answer.status, &answer.bytes[..]), (200, PNG));
    assert_eq!(answer.headers["content-type"], "image/png");
    assert!(answer.headers["content-security-policy"].starts_with("sandbox;"));
    let host = site.host();
    let part = site.ask("GET", &place, &[("host", &host), ("range", "bytes=1-3")]).await;
    assert_eq!((part.status, &part.bytes[..]), (206, &b"PNG"[..]));
    assert_eq!(part.headers["content-range"], format!("bytes 1-3/{}", PNG.len()));
}

#[tokio::test]
async fn a_link_is_not_followed() {
    let site = Site::new().await;
    let secret = site.folder.path().join("secret");
    std::fs::write(&secret, PNG).unwrap();
    let link = site.folder.path().join("picture.png");
    symlink(&secret, &link).unwrap();
    let place = named(&site, 1, link.to_str().unwrap(), "image/png", PNG.len());
    assert_eq!(site.get(&place).await.status, 403);
}

#[tokio::test]
async fn one_that_was_removed_is_said_to_be() {
    let site = Site::new().await;
    let path = site.folder.path().join("gone.png");
    let place = named(&site, 1, path.to_str().unwrap(), "image/png", PNG.len());
    assert_eq!(site.get(&place).await.status, 410);
    site.get(&place.replace("/media/", "/generations/")).await.has("was removed").has_not("<img");
}

#[tokio::test]
async fn nothing_is_served_that_no_journal_names() {
    let site = Site::new().await;
    let file = site.folder.path().join("picture.png");
    std::fs::write(&file, PNG).unwrap();
    named(&site, 1, file.to_str().unwrap(), "image/png", PNG.len());
    let other = format!("/media/{}", traffic::task_name(2));
    for path in [other.as_str(), "/media/..%2Fpicture.png", "/media/%2Fetc%2Fpasswd", "/media/../picture.png"]
    {
        assert_eq!(site.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_what_the_journal_names_is_refused() {
    let site = Site::new().await;
    let file = site.folder.path().join("picture.png");
    std::fs::write(&file, PNG).unwrap();
    let file = file.to_str().unwrap();
    let folder = site.folder.path().to_str().unwrap();
    let strays = format!("{folder}/x/../picture.png");
    for (number, (what, path, content_type, bytes)) in [
        ("another size", file, "image/png", PNG.len() + 1),
        ("a page", file, "text/html", PNG.len()),
        ("a drawing that may hold a script", file, "image/svg+xml", PNG.len()),
        ("a folder", folder, "image/png", 4096),
        ("a device", "/dev/zero", "image/png", 0),
        ("a path that is not whole", "picture.png", "image/png", PNG.len()),
        ("a path that strays", &strays, "image/png", PNG.len()),
    ]
    .into_iter()
    .enumerate()
    {
        let place = named(&site, number as u64, path, content_type, bytes);
        assert_eq!(site.get(&place).await.status, 403, "{what}");
    }
}

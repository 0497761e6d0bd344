//! Who may read, who may act, and by which name the page goes.

use crate::support::{Setup, Site, TOKEN};
use crate::traffic;

const PAGES: [&str; 10] = [
    "/",
    "/challenges",
    "/generations",
    "/turbo-vision",
    "/rehearsals",
    "/validators",
    "/money",
    "/health",
    "/challenges/1",
    "/nothing",
];

#[tokio::test]
async fn everything_is_sent_with_the_strict_headers() {
    let site = Site::new().await;
    traffic::day(site.folder.path());
    let style = style_of(&site).await;
    for path in PAGES.into_iter().chain([style.as_str(), "/challenges.csv", "/media/x"]) {
        let answer = site.get(path).await;
        let policy = &answer.headers["content-security-policy"];
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["cross-origin-resource-policy"], "same-origin", "{path}");
        assert_eq!(answer.headers["cache-control"].contains("immutable"), path == style, "{path}");
    }
}

async fn style_of(site: &Site) -> String {
    let page = site.get("/").await.text();
    let from = page.find("/assets/page.").unwrap();
    page[from..].split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn no_page_has_a_script_or_style_of_its_own_or_from_elsewhere() {
    let site = Site::new().await;
    traffic::day(site.folder.path());
    let task = format!("/generations/{}", traffic::task_name(3));
    for path in PAGES.into_iter().chain([task.as_str()]) {
        let page = site.get_in(path).await.text();
        for bad in [" style=", "<style", " onload=", " onclick=", "src=\"http", "href=\"http", "javascript:"]
        {
            assert!(!page.contains(bad), "`{bad}` in {path}");
        }
        for script in page.split("<script").skip(1) {
            assert!(script.starts_with(" src=\"/assets/"), "{path}: {script:.60}");
        }
    }
}

#[tokio::test]
async fn the_token_becomes_a_cookie_and_leaves_the_address() {
    let site = Site::new().await;
    let answer = site.get(&format!("/challenges?outcome=failed&token={TOKEN}&miner=")).await;
    assert_eq!(
        (answer.status, answer.headers["location"].as_str()),
        (303, "/challenges?outcome=failed&miner=")
    );
    let cookie = &answer.headers["set-cookie"];
    assert_eq!(*cookie, format!("{}; Path=/; HttpOnly; SameSite=Strict", site.cookie()));
    assert_eq!(answer.text(), "");
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_what_to_type() {
    let site = Site::new().await;
    let answer = site.get("/?token=0123456789abcdef0123456789abcdee").await;
    assert_eq!(answer.status, 403);
    answer.has("adit dashboard --link").has_not(TOKEN);
    assert!(!answer.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn the_token_is_on_no_page() {
    let site = Site::new().await;
    traffic::day(site.folder.path());
    for path in PAGES {
        site.get_in(path).await.has_not(TOKEN);
    }
}

#[tokio::test]
async fn another_user_of_the_host_reads_and_is_shown_no_button() {
    let site = Site::new().await;
    let journal = site.journal("private-track.sqlite");
    journal.record(&traffic::challenge("one", traffic::VALIDATORS[0]));
    drop(journal);
    let answer = site.get("/challenges/1").await;
    assert_eq!(answer.status, 200);
    answer.has("adit dashboard --link").has_not("method=\"post\"");
    site.get_in("/challenges/1").await.has("method=\"post\"").has("id=\"rehearse\"");
}

#[tokio::test]
async fn another_user_of_the_host_presses_in_vain() {
    let site = Site::new().await;
    site.journal("private-track.sqlite").record(&traffic::challenge("one", traffic::VALIDATORS[0]));
    let host = site.host();
    let origin = format!("http://{host}");
    let wrong = format!("adit_{}=0123456789abcdef0123456789abcdee", site.address.port());
    for cookie in ["", "adit_1=x", wrong.as_str()] {
        let headers = [("host", host.as_str()), ("origin", origin.as_str()), ("cookie", cookie)];
        let answer = site.ask("POST", "/challenges/1/rehearse", &headers).await;
        assert_eq!(answer.status, 403, "{cookie}");
        answer.has("adit dashboard --link");
    }
}

#[tokio::test]
async fn a_button_of_another_page_is_refused() {
    let site = Site::new().await;
    site.program("sv", "touch \"$(dirname \"$0\")/ran\"");
    let journal = site.journal("private-track.sqlite");
    journal.record(&traffic::started("127.0.0.1:9"));
    journal.record(&traffic::challenge("one", traffic::VALIDATORS[0]));
    drop(journal);
    let (host, cookie) = (site.host(), site.cookie());
    let own = format!("http://{host}");
    let port = format!("http://127.0.0.1:{}", site.address.port() ^ 1);
    let cases: [(&str, &[(&str, &str)]); 8] = [
        ("no origin", &[]),
        ("no origin, said to be ours", &[("sec-fetch-site", "same-origin")]),
        ("another's", &[("origin", "http://evil.example")]),
        ("another port", &[("origin", &port)]),
        ("none", &[("origin", "null")]),
        ("ours, sent by another site", &[("origin", &own), ("sec-fetch-site", "cross-site")]),
        ("ours, sent by the same site", &[("origin", &own), ("sec-fetch-site", "same-site")]),
        ("ours, typed", &[("origin", &own), ("sec-fetch-site", "none")]),
    ];
    for (what, more) in cases {
        let mut headers = vec![("host", host.as_str()), ("cookie", cookie.as_str())];
        headers.extend(more);
        assert_eq!(site.ask("POST", "/challenges/2/rehearse", &headers).await.status, 403, "{what}");
    }
    assert!(!site.folder.path().join("bin/ran").exists());
    assert_eq!(site.press("/challenges/2/rehearse").await.status, 200);
    assert!(site.folder.path().join("bin/ran").exists());
}

#[tokio::test]
async fn a_name_that_was_rebound_sees_nothing() {
    let site = Site::new().await;
    let port = site.address.port();
    for host in [format!("evil.example:{port}"), "127.0.0.1".to_owned(), format!("127.0.0.1:{}", port ^ 1)] {
        let answer = site.ask("GET", "/", &[("host", &host), ("cookie", &site.cookie())]).await;
        assert_eq!(answer.status, 403, "{host}");
        answer.has("does not go by that name");
    }
    assert_eq!(site.ask("GET", "/", &[]).await.status, 403);
    for host in [format!("localhost:{port}"), format!("[::1]:{port}")] {
        assert_eq!(site.ask("GET", "/", &[("host", &host)]).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn on_another_address_only_the_style_is_served_without_the_token() {
    let site = Site::with(Setup { listen: "0.0.0.0:0", ..Setup::default() }).await;
    let host = "miner.example";
    for path in PAGES.into_iter().chain(["/live", "/challenges.csv", "/media/x"]) {
        assert_eq!(site.ask("GET", path, &[("host", host)]).await.status, 403, "{path}");
    }
    let cookie = site.cookie();
    let page = site.ask("GET", "/", &[("host", host), ("cookie", &cookie)]).await;
    assert_eq!(page.status, 200);
    let text = page.text();
    let style = text[text.find("/assets/page.").unwrap()..].split('"').next().unwrap();
    assert_eq!(site.ask("GET", style, &[("host", host)]).await.status, 200);
}

#[tokio::test]
async fn the_health_page_is_the_operators() {
    let site = Site::new().await;
    site.program("adit", "touch \"$(dirname \"$0\")/ran\"");
    site.get("/health").await.has("id=\"needs-token\"");
    assert_eq!(site.get("/health.json").await.status, 403);
    assert!(!site.folder.path().join("bin/ran").exists());
}

#[tokio::test]
async fn an_address_that_is_too_long_is_refused() {
    let site = Site::new().await;
    assert_eq!(site.get(&format!("/challenges?validator={}", "x".repeat(5000))).await.status, 414);
}

#[tokio::test]
async fn another_sites_page_embeds_nothing_of_it() {
    let site = Site::new().await;
    let host = site.host();
    let as_part =
        |mode| [("host", host.as_str()), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode)];
    for path in ["/live", "/", "/challenges.json", "/media/x"] {
        assert_eq!(site.ask("GET", path, &as_part("no-cors")).await.status, 403, "{path}");
    }
    assert_eq!(site.ask("GET", "/", &as_part("navigate")).await.status, 200);
}

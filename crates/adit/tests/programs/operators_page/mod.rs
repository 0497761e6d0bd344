//! The operator's page in a real browser, after a scripted day of mixed traffic, with real miners beside it.

mod browser;
mod day;
#[path = "../../../../dashboard/tests/page/traffic.rs"]
mod traffic;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use adit_outbound::{AddressGuard, Client, Limits};
use serde_json::Value;

use self::browser::Browser;
use self::day::{ANSWERED, Day, FAILED, HOSTILE, PICTURES, REFUSED, dashboard, until};
use crate::process::{Miner, finish};

/// Where the pictures of the docs are.
const PICTURES_OF_DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pictures");

/// The address of the page that opens its buttons, as `--link` prints it.
fn link(day: &Day, page: &Miner) -> String {
    let mut command = dashboard(day);
    let output = finish(command.args(["--link", "--listen", &page.address.to_string()]));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn rows(page: &Miner, path: &str) -> Vec<Value> {
    let client = Client::new(AddressGuard::unrestricted()).unwrap();
    let limits = Limits::new(tokio::time::Instant::now() + Duration::from_secs(60), 64 << 20);
    let url = format!("http://{}{path}", page.address);
    let answer = client.get(&url, &limits).await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&answer).unwrap()
}

/// How often a validator's requests ended in each way, out of words such as `answered 6, failed 3`.
fn ended(row: &Value, how: &str) -> u64 {
    let words = row["outcomes"].as_str().unwrap();
    let found = words.split(", ").find_map(|one| one.strip_prefix(how)?.trim().parse().ok());
    found.unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_walks_every_page_and_presses_each_button() {
    let Some(browser) = Browser::start().await else { return };
    let mut day = Day::new().await;
    let page = Miner::listening({
        let mut command = dashboard(&day);
        command.args(["--listen", "127.0.0.1:0"]);
        command
    });
    let at = |path: &str| format!("http://{}{path}", page.address);

    // What was sent is what is shown.
    let [validator, asker] = day.validators.map(|hotkey| hotkey.to_string());
    until("the tasks never end", async || {
        let of_asker = rows(&page, "/generations.json").await;
        let state =
            |word| of_asker.iter().filter(|row| row["validator"] == *asker && row["state"] == word).count();
        state("delivered") == 2 && state("refused") == 1
    })
    .await;
    let validators = rows(&page, "/validators.json").await;
    let of = |hotkey: &str| validators.iter().find(|row| row["validator"] == hotkey).unwrap().clone();
    assert_eq!((ended(&of(&validator), "answered"), ended(&of(&validator), "failed")), (ANSWERED, FAILED));
    assert_eq!(of(&validator)["dialects"], "fiber 3, score 6");
    assert_eq!(of(&asker)["requests"], PICTURES);
    let challenges = rows(&page, &format!("/challenges.json?validator={validator}")).await;
    assert_eq!(challenges.len() as u64, ANSWERED + FAILED);

    // A stranger of this host reads, and presses nothing.
    browser.open(&at("/challenges")).await;
    assert_eq!(browser.all("#challenges tbody tr").await.len(), 50);
    browser.click("#challenges tbody tr a").await;
    browser.one("#summary").await;
    assert!(browser.all("#rehearse").await.is_empty());

    // The operator.
    browser.open(&link(&day, &page)).await;
    assert!(!browser.address().await.contains("token"), "the token stays out of the history");
    for (miner, run) in
        [("private-track", "online"), ("generative", "online"), ("turbo-vision", "runs elsewhere")]
    {
        browser.one(&format!("#{miner}[data-run='{run}']")).await;
    }

    // The rehearsal of a challenge of today.
    browser.open(&at(&format!("/challenges?validator={validator}&outcome=answered"))).await;
    browser.click("#challenges tbody tr a").await;
    browser.one("#stages").await;
    browser.one("#predictions").await;
    browser.click("#rehearse").await;
    let said = result(&browser).await;
    assert!(said.contains("sv rehearse"), "{said}");
    browser.open(&browser.address().await).await;
    browser.one("#rehearsals tbody tr").await;

    // What the validator refused is delivered again, and taken.
    browser.open(&at(&format!("/generations/{}", day.refused))).await;
    assert!(browser.text("#prompt").await.contains(HOSTILE), "the prompt is text");
    let width = browser.run("return document.querySelector('#media img').naturalWidth").await;
    assert!(width.as_u64().unwrap() > 0, "the picture itself");
    day.picky.store(false, Ordering::Relaxed);
    browser.click("#redeliver").await;
    let said = result(&browser).await;
    assert!(said.contains("will be delivered again"), "{said}");
    until("it is never delivered", async || {
        browser.open(&at(&format!("/generations/{}", day.refused))).await;
        browser.text("#summary").await.contains("delivered")
    })
    .await;
    assert!(browser.all("#redeliver").await.is_empty(), "there is nothing to deliver any more");

    // A page that is open hears of what happens.
    browser.open(&at("/")).await;
    browser.one("#private-track[data-run='online']").await;
    day.stop_private_track();
    browser.one("#private-track[data-run='stopped']").await;

    // Every page: nothing hostile ran, and nothing broke the policy.
    let pages = [
        ("now", "/".to_owned()),
        ("challenges", "/challenges".to_owned()),
        ("challenge", challenge_of_the_day(&page).await),
        ("generations", "/generations".to_owned()),
        ("generation", format!("/generations/{}", day.refused)),
        ("validators", "/validators".to_owned()),
        ("money", "/money".to_owned()),
        ("turbo-vision", "/turbo-vision".to_owned()),
        ("rehearsals", "/rehearsals".to_owned()),
        ("health", "/health".to_owned()),
    ];
    let pictures = pictures();
    for (name, path) in &pages {
        for (scheme, width, height) in [("light", 1280, 1000), ("dark", 1280, 1000), ("light", 390, 844)] {
            browser.look(scheme, width, height).await;
            browser.open(&at(path)).await;
            browser.one("main").await;
            let wide = browser.run("return document.documentElement.scrollWidth").await;
            assert!(
                wide.as_u64().unwrap() <= u64::from(width),
                "{path} is wider than {width} pixels: {wide}"
            );
            browser.picture(&pictures.join(format!("{name}-{scheme}-{width}.png"))).await;
        }
        assert_ne!(browser.run("return document.title").await, "run", "{path}");
        let unnamed = "return [...document.querySelectorAll('a,button,input,select')].filter(e => \
             !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length || e.querySelector('img[alt]'))).map(e => e.outerHTML)";
        assert_eq!(
            browser.run(unnamed).await,
            Value::Array(Vec::new()),
            "{path} has what a reader cannot name"
        );
    }
    let console = browser.console().await;
    let broken: Vec<&String> = console.iter().filter(|line| !line.contains("favicon")).collect();
    assert!(broken.is_empty(), "{broken:#?}");

    // It can be read without JavaScript.
    browser.scripts(false).await;
    for (_, path) in &pages {
        browser.open(&at(path)).await;
        browser.one("main h1").await;
    }
    assert!(total_refused(&page).await >= REFUSED);
}

/// What a button came to, once it has.
async fn result(browser: &Browser) -> String {
    let mut said = String::new();
    until("a button comes to nothing", async || {
        said = browser.text("#result").await;
        !said.trim().is_empty()
    })
    .await;
    said
}

async fn total_refused(page: &Miner) -> u64 {
    rows(page, "/validators.json").await.iter().filter_map(|row| row["refused"].as_u64()).sum()
}

/// One that was answered.
async fn challenge_of_the_day(page: &Miner) -> String {
    let answered = rows(page, "/challenges.json?outcome=answered").await;
    format!("/challenges/{}", answered[5]["id"])
}

/// The folder of the docs where `ADIT_PICTURES=1` asks for new ones, else one that is thrown away with the build.
fn pictures() -> PathBuf {
    let renew = std::env::var_os("ADIT_PICTURES").is_some_and(|value| value == "1");
    let folder = if renew {
        Path::new(PICTURES_OF_DOCS).to_owned()
    } else {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures")
    };
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

//! Chromium without a window, steered by WebDriver (Debian's `chromium` and `chromium-driver`). A page of it: what crates.io has
//! for this brings a second copy of ICU into the build.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use adit_outbound::{AddressGuard, Client, Limits};
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};

/// Time for one command, and for what a page is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time for the end of a session.
const LAST: Duration = Duration::from_secs(10);
/// The name under which WebDriver hands over elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. It ends when it is dropped.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    client: Client,
    _profile: tempfile::TempDir,
}

/// Something on the page.
#[derive(Debug, Clone)]
pub(crate) struct Element(String);

impl Browser {
    /// `None`, said loudly, where there is no Chromium or no driver; with `ADIT_CI=1` that fails.
    pub(crate) async fn start() -> Option<Self> {
        let missing = ["chromium", "chromedriver"].into_iter().find(|name| !is_there(name));
        if let Some(name) = missing {
            let why = format!("skipped: there is no {name} (apt install chromium chromium-driver)");
            assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{why}");
            eprintln!("{why}");
            return None;
        }
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| {
                let port = line.split_once("successfully on port ")?.1;
                port.trim_end_matches('.').parse::<u16>().ok()
            })
            .expect("chromedriver names its port");
        let client = Client::new(AddressGuard::unrestricted()).unwrap();
        let mut browser =
            Self { driver, session: format!("http://127.0.0.1:{port}/session"), client, _profile: profile };
        let arguments = [
            "--headless=new".to_owned(),
            // The tests may be root's, in a container with a small /dev/shm.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--window-size=1280,1000".to_owned(),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let begun = browser.send(Method::POST, "", Some(wanted)).await;
        browser.session = format!("{}/{}", browser.session, begun["sessionId"].as_str().unwrap());
        Some(browser)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.try_send(method, path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn try_send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Value> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let limits = Limits::new(tokio::time::Instant::now() + PATIENCE, 64 << 20);
        let url = format!("{}{path}", self.session);
        let answer = self.client.request(method, &url, headers, body, &limits).await.unwrap();
        let value = serde_json::from_slice::<Value>(&answer.body).unwrap()["value"].take();
        if answer.status.is_success() { Ok(value) } else { Err(value) }
    }

    pub(crate) async fn open(&self, url: &str) {
        self.send(Method::POST, "/url", Some(json!({ "url": url }))).await;
    }

    pub(crate) async fn address(&self) -> String {
        self.send(Method::GET, "/url", None).await.as_str().unwrap().to_owned()
    }

    /// Everything on the page that a selector means.
    pub(crate) async fn all(&self, css: &str) -> Vec<Element> {
        let by = json!({"using": "css selector", "value": css});
        let found = self.send(Method::POST, "/elements", Some(by)).await;
        let element = |value: &Value| Element(value[ELEMENT].as_str().unwrap().to_owned());
        found.as_array().unwrap().iter().map(element).collect()
    }

    /// The first thing that a selector means, once it is there.
    pub(crate) async fn one(&self, css: &str) -> Element {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(element) = self.all(css).await.into_iter().next() {
                return element;
            }
            assert!(Instant::now() < deadline, "there is never a {css} on {}", self.address().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Has something done with the first thing that a selector means. A page that follows what happens may replace it
    /// between the finding and the doing: then the one that took its place is meant.
    async fn with(&self, css: &str, method: Method, what: &str, body: Option<Value>) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Element(id) = self.one(css).await;
            match self.try_send(method.clone(), &format!("/element/{id}/{what}"), body.clone()).await {
                Err(error) if error["error"] == "stale element reference" && Instant::now() < deadline => {}
                done => return done.unwrap_or_else(|error| panic!("{what} of {css}: {error}")),
            }
        }
    }

    pub(crate) async fn click(&self, css: &str) {
        self.with(css, Method::POST, "click", Some(json!({}))).await;
    }

    /// The text as it is shown.
    pub(crate) async fn text(&self, css: &str) -> String {
        self.with(css, Method::GET, "text", None).await.as_str().unwrap().to_owned()
    }

    /// Runs a script on the page, as its console would: the page's own policy does not hold for it.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.send(Method::POST, "/execute/sync", Some(json!({"script": script, "args": []}))).await
    }

    /// What the console says, such as scripts that were refused; it is told once.
    pub(crate) async fn console(&self) -> Vec<String> {
        let said = self.send(Method::POST, "/se/log", Some(json!({"type": "browser"}))).await;
        said.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    /// As `prefers-color-scheme` asks, on a screen of this size.
    pub(crate) async fn look(&self, scheme: &str, width: u32, height: u32) {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// With or without JavaScript, from the next page on.
    pub(crate) async fn scripts(&self, on: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": !on})).await;
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.send(Method::POST, "/goog/cdp/execute", Some(body)).await
    }

    /// A picture of the page from its top, in a PNG file.
    pub(crate) async fn picture(&self, file: &Path) {
        let shot = self.send(Method::GET, "/screenshot", None).await;
        let png = base64::engine::general_purpose::STANDARD.decode(shot.as_str().unwrap()).unwrap();
        std::fs::write(file, png).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Only at the session's end does the driver end its browser: killed, it would leave it behind.
        let place = self.session.strip_prefix("http://").and_then(|place| place.split_once('/'));
        if let Some((address, path)) = place
            && let Ok(mut stream) = TcpStream::connect(address)
        {
            let end = format!("DELETE /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
            let _ = stream.set_read_timeout(Some(LAST));
            let _ = stream.write_all(end.as_bytes());
            // It answers when that is done.
            let _ = stream.read(&mut [0; 512]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn is_there(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

//! A chute on this host, by the three commands that the guide names.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use adit_stand_in::video_host::{Reply, VideoHost};
use adit_synthetic::{Match, MatchFormat};
use serde_json::Value;

use super::{World, example};
use crate::process::shown;

/// The tests' Python, with numpy.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("ADIT_TEST_PYTHON").map(PathBuf::from).filter(|path| path.exists());
    if python.is_none() {
        let missing = "ADIT_TEST_PYTHON names no Python with numpy; `make test` sets it up";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{missing}");
        eprintln!("skipped: {missing}");
    }
    python
}

/// `sv deploy-local-chute`, until it is dropped.
struct Served {
    child: Child,
    port: String,
    /// What it said when it was ready.
    said: String,
}

impl Served {
    fn start(world: &World, python: &Path, arguments: &[&str]) -> Self {
        let mut command = world.command(&["deploy-local-chute", "--port", "0"]);
        command.args(arguments).env("ADIT_PYTHON", python).env("ADIT_WORKER_START_SECONDS", "30");
        let log = fs::File::create(world.path("chute.log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).stdin(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let first = lines
            .next()
            .unwrap_or_else(|| panic!("it ended: {}", fs::read_to_string(world.path("chute.log")).unwrap()));
        // Read on, since it says more.
        std::thread::spawn(move || lines.for_each(drop));
        let port = first.split_once("127.0.0.1:").and_then(|(_, rest)| rest.split_once(": POST"));
        let port = port.unwrap_or_else(|| panic!("{first}")).0.to_owned();
        Self { child, port, said: first }
    }

    /// Waits until it says that its model is loaded, or is not.
    fn settled(&self, world: &World) -> String {
        let until = Instant::now() + Duration::from_secs(40);
        loop {
            let output = self.ask(world, &["ping-chute", "--health-only"]);
            let said = shown(&output);
            if !said.contains("loading") || Instant::now() > until {
                return said;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn ask(&self, world: &World, arguments: &[&str]) -> std::process::Output {
        let mut command = world.command(arguments);
        world.finish(command.arg("--local").env("ADIT_LOCAL_CHUTE_PORT", &self.port))
    }

    fn log(&self, world: &World) -> String {
        fs::read_to_string(world.path("chute.log")).unwrap()
    }

    /// Stops it as an operator does.
    fn stop(mut self) -> Option<i32> {
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not stop");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A clip of two seconds, and where it is.
async fn clip() -> (VideoHost, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.mp4");
    let format = MatchFormat { width: 320, height: 180, fps: 25, seconds: 2 };
    let ffmpeg = adit_media::Ffmpeg::find(None).await.unwrap();
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    Match::new(7, format).write_clip(&ffmpeg, &file, until).await.unwrap();
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(fs::read(&file).unwrap()));
    (host, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_is_served_pinged_and_scored() {
    let Some(python) = python() else { return };
    let world = World::new().await;
    for file in ["miner.py", "chute_config.yml"] {
        fs::copy(example().join(file), world.path("model").join(file)).unwrap();
    }
    let served = Served::start(&world, &python, &["--model_path", "model"]);
    assert!(served.said.ends_with("POST /health, POST /predict"), "{}", served.said);

    let (_host, url) = clip().await;
    let pinged = served.ask(&world, &["ping-chute", "--video_url", &url]);
    let said = shown(&pinged);
    assert_eq!(pinged.status.code(), Some(0), "{said}");
    assert!(said.contains("✓ /health passed: model loaded: the drawn match, by its colours"), "{said}");
    assert!(said.contains("✓ /predict passed: 50 frames in "), "{said}");
    let short = served.ask(&world, &["ping-chute", "--video-url", &url, "--n-frames", "51"]);
    assert_eq!(short.status.code(), Some(1), "{}", shown(&short));
    let gone = served.ask(&world, &["ping-chute", "--video-url", &format!("{url}.gone"), "--json"]);
    assert_eq!(gone.status.code(), Some(1), "{}", shown(&gone));
    let said: Value = serde_json::from_slice(&gone.stdout).unwrap();
    assert_eq!((&said["passed"], &said["health"]["passed"]), (&false.into(), &true.into()), "{said}");

    let report = world.path("report.html");
    let test = ["test-chute", "--frames", "3", "--json", "--report", report.to_str().unwrap()];
    let tested = served.ask(&world, &test);
    assert_eq!(tested.status.code(), Some(0), "{}", shown(&tested));
    let said: Value = serde_json::from_slice(&tested.stdout).unwrap();
    assert!(said["score"].as_f64().unwrap() > 0.5, "{said:#}");
    assert_eq!((&said["era"], &said["passed"]), (&"head".into(), &true.into()), "{said:#}");
    let page = fs::read_to_string(report).unwrap();
    assert!(page.contains("Rehearsal of a chute") && page.contains("</html>"), "{page:.400}");
    // Nothing of it needs a network.
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
    let nowhere = served.ask(&world, &["test-chute", "--frames", "1", "--report", "/no/such/place.html"]);
    assert_eq!(nowhere.status.code(), Some(1), "{}", shown(&nowhere));
    assert!(shown(&nowhere).contains("cannot write /no/such/place.html"), "{}", shown(&nowhere));
    assert_eq!(served.stop(), Some(0));
    // The folder is as it was: all of it is uploaded.
    assert_eq!(fs::read_dir(world.path("model")).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_misbehaves_is_named_and_the_chute_stays() {
    let Some(python) = python() else { return };
    let world = World::new().await;
    let miner = |body: &str| {
        let text = format!(
            "import os, sys, time\n\nclass Miner:\n    def __init__(self, path):\n        pass\n    def __repr__(self):\n        return 'mine'\n    def \
             predict_batch(self, batch_images, offset, n_keypoints):\n        {body}\n"
        );
        world.write("model/miner.py", &text);
    };
    let model = world.path("model");
    let serve = || Served::start(&world, &python, &["--model-path", model.to_str().unwrap()]);
    let tested = |served: &Served, timeout: &str| {
        let arguments = ["test-chute", "--frames", "2", "--json", "--timeout", timeout];
        let output = served.ask(&world, &arguments);
        assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        said["rounds"][0]["error"].as_str().unwrap_or_else(|| panic!("{said:#}")).to_owned()
    };

    miner("raise ValueError('no such layer')");
    let served = serve();
    assert!(served.settled(&world).contains("✓ /health passed"), "{}", served.log(&world));
    let why = tested(&served, "20");
    assert!(why.contains("no such layer"), "{why}");
    drop(served);

    miner("os._exit(7)");
    let served = serve();
    let why = tested(&served, "20");
    assert!(why.contains("ended") || why.contains("exit"), "{why}");
    // It is started again.
    assert!(served.settled(&world).contains("✓ /health passed"), "{}", served.log(&world));
    drop(served);

    miner("time.sleep(600)");
    let served = serve();
    let began = Instant::now();
    let why = tested(&served, "2");
    assert!(began.elapsed() < Duration::from_secs(30), "{why}");
    assert!(why.contains("2 s") || why.contains("time"), "{why}");
    assert_eq!(served.stop(), Some(0));

    // What it prints is for the log, and no answer.
    miner("print('{\"success\": false}', flush=True); os.write(1, b'raw\\n'); return []");
    let served = serve();
    let why = tested(&served, "20");
    assert!(!why.contains("raw"), "{why}");
    assert!(served.log(&world).contains("raw"), "{}", served.log(&world));
    drop(served);

    world.write("model/miner.py", "import nothing_of_that_name\n");
    let served = serve();
    let said = served.settled(&world);
    assert!(said.contains("✗ /health failed") && said.contains("nothing_of_that_name"), "{said}");
}

/// It has a minute to load and is stopped at once; `stop` waits for 20 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_chute_that_loads_for_long_can_be_stopped() {
    let Some(python) = python() else { return };
    let world = World::new().await;
    world.write("model/miner.py", "import time\ntime.sleep(60)\n");
    let served = Served::start(&world, &python, &["--model-path", "model"]);
    assert_eq!(served.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_said() {
    let world = World::new().await;
    let mut seen = String::new();
    world.show(&mut seen, &["deploy-local-chute", "--model-path", "model"], &[]);
    world.show(&mut seen, &["deploy-local-chute", "--model-path", "none"], &[]);
    world.show(&mut seen, &["deploy-local-chute"], &[("PATH_CHUTE_TEMPLATES", "nowhere")]);
    world.show(&mut seen, &["deploy-local-chute"], &[("ADIT_LOCAL_CHUTE_PORT", "http")]);
    world.show(&mut seen, &["deploy-local-chute"], &[("ADIT_FFMPEG", "/no/such/ffmpeg")]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (_, stderr) = world.sv(1, &["deploy-local-chute", "--port", &port]);
    seen += &stderr.replace(&port, "<taken>");
    world.show(&mut seen, &["ping-chute", "--local"], &[("ADIT_LOCAL_CHUTE_PORT", "1")]);
    world.show(&mut seen, &["test-chute", "--local"], &[("ADIT_LOCAL_CHUTE_PORT", "1")]);
    insta::assert_snapshot!(seen);
}

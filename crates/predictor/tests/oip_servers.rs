//! A model on other hosts, with KServe's own server in their place: `examples/oip-server` in the Python that
//! `ADIT_TEST_OIP_PYTHON` names.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use adit_predictor::{Circuit, Data, OipError, RemoteConfig, RemoteModel, Tensor};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Python needs a while to load all that KServe brings, on cores that others use too.
fn patient() -> Instant {
    Instant::now() + Duration::from_secs(180)
}

fn python() -> Option<PathBuf> {
    let python =
        std::env::var_os("ADIT_TEST_OIP_PYTHON").map(PathBuf::from).filter(|python| python.is_file());
    if python.is_none() {
        let why =
            "ADIT_TEST_OIP_PYTHON names no Python with KServe's server; scripts/setup test installs one";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{why}");
        eprintln!("skipped: {why}");
    }
    python
}

/// An ONNX file is a message of protobuf.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, field: u8, value: u8) -> Self {
        self.0.extend([field << 3, value]);
        self
    }

    fn bytes(mut self, field: u8, bytes: &[u8]) -> Self {
        assert!(bytes.len() < 0x4000, "two bytes of length are enough here");
        self.0.extend([field << 3 | 2, bytes.len() as u8 | 0x80, (bytes.len() >> 7) as u8]);
        self.0.extend(bytes);
        self
    }

    fn message(self, field: u8, message: Self) -> Self {
        self.bytes(field, &message.0)
    }
}

const FLOAT: u8 = 1;
const BYTE: u8 = 2;

/// A model of one operation on rows of four elements, any number of rows.
fn model(operation: &str, inputs: &[&str], element: u8) -> Vec<u8> {
    let node = inputs.iter().fold(Message::default(), |node, input| node.bytes(1, input.as_bytes()));
    let node = node.bytes(2, b"y").bytes(4, operation.as_bytes());
    let value = |name: &str| {
        let rows = Message::default().bytes(2, b"rows");
        let shape = Message::default().message(1, rows).message(1, Message::default().number(1, 4));
        let tensor = Message::default().number(1, element).message(2, shape);
        Message::default().bytes(1, name.as_bytes()).message(2, Message::default().message(1, tensor))
    };
    let graph = Message::default().message(1, node).bytes(2, b"g");
    let graph = graph.message(11, value("x")).message(12, value("y"));
    Message::default()
        .number(1, 8)
        .message(7, graph)
        .message(8, Message::default().bytes(1, b"").number(2, 17))
        .0
}

struct Server {
    _child: Child,
    http: u16,
    grpc: u16,
}

impl Server {
    fn start(python: &Path, models: &Path, [http, grpc]: [u16; 2]) -> Self {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/oip-server/server.py");
        let mut command = Command::new(python);
        command.arg(program).args([
            "--threads",
            "1",
            "--http-port",
            &http.to_string(),
            "--grpc-port",
            &grpc.to_string(),
        ]);
        for name in ["doubler", "copier", "roots"] {
            command.arg("--model").arg(format!("{name}={}", models.join(name).display()));
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        Self { _child: child, http, grpc }
    }

    fn rest(&self, model: &str) -> String {
        format!("http://127.0.0.1:{}/v2/models/{model}", self.http)
    }

    fn grpc(&self, model: &str) -> String {
        format!("grpc://127.0.0.1:{}/{model}", self.grpc)
    }
}

fn free_ports() -> [u16; 2] {
    let both = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    both.map(|listener| listener.local_addr().unwrap().port())
}

fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("doubler", model("Add", &["x", "x"], FLOAT)),
        ("copier", model("Identity", &["x"], BYTE)),
        ("roots", model("Sqrt", &["x"], FLOAT)),
    ] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("model.onnx"), bytes).unwrap();
    }
    folder
}

async fn connected(urls: &[String]) -> RemoteModel {
    let servers = urls.iter().map(|url| url.parse().unwrap()).collect();
    let config = RemoteConfig { probe_every: Duration::from_millis(300), ..RemoteConfig::new(servers) };
    RemoteModel::connect(config, patient()).await.unwrap()
}

fn rows(floats: Vec<f32>) -> Tensor {
    Tensor { shape: vec![floats.len() / 4, 4], data: Data::Float(floats) }
}

#[tokio::test(flavor = "multi_thread")]
async fn kserve_answers_over_both_protocols() {
    let Some(python) = python() else { return };
    let models = written();
    let server = Server::start(&python, models.path(), free_ports());
    let floats: Vec<f32> = (0..1 << 18).map(|at| (at as f32).sin() * 1e3).collect();
    let twice: Vec<f32> = floats.iter().map(|float| float * 2.0).collect();
    let bytes: Vec<u8> = (0..1 << 20).map(|at: u32| (at * 7 % 256) as u8).collect();
    for urls in [Server::rest, Server::grpc] {
        let doubler = connected(&[urls(&server, "doubler")]).await;
        assert_eq!(doubler.signature().input.to_string(), "x [?, 4] of 32-bit floats");
        assert_eq!(doubler.signature().outputs[0].to_string(), "y [?, 4] of 32-bit floats");
        // A megabyte there and a megabyte back, bit for bit.
        let answer = doubler.infer(&Arc::new(rows(floats.clone())), patient()).await.unwrap();
        assert!(answer == [rows(twice.clone())], "{}", doubler.describe());

        let copier = connected(&[urls(&server, "copier")]).await;
        let tensor = Tensor { shape: vec![bytes.len() / 4, 4], data: Data::Byte(bytes.clone()) };
        let answer = copier.infer(&Arc::new(tensor.clone()), patient()).await.unwrap();
        assert!(answer == [tensor], "{}", copier.describe());
    }

    // Raw bytes hold a NaN, whose meaning is left to whoever reads the outputs; JSON does not.
    let negative = || rows(vec![4.0, -1.0, 9.0, 16.0]);
    let answer =
        connected(&[server.grpc("roots")]).await.infer(&Arc::new(negative()), patient()).await.unwrap();
    let Data::Float(roots) = &answer[0].data else { panic!("floats") };
    assert!(roots[0] == 2.0 && roots[1].is_nan(), "{roots:?}");
    let error =
        connected(&[server.rest("roots")]).await.infer(&Arc::new(negative()), patient()).await.unwrap_err();
    assert!(matches!(error, OipError::Failed(_)), "{error}");
    assert!(error.to_string().contains("NaN"), "{error}");

    // What the server's own program says of a model that it has not.
    for url in [server.rest("nobody"), server.grpc("nobody")] {
        let config = RemoteConfig::new(vec![url.parse().unwrap()]);
        let error = RemoteModel::connect(config, Instant::now() + Duration::from_secs(2)).await.unwrap_err();
        assert!(error.to_string().contains("nobody"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_kserves_is_killed_under_load_and_no_call_is_lost() {
    let Some(python) = python() else { return };
    let models = written();
    let ports = free_ports();
    let (one, two) =
        (Server::start(&python, models.path(), ports), Server::start(&python, models.path(), free_ports()));
    let urls = [Server::rest, Server::grpc].map(|url| [url(&one, "doubler"), url(&two, "doubler")]);
    let mut remote = Vec::new();
    for urls in &urls {
        // Both are there before the load begins.
        for url in urls {
            connected(std::slice::from_ref(url)).await;
        }
        remote.push(Arc::new(connected(urls).await));
    }
    let answered = Arc::new(AtomicUsize::new(0));
    let enough = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for model in &remote {
        for caller in 0..3 {
            let (model, answered, enough) = (Arc::clone(model), Arc::clone(&answered), Arc::clone(&enough));
            callers.push(tokio::spawn(async move {
                for at in 0.. {
                    let floats: Vec<f32> = (0..64).map(|row| (caller * 1000 + at + row) as f32).collect();
                    let expected = rows(floats.iter().map(|float| float * 2.0).collect());
                    assert_eq!(model.infer(&Arc::new(rows(floats)), patient()).await.unwrap(), [expected]);
                    answered.fetch_add(1, Ordering::Relaxed);
                    if enough.load(Ordering::Relaxed) {
                        return;
                    }
                }
            }));
        }
    }
    let more = |count: usize| {
        let answered = Arc::clone(&answered);
        async move {
            let wanted = answered.load(Ordering::Relaxed) + count;
            let deadline = patient();
            while answered.load(Ordering::Relaxed) < wanted {
                assert!(Instant::now() < deadline, "calls stopped");
                sleep(Duration::from_millis(5)).await;
            }
        }
    };
    more(30).await;
    // Killed, as `kill_on_drop` does it.
    drop(one);
    more(60).await;
    let deadline = patient();
    while remote.iter().any(|model| model.status()[0].circuit == Circuit::Closed) {
        assert!(Instant::now() < deadline, "nobody noticed");
        more(1).await;
    }
    let _again = Server::start(&python, models.path(), ports);
    let deadline = patient();
    while remote.iter().any(|model| model.status()[0].circuit != Circuit::Closed) {
        assert!(Instant::now() < deadline, "it is not used again: {:?}", remote[0].status());
        more(1).await;
    }
    enough.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(remote.iter().all(|model| model.status().iter().all(|status| status.in_flight == 0)));
}

//! What the client of the Open Inference Protocol adds to a call: beside a bare POST of the same bytes by reqwest to the same
//! server on loopback, which reads the answer and makes nothing of it. In turns, in one run. The goal is 2 ms.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_predictor::{Data, RemoteConfig, RemoteModel, Tensor};
use adit_stand_in::oip::{OipServer, Served};

/// Calls of each, of which the median counts.
const CALLS: usize = 200;
const WARM_UP: usize = 20;
/// In milliseconds, as all times here.
const GOAL: f64 = 2.0;
/// Rows of four floats: 16 KiB, about one 224x224 picture, and 4 MiB.
const ROWS: [usize; 3] = [1 << 10, 37_632, 1 << 18];

fn main() {
    // `cargo test --benches` passes --test: then being built is all that was asked.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for rows in ROWS {
            compare("REST, binary tensors", rows, true, Form::Rest).await;
            compare("gRPC", rows, true, Form::Grpc).await;
        }
        // What is longer than this nobody should send as text.
        compare("REST, numbers as text", ROWS[0], false, Form::Text).await;
    });
}

#[derive(Clone, Copy)]
enum Form {
    Rest,
    Grpc,
    Text,
}

async fn compare(name: &str, rows: usize, binary: bool, form: Form) {
    let server = OipServer::start(Served { binary, ..Served::default() }).await.expect("a loopback port");
    let floats: Vec<f32> = (0..rows * 4).map(|at| (at as f32).sin()).collect();
    let input = Arc::new(Tensor { shape: vec![rows, 4], data: Data::Float(floats.clone()) });
    let url = if matches!(form, Form::Grpc) { server.grpc() } else { server.rest() };
    let config = RemoteConfig::new(vec![url.parse().expect("a server")]);
    let far = || tokio::time::Instant::now() + Duration::from_secs(60);
    let model = RemoteModel::connect(config, far()).await.expect("the server is there");
    let bare = Bare::new(&server, rows, &floats, form);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for at in 0..WARM_UP + CALLS {
        let begin = Instant::now();
        let answer = model.infer(&input, far()).await.expect("an answer");
        let took = begin.elapsed().as_secs_f64() * 1e3;
        assert_eq!(answer[0].data.len(), rows * 4);
        let begin = Instant::now();
        let length = bare.call().await;
        let bare_took = begin.elapsed().as_secs_f64() * 1e3;
        assert!(length > rows * 4);
        if at >= WARM_UP {
            ours.push(took);
            theirs.push(bare_took);
        }
    }
    // Of pairs, so that a change of the machine's mood does not count.
    let added = ours.iter().zip(&theirs).map(|(ours, theirs)| ours - theirs).collect();
    let (ours, theirs, added) = (median(ours), median(theirs), median(added));
    println!(
        "{name}, {} KiB there and back: {ours:.2} ms, bare {theirs:.2} ms: ratio {:.2}, added {added:.2} ms (goal {GOAL} ms)",
        rows * 16 / 1024,
        ours / theirs,
    );
}

fn median(mut milliseconds: Vec<f64>) -> f64 {
    milliseconds.sort_by(f64::total_cmp);
    milliseconds[CALLS / 2]
}

/// The same bytes by a client that knows nothing of what they mean.
struct Bare {
    client: reqwest::Client,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: bytes::Bytes,
}

impl Bare {
    fn new(server: &OipServer, rows: usize, floats: &[f32], form: Form) -> Self {
        let raw: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
        let builder = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        let (builder, url, headers, body) = match form {
            Form::Grpc => {
                let url = format!("http://{}/inference.GRPCInferenceService/ModelInfer", server.address());
                let headers =
                    vec![("content-type", "application/grpc".to_owned()), ("te", "trailers".to_owned())];
                let builder = builder.http2_prior_knowledge().http2_initial_stream_window_size(8 << 20);
                (builder.http2_initial_connection_window_size(8 << 20), url, headers, message(rows, &raw))
            }
            Form::Rest => {
                let json = format!(
                    r#"{{"inputs":[{{"name":"x","shape":[{rows},4],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}]}}"#,
                    raw.len()
                );
                let headers = vec![("inference-header-content-length", json.len().to_string())];
                (
                    builder.http1_only(),
                    format!("{}/infer", server.rest()),
                    headers,
                    [json.into_bytes(), raw].concat(),
                )
            }
            Form::Text => {
                let data: Vec<String> = floats.iter().map(f32::to_string).collect();
                let json = format!(
                    r#"{{"inputs":[{{"name":"x","shape":[{rows},4],"datatype":"FP32","data":[{}]}}]}}"#,
                    data.join(",")
                );
                (builder.http1_only(), format!("{}/infer", server.rest()), Vec::new(), json.into_bytes())
            }
        };
        Self { client: builder.build().expect("a client"), url, headers, body: body.into() }
    }

    async fn call(&self) -> usize {
        let mut request = self.client.post(&self.url).body(self.body.clone());
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.send().await.expect("an answer").bytes().await.expect("a whole answer").len()
    }
}

/// A call of `ModelInfer` in its frame.
fn message(rows: usize, raw: &[u8]) -> Vec<u8> {
    let shape = [varint(rows), varint(4)].concat();
    let input = [field(1, b"x"), field(2, b"FP32"), field(3, &shape)].concat();
    let message = [field(1, b"doubler"), field(5, &input), field(7, raw)].concat();
    [&[0], &(message.len() as u32).to_be_bytes()[..], &message].concat()
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], &varint(bytes.len())[..], bytes].concat()
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

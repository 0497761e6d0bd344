//! The protocol over gRPC: a message in a frame of five bytes, and a status after it.

use std::time::Duration;

use adit_outbound::{Client, Limits, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use tokio::time::Instant;

use super::super::tensor::{Data, Signature, Tensor};
use super::Server;
use super::error::{Failure, shown};
use super::message::{
    InferRequest, InferResponse, ModelMetadata, ModelReady, ModelRequest, Output, RAW_INPUT, TensorMetadata,
    WantedOutput,
};
use super::ports::{Described, Elements, append_raw, datatype, in_order, raw_length, signature};
use super::rest::{SHORT, refusal};

/// A byte that says whether the message is compressed, and its length.
const FRAME: usize = 5;

#[derive(Debug)]
pub(super) struct Grpc {
    client: Client,
    service: String,
    model: String,
    version: String,
    headers: HeaderMap,
    max_bytes: u64,
}

impl Grpc {
    pub(super) fn new(client: Client, server: &Server, token: Option<HeaderValue>, max_bytes: u64) -> Self {
        let mut headers: HeaderMap = token.map(|token| (header::AUTHORIZATION, token)).into_iter().collect();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        Self {
            client,
            service: format!("{}/inference.GRPCInferenceService", server.root),
            model: server.model.clone(),
            version: server.version.clone().unwrap_or_default(),
            headers,
            max_bytes,
        }
    }

    fn request(&self) -> ModelRequest {
        ModelRequest { name: self.model.clone(), version: self.version.clone() }
    }

    pub(super) async fn ready(&self, until: Instant) -> Result<(), Failure> {
        let answer = self.call("ModelReady", framed(&self.request(), None), SHORT, until).await?;
        match decoded::<ModelReady>(answer)?.ready {
            true => Ok(()),
            false => Err(Failure::Broken("says that the model is not ready".to_owned())),
        }
    }

    pub(super) async fn signature(&self, until: Instant) -> Result<Signature, Failure> {
        let answer = self.call("ModelMetadata", framed(&self.request(), None), SHORT, until).await?;
        let ModelMetadata { inputs, outputs } = decoded(answer)?;
        let described = |list: Vec<TensorMetadata>| -> Vec<Described> {
            let one = |TensorMetadata { name, datatype, shape }| Described { name, datatype, shape };
            list.into_iter().map(one).collect()
        };
        signature(&described(inputs), &described(outputs))
    }

    pub(super) async fn infer(
        &self,
        signature: &Signature,
        input: &Tensor,
        until: Instant,
    ) -> Result<Vec<Tensor>, Failure> {
        let request = InferRequest {
            model_name: self.model.clone(),
            model_version: self.version.clone(),
            inputs: vec![TensorMetadata {
                name: signature.input.name.clone(),
                datatype: datatype(input.data.element()).to_owned(),
                shape: input.shape.iter().map(|&size| size as i64).collect(),
            }],
            outputs: signature.outputs.iter().map(|port| WantedOutput { name: port.name.clone() }).collect(),
        };
        let answer =
            self.call("ModelInfer", framed(&request, Some(&input.data)), self.max_bytes, until).await?;
        outputs(signature, &decoded(answer)?)
    }

    async fn call(
        &self,
        method: &str,
        body: Vec<u8>,
        max_bytes: u64,
        until: Instant,
    ) -> Result<Bytes, Failure> {
        let limit = until.saturating_duration_since(Instant::now());
        let limits = Limits { idle: limit, redirects: 0, ..Limits::new(until, max_bytes) };
        let mut headers = self.headers.clone();
        // So that the server gives it up as well. At most eight digits.
        if let Ok(timeout) = HeaderValue::try_from(format!("{}m", limit.as_millis().min(99_999_999))) {
            headers.insert(HeaderName::from_static("grpc-timeout"), timeout);
        }
        let url = format!("{}/{method}", self.service);
        let answer = self.client.post(&url, headers, body, &limits).await;
        message(answer.map_err(|error| Failure::of(&error, limit))?, limit)
    }
}

/// A request in its frame, with `raw` as the elements of its one input.
fn framed(request: &impl Message, raw: Option<&Data>) -> Vec<u8> {
    let raw_bytes = raw.map_or(0, raw_length);
    let mut body = Vec::with_capacity(FRAME + request.encoded_len() + raw_bytes + 16);
    body.resize(FRAME, 0);
    body.append(&mut request.encode_to_vec());
    if let Some(raw) = raw {
        encode_key(RAW_INPUT, WireType::LengthDelimited, &mut body);
        encode_varint(raw_bytes as u64, &mut body);
        append_raw(raw, &mut body);
    }
    // A message of 4 GiB would not come so far: inputs are far below that.
    let length = u32::try_from(body.len() - FRAME).unwrap_or(u32::MAX);
    body[1..FRAME].copy_from_slice(&length.to_be_bytes());
    body
}

/// The message in an answer that had to be there within `limit`, if its status is OK.
fn message(answer: Response, limit: Duration) -> Result<Bytes, Failure> {
    if let Some(failure) = refusal(&answer) {
        return Err(failure);
    }
    // A call that fails at once has the status among the headers.
    let status = |name: &str| answer.trailers.get(name).or_else(|| answer.headers.get(name));
    let code = status("grpc-status").and_then(|code| code.to_str().ok()?.parse::<u32>().ok());
    let said = status("grpc-message").map(|said| percent_decoded(said.as_bytes())).unwrap_or_default();
    match code {
        Some(0) => {}
        // The server's own clock for the call ran out first.
        Some(4) => return Err(Failure::Slow(limit)),
        Some(code) => return Err(failure(code, &said)),
        None => return Err(Failure::Broken("ended its answer without the status of gRPC".to_owned())),
    }
    let mut body = answer.body;
    let whole = |head: &[u8]| {
        let (compressed, length) = head.split_first()?;
        let length = u32::from_be_bytes(length.try_into().ok()?);
        (*compressed == 0 && length as usize == body.len() - FRAME).then_some(())
    };
    match body.get(..FRAME).and_then(whole) {
        Some(()) => Ok(body.split_off(FRAME)),
        None => {
            Err(Failure::Wrong(format!("its {} bytes are not one uncompressed message of gRPC", body.len())))
        }
    }
}

/// What a status other than OK means.
fn failure(code: u32, said: &str) -> Failure {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let name = NAMES.get(code as usize).map_or_else(|| format!("status {code}"), |name| (*name).to_owned());
    let said = shown(said);
    let refused = |hint| Failure::Refused { status: name.clone(), said: said.clone(), hint };
    match code {
        // A message that is too large for the server has the status of one that has no room.
        8 if said.contains("larger than max") => {
            refused("; raise the server's limit on the size of a message, or lower batch in model.toml")
        }
        8 => Failure::Busy { said, wait: None },
        7 | 16 => refused("; set ADIT_MODEL_SERVER_TOKEN to a token that it accepts"),
        12 => refused(
            "; it does not speak the Open Inference Protocol: see that the port is the model server's",
        ),
        3 | 6 | 9 | 11 => refused("; see that model.toml and the model on the server belong together"),
        _ => Failure::Broken(format!("answered {name}: {said}")),
    }
}

fn percent_decoded(said: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(said.len());
    let mut rest = said;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) if byte == b'%' => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn decoded<M: Message + Default>(bytes: Bytes) -> Result<M, Failure> {
    M::decode(bytes).map_err(|error| Failure::Wrong(format!("it is no such message ({error})")))
}

fn outputs(signature: &Signature, answer: &InferResponse) -> Result<Vec<Tensor>, Failure> {
    let InferResponse { outputs, raw_output_contents: raw } = answer;
    if !raw.is_empty() && raw.len() != outputs.len() {
        return Err(Failure::Wrong(format!(
            "it has {} outputs and the contents of {}",
            outputs.len(),
            raw.len()
        )));
    }
    let one = |(index, output): (usize, &Output)| {
        let Output { name, datatype, shape, contents } = output.clone();
        let elements = match (raw.get(index), contents) {
            (Some(raw), _) => Elements::Raw(raw),
            // Numbers above 16,777,216 lose digits here, and are no bytes before and after.
            (None, Some(contents)) if datatype == "UINT8" => {
                Elements::Numbers(contents.uint_contents.iter().map(|&number| number as f32).collect())
            }
            (None, contents) => Elements::Numbers(contents.unwrap_or_default().fp32_contents),
        };
        (Described { name, datatype, shape }, elements)
    };
    in_order(signature, outputs.iter().enumerate().map(one).collect())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;

    use super::super::super::tensor::{Element, Port};
    use super::super::message::Contents;
    use super::*;

    fn model(element: Element) -> Signature {
        let port = |name: &str| Port { name: name.to_owned(), element, shape: vec![None] };
        Signature { input: port("x"), outputs: vec![port("y"), port("z")] }
    }

    fn output(name: &str, contents: Option<Contents>) -> Output {
        Output { name: name.to_owned(), datatype: "FP32".to_owned(), shape: vec![2], contents }
    }

    fn answered(code: Option<&str>, said: &str, body: &[u8]) -> Result<Bytes, Failure> {
        let mut trailers = HeaderMap::new();
        if let Some(code) = code {
            trailers.insert("grpc-status", HeaderValue::from_str(code).unwrap());
            trailers.insert("grpc-message", HeaderValue::from_str(said).unwrap());
        }
        let body = Bytes::copy_from_slice(body);
        message(
            Response { status: StatusCode::OK, headers: HeaderMap::new(), body, trailers },
            Duration::ZERO,
        )
    }

    #[test]
    fn contents_are_read_raw_and_typed_whatever_their_order() {
        let floats = |values: [f32; 2]| Contents { fp32_contents: values.to_vec(), ..Contents::default() };
        let typed = InferResponse {
            outputs: vec![output("z", Some(floats([3.0, 4.0]))), output("y", Some(floats([1.0, 2.0])))],
            raw_output_contents: Vec::new(),
        };
        let raw = |values: [f32; 2]| {
            Bytes::from(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
        };
        let bare = InferResponse {
            outputs: vec![output("z", None), output("y", None)],
            raw_output_contents: vec![raw([3.0, 4.0]), raw([1.0, 2.0])],
        };
        let tensor = |values: [f32; 2]| Tensor { shape: vec![2], data: Data::Float(values.to_vec()) };
        for answer in [typed, bare.clone()] {
            let read = outputs(&model(Element::Float), &answer).unwrap();
            assert_eq!(read, [tensor([1.0, 2.0]), tensor([3.0, 4.0])]);
        }
        let short = InferResponse { raw_output_contents: vec![raw([1.0, 2.0])], ..bare };
        let refused = outputs(&model(Element::Float), &short).unwrap_err().to_string();
        assert!(refused.contains("2 outputs and the contents of 1"), "{refused}");
        let empty =
            InferResponse { outputs: vec![output("z", None), output("y", None)], ..InferResponse::default() };
        let refused = outputs(&model(Element::Float), &empty).unwrap_err().to_string();
        assert!(refused.contains("0 elements in the shape [2]"), "{refused}");
    }

    #[test]
    fn a_byte_is_read_from_typed_contents() {
        let bytes = |values: &[u32]| InferResponse {
            outputs: ["y", "z"]
                .map(|name| Output {
                    datatype: "UINT8".to_owned(),
                    ..output(name, Some(Contents { uint_contents: values.to_vec(), ..Contents::default() }))
                })
                .to_vec(),
            raw_output_contents: Vec::new(),
        };
        let read = outputs(&model(Element::Byte), &bytes(&[0, 255])).unwrap();
        assert_eq!(read[0].data, Data::Byte(vec![0, 255]));
        assert!(outputs(&model(Element::Byte), &bytes(&[0, 256])).is_err());
    }

    #[test]
    fn a_status_says_whose_fault_it_is() {
        let frame = [0, 0, 0, 0, 1, 7];
        assert_eq!(answered(Some("0"), "", &frame).unwrap(), Bytes::from_static(&[7]));
        let refused = answered(Some("3"), "unexpected shape %5B1%5D 100%", b"").unwrap_err();
        assert!(
            matches!(&refused, Failure::Refused { status, said, .. }
            if status == "INVALID_ARGUMENT" && said == "unexpected shape [1] 100%"),
            "{refused}"
        );
        assert!(matches!(answered(Some("8"), "queue full", b""), Err(Failure::Busy { .. })));
        let large = answered(Some("8"), "Received message larger than max (9 vs. 8)", b"").unwrap_err();
        assert!(
            matches!(&large, Failure::Refused { hint, .. } if hint.contains("limit on the size")),
            "{large}"
        );
        assert!(matches!(answered(Some("16"), "", b""), Err(Failure::Refused { .. })));
        assert!(matches!(answered(Some("4"), "Deadline Exceeded", b""), Err(Failure::Slow(_))));
        for broken in ["1", "2", "5", "10", "13", "14", "15", "99"] {
            assert!(matches!(answered(Some(broken), "", &frame), Err(Failure::Broken(_))), "{broken}");
        }
        assert!(matches!(answered(None, "", &frame), Err(Failure::Broken(_))), "half an answer");
        assert!(matches!(answered(Some("x"), "", &frame), Err(Failure::Broken(_))));
    }

    #[test]
    fn what_is_not_one_whole_plain_message_is_refused() {
        for body in [&[][..], &[0, 0, 0, 0], &[0, 0, 0, 0, 2, 7], &[0, 0, 0, 0, 1, 7, 7], &[1, 0, 0, 0, 1, 7]]
        {
            assert!(matches!(answered(Some("0"), "", body), Err(Failure::Wrong(_))), "{body:?}");
        }
    }

    #[test]
    fn a_request_carries_its_elements_as_the_raw_contents_of_its_input() {
        let request = InferRequest { model_name: "m".to_owned(), ..InferRequest::default() };
        let body = framed(&request, Some(&Data::Byte(vec![1, 2, 3])));
        assert_eq!(body, [0, 0, 0, 0, 8, 0x0a, 1, b'm', 0x3a, 3, 1, 2, 3]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, code in "[0-9]{0,3}", said in "[ -~]{0,20}") {
            let _ = answered(Some(&code), &said, &bytes);
            if let Ok(answer) = decoded::<InferResponse>(Bytes::from(bytes)) {
                let _ = outputs(&model(Element::Float), &answer);
            }
        }
    }
}

//! The protocol's JSON, with or without the binary tensors behind it.

use std::fmt;

use http::HeaderMap;
use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::super::tensor::{Data, Signature, Tensor};
use super::error::{Failure, shown};
use super::ports::{Described, Elements, append_raw, datatype, in_order, raw_length, signature};

/// How long the JSON is that stands before binary tensors.
pub(super) const JSON_LENGTH: &str = "inference-header-content-length";

#[derive(Serialize)]
struct Request<'a> {
    inputs: [Input<'a>; 1],
    outputs: Vec<Wanted<'a>>,
}

#[derive(Serialize)]
struct Input<'a> {
    name: &'a str,
    shape: &'a [usize],
    datatype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "numbers")]
    data: Option<&'a Data>,
}

#[derive(Serialize)]
struct Size {
    binary_data_size: usize,
}

#[derive(Serialize)]
struct Wanted<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Binary>,
}

#[derive(Serialize)]
struct Binary {
    binary_data: bool,
}

fn numbers<S: Serializer>(data: &Option<&Data>, serializer: S) -> Result<S::Ok, S::Error> {
    match data {
        Some(Data::Float(floats)) => floats.serialize(serializer),
        Some(Data::Byte(bytes)) => bytes.serialize(serializer),
        None => serializer.serialize_none(),
    }
}

/// The body of a call, and the length of its JSON where tensors follow it.
pub(super) fn request(
    signature: &Signature,
    input: &Tensor,
    binary: bool,
) -> Result<(Vec<u8>, Option<usize>), Failure> {
    let raw = if binary { raw_length(&input.data) } else { 0 };
    // JSON would have a null for it, and the server's words about that would lead nowhere.
    if let (false, Data::Float(floats)) = (binary, &input.data)
        && floats.iter().any(|float| !float.is_finite())
    {
        return Err(Failure::Refused {
            status: "nothing sent".to_owned(),
            said: "the input holds a NaN or infinity, which JSON has no word for".to_owned(),
            hint: "; mend scale and std in model.toml",
        });
    }
    let request = Request {
        inputs: [Input {
            name: &signature.input.name,
            shape: &input.shape,
            datatype: datatype(input.data.element()),
            parameters: binary.then_some(Size { binary_data_size: raw }),
            data: (!binary).then_some(&input.data),
        }],
        outputs: signature
            .outputs
            .iter()
            .map(|port| Wanted {
                name: &port.name,
                parameters: binary.then_some(Binary { binary_data: true }),
            })
            .collect(),
    };
    let mut body = Vec::with_capacity(if binary { raw + 1024 } else { input.data.len() * 4 });
    serde_json::to_writer(&mut body, &request)
        .map_err(|error| Failure::Broken(format!("cannot be asked: {error}")))?;
    if !binary {
        return Ok((body, None));
    }
    let json = body.len();
    append_raw(&input.data, &mut body);
    Ok((body, Some(json)))
}

#[derive(Deserialize)]
struct Answer {
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    #[serde(default)]
    parameters: Option<Parameters>,
    #[serde(default)]
    data: Option<Flat>,
}

#[derive(Deserialize)]
struct Parameters {
    #[serde(default)]
    binary_data_size: Option<usize>,
}

/// Numbers in lists of any depth, in the order in which they stand.
struct Flat(Vec<f32>);

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut numbers = Vec::new();
        deserializer.deserialize_any(Collect(&mut numbers))?;
        Ok(Self(numbers))
    }
}

struct Collect<'a>(&'a mut Vec<f32>);

impl<'de> DeserializeSeed<'de> for Collect<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, or lists of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Collect(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        let float = number as f32;
        if !float.is_finite() {
            return Err(E::custom(format!("{number:e} is no 32-bit float")));
        }
        self.0.push(float);
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        self.0.push(number as f32);
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.0.push(number as f32);
        Ok(())
    }

    // What several JSON writers of Python make of it.
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Err(E::custom(
            "a null among the numbers: the model put out a NaN or infinity, so look at its input and weights",
        ))
    }
}

/// The outputs out of the body of an answer, in the order of `signature`.
pub(super) fn answer(
    signature: &Signature,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Vec<Tensor>, Failure> {
    let json = match headers.get(JSON_LENGTH) {
        None => body.len(),
        Some(length) => {
            let length = length.to_str().ok().and_then(|text| text.trim().parse().ok());
            length.filter(|length| *length <= body.len()).ok_or_else(|| {
                Failure::Wrong(format!("its {JSON_LENGTH} is no length within its {} bytes", body.len()))
            })?
        }
    };
    let (json, mut raw) = body.split_at(json);
    let answer: Answer = parsed(json)?;
    let mut found = Vec::with_capacity(answer.outputs.len());
    for Output { name, datatype, shape, parameters, data } in answer.outputs {
        let size = parameters.and_then(|parameters| parameters.binary_data_size);
        let elements = match (data, size) {
            (_, Some(size)) => {
                let (these, rest) = raw.split_at_checked(size).ok_or_else(|| {
                    Failure::Wrong(format!("its output {} ends before its {size} bytes", shown(&name)))
                })?;
                raw = rest;
                Elements::Raw(these)
            }
            (Some(Flat(numbers)), None) => Elements::Numbers(numbers),
            (None, None) => {
                return Err(Failure::Wrong(format!("its output {} has no data", shown(&name))));
            }
        };
        found.push((Described { name, datatype, shape }, elements));
    }
    if !raw.is_empty() {
        return Err(Failure::Wrong(format!("{} bytes follow its last output", raw.len())));
    }
    in_order(signature, found)
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    inputs: Vec<TensorMetadata>,
    #[serde(default)]
    outputs: Vec<TensorMetadata>,
}

#[derive(Deserialize)]
struct TensorMetadata {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

/// What a model's metadata say.
pub(super) fn metadata(body: &[u8]) -> Result<Signature, Failure> {
    let Metadata { inputs, outputs } = parsed(body)?;
    let described = |list: Vec<TensorMetadata>| -> Vec<Described> {
        let one = |TensorMetadata { name, datatype, shape }| Described { name, datatype, shape };
        list.into_iter().map(one).collect()
    };
    signature(&described(inputs), &described(outputs))
}

/// Whether a server's own metadata list the binary tensor extension.
pub(super) fn takes_binary(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Server {
        #[serde(default)]
        extensions: Vec<String>,
    }
    let server: Option<Server> = serde_json::from_slice(body).ok();
    server.is_some_and(|server| server.extensions.iter().any(|name| name == "binary_tensor_data"))
}

/// What an answer that is no success says.
pub(super) fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Error {
        #[serde(alias = "detail", alias = "message")]
        error: String,
    }
    match serde_json::from_slice(body) {
        Ok(Error { error }) => shown(&error),
        Err(_) => shown(&String::from_utf8_lossy(&body[..body.len().min(1200)])),
    }
}

fn parsed<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(json).map_err(|error| {
        // Python's own writer has these words, which JSON has not.
        let words = ["NaN", "Infinity"];
        let at = json.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1));
        let rest = at.and_then(|line| line.get(error.column().saturating_sub(1)..)).unwrap_or_default();
        Failure::Wrong(match words.iter().find(|word| rest.starts_with(word.as_bytes())) {
            Some(word) => format!("{word} among the numbers: the model put out a NaN or infinity, so look at its input and weights"),
            None if error.is_data() => shown(&error.to_string()),
            None => format!(
                "it is no JSON ({error}): {}",
                shown(&String::from_utf8_lossy(&json[..json.len().min(160)]))
            ),
        })
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::super::tensor::{Element, Port};
    use super::*;

    fn model(element: Element) -> Signature {
        let port = |name: &str| Port { name: name.to_owned(), element, shape: vec![None, Some(2)] };
        Signature { input: port("x"), outputs: vec![port("y")] }
    }

    fn read(body: &str) -> Result<Vec<Tensor>, Failure> {
        answer(&model(Element::Float), &HeaderMap::new(), body.as_bytes())
    }

    fn with_data(data: &str) -> String {
        format!(
            r#"{{"model_name":"m","outputs":[{{"name":"y","datatype":"FP32","shape":[2,2],"data":{data}}}]}}"#
        )
    }

    #[test]
    fn data_are_read_flat_and_nested() {
        let expected = vec![Tensor { shape: vec![2, 2], data: Data::Float(vec![1.0, -2.5, 3.0, 0.1]) }];
        for data in
            ["[1, -2.5, 3e0, 0.1]", "[[1, -2.5], [3.0, 0.1]]", "[[[1], [-2.5]], [[3], 0.10000000149011612]]"]
        {
            assert_eq!(read(&with_data(data)).unwrap(), expected, "{data}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused_with_what_is_wrong() {
        for (body, why) in [
            (with_data("[1, NaN, 3, 4]"), "NaN among the numbers"),
            (with_data("[\n1, 2, \n-Infinity, 4]"), "Infinity among the numbers"),
            (with_data("[1, Infinity]"), "Infinity among the numbers"),
            (with_data("[1, null, 3, 4]"), "null among the numbers"),
            (with_data("[1, 1e39, 3, 4]"), "no 32-bit float"),
            (with_data("[1, \"2\", 3, 4]"), "numbers, or lists of them"),
            (with_data("[1, {}, 3, 4]"), "numbers, or lists of them"),
            (with_data("[1, 2, 3]"), "3 elements in the shape [2, 2]"),
            (with_data("null"), "has no data"),
            (r#"{"outputs":[]}"#.to_owned(), "no output y"),
            (r#"{"error":"no"}"#.to_owned(), "missing field `outputs`"),
            ("<html>\n<h1>it works".to_owned(), "no JSON"),
            (with_data("[1, 2, 3, 4]")[..70].to_owned(), "no JSON"),
            (String::new(), "no JSON"),
            (with_data(&"[".repeat(10_000)), "no JSON"),
        ] {
            let refused = read(&body).unwrap_err();
            assert!(matches!(refused, Failure::Wrong(_)), "{body:.200}");
            assert!(refused.to_string().contains(why), "{body:.200}: {refused}");
        }
    }

    #[test]
    fn a_request_in_json_is_as_the_protocol_says() {
        let input = Tensor { shape: vec![1, 2], data: Data::Byte(vec![0, 255]) };
        let (body, json_length) = request(&model(Element::Byte), &input, false).unwrap();
        assert_eq!(json_length, None);
        let expected = json!({
            "inputs": [{"name": "x", "shape": [1, 2], "datatype": "UINT8", "data": [0, 255]}],
            "outputs": [{"name": "y"}],
        });
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
        let input = Tensor { shape: vec![1, 2], data: Data::Float(vec![0.0, f32::NAN]) };
        let refused = request(&model(Element::Float), &input, false).unwrap_err();
        assert!(refused.to_string().contains("NaN or infinity"), "{refused}");
    }

    #[test]
    fn binary_tensors_follow_the_json_in_its_order() {
        let input = Tensor { shape: vec![1, 2], data: Data::Float(vec![1.0, f32::NAN]) };
        let (body, json_length) = request(&model(Element::Float), &input, true).unwrap();
        let (json, raw) = body.split_at(json_length.unwrap());
        let expected = json!({
            "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}],
            "outputs": [{"name": "y", "parameters": {"binary_data": true}}],
        });
        assert_eq!(serde_json::from_slice::<Value>(json).unwrap(), expected);
        assert_eq!(raw[..4], 1.0_f32.to_le_bytes());

        let json = br#"{"outputs":[
            {"name":"other","datatype":"INT64","shape":[1],"parameters":{"binary_data_size":8}},
            {"name":"y","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}"#;
        let body = [json.as_slice(), &[9; 8], &1.5_f32.to_le_bytes(), &(-2.0_f32).to_le_bytes()].concat();
        let read = |length: &str, body: &[u8]| {
            let length = HeaderValue::from_str(length).unwrap();
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static(JSON_LENGTH), length)]);
            answer(&model(Element::Float), &headers, body)
        };
        let whole = read(&json.len().to_string(), &body).unwrap();
        assert_eq!(whole, [Tensor { shape: vec![1, 2], data: Data::Float(vec![1.5, -2.0]) }]);
        for (length, body, why) in [
            (json.len().to_string(), &body[..body.len() - 1], "ends before its 8 bytes"),
            (json.len().to_string(), &[&body[..], b"x"].concat()[..], "1 bytes follow"),
            ("99999".to_owned(), &body[..], "no length within"),
            ("-1".to_owned(), &body[..], "no length within"),
            ("3".to_owned(), &body[..], "no JSON"),
        ] {
            let refused = read(&length, body).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn what_a_server_says_of_its_errors_is_one_short_line() {
        assert_eq!(said(br#"{"error": "unexpected\nshape"}"#), "unexpected shape");
        assert_eq!(said(br#"{"detail": "Not Found"}"#), "Not Found");
        assert_eq!(said(b"\x1b[31mboom\xff"), " [31mboom\u{fffd}");
        assert_eq!(said(b""), "(no text)");
        assert_eq!(said(&[b'x'; 5000]).len(), 300);
    }

    #[test]
    fn only_a_listed_extension_counts() {
        assert!(takes_binary(br#"{"name":"triton","extensions":["classification","binary_tensor_data"]}"#));
        for other in
            [&br#"{"name":"kserve","extensions":["model_repository_extension"]}"#[..], b"{}", b"", b"<html>"]
        {
            assert!(!takes_binary(other));
        }
    }

    proptest! {
        /// As a server in Python reads it: into a 64-bit float, and then into one of 32.
        #[test]
        fn a_float_keeps_every_bit_in_json(bits: Vec<u32>) {
            let floats: Vec<f32> = bits.into_iter().map(f32::from_bits).filter(|float| float.is_finite()).collect();
            let input = Tensor { shape: vec![floats.len()], data: Data::Float(floats.clone()) };
            let (body, _) = request(&model(Element::Float), &input, false).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let read = body["inputs"][0]["data"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32);
            prop_assert_eq!(read.collect::<Vec<f32>>(), floats);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = answer(&model(Element::Float), &HeaderMap::new(), &bytes);
            let _ = metadata(&bytes);
            let _ = said(&bytes);
        }
    }
}

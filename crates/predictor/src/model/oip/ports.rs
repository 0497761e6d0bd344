//! What the protocol says of tensors, and what of it fits a model: the same over REST and gRPC.

use super::super::tensor::{Data, Element, Port, Signature, Tensor};
use super::error::{Failure, shown};

/// What to look at where an answer is another than the metadata promised.
const REPLACED: &str = "the model there may have been replaced since the start";

/// A tensor as metadata describe it.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) datatype: String,
    pub(super) shape: Vec<i64>,
}

/// An output's elements, as they came.
#[derive(Debug, Clone)]
pub(super) enum Elements<'a> {
    /// Little-endian, as in the binary extension and gRPC's raw contents.
    Raw(&'a [u8]),
    /// Numbers, which hold a byte as well as a float.
    Numbers(Vec<f32>),
}

pub(super) fn datatype(element: Element) -> &'static str {
    match element {
        Element::Float => "FP32",
        Element::Byte => "UINT8",
    }
}

/// What the metadata describe, where it is a model that Adit runs.
pub(super) fn signature(inputs: &[Described], outputs: &[Described]) -> Result<Signature, Failure> {
    let [input] = inputs else {
        let names: Vec<String> = inputs.iter().map(|input| shown(&input.name)).collect();
        return Err(Failure::Unusable(match inputs.len() {
            0 => "its metadata name no input".to_owned(),
            count => format!("it has {count} inputs ({})", names.join(", ")),
        }));
    };
    if outputs.is_empty() {
        return Err(Failure::Unusable("its metadata name no output".to_owned()));
    }
    let outputs = outputs.iter().map(|output| port("output", output)).collect::<Result<_, _>>()?;
    Ok(Signature { input: port("input", input)?, outputs })
}

fn port(kind: &str, described: &Described) -> Result<Port, Failure> {
    let name = shown(&described.name);
    let unusable = |what: String| Failure::Unusable(format!("its {kind} {name} {what}"));
    let element = match described.datatype.as_str() {
        "FP32" => Element::Float,
        "UINT8" => Element::Byte,
        other => {
            return Err(unusable(format!("is of {}, and only FP32 and UINT8 are understood", shown(other))));
        }
    };
    let axis = |&size: &i64| match size {
        -1 => Ok(None),
        1.. => usize::try_from(size).map(Some).map_err(|_| unusable(format!("has the size {size}"))),
        _ => Err(unusable(format!("has the size {size}"))),
    };
    let shape = described.shape.iter().map(axis).collect::<Result<_, _>>()?;
    Ok(Port { name: described.name.clone(), element, shape })
}

/// In what two models differ, whatever the order of their outputs.
pub(super) fn difference(one: &Signature, other: &Signature) -> Option<String> {
    let differ = |one: &Port, other: &Port| (one != other).then(|| format!("{one} against {other}"));
    if let Some(what) = differ(&one.input, &other.input) {
        return Some(format!("its input is {what}"));
    }
    for output in &one.outputs {
        match other.outputs.iter().find(|port| port.name == output.name) {
            None => return Some(format!("only one has an output {}", output.name)),
            Some(port) => {
                if let Some(what) = differ(output, port) {
                    return Some(format!("its output is {what}"));
                }
            }
        }
    }
    let surplus = other.outputs.iter().find(|port| one.outputs.iter().all(|output| output.name != port.name));
    surplus.map(|port| format!("only one has an output {}", port.name))
}

/// What keeps a tensor from being what `port` describes.
pub(super) fn misfit(port: &Port, tensor: &Tensor) -> Option<String> {
    if tensor.data.element() != port.element {
        return Some(format!("it has {} for {port}", tensor.data.element()));
    }
    if !fits(port, &tensor.shape) {
        return Some(format!("its shape is {:?} for {port}", tensor.shape));
    }
    let count = count(&tensor.shape);
    (count != Some(tensor.data.len()))
        .then(|| format!("it has {} elements in the shape {:?}", tensor.data.len(), tensor.shape))
}

fn fits(port: &Port, shape: &[usize]) -> bool {
    let same = |(size, wanted): (&usize, &Option<usize>)| wanted.is_none_or(|wanted| *size == wanted);
    shape.len() == port.shape.len() && shape.iter().zip(&port.shape).all(same)
}

fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size))
}

/// The outputs that `signature` names, out of those that were found.
pub(super) fn in_order(
    signature: &Signature,
    mut found: Vec<(Described, Elements<'_>)>,
) -> Result<Vec<Tensor>, Failure> {
    let mut outputs = Vec::with_capacity(signature.outputs.len());
    for port in &signature.outputs {
        let Some(at) = found.iter().position(|(described, _)| described.name == port.name) else {
            let names: Vec<String> = found.iter().map(|(described, _)| shown(&described.name)).collect();
            return Err(Failure::Wrong(format!(
                "it has no output {} (others: {:.200}); {REPLACED}",
                port.name,
                names.join(", ")
            )));
        };
        let (described, elements) = found.swap_remove(at);
        outputs.push(output(port, &described, elements)?);
    }
    Ok(outputs)
}

/// The output that `port` describes.
fn output(port: &Port, found: &Described, elements: Elements<'_>) -> Result<Tensor, Failure> {
    let wrong = |what: String| Failure::Wrong(format!("its output {} {what}; {REPLACED}", port.name));
    let expected = datatype(port.element);
    if found.datatype != expected {
        return Err(wrong(format!("is of {} and not of {expected}", shown(&found.datatype))));
    }
    let sizes: Result<Vec<usize>, _> = found.shape.iter().map(|&size| usize::try_from(size)).collect();
    let shape = sizes.ok().filter(|shape| fits(port, shape));
    let shape = shape
        .ok_or_else(|| wrong(format!("has the shape {:.99} and not that of {port}", listed(&found.shape))))?;
    let has = match (&elements, port.element) {
        (Elements::Numbers(numbers), _) => numbers.len(),
        (Elements::Raw(bytes), Element::Byte) => bytes.len(),
        (Elements::Raw(bytes), Element::Float) if bytes.len() % 4 == 0 => bytes.len() / 4,
        (Elements::Raw(bytes), Element::Float) => {
            return Err(wrong(format!("has {} bytes, which are no 32-bit floats", bytes.len())));
        }
    };
    if count(&shape) != Some(has) {
        return Err(wrong(format!("has {has} elements in the shape {shape:?}")));
    }
    let data = match (elements, port.element) {
        (Elements::Raw(bytes), Element::Byte) => Data::Byte(bytes.to_vec()),
        (Elements::Raw(bytes), Element::Float) => Data::Float(read_floats(bytes)),
        (Elements::Numbers(numbers), Element::Float) => Data::Float(numbers),
        (Elements::Numbers(numbers), Element::Byte) => {
            let byte = |number: &f32| (*number as u8 as f32 == *number).then_some(*number as u8);
            let bytes: Option<Vec<u8>> = numbers.iter().map(byte).collect();
            Data::Byte(bytes.ok_or_else(|| wrong("has numbers that are no bytes".to_owned()))?)
        }
    };
    Ok(Tensor { shape, data })
}

fn listed(shape: &[i64]) -> String {
    format!("{:?}", &shape[..shape.len().min(16)])
}

fn read_floats(bytes: &[u8]) -> Vec<f32> {
    let (floats, _) = bytes.as_chunks::<4>();
    floats.iter().map(|float| f32::from_le_bytes(*float)).collect()
}

/// Bytes of a tensor's elements.
pub(super) fn raw_length(data: &Data) -> usize {
    match data {
        Data::Float(floats) => floats.len() * 4,
        Data::Byte(bytes) => bytes.len(),
    }
}

/// Appends the elements, little-endian.
pub(super) fn append_raw(data: &Data, to: &mut Vec<u8>) {
    match data {
        Data::Byte(bytes) => to.extend_from_slice(bytes),
        Data::Float(floats) => {
            let start = to.len();
            to.resize(start + floats.len() * 4, 0);
            let (places, _) = to[start..].as_chunks_mut::<4>();
            for (place, float) in places.iter_mut().zip(floats) {
                *place = float.to_le_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn described(name: &str, datatype: &str, shape: &[i64]) -> Described {
        Described { name: name.to_owned(), datatype: datatype.to_owned(), shape: shape.to_vec() }
    }

    #[test]
    fn a_model_that_is_not_run_is_refused_with_what_is_otherwise() {
        let x = || described("x", "FP32", &[-1, 3]);
        for (inputs, outputs, why) in [
            (vec![], vec![x()], "name no input"),
            (vec![x(), x()], vec![x()], "2 inputs (x, x)"),
            (vec![x()], vec![], "name no output"),
            (vec![described("x", "INT64", &[1])], vec![x()], "input x is of INT64"),
            (vec![x()], vec![described("y", "FP16", &[1])], "output y is of FP16"),
            (vec![described("x", "FP32", &[0])], vec![x()], "the size 0"),
            (vec![described("x", "FP32", &[-2])], vec![x()], "the size -2"),
        ] {
            let refused = signature(&inputs, &outputs).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn models_are_the_same_whatever_the_order_of_their_outputs() {
        let y = described("y", "FP32", &[-1, 2]);
        let z = described("z", "UINT8", &[-1]);
        let x = [described("x", "UINT8", &[-1, 4])];
        let one = signature(&x, &[y.clone(), z.clone()]).unwrap();
        assert_eq!(difference(&one, &signature(&x, &[z.clone(), y.clone()]).unwrap()), None);
        let fewer = signature(&x, std::slice::from_ref(&y)).unwrap();
        assert_eq!(difference(&one, &fewer).unwrap(), "only one has an output z");
        assert_eq!(difference(&fewer, &one).unwrap(), "only one has an output z");
        let wider = signature(&x, &[described("y", "FP32", &[-1, 3]), z]).unwrap();
        assert!(difference(&one, &wider).unwrap().contains("y [?, 2] of 32-bit floats against y [?, 3]"));
        let floats = signature(&[described("x", "FP32", &[-1, 4])], &[y]).unwrap();
        assert!(difference(&fewer, &floats).unwrap().contains("of bytes against x [?, 4] of 32-bit floats"));
    }

    #[test]
    fn an_output_that_is_not_what_was_promised_is_refused() {
        let port = Port { name: "y".to_owned(), element: Element::Float, shape: vec![None, Some(2)] };
        let read =
            |datatype, shape: &[i64], elements| output(&port, &described("y", datatype, shape), elements);
        let four = Elements::Numbers(vec![1.0, 2.0, 3.0, 4.0]);
        assert!(read("FP32", &[2, 2], four.clone()).is_ok());
        for (datatype, shape, elements, why) in [
            ("UINT8", &[2, 2][..], four.clone(), "of UINT8 and not of FP32"),
            ("FP32", &[4], four.clone(), "the shape [4]"),
            ("FP32", &[1, 4], four.clone(), "the shape [1, 4]"),
            ("FP32", &[-2, 2], four.clone(), "the shape [-2, 2]"),
            ("FP32", &[i64::MAX, 2], four.clone(), "4 elements"),
            ("FP32", &[1, 2], four, "4 elements in the shape [1, 2]"),
            ("FP32", &[2, 2], Elements::Raw(&[0; 15]), "15 bytes"),
            ("FP32", &[2, 2], Elements::Raw(&[0; 12]), "3 elements"),
        ] {
            let refused = read(datatype, shape, elements).unwrap_err().to_string();
            assert!(refused.contains(why), "{why}: {refused}");
        }
        let bytes = Port { name: "y".to_owned(), element: Element::Byte, shape: vec![None] };
        for number in [-1.0, 0.5, 256.0] {
            let refused = output(&bytes, &described("y", "UINT8", &[1]), Elements::Numbers(vec![number]));
            assert!(refused.unwrap_err().to_string().contains("no bytes"));
        }
    }

    proptest! {
        #[test]
        fn raw_elements_come_back_bit_for_bit(floats: Vec<u32>, bytes: Vec<u8>, before: Vec<u8>) {
            let floats: Vec<f32> = floats.into_iter().map(f32::from_bits).collect();
            let mut raw = before.clone();
            append_raw(&Data::Float(floats.clone()), &mut raw);
            prop_assert_eq!(raw.len() - before.len(), raw_length(&Data::Float(floats.clone())));
            let port = Port { name: String::new(), element: Element::Float, shape: vec![None] };
            let found = described("", "FP32", &[floats.len() as i64]);
            let read = output(&port, &found, Elements::Raw(&raw[before.len()..])).unwrap();
            let Data::Float(read) = read.data else { panic!("floats") };
            prop_assert_eq!(
                read.iter().map(|float| float.to_bits()).collect::<Vec<_>>(),
                floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>()
            );
            let mut raw = Vec::new();
            append_raw(&Data::Byte(bytes.clone()), &mut raw);
            prop_assert_eq!(raw, bytes);
        }
    }
}

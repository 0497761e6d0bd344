//! ONNX files, written byte by byte: protobuf has little to it.

/// A message's bytes.
#[derive(Default, Clone)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn message(self, field: u64, message: Self) -> Self {
        self.bytes(field, &message.0)
    }
}

pub(crate) const FLOAT: i64 = 1;
pub(crate) const INT64: i64 = 7;

pub(crate) fn tensor(name: &str, kind: i64, dims: &[i64], raw: &[u8]) -> Message {
    let tensor = dims.iter().fold(Message::default(), |tensor, dim| tensor.number(1, *dim));
    tensor.number(2, kind).bytes(8, name.as_bytes()).bytes(9, raw)
}

pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> Message {
    tensor(name, FLOAT, dims, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

pub(crate) fn node(kind: &str, inputs: &[&str], output: &str, attributes: Vec<Message>) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, input| node.bytes(1, input.as_bytes()));
    let node = node.bytes(2, output.as_bytes()).bytes(4, kind.as_bytes());
    attributes.into_iter().fold(node, |node, attribute| node.message(5, attribute))
}

pub(crate) fn integers(name: &str, values: &[i64]) -> Message {
    let attribute = Message::default().bytes(1, name.as_bytes());
    values.iter().fold(attribute, |attribute, value| attribute.number(8, *value)).number(20, 7)
}

pub(crate) fn integer(name: &str, value: i64) -> Message {
    Message::default().bytes(1, name.as_bytes()).number(3, value).number(20, 2)
}

/// An input or output; -1 stands for any size.
pub(crate) fn value(name: &str, dims: &[i64]) -> Message {
    of_type(name, FLOAT, dims)
}

pub(crate) fn of_type(name: &str, kind: i64, dims: &[i64]) -> Message {
    let dim = |size: i64| match size {
        -1 => Message::default().bytes(2, b"any"),
        size => Message::default().number(1, size),
    };
    let shape = dims.iter().fold(Message::default(), |shape, size| shape.message(1, dim(*size)));
    let tensor = Message::default().number(1, kind).message(2, shape);
    Message::default().bytes(1, name.as_bytes()).message(2, Message::default().message(1, tensor))
}

pub(crate) fn model(
    nodes: Vec<Message>,
    initializers: Vec<Message>,
    input: Message,
    outputs: Vec<Message>,
) -> Vec<u8> {
    let graph = nodes.into_iter().fold(Message::default(), |graph, node| graph.message(1, node));
    let graph = initializers.into_iter().fold(graph.bytes(2, b"g"), |graph, it| graph.message(5, it));
    let graph = outputs.into_iter().fold(graph.message(11, input), |graph, it| graph.message(12, it));
    let opset = Message::default().bytes(1, b"").number(2, 17);
    Message::default().number(1, 8).message(7, graph).message(8, opset).0
}

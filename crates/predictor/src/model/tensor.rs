//! What goes into a model and comes out of it, whoever runs it.

use std::fmt;

/// A dense tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its size along each axis.
    pub shape: Vec<usize>,
    /// Its elements, as many as the shape says.
    pub data: Data,
}

/// Elements of a tensor. Models that want or give other types are refused when they are loaded.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `FLOAT` in ONNX, `FP32` in the Open Inference Protocol.
    Float(Vec<f32>),
    /// `UINT8` in both.
    Byte(Vec<u8>),
}

/// Type of the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floating point.
    Float,
    /// 8-bit unsigned.
    Byte,
}

impl Data {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Byte(values) => values.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of which type.
    #[must_use]
    pub fn element(&self) -> Element {
        match self {
            Self::Float(_) => Element::Float,
            Self::Byte(_) => Element::Byte,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float => "32-bit floats",
            Self::Byte => "bytes",
        })
    }
}

/// One input or output, as whoever runs the model describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Type of its elements.
    pub element: Element,
    /// Size along each axis; `None` where any will do.
    pub shape: Vec<Option<usize>>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [", self.name)?;
        for (axis, size) in self.shape.iter().enumerate() {
            let comma = if axis > 0 { ", " } else { "" };
            match size {
                Some(size) => write!(f, "{comma}{size}")?,
                None => write!(f, "{comma}?")?,
            }
        }
        write!(f, "] of {}", self.element)
    }
}

/// What a model takes and gives. Models have one input; outputs are in the model's own order.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// The input.
    pub input: Port,
    /// The outputs, at least one.
    pub outputs: Vec<Port>,
}

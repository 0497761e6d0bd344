//! What validators' Python programs make of one value: how `int()`, `float()` and `Decimal()` read text ([`int`],
//! [`float`], [`decimal`]), how a float is printed ([`repr`]), and what a pydantic schema takes where text, an
//! integer, a number or a truth value is due ([`scalar`]); and JSON as Python reads and writes it ([`json`]).

pub mod json;
mod number;
pub mod scalar;

pub use number::{Decimal, decimal, float, int, is_space, repr};

//! Every environment variable that Adit reads, declared once in [`var`], and the layers that give
//! it a value: the process environment first, then the nearest `.env` file, then the default.
//!
//! `env.example` and `docs/environment.md` are rendered from the same declarations by
//! [`reference`]; a test compares them, so a variable cannot be read without being documented.
//! What a value *means* to a miner is left to the crate that asks for it.

pub mod dotenv;
mod environment;
pub mod reference;
pub mod var;

pub use environment::{Environment, SettingError, find_upwards};
pub use secrecy::{ExposeSecret, SecretString};
pub use var::{Example, Var};

//! What is sent to a provider for a prompt, and what it is likely to cost. Pure.

use serde_json::Value;

use super::Provider;
use crate::{Modality, Usd};

/// A paid call, ready to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Who is asked.
    pub provider: Provider,
    /// For what.
    pub modality: Modality,
    /// The provider's name of the model.
    pub model: String,
    /// Below the provider's base URL, with a slash in front.
    pub path: &'static str,
    /// What is sent.
    pub body: Body,
    /// An estimate, or what the settings say.
    pub cost: Usd,
}

/// The body of a paid call.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// `application/json`.
    Json(Value),
    /// `multipart/form-data`: names and values in this order.
    Multipart(Vec<(&'static str, Part)>),
}

/// One part of a multipart body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A form field.
    Text(String),
    /// A file without content, by which the body is multipart at all.
    EmptyFile,
}

/// Why no request can be made of a prompt and its parameters. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The provider cannot make this.
    #[error("{provider} makes no {modality}")]
    Modality {
        /// The provider.
        provider: Provider,
        /// What it does not make.
        modality: Modality,
    },
    /// A model that the provider does not have, or that is not used.
    #[error("{provider} has no model {model:?} for this; there are {}", .accepted.join(", "))]
    Model {
        /// The provider.
        provider: Provider,
        /// What was asked for, cut to a readable length.
        model: String,
        /// What there is.
        accepted: Vec<&'static str>,
    },
    /// A parameter that cannot be read.
    #[error("parameter {name:?} is not {expected}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl PlanError {
    pub(super) fn model(provider: Provider, model: &str, accepted: Vec<&'static str>) -> Self {
        Self::Model { provider, model: model.chars().take(80).collect(), accepted }
    }
}

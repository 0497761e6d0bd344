//! What a validator asks for: the body and the headers of `POST /gen_image` and `/gen_video`, read as upstream's
//! Python reads them (generative reference, section 2).

use adit_python::json::{Json, JsonError};
use serde_json::Value;

/// Most values in a body. A validator's has three.
const MAX_VALUES: usize = 10_000;
/// Longest prompt that an answer repeats, in characters.
const ECHOED: usize = 100;

/// A body that names what is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Unaltered.
    pub prompt: Prompt,
    /// What stands under `parameters`; an empty object where that is nothing.
    pub parameters: Value,
}

/// What stands under `prompt`.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// A text that is not empty.
    Text(String),
    /// A list, which upstream accepts as well. No provider can be asked for one.
    List(Value),
}

/// Why a body is refused. As text it is upstream's error, as far as that is fixed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Not JSON.
    #[error("Invalid JSON body: {0}")]
    Json(#[from] JsonError),
    /// JSON, but no object. Upstream answers 500 to some of these.
    #[error("Invalid JSON body: it is {0}, not an object")]
    NoObject(&'static str),
    /// No prompt, or one that Python takes for nothing.
    #[error("Missing required field: prompt")]
    NoPrompt,
    /// A prompt that is no text. Upstream answers 500, after it has made a task that costs money.
    #[error("Invalid field: prompt is {0}, not a text")]
    Prompt(&'static str),
    /// No `X-Webhook-URL`.
    #[error("Missing required header: X-Webhook-URL")]
    NoWebhook,
}

impl Asked {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Rejection`], the first that applies.
    pub fn parse(body: &[u8]) -> Result<Self, Rejection> {
        let body = Json::parse_within(body, MAX_VALUES)?;
        let Json::Object(_) = &body else { return Err(Rejection::NoObject(kind(&body))) };
        let prompt = body.get("prompt").filter(|prompt| !is_falsy(prompt)).ok_or(Rejection::NoPrompt)?;
        let prompt = match prompt {
            Json::String(text) => Prompt::Text(text.clone()),
            Json::Array(_) => Prompt::List(strict(prompt)),
            other => return Err(Rejection::Prompt(kind(other))),
        };
        let parameters = body.get("parameters").filter(|parameters| !is_falsy(parameters));
        Ok(Self {
            prompt,
            parameters: parameters.map_or_else(|| Value::Object(serde_json::Map::new()), strict),
        })
    }
}

impl Prompt {
    /// As the 201 repeats it: cut after 100 characters, or, as upstream slices whatever it is, after 100 items.
    #[must_use]
    pub fn echoed(&self) -> Value {
        match self {
            Self::Text(text) => match text.char_indices().nth(ECHOED) {
                Some((cut, _)) => Value::String(format!("{}...", &text[..cut])),
                None => Value::String(text.clone()),
            },
            Self::List(list) => list.clone(),
        }
    }
}

/// What Python's `not value` is true for.
fn is_falsy(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) | Json::Int(0) => true,
        Json::Float(number) => *number == 0.0,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(entries) => entries.is_empty(),
        Json::Bool(true) | Json::Int(_) | Json::BigInt(_) | Json::BrokenString(_) => false,
    }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Int(_) | Json::BigInt(_) | Json::Float(_) => "a number",
        Json::String(_) => "a text",
        Json::BrokenString(_) => "a text with half a character",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// The value as strict JSON, in which NaN and infinity are texts.
fn strict(value: &Json) -> Value {
    serde_json::from_str(&value.to_text()).unwrap_or(Value::Null)
}

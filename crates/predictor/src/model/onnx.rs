//! ONNX Runtime in this process.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ort::ep::{self, ExecutionProvider};
use ort::session::builder::SessionBuilder;
use ort::session::{NoSelectedOutputs, RunOptions, Session};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use super::tensor::{Data, Element, Port, Signature, Tensor};

/// How ONNX Runtime runs a model.
#[derive(Debug, Clone)]
pub struct OnnxConfig {
    /// Its library; see [`find_onnx_runtime`](crate::find_onnx_runtime).
    pub library: PathBuf,
    /// What computes: the first of these that is there. Not empty.
    pub providers: Vec<Provider>,
    /// Threads of the processor for one run; `None`: as many as it has cores.
    pub threads: Option<usize>,
}

impl OnnxConfig {
    /// On the processor, with all of its cores.
    #[must_use]
    pub fn new(library: PathBuf) -> Self {
        Self { library, providers: vec![Provider::Cpu], threads: None }
    }
}

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU, by CUDA.
    Cuda,
    /// An NVIDIA GPU, by TensorRT, and by CUDA what that cannot do.
    TensorRt,
}

impl Provider {
    /// Reads a list such as `tensorrt,cuda,cpu`.
    ///
    /// # Errors
    /// What is no provider, or is there twice.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        let mut providers = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let provider = name.parse()?;
            if providers.contains(&provider) {
                return Err(format!("{name} is there twice"));
            }
            providers.push(provider);
        }
        if providers.is_empty() {
            return Err("there is none".to_owned());
        }
        Ok(providers)
    }

    /// Lets the session use it, if it is there.
    fn register(self, builder: &mut SessionBuilder) -> ort::Result<()> {
        match self {
            Self::Cpu => Ok(()),
            Self::Cuda => ep::CUDA::default().register(builder),
            Self::TensorRt => {
                ep::TensorRT::default().register(builder)?;
                ep::CUDA::default().register(builder)
            }
        }
    }
}

impl FromStr for Provider {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            "tensorrt" => Ok(Self::TensorRt),
            _ => Err(format!("{name} is none of cpu, cuda, tensorrt")),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU",
            Self::Cuda => "CUDA",
            Self::TensorRt => "TensorRT",
        })
    }
}

/// Why ONNX Runtime does not run a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// There is no ONNX Runtime.
    #[error(
        "ONNX Runtime is not found: pip install onnxruntime into the Python that ADIT_PYTHON names, or set \
         ORT_DYLIB_PATH to its libonnxruntime.so"
    )]
    NoLibrary,
    /// It is there and cannot be used.
    #[error("{} cannot be loaded as ONNX Runtime: {why}", path.display())]
    Library {
        /// The library.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// None of the providers that may compute is there.
    #[error(
        "none of the providers that ADIT_ONNX_PROVIDERS lists is there: {why}. Install onnxruntime-gpu and what it needs, or \
         add cpu to the list to go on without"
    )]
    NoProvider {
        /// What each said.
        why: String,
    },
    /// The model cannot be loaded.
    #[error("{} cannot be loaded as an ONNX model: {why}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The model has inputs or outputs that are not understood.
    #[error("{} is no model that is understood: {why}", path.display())]
    Port {
        /// The file.
        path: PathBuf,
        /// Which, and what it is.
        why: String,
    },
}

/// A model in ONNX Runtime.
#[derive(Debug)]
pub(super) struct OnnxSession {
    signature: Signature,
    provider: Provider,
    /// One run at a time: it takes every core, and ONNX Runtime's own locks are not to be relied on.
    session: Mutex<Session>,
}

/// Ends the run that it was given to when it is dropped.
pub(super) struct Cancel(std::sync::Arc<RunOptions<NoSelectedOutputs>>);

impl Cancel {
    pub(super) fn new() -> Result<Self, String> {
        RunOptions::new().map(|options| Self(std::sync::Arc::new(options))).map_err(|error| error.to_string())
    }

    pub(super) fn token(&self) -> std::sync::Arc<RunOptions<NoSelectedOutputs>> {
        std::sync::Arc::clone(&self.0)
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        // Nobody waits for the run any more; where it cannot be told it ends by itself.
        let _ = self.0.terminate();
    }
}

impl OnnxSession {
    /// Loads the model in `file`. One process has one ONNX Runtime, the first that it loads.
    pub(super) fn load(file: &Path, config: &OnnxConfig) -> Result<Self, OnnxError> {
        let library = |why: String| OnnxError::Library { path: config.library.clone(), why };
        ort::init_from(&config.library).map_err(|error| library(error.to_string()))?.commit();
        let failed = |why: String| OnnxError::Model { path: file.to_owned(), why };
        let (mut builder, provider) = Self::builder(config)?;
        let session = builder.commit_from_file(file).map_err(|error| failed(error.to_string()))?;
        let signature = signature(&session).map_err(|why| OnnxError::Port { path: file.to_owned(), why })?;
        Ok(Self { signature, provider, session: Mutex::new(session) })
    }

    /// A session's beginnings with the first provider that is there.
    fn builder(config: &OnnxConfig) -> Result<(SessionBuilder, Provider), OnnxError> {
        let library = |why: String| OnnxError::Library { path: config.library.clone(), why };
        let mut absent = Vec::new();
        for provider in &config.providers {
            let mut builder = Session::builder().map_err(|error| library(error.to_string()))?;
            // Threads that wait by turning round take the cores from the decoder, which is at work meanwhile.
            builder = builder.with_intra_op_spinning(false).map_err(|error| library(error.to_string()))?;
            if let Some(threads) = config.threads {
                builder = builder.with_intra_threads(threads).map_err(|error| library(error.to_string()))?;
            }
            match provider.register(&mut builder) {
                Ok(()) => {
                    for (other, why) in &absent {
                        tracing::warn!("{other} is not there ({why}); the model runs on {provider}");
                    }
                    return Ok((builder, *provider));
                }
                Err(error) => absent.push((*provider, one_line(&error.to_string()))),
            }
        }
        let why: Vec<String> = absent.iter().map(|(provider, why)| format!("{provider} ({why})")).collect();
        Err(OnnxError::NoProvider { why: why.join(", ") })
    }

    pub(super) fn signature(&self) -> &Signature {
        &self.signature
    }

    pub(super) fn provider(&self) -> Provider {
        self.provider
    }

    /// One run. It takes as long as it takes, unless its options are told to end it.
    pub(super) fn run(
        &self,
        input: &Tensor,
        options: &RunOptions<NoSelectedOutputs>,
    ) -> Result<Vec<Tensor>, String> {
        let text = |error: ort::Error| one_line(&error.to_string());
        let shape: Vec<i64> = input.shape.iter().map(|size| *size as i64).collect();
        let mut session = self.lock();
        let outputs = match &input.data {
            Data::Float(values) => {
                let view = TensorRef::from_array_view((shape, values.as_slice())).map_err(text)?;
                session.run_with_options(ort::inputs![view], options)
            }
            Data::Byte(values) => {
                let view = TensorRef::from_array_view((shape, values.as_slice())).map_err(text)?;
                session.run_with_options(ort::inputs![view], options)
            }
        }
        .map_err(text)?;
        outputs
            .iter()
            .map(|(_, output)| {
                let (shape, data) = match output.try_extract_tensor::<f32>() {
                    Ok((shape, values)) => (shape, Data::Float(values.to_vec())),
                    Err(_) => {
                        let (shape, values) = output.try_extract_tensor::<u8>().map_err(text)?;
                        (shape, Data::Byte(values.to_vec()))
                    }
                };
                Ok(Tensor { shape: shape.iter().map(|size| *size as usize).collect(), data })
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn signature(session: &Session) -> Result<Signature, String> {
    let [input] = session.inputs() else {
        return Err(format!("it has {} inputs instead of one", session.inputs().len()));
    };
    let outputs = session.outputs().iter().map(port).collect::<Result<Vec<_>, _>>()?;
    if outputs.is_empty() {
        return Err("it has no output".to_owned());
    }
    Ok(Signature { input: port(input)?, outputs })
}

fn port(outlet: &Outlet) -> Result<Port, String> {
    let wrong =
        || format!("{} is {}, and only tensors of 32-bit floats or bytes are", outlet.name(), outlet.dtype());
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else { return Err(wrong()) };
    let element = match ty {
        TensorElementType::Float32 => Element::Float,
        TensorElementType::Uint8 => Element::Byte,
        _ => return Err(wrong()),
    };
    let shape = shape.iter().map(|size| usize::try_from(*size).ok()).collect();
    Ok(Port { name: outlet.name().to_owned(), element, shape })
}

/// ONNX Runtime's own texts have line breaks and go on for long.
fn one_line(text: &str) -> String {
    const SHOWN: usize = 500;
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_read_in_their_order() {
        assert_eq!(
            Provider::list(" tensorrt, cuda,cpu,"),
            Ok(vec![Provider::TensorRt, Provider::Cuda, Provider::Cpu])
        );
        for (text, what) in
            [("", "none"), ("gpu", "gpu is none of"), ("cpu,cpu", "twice"), ("CUDA", "CUDA is none of")]
        {
            let said = Provider::list(text).unwrap_err();
            assert!(said.contains(what), "{text}: {said}");
        }
    }
}

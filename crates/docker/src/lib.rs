//! Docker Engine and registries: build, push, inspect, run.
//!
//! [`Engine`] speaks to the Engine API of Docker or Podman, [`Registry`] reads back from a registry what was pushed,
//! and a [`Context`] is what a build may see. Credentials are passed in a call and kept nowhere:
//! `~/.docker/config.json` is neither read nor written.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use adit_docker::{Build, Context, Engine};
//!
//! let engine = Engine::connect(None).await?;
//! let context = Context::gather(".".as_ref(), "Dockerfile.miner")?;
//! let image = engine.build(context, &Build::new("me/pt-solution:v1"), &mut |_| ()).await?;
//! println!("{}: {} bytes", image.id, image.size);
//! # Ok(())
//! # }
//! ```

mod container;
mod context;
mod engine;
mod error;
mod exec;
pub mod hub;
mod image;
mod name;
mod registry;

pub use container::{Container, ContainerState, Found, Gpus, Hardening, Port};
pub use context::{Context, ContextError};
pub use engine::{About, Engine};
pub use error::EngineError;
pub use exec::Executed;
pub use image::{Build, Credentials, Image, OnProgress, Progress};
pub use name::{ImageName, NameError};
pub use registry::{Registry, RegistryError, Stored};

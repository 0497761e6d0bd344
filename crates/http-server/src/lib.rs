//! What the miners' HTTP servers share: a [`Server`] whose sockets are bounded in number, size and time, the
//! answers that upstream's FastAPI gives where no handler does ([`answer`]), and the page that shows an OpenAPI
//! document ([`docs`]).

pub mod answer;
pub mod docs;
mod server;
mod stall;

pub use server::{ListenError, Server};

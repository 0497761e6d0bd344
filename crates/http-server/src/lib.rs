//! What the miners' HTTP servers share: a [`Server`] whose sockets are bounded in number, size and time, the
//! answers that upstream's FastAPI gives where no handler does ([`answer`]), and the page that shows an OpenAPI
//! document ([`docs`]). And the server of a rehearsal's clips, [`ClipHost`].

pub mod answer;
mod clip_host;
pub mod docs;
mod server;
mod stall;

pub use clip_host::{ClipHost, ClipHostError, path_and_query};
pub use server::{ListenError, Server, seen_from_here};

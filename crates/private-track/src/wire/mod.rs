//! What goes over the wire between a validator and a miner, and nothing else: no sockets, no signatures.
//!
//! [`request`] reads a challenge, [`answer`] writes what the miner says to it, and [`response`] reads that as a
//! validator does. Upstream both sides are Python programs, so the text is read as Python reads it ([`adit_python::json`]) and
//! refused in the words of its libraries ([`lax`]).

pub mod answer;
pub mod lax;
pub mod request;
pub mod response;

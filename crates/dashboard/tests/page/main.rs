//! The page as browsers and others get it: over a socket, out of journals.

#![expect(clippy::unwrap_used, reason = "what helps tests fails as they do")]

mod access;
mod actions;
mod live;
mod media;
mod now;
mod support;
mod tables;
mod text;
mod traffic;

//! The page as browsers and others get it: over a socket, out of journals.

mod look;
mod support;
mod traffic;

//! The challenge server over real sockets, from a validator's and from a stranger's side.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod answers;
mod bad_input;
mod fixture;
mod life;
mod live_stakes;
mod recorded;
mod spot_check;
mod surface;

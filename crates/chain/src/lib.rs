//! What the subtensor chain says. So far that is the stake table, read from a file; the metagraph
//! itself is not asked yet.

pub mod stake_file;
pub mod timelock;

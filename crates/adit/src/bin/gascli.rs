//! `gascli`: the generative miner of subnet 34. Runs the `adit` beside it under this name.

#[path = "../shim.rs"]
mod shim;

fn main() -> std::process::ExitCode {
    shim::run("gascli")
}

//! `sv`: the miners of subnet 44. Runs the `adit` beside it under this name.

#[path = "../shim.rs"]
mod shim;

fn main() -> std::process::ExitCode {
    shim::run("sv")
}

//! The arguments of `sv model`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Hold a model against its model.toml, run it, and say how fast it is and whether it repeats itself
    #[command(
        after_help = "It runs where the miner would run it: ORT_DYLIB_PATH, ADIT_ONNX_PROVIDERS and ADIT_ONNX_THREADS hold.\n\
        Exit code 1 where the model is not what its description says, or gives two answers to the same input: a spot \
        check would then find another score than the live one.\n\n\
        Examples:\n  \
        {it} examples/models/spotter\n  \
        {it} models/may --json\n  \
        {it} best.onnx      # a detector as Ultralytics exports it"
    )]
    Check(CheckModel),
}

#[derive(Debug, Args)]
pub(crate) struct CheckModel {
    /// The folder with model.toml, or a detector NAME.onnx
    #[arg(value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

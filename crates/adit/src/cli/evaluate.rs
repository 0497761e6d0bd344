//! The arguments of `sv evaluate`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// Folder with clips and their labels
    #[arg(long, value_name = "DIR")]
    pub(crate) clips: PathBuf,
    /// Folder of a model in ONNX with its model.toml [setting: ADIT_MODEL]
    #[arg(long, value_name = "DIR", conflicts_with = "predictor_file")]
    pub(crate) model: Option<PathBuf>,
    /// Python file with the model [setting: ADIT_PREDICTOR_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) predictor_file: Option<PathBuf>,
    /// Take a label for an action, or with LABEL= leave it out; may be repeated
    #[arg(long, value_name = "LABEL=ACTION")]
    pub(crate) map: Vec<String>,
    /// Parts that the clips are divided into to tell what new thresholds are worth; 0: none
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) folds: u32,
    /// Let a clip take as long as it takes; a validator would not wait
    #[arg(long)]
    pub(crate) no_deadline: bool,
    /// Write the better thresholds into the model.toml of the model
    #[arg(long)]
    pub(crate) write: bool,
    /// With --write: do not ask first
    #[arg(long, requires = "write")]
    pub(crate) yes: bool,
    /// Write a page with plots
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

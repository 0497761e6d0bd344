//! `gascli generator serve`.

use std::ffi::OsString;
use std::process::ExitCode;

use adit_generative::check::{Checker, Program};
use adit_generative::{Config, Server};
use adit_settings::{Environment, Var, var};

use super::trust_anchors;
use crate::cli::gascli::Serve;
use crate::commands::password::open_hotkey;
use crate::commands::{block_on, names, say_ready, told_to_stop};
use crate::failure::Failure;

/// Settings that programs before this one had a use for.
const WITHOUT_EFFECT: [&Var; 2] = [&var::DEVICE, &var::WORKER_THREADS];

pub(crate) fn run(env: &Environment, args: &Serve) -> Result<ExitCode, Failure> {
    args.supervised.end_with_supervisor()?;
    warn_of_names(env);
    let wallet = args.wallet.resolve(env)?;
    let config = Config::from_settings(env, wallet.hotkey_address()?)?;
    let pair = open_hotkey(env, &wallet, &args.password)?;
    if wallet.coldkey_present() {
        tracing::warn!(
            "the coldkey {} is on this host: a miner never needs it; remove it once it is kept safe elsewhere",
            wallet.coldkey_file().display()
        );
    }
    block_on(async {
        let stop = told_to_stop()?;
        trust_anchors::fetch_missing(env).await?;
        let server = Server::bind(config, pair, checker(env)?).await?;
        tracing::info!("Listening on http://{}", server.address());
        server.serve(say_ready, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// This program, by a process for each file, which gets nothing but what the verdict takes.
pub(super) fn checker(env: &Environment) -> Result<Checker, Failure> {
    let set = |var: &Var, value: OsString| (OsString::from(var.name), value);
    let mut environment = vec![
        set(&var::TRUST_ANCHORS_FOLDER, trust_anchors::folder(env)?.into_os_string()),
        // No file, so that none with secrets is read.
        set(&var::ENV_FILE, "/dev/null".into()),
    ];
    if let Some(extra) = env.text(&var::EXTRA_TRUST_ANCHORS)? {
        environment.push(set(&var::EXTRA_TRUST_ANCHORS, extra.into()));
    }
    Ok(Checker::Apart(Program { path: std::env::current_exe()?, name: "gascli".into(), environment }))
}

/// A setting that is mistyped does nothing, and nobody notices.
fn warn_of_names(env: &Environment) {
    for name in names::unknown(env) {
        match names::meant(name) {
            Some(meant) => tracing::warn!("`{name}` is no setting; `{meant}` is"),
            None => tracing::warn!("`{name}` is no setting; docs/environment.md lists them"),
        }
    }
    let set: Vec<&str> = env.variables().map(|(name, _)| name).collect();
    for var in WITHOUT_EFFECT.iter().filter(|var| set.contains(&var.name)) {
        tracing::warn!("{}: {}", var.name, var.help);
    }
}

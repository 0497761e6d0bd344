//! The programs `adit`, `sv`, `pv` and `gascli`: arguments, printing and exit codes. Everything else
//! is in the libraries, which never print.
//!
//! One binary with several names: it is what it is called as.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what the programs are for")]

mod cli;
mod commands;
mod failure;
mod log;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::dashboard::DashboardCommand;
use crate::cli::doctor::Miner;
use crate::cli::gascli::{Gascli, GascliCommand, GeneratorCommand};
use crate::cli::process::ProcessCommand;
use crate::cli::turbo_vision::TurboVisionCommand;
use crate::cli::{Adit, AditCommand, Sv, SvCommand, prefix};
use crate::commands::process::{DASHBOARD, GENERATOR, PRIVATE_TRACK};
use crate::failure::Failure;
use adit_settings::Environment;

fn main() -> ExitCode {
    end_quietly_where_nobody_reads();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let name = arguments.first().and_then(|first| Path::new(first).file_name()?.to_str().map(str::to_owned));
    match run(name.as_deref().unwrap_or("adit"), arguments) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

/// `adit metagraph | head` is no fault: where the reader of our output has gone, so do we, as a program
/// in C would by its signal.
fn end_quietly_where_nobody_reads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if said.starts_with("failed printing to std") && said.contains("Broken pipe") {
            #[expect(clippy::exit, reason = "the hook has no other way to end the program")]
            std::process::exit(141);
        }
        usual(panic);
    }));
}

fn run(name: &str, arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    match name {
        "sv" | "pv" => {
            let sv: Sv = cli::parse(cli::command::<Sv>(), &arguments);
            if let SvCommand::Process(ProcessCommand::Supervise(args)) = &sv.command {
                return commands::process::supervise::run(&PRIVATE_TRACK, args);
            }
            let serves = matches!(
                sv.command,
                SvCommand::Serve(_) | SvCommand::TurboVision(TurboVisionCommand::DeployLocalChute(_))
            );
            let env = environment(ENV, sv.verbose, serves)?;
            match sv.command {
                SvCommand::Serve(args) => commands::serve::run(&env, &args),
                SvCommand::DeployPtMiner(args) => commands::deploy::run(&env, *args),
                SvCommand::SpotCheck(args) => commands::spot_check::run(&env, &args),
                SvCommand::SpotCheckRunner(args) => commands::spot_check::runner(&args),
                SvCommand::Healthcheck(args) => commands::healthcheck::run(&args),
                SvCommand::Rehearse(args) => commands::rehearse::run(&env, args),
                SvCommand::Evaluate(args) => commands::evaluate::run(&env, &args),
                SvCommand::Actions(args) => commands::actions::run(&args),
                SvCommand::Model(command) => commands::model::run(&env, &command),
                SvCommand::TurboVision(command) => commands::turbo_vision::run(&env, command),
                SvCommand::Process(command) => commands::process::run(&PRIVATE_TRACK, &env, &command),
                SvCommand::Shell(command) => commands::shell::run::<Sv>(&command),
            }
        }
        "gascli" => {
            let program = cli::command::<Gascli>();
            let arguments = match prefix::expand(&program, arguments) {
                Ok(arguments) => arguments,
                Err(ambiguous) => {
                    eprintln!("{ambiguous}");
                    return Ok(ExitCode::from(2));
                }
            };
            let command = match cli::parse::<Gascli>(program, &arguments).command {
                GascliCommand::Generator(command) => command,
                GascliCommand::Shell(command) => return commands::shell::run::<Gascli>(&command),
            };
            if let GeneratorCommand::Process(ProcessCommand::Supervise(args)) = &command {
                return commands::process::supervise::run(&GENERATOR, args);
            }
            let env = environment(GEN_MINER_ENV, 0, matches!(command, GeneratorCommand::Serve(_)))?;
            match command {
                GeneratorCommand::Process(command) => commands::process::run(&GENERATOR, &env, &command),
                GeneratorCommand::Serve(args) => commands::generator::serve::run(&env, &args),
                GeneratorCommand::Rehearse(args) => commands::generator::rehearse::run(&env, &args),
                GeneratorCommand::Info(args) => commands::generator::info::run(&env, &args),
                GeneratorCommand::Deliveries(args) => commands::generator::deliveries::run(&env, &args),
                GeneratorCommand::Redeliver(args) => commands::generator::deliveries::redeliver(&env, &args),
                GeneratorCommand::VerifyC2pa(args) => commands::generator::verify_c2pa::run(&env, &args),
                GeneratorCommand::TrustAnchors(command) => {
                    commands::generator::trust_anchors::run(&env, &command)
                }
            }
        }
        _ => {
            let adit: Adit = cli::parse(cli::command::<Adit>(), &arguments);
            let mut serves = false;
            if let AditCommand::Dashboard(args) = &adit.command {
                match &args.command {
                    Some(DashboardCommand::Process(ProcessCommand::Supervise(args))) => {
                        return commands::process::supervise::run(&DASHBOARD, args);
                    }
                    Some(DashboardCommand::Process(_)) => {}
                    Some(DashboardCommand::Serve(_)) | None => serves = !args.serve.link,
                }
            }
            let files = match &adit.command {
                AditCommand::Doctor(args) if args.miner == Miner::Gascli => GEN_MINER_ENV,
                _ => ENV,
            };
            let env = environment(files, adit.verbose, serves)?;
            match adit.command {
                AditCommand::Demo => commands::demo::run(&env),
                AditCommand::Doctor(args) => commands::doctor::run(&env, &args),
                AditCommand::Dashboard(args) => commands::dashboard::run(&env, &args),
                AditCommand::Top(args) => commands::top::run(&env, &args),
                AditCommand::Alerts(command) => commands::alerts::run(&env, &command),
                AditCommand::Wallet(command) => commands::wallet::run(&env, command),
                AditCommand::Subnet(command) => commands::chain::subnet(&env, command),
                AditCommand::Metagraph(args) => commands::chain::metagraph(&env, &args),
                AditCommand::Axon(command) => commands::chain::axon(&env, command),
                AditCommand::Commitment(command) => commands::chain::commitment(&env, command),
                AditCommand::Shell(command) => commands::shell::run::<Adit>(&command),
            }
        }
    }
}

/// The files in which settings are looked for, the first that is found.
const ENV: &[&str] = &[".env"];
const GEN_MINER_ENV: &[&str] = &[".env.gen_miner", ".env"];

/// Reads the settings and starts the log: at `info` for a server and with `-v`, else only warnings.
fn environment(files: &[&str], verbose: u8, server: bool) -> Result<Environment, Failure> {
    let env = Environment::from_process(files)?;
    log::start(&env, verbose, server)?;
    if let Some((file, bad_lines)) = env.file() {
        let file = file.display();
        if !bad_lines.is_empty() {
            tracing::warn!("{file}: line {} is not NAME=value and is ignored", listed(bad_lines));
        }
        if !env.changing_lines().is_empty() {
            let lines = listed(env.changing_lines());
            tracing::warn!(
                "{file}: line {lines} sets again what is set above, to another value; the last one counts"
            );
        }
    }
    Ok(env)
}

fn listed(lines: &[usize]) -> String {
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

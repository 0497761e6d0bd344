//! `adit dashboard`: the operator's page, and the alerts beside it.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use adit_dashboard::alert::Watch;
use adit_dashboard::{Config, Connection, Now, Program, Server, Token};
use adit_http_server::seen_from_here;
use adit_settings::{Environment, var};
use secrecy::ExposeSecret as _;

use super::live_journal::sources;
use super::process::DASHBOARD;
use super::{alerts, block_on, process, say_ready, told_to_stop};
use crate::cli::dashboard::{Dashboard, DashboardCommand, ServePage};
use crate::failure::Failure;

pub(crate) fn run(env: &Environment, args: &Dashboard) -> Result<ExitCode, Failure> {
    match &args.command {
        None => serve(env, &args.serve),
        Some(DashboardCommand::Serve(args)) => serve(env, args),
        Some(DashboardCommand::Process(command)) => process::run(&DASHBOARD, env, command),
    }
}

fn serve(env: &Environment, args: &ServePage) -> Result<ExitCode, Failure> {
    args.supervised.end_with_supervisor()?;
    let folder = data_folder(env)?;
    let listen = match args.listen {
        Some(listen) => listen,
        None => env.parsed(&var::DASHBOARD_LISTEN, "an address and a port, such as 127.0.0.1:8700")?,
    };
    let token = match env.secret(&var::DASHBOARD_TOKEN)? {
        Some(token) => Token::given(token.expose_secret())
            .map_err(|error| Failure::new(format!("{}: {error}", var::DASHBOARD_TOKEN.name)))?,
        None => Token::in_folder(&folder).map_err(Failure::new)?,
    };
    if args.link {
        println!("{}", token.link(listen));
        return Ok(ExitCode::SUCCESS);
    }
    let rules = alerts::rules(env)?;
    let webhook = alerts::webhook(env, &rules)?;
    let anchors = alerts::anchors(env);
    let public = var::ALL.iter().filter(|var| !var.secret).flat_map(|var| var.names());
    let program = Program::new(std::env::current_exe()?, public);
    block_on(async {
        let stop = told_to_stop()?;
        let sources = sources(env)?;
        let judge = {
            let (sources, rules, anchors) = (Arc::clone(&sources), rules.clone(), anchors.clone());
            Arc::new(move |now: &Now| alerts::judged(&sources, &rules, now.clone(), anchors()))
        };
        let idle = args.idle.map(Duration::from_secs);
        let config = Config { listen, token, sources: Arc::clone(&sources), program, alerts: judge, idle };
        let server = Server::bind(config).await.map_err(|error| {
            let hint = match &error {
                adit_dashboard::StartError::Listen(error) => {
                    error.hint(var::DASHBOARD_LISTEN.name, Some(var::DASHBOARD_LISTEN.name))
                }
                _ => None,
            };
            let failure = Failure::new(error);
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
        say_where(&server, &folder);
        say_ready();
        let watching = async {
            match webhook {
                Some(webhook) => {
                    let connection = Connection::new()?;
                    let host = alerts::host_name();
                    let watch = Watch::new(sources, connection, rules, webhook, host)?;
                    watch.keep(anchors).await;
                    Ok::<(), Failure>(())
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = server.serve(stop) => Ok(ExitCode::SUCCESS),
            ended = watching => ended.map(|()| ExitCode::FAILURE),
        }
    })
}

/// On a terminal with the token, which must not get into a log.
fn say_where(server: &Server, folder: &std::path::Path) {
    tracing::info!("Journals: {}", folder.display());
    tracing::info!("Listening on http://{}", server.address());
    if io::stdout().is_terminal() {
        println!("The operator's page: {}", server.login_link());
        println!("Whoever has this address can press its buttons. Ctrl-C ends the page; the miners run on.");
    } else {
        println!("The operator's page: http://{}/", seen_from_here(server.address()));
        println!("`adit dashboard --link` prints the address that opens its buttons.");
    }
}

/// The folder of the journals, absolute.
pub(super) fn data_folder(env: &Environment) -> Result<PathBuf, Failure> {
    let folder = env.path(&var::DATA_FOLDER)?.filter(|folder| !folder.starts_with("~"));
    let folder = folder.ok_or_else(|| {
        Failure::new("no place for what Adit keeps: HOME is not set").hint("ADIT_DATA_DIR names one")
    })?;
    Ok(std::path::absolute(folder)?)
}

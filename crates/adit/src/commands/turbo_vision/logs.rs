//! `sv chute-logs`.

use std::process::ExitCode;
use std::time::Duration;

use adit_settings::Environment;
use adit_turbo_vision::chutes::Api;
use tokio::signal::ctrl_c;
use tokio::time::Instant;

use super::chute::find;
use super::{api, chute_name, commit_of};
use crate::cli::turbo_vision::ChuteLogs;
use crate::commands::block_on;
use crate::failure::Failure;

/// How long a stream that is followed goes on at most.
const A_LONG_TIME: Duration = Duration::from_secs(7 * 86_400);
/// What was written before comes in one go: after such a silence there is no more of it.
const SILENCE: Duration = Duration::from_secs(3);

pub(super) fn run(env: &Environment, args: &ChuteLogs) -> Result<ExitCode, Failure> {
    block_on(async {
        let api = api(env)?;
        let instances = match (&args.instance_id, &args.revision) {
            (Some(id), _) => vec![id.clone()],
            (None, revision) => {
                let commit = commit_of(env, revision.as_deref().unwrap_or("main")).await?;
                let chute = find(&api, env, &chute_name(env, &commit)?, &commit).await?;
                let ids: Vec<String> = chute.instances.into_iter().map(|it| it.instance_id).collect();
                if ids.is_empty() {
                    return Err(Failure::new(format!(
                        "the chute {} has no instance: it is cold",
                        chute.name
                    ))
                    .hint("a call warms it up: `sv ping-chute --revision …`"));
                }
                ids
            }
        };
        let until = Instant::now() + args.seconds.map_or(A_LONG_TIME, Duration::from_secs);
        // The lines of several are told apart by the beginning of the instance's id.
        let several = instances.len() > 1;
        let streams = instances.iter().map(|id| {
            let mark = if several { format!("{}  ", &id[..id.len().min(8)]) } else { String::new() };
            follow(&api, id, args, until, mark)
        });
        tokio::select! {
            ended = futures_util::future::try_join_all(streams) => ended.map(|_| ExitCode::SUCCESS),
            stopped = ctrl_c() => {
                stopped?;
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

async fn follow(api: &Api, id: &str, args: &ChuteLogs, until: Instant, mark: String) -> Result<(), Failure> {
    let mut logs = api.instance_logs(id, args.backfill, until);
    loop {
        let line = if args.no_follow {
            match tokio::time::timeout(SILENCE, logs.next()).await {
                Ok(line) => line?,
                Err(_) => None,
            }
        } else {
            logs.next().await?
        };
        let Some(line) = line else { return Ok(()) };
        println!("{mark}{line}");
    }
}

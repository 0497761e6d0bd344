//! Made-up traffic to look at: `cargo test -p adit-dashboard --test page -- --ignored look`, until the file `stop` is in the folder
//! that it prints.

use std::sync::Arc;
use std::time::Duration;

use crate::{support, traffic};
use adit_dashboard::{Config, Program, Server, Shown, Sources, Token};

#[tokio::test]
#[ignore = "it serves until it is told to stop"]
async fn a_day_of_traffic_is_served() {
    let folder = tempfile::tempdir().unwrap();
    traffic::day(folder.path());
    let alert = |text: &str, todo: &str, urgent| Shown {
        text: text.to_owned(),
        todo: todo.to_owned(),
        urgent,
        since_ms: Some(traffic::now_ms() - 7_200_000),
    };
    let alerts = vec![
        alert(
            "The private track's miner does not answer.",
            "`sv logs` says why; `sv restart` starts it anew.",
            true,
        ),
        alert(
            "The budget of the day is nearly used up.",
            "Raise `GENERATOR_DAILY_BUDGET`, or leave it: what is asked then is refused.",
            false,
        ),
    ];
    let server = Server::bind(Config {
        listen: "127.0.0.1:8799".parse().unwrap(),
        token: Token::given(support::TOKEN).unwrap(),
        sources: Sources::new(folder.path().to_owned()),
        program: Program::new("/bin/true".into()),
        alerts: Arc::new(move |_| alerts.clone()),
        idle: None,
    })
    .await
    .unwrap();
    println!("{} {}", server.login_link(), folder.path().display());
    let stop = folder.path().join("stop");
    server
        .serve(async {
            while !stop.exists() {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        })
        .await;
}

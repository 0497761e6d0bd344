//! `sv chutes register` and `sv chutes list`.

use std::process::ExitCode;

use adit_settings::{Environment, SecretString, var};
use adit_turbo_vision::chutes::{Cause, bad_username, register, registration_base};
use serde_json::{Value, json};

use super::{api, chutes_user, client, config_file, soon};
use crate::cli::turbo_vision::{ChutesCommand, ListChutes, Register};
use crate::commands::block_on;
use crate::commands::password::open_hotkey_secret;
use crate::commands::table::table;
use crate::commands::terminal::ask_secret;
use crate::failure::Failure;

pub(super) fn run(env: &Environment, command: &ChutesCommand) -> Result<ExitCode, Failure> {
    match command {
        ChutesCommand::Register(args) => create(env, args),
        ChutesCommand::List(args) => list(env, args),
    }
}

fn create(env: &Environment, args: &Register) -> Result<ExitCode, Failure> {
    use adit_settings::ExposeSecret as _;
    let username = match &args.username {
        Some(name) => name.clone(),
        None => chutes_user(env)?,
    };
    if let Some(why) = bad_username(&username) {
        return Err(Failure::new(why));
    }
    let file = config_file(env)?;
    if file.exists() {
        return Err(Failure::new(format!("{} is there already: this host has an account", file.display()))
            .hint("move it away first, if another account is to be made"));
    }
    let endpoint = env.required(&var::CHUTES_ENDPOINT)?;
    let wallet = args.wallet.resolve(env)?;
    let coldkey = wallet.coldkey_address()?;
    let hotkey = open_hotkey_secret(env, &wallet, &args.password)?;
    // Before there is an account that nothing on this host knows.
    if hotkey.seed().is_none() {
        return Err(Failure::new("the hotkey was kept without its seed, which config.ini must hold")
            .hint("use one that was made of words: `adit wallet new-hotkey --wallet.hotkey chutes`"));
    }
    let token = match &args.token {
        Some(token) => SecretString::from(token.as_str()),
        None => {
            let page = format!("{}/users/registration_token", registration_base(endpoint));
            println!("Open {page} in a browser; it shows a token.");
            let typed = ask_secret("Token")?.ok_or_else(|| {
                Failure::new("there is nobody to ask for the token").hint("give it with --token")
            })?;
            SecretString::from(typed.trim())
        }
    };
    let made = block_on(async {
        let client = client()?;
        let made = register(&client, endpoint, &token, &username, (&hotkey, &coldkey), soon()).await;
        made.map_err(|error| match error.cause {
            Cause::Conflict { .. } => Failure::new(error)
                .hint("choose another --username; if this hotkey has an account already: `chutes login`"),
            Cause::Forbidden { .. } => {
                let page = registration_base(endpoint);
                Failure::new(error)
                    .hint(format!("take a new token: {page}/users/registration_token, in a browser"))
            }
            _ => error.into(),
        })
    })?;
    let hotkey_name = wallet.hotkey_name();
    println!("✓ registered {} ({})", made.username, made.user_id);
    println!("  fingerprint, which logs in at https://chutes.ai and is shown this once:");
    println!("    {}", made.fingerprint.expose_secret());
    println!("  payment address, for the balance: {}", made.payment_address);
    made.write_config(&file, endpoint, hotkey_name, &hotkey).map_err(|error| {
        Failure::new(format!("the account is made, and {} cannot be written: {error}", file.display()))
            .hint("`chutes login` writes it anew")
    })?;
    println!("✓ wrote {}", file.display());
    println!(
        "next: have the account enabled for developers, then make a key: chutes keys create --name adit --admin"
    );
    Ok(ExitCode::SUCCESS)
}

fn list(env: &Environment, args: &ListChutes) -> Result<ExitCode, Failure> {
    let chutes = block_on(async { Ok(api(env)?.chutes(soon()).await?) })?;
    if args.json {
        let chutes: Vec<Value> = chutes
            .iter()
            .map(|it| {
                json!({"name": it.name, "chute_id": it.chute_id, "slug": it.slug, "hot": it.hot,
                    "public": it.public, "instances": it.instances.len()})
            })
            .collect();
        println!("{:#}", json!(chutes));
        return Ok(ExitCode::SUCCESS);
    }
    if chutes.is_empty() {
        println!("The account has no chutes; `sv push` deploys one.");
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&["NAME", "SLUG", "ID", "STATE", ">INSTANCES"]);
    for it in &chutes {
        rows.add_row([
            it.name.clone(),
            it.slug.clone(),
            it.chute_id.clone(),
            if it.hot { "hot" } else { "cold" }.to_owned(),
            it.instances.len().to_string(),
        ]);
    }
    println!("{}", rows.trim_fmt());
    Ok(ExitCode::SUCCESS)
}

//! The client of Chutes against a platform that behaves and one that does not.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod api;
mod chute;
mod cli;
mod logs;

use std::time::Duration;

use adit_keys::{Hotkey, Keypair};
use adit_outbound::{AddressGuard, Client};
use adit_stand_in::chutes::Chutes;
use adit_turbo_vision::chutes::{Api, Auth};
use tokio::time::Instant;

const KEY: &str =
    "cpk_00000000000000000000000000000001.00000000000000000000000000000002.abcdefghijklmnopqrstuvwxyzABCDEF";
const SEED: [u8; 32] = [7; 32];

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn client() -> Client {
    Client::new(AddressGuard::unrestricted()).unwrap()
}

fn hotkey() -> Hotkey {
    Keypair::from_seed(&SEED).hotkey()
}

/// A platform where `miner` has an account, and the API with its key.
async fn platform() -> (Chutes, Api) {
    let platform = Chutes::start().await.unwrap();
    platform.account("miner", Some(KEY), Some(&hotkey()));
    let api = api_with(&platform, KEY);
    (platform, api)
}

fn api_with(platform: &Chutes, key: &str) -> Api {
    Api::new(client(), &platform.url(), Auth::api_key(key.into()).unwrap())
}

/// The text of a `config.ini` of `miner`.
fn config(platform: &Chutes, username: &str) -> String {
    format!(
        "[api]\nbase_url = {}\n\n[auth]\nusername = {username}\nuser_id = {}\nhotkey_seed = {}\nhotkey_name = default\n\
         hotkey_ss58address = {}\n",
        platform.url(),
        Chutes::user_id(username),
        "07".repeat(32),
        hotkey()
    )
}

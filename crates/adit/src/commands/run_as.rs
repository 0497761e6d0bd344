//! `ADIT_RUN_AS`: a miner that root started goes on as another user, and its model with it. Root is what may
//! read a wallet that is mounted into a container; the hotkey's address is all that is taken along.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use adit_keys::{Hotkey, password};
use adit_settings::{Environment, var};

use crate::failure::Failure;

/// Starts this program anew as that user, in the same process. Comes back where there is nothing to do, or
/// where the system does not allow it: a spot check takes every capability away.
///
/// To be called before there are threads.
pub(super) fn give_up_root(env: &Environment, hotkey: Option<&Hotkey>) -> Result<(), Failure> {
    let Some(text) = env.text(&var::RUN_AS)? else { return Ok(()) };
    let Some((uid, gid)) = numbers(text) else {
        return Err(env.invalid(&var::RUN_AS, "a user and a group as uid:gid, the user not 0").into());
    };
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut arguments = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    // The program is what it is called as.
    command.arg0(arguments.next().unwrap_or_default()).args(arguments);
    command.uid(uid).gid(gid).env("HOME", home(&accounts, uid).unwrap_or("/"));
    if let Some(hotkey) = hotkey {
        command.env(var::HOTKEY_ADDRESS.name, hotkey.to_string());
    }
    // Serving takes no secret, and a model of the same user could read those of its server.
    for name in var::ALL.iter().filter(|var| var.secret).flat_map(|var| var.names()) {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(password::VARIABLES) {
            command.env_remove(name);
        }
    }
    let error = command.exec();
    tracing::warn!(
        "cannot become user {text} (ADIT_RUN_AS): {error}; the miner and its model go on as root. A container needs \
         the capabilities SETUID and SETGID for it"
    );
    Ok(())
}

fn numbers(text: &str) -> Option<(u32, u32)> {
    let (uid, gid) = text.split_once(':')?;
    let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
    (uid != 0).then_some((uid, gid))
}

/// The home directory of a user, from the lines of `/etc/passwd`.
fn home(accounts: &str, uid: u32) -> Option<&str> {
    let uid = uid.to_string();
    accounts.lines().map(|line| line.split(':')).find_map(|mut fields| {
        (fields.nth(2)? == uid).then(|| fields.nth(2)).flatten().filter(|home| !home.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_two_numbers_and_never_root() {
        assert_eq!(numbers("10001:0"), Some((10001, 0)));
        for text in ["", "10001", "adit:adit", "0:0", "1:2:3", "-1:1", "1:", "4294967296:1"] {
            assert_eq!(numbers(text), None, "{text}");
        }
    }

    #[test]
    fn the_home_is_that_of_the_users_line() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nshort\nadit:x:10001:10001::/var/lib/adit:/bin/false\n\
                        bare:x:7:7:::\n";
        assert_eq!(home(accounts, 10001), Some("/var/lib/adit"));
        assert_eq!(home(accounts, 0), Some("/root"));
        for uid in [1, 7, 1000] {
            assert_eq!(home(accounts, uid), None, "{uid}");
        }
    }
}

//! Commands by the first letters of their names, as the guide's `gascli` takes them (generative reference, section 10).

use std::ffi::OsString;

use clap::Command;

/// The generator's commands that the guide's program has. What is unique among them stays what it means there,
/// whatever other commands we have: `g r` is `restart`.
const GUIDE: [&str; 8] = ["delete", "info", "logs", "restart", "start", "status", "stop", "verify-c2pa"];

/// First letters that several names have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Error: Too many matches: {}", .0.join(", "))]
pub(crate) struct Ambiguous(Vec<String>);

/// The arguments with the names of the group and its command in full. What begins no name stays, for the parser to
/// speak of.
pub(crate) fn expand(program: &Command, mut arguments: Vec<OsString>) -> Result<Vec<OsString>, Ambiguous> {
    let mut level = program;
    for (place, guide) in [(1, &[][..]), (2, &GUIDE[..])] {
        let Some(word) = arguments.get(place).and_then(|word| word.to_str()) else { break };
        let Some(name) = resolve(level, word, guide)? else { break };
        let Some(command) = level.find_subcommand(&name) else { break };
        arguments[place] = name.into();
        level = command;
    }
    Ok(arguments)
}

fn resolve(level: &Command, word: &str, guide: &[&str]) -> Result<Option<String>, Ambiguous> {
    if word.is_empty() || word.starts_with('-') {
        return Ok(None);
    }
    if level.find_subcommand(word).is_some() {
        return Ok(Some(word.to_owned()));
    }
    let shown = level.get_subcommands().filter(|command| !command.is_hide_set());
    let mut names: Vec<String> = shown
        .flat_map(|command| std::iter::once(command.get_name()).chain(command.get_all_aliases()))
        .filter(|name| name.starts_with(word))
        .map(str::to_owned)
        .collect();
    if names.iter().any(|name| guide.contains(&name.as_str())) {
        names.retain(|name| guide.contains(&name.as_str()));
    }
    names.sort();
    match names.len() {
        0 | 1 => Ok(names.pop()),
        _ => Err(Ambiguous(names)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::gascli::Gascli;

    fn expanded(words: &str) -> Result<String, String> {
        let arguments = words.split(' ').map(OsString::from).collect();
        match expand(&crate::cli::command::<Gascli>(), arguments) {
            Ok(arguments) => Ok(arguments.join(" ".as_ref()).into_string().unwrap()),
            Err(ambiguous) => Err(ambiguous.to_string()),
        }
    }

    #[test]
    fn what_is_unique_in_the_guides_program_means_the_same_here() {
        for (words, command) in [
            ("r", "restart"),
            ("d", "delete"),
            ("i", "info"),
            ("l", "logs"),
            ("v", "verify-c2pa"),
            ("sto", "stop"),
            ("stat", "status"),
            ("star", "start"),
        ] {
            for group in ["g", "gen", "generator"] {
                let typed = format!("gascli {group} {words} x");
                assert_eq!(expanded(&typed).unwrap(), format!("gascli {group} {command} x"));
            }
        }
        assert_eq!(expanded("gascli g s").unwrap_err(), "Error: Too many matches: start, status, stop");
        assert_eq!(expanded("gascli ge start").unwrap_err(), "Error: Too many matches: gen, generator");
    }

    #[test]
    fn our_own_commands_come_after_those_of_the_guide() {
        assert_eq!(expanded("gascli gene se").unwrap(), "gascli generator serve");
        assert_eq!(expanded("gascli g reh").unwrap(), "gascli g rehearse");
        assert_eq!(expanded("gascli g sy").unwrap(), "gascli g systemd-unit");
        assert_eq!(expanded("gascli g del").unwrap(), "gascli g delete");
        assert_eq!(expanded("gascli g red").unwrap(), "gascli g redeliver");
        assert_eq!(expanded("gascli g deli").unwrap(), "gascli g deliveries");
    }

    #[test]
    fn what_begins_nothing_is_left_to_the_parser() {
        for words in [
            "gascli",
            "gascli -h",
            "gascli g",
            "gascli g x",
            "gascli x start",
            "gascli g --help",
            "gascli g sup",
        ] {
            assert_eq!(expanded(words).unwrap(), words);
        }
    }
}

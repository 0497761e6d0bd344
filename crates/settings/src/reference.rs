//! `env.example`, `.env.gen_miner.template` and the reference page, rendered from the declarations.

use std::fmt::Write as _;

use crate::var::{ALL, Example, Section, Var};

/// What stands in `.env.gen_miner.template`; the others stand in `env.example`.
const GENERATOR: [Section; 2] = [Section::Generator, Section::Services];

fn of(section: Section) -> impl Iterator<Item = &'static Var> {
    ALL.iter().copied().filter(move |var| var.section == section)
}

/// The text of `env.example`.
#[must_use]
pub fn env_example() -> String {
    let mut text = String::from("# Copy this file to .env and fill in your values.\n");
    for section in Section::ALL.into_iter().filter(|section| !GENERATOR.contains(section)) {
        let rule = if section == Section::PrivateMiner { "=" } else { "─" };
        let _ = match section {
            Section::Wallet | Section::PrivateMiner | Section::Adit => {
                let rule = rule.repeat(74);
                writeln!(text, "\n# {rule}\n# {}\n# {rule}", section.title())
            }
            _ => writeln!(text, "\n# {}", section.title()),
        };
        lines(&mut text, section);
    }
    text
}

/// The text of `.env.gen_miner.template`.
#[must_use]
pub fn gen_miner_template() -> String {
    let mut text = String::from(
        "# Copy this file to .env.gen_miner and fill in your values; docs/environment.md says what each means.\n\n\
         # Wallet\nBT_WALLET_NAME=miner1\nBT_WALLET_HOTKEY=default\n",
    );
    for section in GENERATOR {
        let _ = writeln!(text, "\n# {}", section.title());
        lines(&mut text, section);
    }
    text
}

fn lines(text: &mut String, section: Section) {
    for var in of(section) {
        let _ = match var.example {
            Example::Set(value) => writeln!(text, "{}={value}", var.name),
            Example::Commented(value) => writeln!(text, "# {}={value}", var.name),
        };
    }
}

/// The text of `docs/environment.md`.
#[must_use]
pub fn page() -> String {
    let mut text = String::from(
        "# Environment variables\n\n\
         The process environment wins over `.env` (the nearest one upwards from the working directory, or the file \
         named by `ADIT_ENV_FILE`), and that over the default. `gascli` and `adit doctor gascli` look for \
         `.env.gen_miner` first. ` # comments` after a value are removed in both. \
         Names in the second column mean the same.\n",
    );
    for section in Section::ALL {
        let _ = writeln!(text, "\n## {}\n", section.title());
        text.push_str("| Variable | Also | Default | Meaning |\n|---|---|---|---|\n");
        for var in of(section) {
            let also = var.aliases.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ");
            let default = var.default.map_or("–".to_owned(), |d| format!("`{d}`"));
            let secret = if var.secret { " Secret." } else { "" };
            let _ = writeln!(text, "| `{}` | {also} | {default} | {}{secret} |", var.name, var.help);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // `UPDATE_EXPECT=1 cargo test -p adit-settings` rewrites the files.
    #[test]
    fn env_example_is_what_the_declarations_say() {
        expect_test::expect_file!["../../../env.example"].assert_eq(&env_example());
    }

    #[test]
    fn the_generators_template_is_what_the_declarations_say() {
        expect_test::expect_file!["../../../.env.gen_miner.template"].assert_eq(&gen_miner_template());
    }

    #[test]
    fn the_reference_page_is_what_the_declarations_say() {
        expect_test::expect_file!["../../../docs/environment.md"].assert_eq(&page());
    }

    #[test]
    fn no_name_is_declared_twice() {
        let mut names: Vec<_> = ALL.iter().flat_map(|var| var.names()).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    #[test]
    fn the_examples_read_back_to_their_own_values() {
        for (text, name, value) in [
            (env_example(), "DOCKERHUB_REPO", "pt-solution"),
            (gen_miner_template(), "IMAGE_SERVICE", "openrouter"),
            (gen_miner_template(), "BT_NETUID", "379"),
        ] {
            let parsed = crate::dotenv::parse(&text, |_| None);
            assert!(parsed.bad_lines.is_empty());
            let found = parsed.pairs.iter().find(|(found, _)| found == name);
            assert_eq!(found.map(|(_, value)| value.as_str()), Some(value));
        }
    }
}

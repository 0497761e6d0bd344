//! `chute_config.yml`, as far as it can be read without the SDK that it configures.

use saphyr_parser::{Event, Parser};

/// The sections that the template reads.
pub(super) const SECTIONS: [&str; 3] = ["Image", "NodeSelector", "Chute"];

/// What the template would not read, or would overwrite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is no YAML, or no mapping: the template falls back to its defaults without a word.
    Unreadable(String),
    /// No section of the template's.
    UnknownSection(String),
    /// A section that is no mapping: the template breaks off.
    NoMapping(String),
    /// The template sets this itself.
    Overwritten(String, String),
}

/// What is wrong, by line.
pub(super) fn flaws(text: &str) -> Vec<(usize, Flaw)> {
    let mut flaws = Vec::new();
    let mut depth = 0;
    // The section that the reading is in or before, and whether a key comes next at its level.
    let (mut section, mut key, mut is_key) = (None::<String>, false, false);
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                return vec![(error.marker().line(), Flaw::Unreadable(error.info().to_owned()))];
            }
        };
        let line = span.start.line();
        let opens = matches!(event, Event::MappingStart(..) | Event::SequenceStart(..));
        let is_node = opens || matches!(event, Event::Scalar(..) | Event::Alias(_));
        match (&event, depth) {
            (Event::MappingStart(..), 0) => key = true,
            (Event::Scalar(value, ..), 0) if value.is_empty() => {}
            _ if is_node && depth == 0 => {
                return vec![(line, Flaw::Unreadable("it is no mapping of sections".to_owned()))];
            }
            (Event::Scalar(value, ..), 1) if key => {
                if !SECTIONS.contains(&value.as_ref()) {
                    flaws.push((line, Flaw::UnknownSection(value.to_string())));
                }
                section = Some(value.to_string());
                key = false;
            }
            _ if is_node && depth == 1 => {
                if let Some(name) = section.as_deref().filter(|name| SECTIONS.contains(name))
                    && !matches!(event, Event::MappingStart(..) | Event::Alias(_))
                {
                    flaws.push((line, Flaw::NoMapping(name.to_owned())));
                }
                (key, is_key) = (true, true);
            }
            (Event::Scalar(value, ..), 2) if is_key => {
                let section = section.as_deref().unwrap_or_default();
                if overwritten(section).contains(&value.as_ref()) {
                    flaws.push((line, Flaw::Overwritten(section.to_owned(), value.to_string())));
                }
                is_key = false;
            }
            _ if is_node && depth == 2 => is_key = true,
            _ => {}
        }
        if opens {
            depth += 1;
        } else if matches!(event, Event::MappingEnd | Event::SequenceEnd) {
            depth -= 1;
        }
    }
    flaws
}

/// What the template writes into a section whatever stands there.
fn overwritten(section: &str) -> &'static [&'static str] {
    match section {
        "Image" => &["username", "name", "tag", "readme"],
        "Chute" => &["username", "name", "image", "node_selector", "allow_external_egress", "readme"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_configuration_has_no_flaws() {
        let text = "Image:\n  from_base: a/b:1\n  run_command:\n    - pip install x\n    - [a, b]\nNodeSelector:\n  \
                    gpu_count: 1\n  exclude: [\"5090\", b200]\nChute:\n  concurrency: 4\n";
        assert_eq!(flaws(text), []);
        assert_eq!(flaws(""), []);
        assert_eq!(flaws("# nothing\n"), []);
    }

    #[test]
    fn flaws_are_named_with_their_lines() {
        let text = "Image:\n  name: x\n  from_base: y\nimage:\n  name: z\nChute: [1]\n";
        assert_eq!(
            flaws(text),
            [
                (2, Flaw::Overwritten("Image".to_owned(), "name".to_owned())),
                (4, Flaw::UnknownSection("image".to_owned())),
                (6, Flaw::NoMapping("Chute".to_owned())),
            ]
        );
        assert!(matches!(flaws("- a\n").as_slice(), [(1, Flaw::Unreadable(_))]));
        assert!(matches!(flaws("a: [1\nb: 2").as_slice(), [(_, Flaw::Unreadable(_))]));
    }
}

//! Whether a deployed script is the published template, as validators judge it (section 6.3): the values of four
//! constants are taken out of both, and what remains must be the same program.

use super::unix_lines;

/// The constants that may differ, in the order in which validators take their values out.
const OWN: [&str; 4] = [REPOSITORY, REVISION, "CHUTES_USERNAME", "CHUTE_NAME"];
const REPOSITORY: &str = "HF_REPO_NAME";
const REVISION: &str = "HF_REPO_REVISION";

/// What the comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Validators take it for the template.
    Same,
    /// Validators refuse the chute.
    Different,
    /// The texts differ, and whether as programs too could not be found out.
    Undecided,
}

/// Compares `deployed` with `template`. Equal texts are equal programs; where they differ `same_program` is asked
/// about the masked texts, and `None` means that it does not know.
pub fn check(
    template: &str,
    deployed: &str,
    same_program: impl FnOnce(&str, &str) -> Option<bool>,
) -> Verdict {
    let [template, deployed] = [template, deployed].map(|text| unix_lines(&masked(text)));
    if template.trim_end_matches('\n') == deployed.trim_end_matches('\n') {
        return Verdict::Same;
    }
    match same_program(&template, &deployed) {
        Some(true) => Verdict::Same,
        Some(false) => Verdict::Different,
        None => Verdict::Undecided,
    }
}

/// The script with the values of the four constants taken out, as the validators' four patterns do it. A quote of
/// either kind ends a value, so one inside it leaves the rest behind.
#[must_use]
pub fn masked(script: &str) -> String {
    OWN.iter().fold(script.to_owned(), |script, name| {
        let mut rest = script.as_str();
        let mut masked = String::with_capacity(rest.len());
        while let Some(at) = rest.find(name) {
            let after = &rest[at + name.len()..];
            let value_end = opened(after).and_then(|value| {
                let end = value.find(['"', '\'', '\n'])?;
                value[end..].starts_with(['"', '\'']).then(|| &value[end + 1..])
            });
            masked.push_str(&rest[..at]);
            masked.push_str(name);
            rest = match value_end {
                Some(after_value) => {
                    masked.push_str("=\"\"");
                    after_value
                }
                None => after,
            };
        }
        masked + rest
    })
}

/// Repository and revision that a script names, as validators read them out of it; they must be those of the
/// commitment.
#[must_use]
pub fn model(script: &str) -> (Option<&str>, Option<&str>) {
    let value = |name: &str| {
        script.match_indices(name).find_map(|(at, _)| {
            let value = opened(&script[at + name.len()..])?;
            let end = value.find(['"', '\''])?;
            (end > 0).then(|| &value[..end])
        })
    };
    (value(REPOSITORY), value(REVISION))
}

/// What follows `= "`, in which white space may stand before and after the sign.
fn opened(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(adit_python::is_space).strip_prefix('=')?;
    text.trim_start_matches(adit_python::is_space).strip_prefix(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_out_as_the_patterns_do() {
        for (text, expected) in [
            ("HF_REPO_NAME = \"a/b\"\nx", "HF_REPO_NAME=\"\"\nx"),
            ("CHUTE_NAME\n=\n'n'", "CHUTE_NAME=\"\""),
            ("MY_CHUTE_NAME='n'", "MY_CHUTE_NAME=\"\""),
            ("CHUTE_NAME = \"\"", "CHUTE_NAME=\"\""),
            // Either quote ends the value.
            ("CHUTE_NAME = \"it's\"", "CHUTE_NAME=\"\"s\""),
            ("CHUTE_NAME = \"open\n\"", "CHUTE_NAME = \"open\n\""),
            ("f(name=CHUTE_NAME, CHUTE_NAME='x')", "f(name=CHUTE_NAME, CHUTE_NAME=\"\")"),
            ("CHUTE_NAME CHUTE_NAME=\"é\"é", "CHUTE_NAME CHUTE_NAME=\"\"é"),
        ] {
            assert_eq!(masked(text), expected, "{text:?}");
        }
    }

    #[test]
    fn texts_that_differ_in_values_and_line_ends_are_the_same_without_a_look_at_the_program() {
        let template = "HF_REPO_NAME = \"{{ x }}\"\nCHUTE_NAME = \"{{ y }}\"\nrun()\n";
        let unasked = |_: &str, _: &str| -> Option<bool> { panic!("the texts are equal") };
        let deployed = "HF_REPO_NAME = 'alice/m'\r\nCHUTE_NAME = \"n\"\r\nrun()";
        assert_eq!(check(template, deployed, unasked), Verdict::Same);
        let changed = "HF_REPO_NAME = 'alice/m'\nCHUTE_NAME = \"n\"\nrun(1)";
        for (known, verdict) in
            [(Some(true), Verdict::Same), (Some(false), Verdict::Different), (None, Verdict::Undecided)]
        {
            assert_eq!(check(template, changed, |_, _| known), verdict);
        }
    }

    #[test]
    fn the_model_of_a_script_is_read_out_of_it() {
        let script = "print(HF_REPO_NAME)\nHF_REPO_NAME = \"alice/m\"\nHF_REPO_REVISION='abc'";
        assert_eq!(model(script), (Some("alice/m"), Some("abc")));
        assert_eq!(model("HF_REPO_NAME = \"\"\n"), (None, None));
    }
}

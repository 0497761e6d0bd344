//! What a model and its chute are called (Turbo Vision reference, section 2).
//!
//! Each revision of a model has a nickname, which Python's generator of random numbers draws out of a list of animals with
//! the revision as its seed. Only 278 of them can come up, so two revisions have one nickname now and then.

use std::fmt;

use rand_mt::Mt;

/// Longest word that is taken, in letters. Longer ones of the list are drawn and put back.
const LONGEST: usize = 6;

/// Which release of the list of animals: that of the Python package petname (Apache-2.0, © 2014 Dustin Kirkland).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Petnames {
    /// 2.6, 458 names: what the guide's program is installed with.
    #[default]
    V2_6,
    /// 2.9, 449 names: what it gets where nobody pins versions.
    V2_9,
}

impl Petnames {
    /// The names, in the package's order.
    pub fn list(self) -> impl Iterator<Item = &'static str> {
        let text = match self {
            Self::V2_6 => include_str!("petnames_2_6.txt"),
            Self::V2_9 => include_str!("petnames_2_9.txt"),
        };
        text.lines()
    }
}

/// A revision that has no nickname.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the revision `{0}` is not a hexadecimal number, as a commit's id is; a branch or tag has one, which is meant"
)]
pub struct NotARevision(String);

/// The nickname of a revision.
///
/// # Errors
/// Where the text is no number to Python's `int(text, 16)`: a branch name is none.
pub fn nickname(revision: &str, petnames: Petnames) -> Result<&'static str, NotARevision> {
    let shown = || NotARevision(revision.chars().take(80).collect());
    let mut random = Mt::new_with_key(magnitude(revision).ok_or_else(shown)?);
    let list: Vec<&str> = petnames.list().collect();
    // As many bits as the length has; what is not below it is drawn again.
    let unwanted_bits = list.len().leading_zeros() + u32::BITS - usize::BITS;
    loop {
        let drawn = random.next_u32() >> unwanted_bits;
        if let Some(name) = usize::try_from(drawn).ok().and_then(|at| list.get(at))
            && name.len() <= LONGEST
        {
            return Ok(name);
        }
    }
}

/// The size of a hexadecimal number as Python reads one, in words of 32 bits, the lowest first, at least one: blanks
/// around it, a sign, `0x` and single underscores between digits are allowed. A seed has no sign.
fn magnitude(text: &str) -> Option<Vec<u32>> {
    let text = text.trim_matches(adit_python::is_space);
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (prefixed, digits) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    // After the prefix an underscore may stand too.
    let digits = digits.strip_prefix('_').filter(|_| prefixed).unwrap_or(digits);
    let digits: Vec<u32> = digits
        .split('_')
        .map(|run| (!run.is_empty()).then_some(run))
        .collect::<Option<Vec<_>>>()?
        .iter()
        .flat_map(|run| run.chars())
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()?;
    let significant = digits.iter().position(|digit| *digit != 0).map_or(&[][..], |first| &digits[first..]);
    let words = significant.rchunks(8).map(|word| word.iter().fold(0, |word, digit| word << 4 | digit));
    let words: Vec<u32> = words.collect();
    Some(if words.is_empty() { vec![0] } else { words })
}

/// A model on Hugging Face: one repository for all, with a revision for each version.
#[must_use]
pub fn repository(huggingface_user: &str) -> String {
    format!("{huggingface_user}/ScoreVision")
}

/// A chute's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChuteName(String);

impl ChuteName {
    /// Of a user's model with this nickname.
    #[must_use]
    pub fn new(huggingface_user: &str, nickname: &str) -> Self {
        let user = huggingface_user.replace('/', "-");
        Self(format!("turbovision-{user}-{nickname}").to_lowercase())
    }

    /// The slug that the guide's program guesses. Chutes gives another one where the user's name has capitals, where a
    /// name is long or has an underscore, or where the slug is taken: never publish a guess.
    #[must_use]
    pub fn guessed_slug(&self, chutes_user: &str) -> String {
        format!("{}-{self}", chutes_user.replace('_', "-"))
    }
}

impl fmt::Display for ChuteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_one_as_python_reads_it() {
        for (text, words) in [
            ("0", vec![0]),
            ("-0", vec![0]),
            (" ff\n", vec![255]),
            ("-5", vec![5]),
            ("0x_1f", vec![31]),
            ("0X1F", vec![31]),
            ("1_0", vec![16]),
            ("000000000100000002", vec![2, 1]),
        ] {
            assert_eq!(magnitude(text), Some(words), "{text:?}");
        }
        for text in
            ["", " ", "-", "0x", "0x_", "_1", "1_", "1__0", "0x__1", "+-1", "- 1", "12 34", "main", "é"]
        {
            assert_eq!(magnitude(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_branch_name_is_said_to_be_none() {
        let error = nickname("main", Petnames::default()).unwrap_err().to_string();
        assert!(error.contains("`main`") && error.contains("commit"), "{error}");
    }

    proptest! {
        #[test]
        fn every_commit_has_a_nickname(revision in "[0-9a-f]{40}") {
            for petnames in [Petnames::V2_6, Petnames::V2_9] {
                let name = nickname(&revision, petnames).unwrap();
                prop_assert!((2..=LONGEST).contains(&name.len()));
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,60}|[0-9a-fx_+ -]{0,30}") {
            let _ = nickname(&text, Petnames::default());
        }
    }
}

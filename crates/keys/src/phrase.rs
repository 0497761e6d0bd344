//! Mnemonic phrases: the English words of BIP-39, turned into a seed as Substrate does.

use std::fmt;
use std::str::FromStr;

use bip39::{Language, Mnemonic};
use pbkdf2::pbkdf2_hmac;
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::Seed;

/// Rounds of Substrate's phrase to seed (chain reference, section 8).
const ROUNDS: u32 = 2_048;

/// How long a new phrase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordCount {
    /// 12 words, 128 bits.
    Twelve,
    /// 24 words, 256 bits.
    TwentyFour,
}

/// A phrase whose words and checksum are right. Cannot be printed but by [`Phrase::expose_words`].
pub struct Phrase {
    words: Zeroizing<String>,
    entropy: Zeroizing<Vec<u8>>,
}

/// Why a text is no phrase. Never quotes a word of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhraseError {
    /// Another number of words than BIP-39 has.
    #[error("a mnemonic has 12 or 24 words (15, 18 and 21 also exist), not {0}")]
    WordCount(usize),
    /// A mistyped word.
    #[error("word {0} of the mnemonic is not in the English BIP-39 word list")]
    UnknownWord(usize),
    /// A wrong word or wrong order.
    #[error("the words of the mnemonic do not belong together: one is wrong, or their order is")]
    Checksum,
}

impl Phrase {
    /// A new phrase from the system's random source.
    #[must_use]
    pub fn generate(words: WordCount) -> Self {
        let mut entropy = Zeroizing::new(vec![
            0;
            match words {
                WordCount::Twelve => 16,
                WordCount::TwentyFour => 32,
            }
        ]);
        getrandom::getrandom(&mut entropy).expect("the system has a random source");
        let mnemonic = Mnemonic::from_entropy(&entropy).expect("BIP-39 has phrases of these lengths");
        Self { words: spelled(&mnemonic), entropy }
    }

    /// The words, one blank between them.
    #[must_use]
    pub fn expose_words(&self) -> &str {
        &self.words
    }

    /// The seed, from the phrase's **entropy** and not from its text, as Substrate makes it and
    /// BIP-39 does not. `password` is what follows `///` in a uri, usually nothing.
    #[must_use]
    pub fn seed(&self, password: &str) -> Seed {
        let salt = Zeroizing::new(format!("mnemonic{password}"));
        let mut derived = Zeroizing::new([0; 64]);
        pbkdf2_hmac::<Sha512>(&self.entropy, salt.as_bytes(), ROUNDS, derived.as_mut_slice());
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&derived[..32]);
        Seed::from_bytes(&seed)
    }
}

fn spelled(mnemonic: &Mnemonic) -> Zeroizing<String> {
    // Longer than any phrase (24 words of at most 8 letters), so that it never moves and leaves a copy.
    let mut words = Zeroizing::new(String::with_capacity(24 * 9));
    for word in mnemonic.words() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    words
}

impl FromStr for Phrase {
    type Err = PhraseError;

    /// Reads a phrase; capitals and more blanks or line ends than needed are forgiven.
    fn from_str(text: &str) -> Result<Self, PhraseError> {
        let mut normal = Zeroizing::new(String::with_capacity(text.len() + 1));
        for word in text.split_whitespace() {
            if !normal.is_empty() {
                normal.push(' ');
            }
            normal.extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
        }
        let mnemonic =
            Mnemonic::parse_in_normalized(Language::English, &normal).map_err(|error| match error {
                bip39::Error::BadWordCount(count) => PhraseError::WordCount(count),
                bip39::Error::UnknownWord(index) => PhraseError::UnknownWord(index + 1),
                _ => PhraseError::Checksum,
            })?;
        let (entropy, length) = mnemonic.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        Ok(Self { words: spelled(&mnemonic), entropy: Zeroizing::new(entropy[..length].to_vec()) })
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "inject float sword latin aerobic need gallery defense firm kind ketchup grass";

    #[test]
    fn a_new_phrase_has_the_words_asked_for_and_reads_back() {
        for (count, words) in [(WordCount::Twelve, 12), (WordCount::TwentyFour, 24)] {
            let phrase = Phrase::generate(count);
            assert_eq!(phrase.expose_words().split(' ').count(), words);
            let read: Phrase = phrase.expose_words().parse().unwrap();
            assert_eq!(read.seed(""), phrase.seed(""));
            assert_ne!(phrase.seed(""), Phrase::generate(count).seed(""));
        }
    }

    #[test]
    fn blanks_and_capitals_do_not_matter() {
        let odd = format!("\n  {} \t\r\n", GOOD.replace(' ', "  \n").to_uppercase());
        let phrase: Phrase = odd.parse().unwrap();
        assert_eq!(phrase.expose_words(), GOOD);
    }

    #[test]
    fn each_fault_is_told_apart_and_quotes_nothing() {
        let swapped = GOOD.replace("inject float", "float inject");
        for (text, expected) in [
            ("", PhraseError::WordCount(0)),
            ("inject float", PhraseError::WordCount(2)),
            (&GOOD.replace("sword", "sward"), PhraseError::UnknownWord(3)),
            (&GOOD.replace("sword", "swörd"), PhraseError::UnknownWord(3)),
            (&swapped, PhraseError::Checksum),
        ] {
            let error = text.parse::<Phrase>().unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("sw"), "{error}");
        }
    }

    #[test]
    fn a_phrase_does_not_print() {
        assert_eq!(format!("{:?}", GOOD.parse::<Phrase>().unwrap()), "Phrase(secret)");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,200}") {
            let _ = text.parse::<Phrase>();
        }
    }
}

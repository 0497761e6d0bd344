//! Which variables a worker inherits: those that an interpreter and a GPU library need. The miner's own
//! (registry and API tokens, wallet names) stay out of a process that runs somebody's model.

use std::ffi::OsString;
use std::fmt;

const NAMES: &[&str] =
    &["PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "HF_HOME", "TORCH_HOME"];

const PREFIXES: &[&str] = &["LC_", "PYTHON", "CUDA_", "NVIDIA_", "OMP_"];

/// The variables of a worker. Values are not printed.
#[derive(Clone, Default)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// What `parent` has, as far as a worker may have it, and the variables named in `extra`. `parent` may be
    /// more than the environment of this process: the caller merges in what its own settings file sets.
    #[must_use]
    pub fn chosen_from(parent: impl IntoIterator<Item = (OsString, OsString)>, extra: &[String]) -> Self {
        let allowed = |name: &str| {
            NAMES.contains(&name)
                || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                || extra.iter().any(|more| more == name)
        };
        Self(parent.into_iter().filter(|(name, _)| name.to_str().is_some_and(allowed)).collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own == name)
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_names_and_the_extra_ones_pass() {
        let parent = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("CUDA_VISIBLE_DEVICES", "0"),
            ("HF_HOME", "/models"),
            ("HF_TOKEN", "secret"),
            ("DOCKERHUB_TOKEN", "secret"),
            ("MODEL_SIZE", "large"),
        ]
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let chosen = Environment::chosen_from(parent, &["MODEL_SIZE".to_owned()]);
        assert_eq!(
            format!("{chosen:?}"),
            r#"{"PATH", "LC_ALL", "CUDA_VISIBLE_DEVICES", "HF_HOME", "MODEL_SIZE"}"#
        );
    }
}

//! The layers, and typed reading of one variable.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::SecretString;

use crate::{Var, dotenv, var};

/// Why the configuration cannot be used. The text names the variable and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// The file is there but cannot be read.
    #[error("cannot read {path}: {source}; make it readable or name another file with ADIT_ENV_FILE", path = .path.display())]
    Unreadable {
        /// The `.env` file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Two names of one setting disagree.
    #[error("`{first}` and `{second}` mean the same setting but differ; set only one of them")]
    Conflict {
        /// The name that would win.
        first: &'static str,
        /// The other name.
        second: &'static str,
    },
    /// A value that is not of the variable's kind. Secrets have no such check, so the value may be shown.
    #[error("`{name}={value}` is not {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it was set to.
        value: String,
        /// What it must be, to follow "is not".
        expected: String,
    },
    /// Nothing set and no default.
    #[error("`{name}` is not set: {help}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// Its description.
        help: &'static str,
    },
}

/// The process environment over a `.env` file.
#[derive(Clone)]
pub struct Environment {
    process: HashMap<String, String>,
    file: HashMap<String, String>,
    file_path: Option<PathBuf>,
    bad_lines: Vec<usize>,
    changing_lines: Vec<usize>,
}

impl std::fmt::Debug for Environment {
    /// Names no values: they may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("file", &self.file_path).finish_non_exhaustive()
    }
}

impl Environment {
    /// The real one: this process's environment, and the file named by `ADIT_ENV_FILE` or else the first
    /// of these names, such as `.env`, that is found upwards from the working directory.
    ///
    /// # Errors
    /// Where the file exists but cannot be read.
    pub fn from_process(files: &[&str]) -> Result<Self, SettingError> {
        // A name or value that is not UTF-8 belongs to no declared variable.
        let mut process: HashMap<_, _> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        // Without it, as in a job of cron or a unit of systemd, the system's list of accounts knows it.
        if !process.contains_key("HOME")
            && let Some(home) = std::env::home_dir().and_then(|home| home.into_os_string().into_string().ok())
        {
            process.insert("HOME".to_owned(), home);
        }
        let named = process.get(var::ENV_FILE.name).filter(|path| !path.is_empty());
        let file = match named {
            Some(path) => Some(PathBuf::from(path)),
            None => std::env::current_dir()
                .ok()
                .and_then(|here| files.iter().find_map(|name| find_upwards(&here, name))),
        };
        Self::layered(process, file)
    }

    /// The given process environment over the given file.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn layered(
        process: impl IntoIterator<Item = (String, String)>,
        file: Option<PathBuf>,
    ) -> Result<Self, SettingError> {
        let process: HashMap<_, _> = process.into_iter().collect();
        let parsed = match &file {
            None => dotenv::Parsed::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| SettingError::Unreadable { path: path.clone(), source })?;
                dotenv::parse(&text, |name| process.get(name).cloned())
            }
        };
        Ok(Self {
            process,
            file: parsed.pairs.into_iter().collect(),
            file_path: file,
            bad_lines: parsed.bad_lines,
            changing_lines: parsed.changing_lines,
        })
    }

    /// The `.env` file in use and the numbers of its lines that say nothing that can be read.
    #[must_use]
    pub fn file(&self) -> Option<(&Path, &[usize])> {
        self.file_path.as_deref().map(|path| (path, self.bad_lines.as_slice()))
    }

    /// Numbers of the file's lines that give a name another value than an earlier line; the last one counts.
    #[must_use]
    pub fn changing_lines(&self) -> &[usize] {
        &self.changing_lines
    }

    /// Every variable of both layers, the process's value where both have one: what a child process
    /// may be given a choice of.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let of_file = self.file.iter().filter(|(name, _)| !self.process.contains_key(*name));
        self.process.iter().chain(of_file).map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Names that the `.env` file sets, each once, in no order.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        self.file.keys().map(String::as_str)
    }

    /// The same settings but for one, which gets a value that wins over both layers: what a command's
    /// argument says.
    #[must_use]
    pub fn with(&self, var: &'static Var, value: &str) -> Self {
        let mut changed = self.clone();
        // Another name of the setting would contradict it.
        var.names().for_each(|name| drop(changed.process.remove(name)));
        changed.process.insert(var.name.to_owned(), value.to_owned());
        changed
    }

    /// What is set, trailing comment removed, empty included; no default.
    fn set(&self, var: &'static Var) -> Result<Option<&str>, SettingError> {
        // The reader of the file has dealt with comments already, and knows which `#` was quoted.
        let as_read: fn(&str) -> &str = |value| value;
        for (layer, clean) in
            [(&self.process, dotenv::strip_comment as fn(&str) -> &str), (&self.file, as_read)]
        {
            let mut found: Option<(&'static str, &str)> = None;
            for name in var.names() {
                let Some(value) = layer.get(name) else { continue };
                let value = clean(value);
                match found {
                    None => found = Some((name, value)),
                    Some((first, other)) if other != value => {
                        return Err(SettingError::Conflict { first, second: name });
                    }
                    Some(_) => {}
                }
            }
            if let Some((_, value)) = found {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The text that somebody has set, an empty one included; no default.
    ///
    /// # Errors
    /// Where two names of the setting disagree.
    pub fn written(&self, var: &'static Var) -> Result<Option<&str>, SettingError> {
        debug_assert!(!var.secret, "{} is a secret: read it with `secret`", var.name);
        self.set(var)
    }

    /// The text of a variable or its default; an empty value counts as not set.
    ///
    /// # Errors
    /// Where two names of the setting disagree.
    pub fn text(&self, var: &'static Var) -> Result<Option<&str>, SettingError> {
        debug_assert!(!var.secret, "{} is a secret: read it with `secret`", var.name);
        Ok(self.set(var)?.filter(|value| !value.is_empty()).or(var.default))
    }

    /// A value that must be there.
    ///
    /// # Errors
    /// Where it is not, or two names disagree.
    pub fn required(&self, var: &'static Var) -> Result<&str, SettingError> {
        self.text(var)?.ok_or(SettingError::Missing { name: var.name, help: var.help })
    }

    /// A value of another type, by its `FromStr`; `expected` follows "is not" in the error.
    ///
    /// # Errors
    /// Where it is missing, does not parse, or two names disagree.
    pub fn parsed<T: FromStr>(&self, var: &'static Var, expected: &str) -> Result<T, SettingError> {
        self.required(var)?.trim().parse().map_err(|_| self.invalid(var, expected))
    }

    /// The error that says a variable's value is not `expected`.
    #[must_use]
    pub fn invalid(&self, var: &'static Var, expected: &str) -> SettingError {
        let value = self.text(var).ok().flatten().unwrap_or_default().to_owned();
        SettingError::Invalid { name: var.name, value, expected: expected.to_owned() }
    }

    /// A switch, on only for exactly `true`, `1` or `yes` in any case: ` true `, `on` and an empty
    /// value are off, as the miners before us read them (private-track reference, section 2).
    ///
    /// # Errors
    /// Where two names of the setting disagree.
    pub fn toggle(&self, var: &'static Var) -> Result<bool, SettingError> {
        let value = self.set(var)?.or(var.default).unwrap_or_default();
        Ok(matches!(value.to_lowercase().as_str(), "true" | "1" | "yes"))
    }

    /// A secret in a type that cannot be printed; an empty value counts as not set.
    ///
    /// # Errors
    /// Where two names of the setting disagree.
    pub fn secret(&self, var: &'static Var) -> Result<Option<SecretString>, SettingError> {
        Ok(self.set(var)?.filter(|value| !value.is_empty()).map(SecretString::from))
    }

    /// A path, with a leading `~` replaced by `HOME`.
    ///
    /// # Errors
    /// Where two names of the setting disagree.
    pub fn path(&self, var: &'static Var) -> Result<Option<PathBuf>, SettingError> {
        Ok(self.text(var)?.map(|text| self.expand_home(text)))
    }

    /// A path as [`Environment::path`] reads it; a relative one that the file sets is meant from the file's directory.
    ///
    /// # Errors
    /// Where two names of the setting disagree.
    pub fn path_by_file(&self, var: &'static Var) -> Result<Option<PathBuf>, SettingError> {
        let Some(path) = self.path(var)? else { return Ok(None) };
        let in_process = var.names().any(|name| self.process.contains_key(name));
        let folder = self.file_path.as_deref().and_then(Path::parent).filter(|_| !in_process);
        let path = path.strip_prefix("./").unwrap_or(&path);
        Ok(Some(folder.map_or_else(|| path.to_owned(), |folder| folder.join(path))))
    }

    /// The path that a text means: a leading `~` is `HOME`.
    #[must_use]
    pub fn expand_home(&self, text: &str) -> PathBuf {
        match (text.strip_prefix('~'), self.process.get("HOME")) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                PathBuf::from(format!("{home}{rest}"))
            }
            _ => PathBuf::from(text),
        }
    }
}

/// The nearest `relative` in `start` or one of its parents.
#[must_use]
pub fn find_upwards(start: &Path, relative: impl AsRef<Path>) -> Option<PathBuf> {
    let relative = relative.as_ref();
    start.ancestors().map(|directory| directory.join(relative)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn environment(process: &[(&str, &str)], file: &str) -> Environment {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        std::fs::write(&path, file).unwrap();
        let process = process.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        Environment::layered(process, Some(path)).unwrap()
    }

    #[test]
    fn the_process_wins_over_the_file_and_the_file_over_the_default() {
        let env = environment(&[("MINER_PORT", "9000")], "MINER_PORT=7000\nDOCKERHUB_REPO=mine\n");
        assert_eq!(env.text(&var::MINER_PORT).unwrap(), Some("9000"));
        assert_eq!(env.text(&var::DOCKERHUB_REPO).unwrap(), Some("mine"));
        assert_eq!(env.text(&var::NETUID).unwrap(), Some("44"));
    }

    #[test]
    fn an_alias_in_the_process_wins_over_the_main_name_in_the_file() {
        let env = environment(&[("COLDKEY", "prod")], "BITTENSOR_WALLET_COLD=default\n");
        assert_eq!(env.text(&var::WALLET_NAME).unwrap(), Some("prod"));
    }

    #[test]
    fn an_argument_wins_over_every_name_in_both_layers() {
        let env = environment(&[("COLDKEY", "a"), ("MINER_PORT", "9000")], "WALLET_NAME=b\nX=1\n");
        let told = env.with(&var::WALLET_NAME, "c");
        assert_eq!(told.text(&var::WALLET_NAME).unwrap(), Some("c"));
        assert_eq!(told.text(&var::MINER_PORT).unwrap(), Some("9000"));
        let mut names: Vec<_> = told.file_names().collect();
        names.sort_unstable();
        assert_eq!(names, ["WALLET_NAME", "X"]);
    }

    #[test]
    fn aliases_that_disagree_in_one_layer_are_an_error_naming_both() {
        let env = environment(&[("COLDKEY", "a"), ("WALLET_NAME", "b")], "");
        let error = env.text(&var::WALLET_NAME).unwrap_err().to_string();
        assert!(error.contains("COLDKEY") && error.contains("WALLET_NAME"), "{error}");
    }

    #[test]
    fn a_comment_that_env_file_of_docker_left_in_the_value_is_removed() {
        let env = environment(&[("DOCKERHUB_REPO", "pt-solution  # Your private repo name")], "");
        assert_eq!(env.text(&var::DOCKERHUB_REPO).unwrap(), Some("pt-solution"));
        let env = environment(&[("BLACKLIST_ENABLED", "true # keep")], "");
        assert!(env.toggle(&var::BLACKLIST_ENABLED).unwrap());
    }

    #[test]
    fn a_quoted_hash_in_the_file_is_part_of_the_value() {
        let env = environment(&[], "BITTENSOR_WALLET_PATH=\"/data/my # wallets\"  # here\n");
        assert_eq!(env.text(&var::WALLET_PATH).unwrap(), Some("/data/my # wallets"));
    }

    #[test]
    fn a_toggle_is_on_only_for_the_exact_words() {
        for (value, on) in [
            ("true", true),
            ("TRUE", true),
            ("1", true),
            ("Yes", true),
            ("on", false),
            ("", false),
            (" true ", false),
            ("false", false),
            ("2", false),
        ] {
            let env = environment(&[("VERIFY_ENABLED", value)], "VERIFY_ENABLED=true\n");
            assert_eq!(env.toggle(&var::VERIFY_ENABLED).unwrap(), on, "{value:?}");
        }
        assert!(environment(&[], "").toggle(&var::VERIFY_ENABLED).unwrap());
    }

    #[test]
    fn a_number_that_is_none_names_the_variable_and_the_value() {
        let env = environment(&[("MINER_PORT", "80a")], "");
        let error = env.parsed::<u16>(&var::MINER_PORT, "a port from 0 to 65535").unwrap_err();
        assert_eq!(error.to_string(), "`MINER_PORT=80a` is not a port from 0 to 65535");
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        let env = environment(&[("DOCKERHUB_TOKEN", "dckr_pat_x")], "");
        let secret = env.secret(&var::DOCKERHUB_TOKEN).unwrap().unwrap();
        assert_eq!(secret.expose_secret(), "dckr_pat_x");
        assert!(!format!("{secret:?} {env:?}").contains("dckr"));
    }

    #[test]
    fn a_relative_path_of_the_file_is_meant_from_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "MINER_OUTPUT_DIR=./media\nMINER_STATE_DIR=/var/lib/state\n").unwrap();
        let folder = file.path().parent().unwrap();
        let env = |process: &[(&str, &str)]| {
            let process = process.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
            Environment::layered(process, Some(file.path().to_owned())).unwrap()
        };
        let output = |env: &Environment| env.path_by_file(&var::OUTPUT_DIR).unwrap().unwrap();
        assert_eq!(output(&env(&[])), folder.join("media"));
        assert_eq!(output(&env(&[("MINER_OUTPUT_DIR", "here")])), PathBuf::from("here"));
        assert_eq!(env(&[]).path_by_file(&var::STATE_DIR).unwrap(), Some("/var/lib/state".into()));
    }

    #[test]
    fn a_path_starts_at_home() {
        let env = environment(&[("HOME", "/home/op")], "");
        assert_eq!(env.path(&var::WALLET_PATH).unwrap(), Some("/home/op/.bittensor/wallets".into()));
    }
}

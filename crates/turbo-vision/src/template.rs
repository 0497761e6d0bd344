//! The script that a chute is built from, rendered from a template (Turbo Vision reference, section 6).
//!
//! Two generations: the guide's folder of files that operators edit ([`Folder`]), and the one file that validators
//! compare with what is deployed ([`Published`]). [`integrity`] is that comparison. What a chute is called is
//! [`names`](crate::names)'; building and deploying it are left to others.

pub mod integrity;
mod published;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use adit_outbound::FetchError;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};

pub use published::{PUBLISHED_SHA256, PUBLISHED_URL, Published};

/// Where the guide's files are, from the root of the checkout.
pub const FOLDER: &str = "scorevision/chute_template";

/// Where a rendered script is written unless told otherwise, in the current directory: the guide's name.
pub const SCRIPT: &str = "my_chute.py";

/// Most characters of a script that chutes.ai takes (section 5.2).
const LONGEST_SCRIPT: usize = 150_000;

/// Why there is no script.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The guide's folder is nowhere above.
    #[error(
        "there is no {FOLDER} in this directory, above it or above the program: go into the checkout, or set \
         PATH_CHUTE_TEMPLATES to the folder with your template"
    )]
    NoFolder,
    /// A file that is part of the template.
    #[error("cannot read {} of the chute template: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The template is no template.
    #[error("{} cannot be rendered: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        cause: String,
    },
    /// A value that would change the program around it.
    #[error("the {what} {value:?} cannot stand in the script: {why}")]
    Value {
        /// What the value is.
        what: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// chutes.ai would refuse the script.
    #[error(
        "the script has {characters} characters, and chutes.ai takes {LONGEST_SCRIPT}: shorten the template"
    )]
    TooLong {
        /// How many it has.
        characters: usize,
    },
    /// A published template with another text than the one that validators compare with.
    #[error(
        "the template {from} is another than the expected one: its SHA-256 is {found}, not {expected}. Validators \
         refuse a chute made from another text; where they have changed theirs, name the new SHA-256"
    )]
    Unexpected {
        /// Where it came from.
        from: String,
        /// Its SHA-256.
        found: String,
        /// The one that it should have.
        expected: String,
    },
    /// What was named as a SHA-256 is none.
    #[error("{0:?} is no SHA-256: 64 hexadecimal digits are")]
    NotAHash(String),
    /// The published template could not be fetched.
    #[error("cannot fetch the published template: {0}; a copy on disk does as well: --template FILE")]
    Fetch(#[from] FetchError),
    /// A script or the cache could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What is put into a template's places.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The model's repository on Hugging Face, `user/ScoreVision`.
    pub repository: &'a str,
    /// Its revision: a commit, or a name that Hugging Face resolves.
    pub revision: &'a str,
    /// The account on chutes.ai.
    pub chutes_user: &'a str,
    /// The chute's name.
    pub chute_name: &'a str,
}

impl Values<'_> {
    /// Refuses what would end the text that it is put into, or what the integrity check cannot mask.
    fn check(&self) -> Result<(), TemplateError> {
        for (what, value) in [
            ("Hugging Face repository", self.repository),
            ("revision", self.revision),
            ("Chutes user name", self.chutes_user),
            ("chute name", self.chute_name),
        ] {
            let why = match value {
                "" => "it is empty",
                value if value.contains(['"', '\'', '\\']) => {
                    "a quote or backslash would end or change the text"
                }
                value if value.contains(char::is_control) => {
                    "a line end or control character would end the text"
                }
                _ => continue,
            };
            return Err(TemplateError::Value { what, value: value.to_owned(), why });
        }
        Ok(())
    }
}

/// What the files of the guide's template are called; the settings `FILENAME_CHUTE_…` say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNames {
    /// The file into which the others are put.
    pub main: String,
    /// The models of request and answer.
    pub schemas: String,
    /// Image and machine.
    pub setup: String,
    /// How the model is loaded.
    pub load: String,
    /// How a challenge is answered.
    pub predict: String,
}

impl Default for FileNames {
    fn default() -> Self {
        let [main, schemas, setup, load, predict] =
            ["chute.py.j2", "schemas.py", "setup.py", "load.py", "predict.py"].map(str::to_owned);
        Self { main, schemas, setup, load, predict }
    }
}

/// The guide's template: the files that an operator edits.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    names: FileNames,
}

impl Folder {
    /// The folder `explicit` where one is given; else [`FOLDER`] in the current directory or one above it, else above
    /// this program.
    ///
    /// # Errors
    /// [`TemplateError::NoFolder`], and [`TemplateError::Read`] for the first file that is not there.
    pub fn find(explicit: Option<&Path>, names: FileNames) -> Result<Self, TemplateError> {
        let path = match explicit {
            Some(path) => path.to_owned(),
            None => adit_predictor::find_in_checkout(Path::new(FOLDER)).ok_or(TemplateError::NoFolder)?,
        };
        let folder = Self { path, names };
        let FileNames { main, schemas, setup, load, predict } = &folder.names;
        for name in [main, schemas, setup, load, predict] {
            folder.read(name)?;
        }
        Ok(folder)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that are put into the main one, in the order in which they share its module.
    #[must_use]
    pub fn parts(&self) -> [PathBuf; 4] {
        let FileNames { schemas, setup, load, predict, .. } = &self.names;
        [schemas, setup, load, predict].map(|name| self.path.join(name))
    }

    /// The script of a chute. `predict_endpoint` is the path that validators post to, `predict` unless a setting says
    /// otherwise.
    ///
    /// # Errors
    /// Any [`TemplateError`] but those of fetching and writing.
    pub fn render(&self, values: &Values<'_>, predict_endpoint: &str) -> Result<String, TemplateError> {
        values.check()?;
        if !is_path(predict_endpoint) {
            return Err(TemplateError::Value {
                what: "predict endpoint",
                value: predict_endpoint.to_owned(),
                why: "chutes take small letters, digits, - and _ between slashes",
            });
        }
        let context = context! {
            predict_endpoint,
            repo_name => values.repository,
            revision => values.revision,
            chute_user => values.chutes_user,
            chute_name => values.chute_name,
            schema_defs => self.read(&self.names.schemas)?,
            setup_utils => self.read(&self.names.setup)?,
            load_utils => self.read(&self.names.load)?,
            predict_utils => self.read(&self.names.predict)?,
        };
        render(&self.path.join(&self.names.main), &self.read(&self.names.main)?, &context)
    }

    fn read(&self, name: &str) -> Result<String, TemplateError> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(unix_lines(&text)),
            Err(source) => Err(TemplateError::Read { path, source }),
        }
    }
}

/// The paths that the chutes SDK takes, without the first slash.
pub(crate) fn is_path(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    text.split('/').all(|part| !part.is_empty() && !part.starts_with('-') && part.bytes().all(inner))
}

/// Line ends as Python's text files have them.
fn unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Renders as Jinja2 does by default: one line end at the template's end is dropped, a name that is not known is
/// nothing, and no character is escaped.
fn render(path: &Path, template: &str, values: &Value) -> Result<String, TemplateError> {
    let mut jinja = Environment::new();
    jinja.set_auto_escape_callback(|_| AutoEscape::None);
    jinja.set_undefined_behavior(UndefinedBehavior::Lenient);
    let script = jinja
        .render_str(template, values)
        .map_err(|error| TemplateError::Syntax { path: path.to_owned(), cause: error.to_string() })?;
    match script.chars().count() {
        characters if characters > LONGEST_SCRIPT => Err(TemplateError::TooLong { characters }),
        _ => Ok(script),
    }
}

/// Writes a file whole or not at all: what was there before stays until the new text is on disk.
///
/// # Errors
/// [`TemplateError::Write`].
pub fn write(path: &Path, text: &str) -> Result<(), TemplateError> {
    let failed = |source| TemplateError::Write { path: path.to_owned(), source };
    // A link is written through, as an editor would.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = fs::metadata(&target).ok().map(|metadata| metadata.permissions());
    let mut file = tempfile::Builder::new();
    let permissions = mode.unwrap_or_else(|| std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = file.prefix(".chute-").permissions(permissions).tempfile_in(folder);
    // Without the name that it would have had.
    let mut file = file.map_err(|error| failed(error.kind().into()))?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALUES: Values<'_> = Values {
        repository: "alice/ScoreVision",
        revision: "f429c6a2",
        chutes_user: "bob_1",
        chute_name: "turbovision-alice-deer",
    };

    /// A template folder with these texts of its five files.
    fn folder(main: &str, part: &str) -> (tempfile::TempDir, Folder) {
        let place = tempfile::tempdir().unwrap();
        let names = FileNames::default();
        fs::write(place.path().join(&names.main), main).unwrap();
        for name in [&names.schemas, &names.setup, &names.load, &names.predict] {
            fs::write(place.path().join(name), format!("{part}# {name}\n")).unwrap();
        }
        let folder = Folder::find(Some(place.path()), names).unwrap();
        (place, folder)
    }

    #[test]
    fn texts_are_put_in_as_they_are_and_one_line_end_is_dropped() {
        let main = "{{ schema_defs }}|{{ setup_utils }}|{{ load_utils }}|{{ predict_utils }}|\
                    {{ repo_name }} {{ revision }} {{ chute_user }} {{ chute_name }} {{predict_endpoint}}{{ nobody }}\n\n";
        let (_place, folder) = folder(main, "a = '{{ revision }}' < 1\r\n");
        let part = "a = '{{ revision }}' < 1\n# ";
        assert_eq!(
            folder.render(&VALUES, "predict").unwrap(),
            format!(
                "{part}schemas.py\n|{part}setup.py\n|{part}load.py\n|{part}predict.py\n|\
                 alice/ScoreVision f429c6a2 bob_1 turbovision-alice-deer predict\n"
            )
        );
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let (place, _) = folder("", "");
        fs::remove_file(place.path().join("load.py")).unwrap();
        let error = Folder::find(Some(place.path()), FileNames::default()).unwrap_err().to_string();
        assert!(error.contains("load.py") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn other_file_names_are_taken() {
        let (place, _) = folder("{{ load_utils }}", "");
        fs::rename(place.path().join("load.py"), place.path().join("mine.py")).unwrap();
        let names = FileNames { load: "mine.py".to_owned(), ..FileNames::default() };
        let folder = Folder::find(Some(place.path()), names).unwrap();
        assert_eq!(folder.render(&VALUES, "predict").unwrap(), "# load.py\n");
    }

    #[test]
    fn a_broken_template_is_named_with_its_line() {
        let (_place, folder) = folder("a\n{{ oops\n", "");
        let error = folder.render(&VALUES, "predict").unwrap_err().to_string();
        assert!(
            error.contains("chute.py.j2 cannot be rendered") && error.contains("syntax error"),
            "{error}"
        );
    }

    #[test]
    fn a_value_that_would_leave_its_text_is_refused() {
        let (_place, folder) = folder("\"{{ revision }}\"", "");
        for bad in ["", "a\"b", "a'b", "a\\b", "a\nb", "a\rb", "a\0b"] {
            let error = folder.render(&Values { revision: bad, ..VALUES }, "predict").unwrap_err();
            assert!(matches!(&error, TemplateError::Value { what: "revision", .. }), "{bad:?}: {error}");
        }
        for bad in ["", "/predict", "predict/", "Predict", "pre dict", "-x", "a\"", "a//b"] {
            let error = folder.render(&VALUES, bad).unwrap_err();
            assert!(
                matches!(&error, TemplateError::Value { what: "predict endpoint", .. }),
                "{bad:?}: {error}"
            );
        }
        assert!(folder.render(&VALUES, "v2/predict_it").is_ok());
    }

    #[test]
    fn a_script_that_chutes_would_refuse_is_refused_here() {
        let (_place, folder) = folder(&"x".repeat(LONGEST_SCRIPT + 1), "");
        assert!(matches!(
            folder.render(&VALUES, "predict"),
            Err(TemplateError::TooLong { characters: 150_001 })
        ));
    }

    #[test]
    fn a_script_is_replaced_whole_and_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(SCRIPT);
        write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        write(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
        assert!(matches!(write(&place.path().join("no/x.py"), ""), Err(TemplateError::Write { .. })));
    }

    #[test]
    fn the_folder_of_this_repository_renders() {
        let folder = Folder::find(None, FileNames::default()).unwrap();
        let script = folder.render(&VALUES, "predict").unwrap();
        for line in
            ["repo_name=\"alice/ScoreVision\"", "revision=\"f429c6a2\"", "public_api_path=\"/predict\""]
        {
            assert!(script.contains(line), "{line}");
        }
        assert!(!script.contains("{{"));
    }

    proptest! {
        #[test]
        fn any_accepted_value_stays_within_its_text(revision in "\\PC{1,12}|[\"'\\\\\n\r a-z]{1,6}") {
            let (_place, folder) = folder("\"{{ revision }}\"", "");
            if let Ok(script) = folder.render(&Values { revision: &revision, ..VALUES }, "predict") {
                prop_assert_eq!(&script, &format!("\"{revision}\""));
                prop_assert!(!revision.contains(['"', '\'', '\\', '\n', '\r']));
            }
        }
    }
}

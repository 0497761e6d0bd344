//! Base images for Dockerfile.miner that need no registry: programs of this host with the libraries that they load,
//! and in place of apt and cargo scripts that have everything already. So the shipped file is what is tested.
//!
//! The Docker Engine that tests may use makes and keeps them.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, fs};

use crate::process::finish_within;

/// What the lines of Dockerfile.miner run, and what its tests do inside.
const PROGRAMS: [&str; 11] =
    ["cat", "chmod", "chown", "cp", "find", "grep", "mkdir", "python3", "rm", "sh", "sleep"];
/// Large parts of Python's library that no test's model needs.
const NOT_COPIED: [&str; 6] = ["__pycache__", "dist-packages", "idlelib", "lib2to3", "site-packages", "test"];
/// Repository of the images, each named after its content, so that tests share them; and a label that what is built
/// on them has as well.
const REPOSITORY: &str = "adit-test-base";
/// Time for a build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A Docker Engine of this host, by the `docker` program.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    host: String,
}

impl Engine {
    /// The one that tests may use, where there is one.
    pub(crate) fn find() -> Option<Self> {
        adit_stand_in::engine::host().map(|host| Self { host })
    }

    /// The `docker` program, told of this engine.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", &self.host).args(arguments);
        command
    }

    /// Runs it to its end, whatever that is.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        finish(&mut self.command(arguments), Stdio::null())
    }

    /// What it prints where it succeeds.
    #[track_caller]
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        printed(&self.run(arguments))
    }

    /// Makes an image of a folder, root's like everything in a base, where the engine has none of that content.
    fn import(&self, kind: &str, root: &Path) -> String {
        let name = format!("{REPOSITORY}:{kind}-{:016x}", content(root));
        if self.run(&["image", "inspect", &name]).status.success() {
            return name;
        }
        let mut tar = Command::new("tar")
            .args(["--create", "--owner=0", "--group=0", "--directory"])
            .args([root, Path::new(".")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (path, label) = ("ENV PATH=/usr/local/bin:/usr/bin:/bin", format!("LABEL {REPOSITORY}=1"));
        let mut import = self.command(&["import", "--change", path, "--change", &label, "-", &name]);
        printed(&finish(&mut import, tar.stdout.take().unwrap()));
        assert!(tar.wait().unwrap().success());
        // Earlier builds' would pile up; today's may be another run's.
        let old = ["image", "prune", "--all", "--force", "--filter", "until=24h", "--filter"];
        self.run(&[&old[..], &[&format!("label={REPOSITORY}")]].concat());
        name
    }
}

/// Runs a command of `docker` to its end, with time for a build.
pub(crate) fn finish(command: &mut Command, stdin: impl Into<Stdio>) -> Output {
    finish_within(PATIENCE, command, stdin)
}

/// Stdout of what succeeded, without the blanks around it.
#[track_caller]
pub(crate) fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The values of `BUILD_IMAGE` and `RUNTIME_IMAGE`.
#[derive(Debug, Clone)]
pub(crate) struct BaseImages {
    /// Its `cargo build` "builds" the programs of this test's build.
    pub(crate) build: String,
    /// Its `apt-get install` finds everything there. Its `ffmpeg` knows its version and nothing else.
    pub(crate) runtime: String,
}

impl BaseImages {
    /// Those of the engine, or new ones. Looked at once by each test program.
    pub(crate) fn of(engine: &Engine) -> &'static Self {
        static IMAGES: OnceLock<BaseImages> = OnceLock::new();
        IMAGES.get_or_init(|| Self::make(engine))
    }

    fn make(engine: &Engine) -> Self {
        let root = tempfile::tempdir().unwrap();
        let root = Root(root.path());
        root.system();
        let runtime = engine.import("runtime", root.0);
        root.file("usr/local/bin/cargo", CARGO, 0o755);
        for program in ["adit", "sv", "pv", "gascli"] {
            let built = Path::new(env!("CARGO_BIN_EXE_adit")).with_file_name(program);
            let copy = root.place(&Path::new("built").join(program));
            // A fifth of the size; the programs are made by the compiler whose linker brings `strip`.
            let stripped = Command::new("strip").arg("-o").args([&copy, &built]).status().unwrap();
            assert!(stripped.success());
        }
        Self { build: engine.import("build", root.0), runtime }
    }
}

/// An image that can sleep and nothing else.
pub(crate) fn sleeper(engine: &Engine) -> String {
    let root = tempfile::tempdir().unwrap();
    let root = Root(root.path());
    let sleep = program("sleep");
    for file in libraries(&sleep).iter().chain([&sleep]) {
        fs::copy(file, root.place(file)).unwrap();
    }
    engine.import("sleeper", root.0)
}

/// Refuses what Dockerfile.miner should not ask for.
const CARGO: &str = "#!/bin/sh
set -e
[ \"$*\" = 'build --release --locked -p adit' ] || { echo \"cargo $*?\" >&2; exit 1; }
[ -f Cargo.lock ] && [ -f crates/adit/Cargo.toml ] && [ -f examples/worker-frames/predictor.py ]
mkdir -p target/release
cp /built/* target/release/
";
const APT_GET: &str = "#!/bin/sh\necho \"$*\" >>/var/log/apt-get\n";
const FFMPEG: &str = "#!/bin/sh\necho 'ffmpeg version 5.1'\n";

/// A folder that becomes an image.
struct Root<'a>(&'a Path);

impl Root<'_> {
    fn system(&self) {
        for folder in ["etc", "root", "usr/bin", "usr/local/bin", "var/log"] {
            fs::create_dir_all(self.0.join(folder)).unwrap();
        }
        fs::create_dir(self.0.join("tmp")).unwrap();
        fs::set_permissions(self.0.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        symlink("usr/bin", self.0.join("bin")).unwrap();
        self.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644);
        self.file("etc/group", "root:x:0:\n", 0o644);
        self.file("usr/local/bin/apt-get", APT_GET, 0o755);
        self.file("usr/local/bin/ffmpeg", FFMPEG, 0o755);
        let mut loaded = BTreeSet::new();
        for name in PROGRAMS {
            let program = program(name);
            fs::copy(&program, self.0.join("usr/bin").join(name)).unwrap();
            loaded.extend(libraries(&program));
        }
        let library = standard_library();
        copy_python(&library, &self.place(&library));
        for extension in fs::read_dir(library.join("lib-dynload")).unwrap() {
            loaded.extend(libraries(&extension.unwrap().path()));
        }
        // The programs of this build load no more than these.
        loaded.extend(libraries(Path::new(env!("CARGO_BIN_EXE_adit"))));
        for library in loaded {
            fs::copy(&library, self.place(&library)).unwrap();
        }
    }

    fn file(&self, path: &str, text: &str, mode: u32) {
        let path = self.place(Path::new(path));
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Where a path of the image is, its folder made.
    fn place(&self, path: &Path) -> PathBuf {
        let place = self.0.join(path.strip_prefix("/").unwrap_or(path));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        place
    }
}

/// The system's rather than the user's: what lies in a home folder is no program for everybody.
fn program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap();
    let folders =
        [PathBuf::from("/usr/bin"), PathBuf::from("/bin")].into_iter().chain(env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file()).unwrap_or_else(|| panic!("no {name}"))
}

fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(PathBuf::from)
        .collect()
}

fn standard_library() -> PathBuf {
    let ask = ["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"];
    PathBuf::from(printed(&Command::new(program("python3")).args(ask).output().unwrap()))
}

/// A checkout as an operator has it, with all that Dockerfile.miner takes out of it.
pub(crate) fn check_out(folder: &Path) {
    let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    for name in [
        ".dockerignore",
        "Cargo.lock",
        "Cargo.toml",
        "Dockerfile.miner",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "crates",
        "examples",
        "scorevision",
    ] {
        let copied = Command::new("cp").arg("-r").arg(repository.join(name)).arg(folder).status().unwrap();
        assert!(copied.success());
    }
}

/// Links as what they lead to.
fn copy_python(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        let text = name.to_string_lossy();
        // `config-…` is a library to link programs against.
        let unwanted = NOT_COPIED.contains(&text.as_ref()) || text.starts_with("config-");
        if !unwanted && from.join(&name).exists() {
            copy_python(&from.join(&name), &to.join(&name));
        }
    }
}

/// A number for what a folder holds, the same for the same files.
fn content(root: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort_unstable();
        for path in entries {
            hasher.write(path.strip_prefix(root).unwrap().as_os_str().as_encoded_bytes());
            let found = path.symlink_metadata().unwrap();
            hasher.write_u32(found.permissions().mode());
            if found.is_dir() {
                folders.push(path);
            } else if found.is_file() {
                hasher.write(&fs::read(path).unwrap());
            }
        }
    }
    hasher.finish()
}

//! The platform's own program: the real one where `ADIT_TEST_CHUTES` names it, and scripts that do what it cannot be made
//! to do.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_stand_in::chutes::{Build, Call, Chutes, Fault};
use adit_turbo_vision::chutes::cli::{Cli, CliError, Job, Standing, Surroundings, find};
use adit_turbo_vision::chutes::{Account, Api, ids};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{KEY, config, platform, soon};

const NAME: &str = "turbovision-miner-otter";

/// A chute as the newer template makes it, without what it downloads.
const SCRIPT: &str = r#"
from chutes.chute import Chute, NodeSelector
from chutes.image import Image

HF_REPO_NAME = "miner/ScoreVision"
HF_REPO_REVISION = "abc"

image = Image(username="miner", name="turbovision-miner-otter", tag="latest", readme="README.md")
image = image.from_base("parachutes/python:3.12").run_command("pip install onnxruntime")
chute = Chute(
    username="miner",
    name="turbovision-miner-otter",
    image=image,
    node_selector=NodeSelector(gpu_count=1, min_vram_gb_per_gpu=16),
    concurrency=4,
)


@chute.cord(public_api_path="/health")
async def health(self, *args, **kwargs) -> dict:
    return {"status": "healthy"}
"#;

struct Desk {
    folder: TempDir,
    platform: Chutes,
    api: Api,
}

impl Desk {
    async fn new() -> Self {
        let (platform, api) = platform().await;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.ini"), config(&platform, "miner")).unwrap();
        fs::write(folder.path().join("sv_chutes.py"), SCRIPT).unwrap();
        Self { folder, platform, api }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn job(&self) -> Job<'_> {
        Job { folder: self.folder.path(), module: "sv_chutes", name: NAME, tag: "latest" }
    }

    fn cli(&self, program: PathBuf) -> Cli {
        let surroundings = Surroundings {
            search_path: std::env::var_os("PATH").unwrap_or_default(),
            home: self.path("home"),
            config: self.path("config.ini"),
            hugging_face_token: Some("hf_hush".into()),
            others: vec![("KEPT".into(), "kept".into())],
            hidden: vec![KEY.into()],
        };
        fs::create_dir_all(self.path("home")).unwrap();
        Cli::new(program, surroundings, "miner", &self.platform.url()).unwrap()
    }

    /// A program that is this shell script.
    fn script(&self, text: &str) -> Cli {
        let path = self.path("chutes");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.cli(path)
    }
}

/// The real program.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn real() -> Option<PathBuf> {
    let named = std::env::var_os("ADIT_TEST_CHUTES").map(PathBuf::from).filter(|path| path.exists());
    if named.is_none() {
        assert!(
            std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"),
            "the program chutes is missing"
        );
        eprintln!(
            "SKIPPED: ADIT_TEST_CHUTES names no chutes program (scripts/setup test), so nothing was built by it"
        );
    }
    named
}

fn revised(revision: &str) -> String {
    SCRIPT.replace("\"abc\"", &format!("\"{revision}\""))
}

#[tokio::test]
async fn the_real_program_builds_and_deploys_and_it_is_read_back() {
    let Some(program) = real() else { return };
    let desk = Desk::new().await;
    desk.platform.take_slug("miner-turbovision-miner-otter");
    let cli = desk.cli(program);
    assert!(cli.version().await.unwrap().starts_with("0."));
    let deadline = Instant::now() + Duration::from_secs(240);
    assert_eq!(cli.standing(&desk.api, desk.job(), deadline).await.unwrap(), Standing::Nothing);

    let mut lines = Vec::new();
    let keep = |lines: &mut Vec<String>, line: &str| lines.push(line.to_owned());
    let image = cli.build(&desk.api, desk.job(), deadline, |line| keep(&mut lines, line)).await;
    let image = image.unwrap_or_else(|error| panic!("{error}\n{}", lines.join("\n")));
    assert_eq!(image.image_id, ids::image("miner", NAME, "latest"));
    assert!(lines.iter().any(|line| line.contains("Successfully built")), "{}", lines.join("\n"));
    assert!(lines.iter().all(|line| !line.contains('\u{1b}')));
    let chute = cli.deploy(&desk.api, desk.job(), deadline, |line| keep(&mut lines, line)).await;
    let chute = chute.unwrap_or_else(|error| panic!("{error}\n{}", lines.join("\n")));
    assert_eq!(chute.chute_id, ids::chute("miner", NAME));
    assert_eq!(chute.version, ids::version(&image.image_id, SCRIPT));
    assert!(chute.slug.starts_with("miner-turbovision-miner-otter-"), "{}", chute.slug);
    let all = lines.join("\n");
    assert!(!all.contains("hf_hush") && !all.contains(&"07".repeat(32)), "{all}");

    // Again, nothing is done.
    let (builds, deployments) = (desk.platform.times(Call::Build), desk.platform.times(Call::Deploy));
    cli.build(&desk.api, desk.job(), deadline, |_| ()).await.unwrap();
    assert_eq!(cli.deploy(&desk.api, desk.job(), deadline, |_| ()).await.unwrap(), chute);
    assert_eq!((desk.platform.times(Call::Build), desk.platform.times(Call::Deploy)), (builds, deployments));
    assert_eq!((builds, deployments), (1, 1));
}

#[tokio::test]
async fn the_real_programs_success_is_not_believed() {
    let Some(program) = real() else { return };
    let desk = Desk::new().await;
    let cli = desk.cli(program);
    let deadline = Instant::now() + Duration::from_secs(240);
    desk.platform.balance("miner", 10.0);
    let error = cli.build(&desk.api, desk.job(), deadline, |_| ()).await.unwrap_err();
    assert!(error.to_string().contains("exit status: 0") && error.hint().contains("50 USD"), "{error}");

    desk.platform.image("miner", NAME, "latest");
    desk.platform.balance("miner", 1.0);
    let error = cli.deploy(&desk.api, desk.job(), deadline, |_| ()).await.unwrap_err();
    assert!(error.to_string().contains("deployment fee") && error.hint().contains("Top up"), "{error}");
    desk.platform.balance("miner", 100.0);
    desk.platform.left_today(24, 0);
    let error = cli.deploy(&desk.api, desk.job(), deadline, |_| ()).await.unwrap_err();
    assert!(error.hint().contains("24 hours"), "{error}\n{:?}", error.tail());

    fs::write(desk.path("sv_chutes.py"), "raise RuntimeError('no model')\n").unwrap();
    let error = cli.deploy(&desk.api, desk.job(), deadline, |_| ()).await.unwrap_err();
    assert!(error.hint().contains("imported"), "{error}\n{:?}", error.tail());
    assert!(error.tail().iter().any(|line| line.contains("no model")), "{:?}", error.tail());
}

#[tokio::test]
async fn a_program_gets_its_answers_and_no_more_of_the_environment_than_it_needs() {
    let desk = Desk::new().await;
    let cli = desk.script(
        "read one; read two; echo \"answers $one $two\"; echo \"args $*\"; env; pwd; printf '\\033[1mbold\\033[0m\\n'
         echo err hf_hush >&2; grep seed config.ini; exit 1",
    );
    let shown = format!("{cli:?}");
    assert!(!shown.contains("hf_hush") && !shown.contains(&"07".repeat(32)), "{shown}");
    let mut lines = Vec::new();
    let error =
        cli.build(&desk.api, desk.job(), soon(), |line| lines.push(line.to_owned())).await.unwrap_err();
    assert!(matches!(error, CliError::NotDone { step: "build", .. }), "{error}");
    for line in [
        "answers y y",
        "args build sv_chutes:chute --public --wait --debug",
        "bold",
        "err …",
        "HF_TOKEN=…",
        "hotkey_seed = …",
        "KEPT=kept",
        &format!("CHUTES_API_URL={}", desk.platform.url()),
        &format!("CHUTES_CONFIG_PATH={}", desk.path("config.ini").display()),
    ] {
        assert!(lines.iter().any(|one| one == line), "{line} is not in:\n{}", lines.join("\n"));
    }
    // The shell's own are PWD, OLDPWD, SHLVL and _.
    let names: Vec<&str> = lines.iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert!(names.len() <= 15 && !names.contains(&"CARGO_MANIFEST_DIR"), "{names:?}");
}

#[tokio::test]
async fn a_program_that_hangs_is_ended_with_all_that_it_started() {
    let desk = Desk::new().await;
    let cli = desk.script("echo begun; sleep 600 & echo $! > child; wait");
    let deadline = Instant::now() + Duration::from_secs(2);
    let error = cli.build(&desk.api, desk.job(), deadline, |_| ()).await.unwrap_err();
    assert!(matches!(error, CliError::OutOfTime { .. }), "{error}");
    assert_eq!(error.tail(), ["begun"]);
    assert_gone(&desk.path("child")).await;
}

#[tokio::test]
async fn a_program_that_is_no_longer_waited_for_is_ended() {
    let desk = Desk::new().await;
    let cli = desk.script("sleep 600 & echo $! > child; wait");
    let build = cli.build(&desk.api, desk.job(), soon(), |_| ());
    assert!(tokio::time::timeout(Duration::from_secs(2), build).await.is_err());
    assert_gone(&desk.path("child")).await;
}

#[tokio::test]
async fn what_a_program_leaves_behind_does_not_hold_the_step() {
    let desk = Desk::new().await;
    let cli = desk.script("sleep 600 & echo $! > child; echo '2026-01-01 | ERROR    | a:b:1 - no'; exit 0");
    let began = Instant::now();
    let error = cli.build(&desk.api, desk.job(), soon(), |_| ()).await.unwrap_err();
    assert!(error.to_string().ends_with("(exit status: 0) and it is not done: no"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_gone(&desk.path("child")).await;
}

/// Waits until the process whose id is in a file is no more.
async fn assert_gone(file: &Path) {
    let pid = fs::read_to_string(file).unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", pid.trim()));
    for _ in 0..100 {
        match fs::read_to_string(&status) {
            Ok(text) if !text.contains("State:\tZ") => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => return,
        }
    }
    panic!("the process {pid} lives");
}

#[tokio::test]
async fn a_build_that_was_begun_is_taken_up_and_its_failure_told_with_the_log() {
    let desk = Desk::new().await;
    // An upload that the platform took before the program was lost.
    let begin = |failure: Option<&str>, tag: &str| {
        desk.platform.builds(Build {
            looks: 2,
            failure: failure.map(str::to_owned),
            log: vec!["Step 1".to_owned()],
        });
        let body = ["username=miner", &format!("name={NAME}"), &format!("tag={tag}"), "public=True"];
        let fields = body.into_iter().chain(["dockerfile=FROM x", "image=x", "build_context=x"]);
        fields.map(|field| format!("-F{field}")).collect::<Vec<_>>().join("' '")
    };
    let curl =
        |form: &str| format!("curl -s -H 'Authorization: {KEY}' '{form}' {}/images/", desk.platform.url());
    let cli = desk.script(&curl(&begin(None, "latest")));
    assert!(cli.build(&desk.api, desk.job(), soon(), |_| ()).await.unwrap().is_built());

    let cli = desk.script(&curl(&begin(Some("build failed"), "other")));
    let job = Job { tag: "other", ..desk.job() };
    let error = cli.build(&desk.api, job, soon(), |_| ()).await.unwrap_err();
    assert!(matches!(&error, CliError::BuildFailed { why, .. } if why == "error: build failed"), "{error}");
    // Tried again, the same is said without a new build, now with the platform's log.
    let error = cli.build(&desk.api, job, soon(), |_| ()).await.unwrap_err();
    assert_eq!(error.tail(), ["Step 1"]);
    assert!(error.hint().contains("chutes images delete"), "{error}");
    assert_eq!(desk.platform.times(Call::Build), 2);
}

#[tokio::test]
async fn another_revision_of_the_same_name_is_told_before_anything_is_begun() {
    let desk = Desk::new().await;
    let cli = desk.script("touch run");
    let id = desk.platform.chute("miner", NAME, &revised("def"));
    for error in [
        cli.build(&desk.api, desk.job(), soon(), |_| ()).await.unwrap_err(),
        cli.deploy(&desk.api, desk.job(), soon(), |_| ()).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("revision def"), "{error}");
        assert!(error.to_string().contains(&id), "{error}");
        assert!(error.hint().contains("sv delete-chute --revision def"), "{}", error.hint());
    }
    assert!(!desk.path("run").exists());
}

#[tokio::test]
async fn what_is_there_is_told_apart() {
    let desk = Desk::new().await;
    let cli = desk.script("exit 1");
    let standing = async || cli.standing(&desk.api, desk.job(), soon()).await.unwrap();
    assert_eq!(standing().await, Standing::Nothing);
    let error = cli.deploy(&desk.api, desk.job(), soon(), |_| ()).await.unwrap_err();
    assert!(matches!(error, CliError::NoImage { .. }), "{error}");
    let id = desk.platform.image("miner", NAME, "latest");
    assert!(matches!(standing().await, Standing::Image(image) if image.image_id == id));
    desk.platform.chute("miner", NAME, &format!("{SCRIPT}# older\n"));
    assert!(matches!(standing().await, Standing::Outdated(_)));
    desk.platform.chute("miner", NAME, &SCRIPT.replace('\n', "\r\n"));
    assert!(matches!(standing().await, Standing::Deployed(_)));
    desk.platform.plant(Call::Chute, Fault::Refused(401, "no".to_owned()), 1);
    let error = cli.standing(&desk.api, desk.job(), soon()).await.unwrap_err();
    assert!(matches!(error, CliError::Api(_)) && error.hint().contains("CHUTES_API_KEY"), "{error}");
}

#[tokio::test]
async fn a_key_of_another_account_is_told() {
    let desk = Desk::new().await;
    let config = desk.script("exit 0");
    let account = desk.api.account(soon()).await.unwrap();
    config.config().check_account(&account).unwrap();
    let other = Account { user_id: "u-2".to_owned(), username: "other".to_owned(), ..account };
    let error = config.config().check_account(&other).unwrap_err();
    assert!(error.to_string().contains("`miner`, CHUTES_API_KEY to `other`"), "{error}");
}

#[tokio::test]
async fn a_program_is_found_by_its_name_and_on_the_path() {
    let desk = Desk::new().await;
    drop(desk.script("exit 0"));
    let path: OsString = desk.folder.path().into();
    assert_eq!(find(None, &path).unwrap(), desk.path("chutes"));
    assert_eq!(find(Some(&desk.path("chutes")), "".as_ref()).unwrap(), desk.path("chutes"));
}

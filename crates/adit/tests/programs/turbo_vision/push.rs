//! `sv push`, from a folder to a commitment that is revealed.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use adit_journal::record::Pushed;
use adit_stand_in::chutes::{Call, Fault, Start};
use adit_stand_in::hub;
use adit_stand_in::node::{Node, NodeScript, Submission};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    KEY, MANIFEST, PATIENCE, READ_TOKEN, REPOSITORY, World, chute_name, chutes_program, example, no_secret,
};
use crate::chain::account;
use crate::deploy::faults::interrupted;
use crate::deploy::{HOTKEY, REVEALED, newest_chain, revealed, unhex};
use crate::process::{finish_within, shown};

/// What a push needs besides: a model, a wallet, a chain and the program.
struct Desk {
    world: World,
    node: Node,
    script: NodeScript,
    program: std::path::PathBuf,
}

impl Desk {
    async fn new() -> Option<Self> {
        let (program, script) = (chutes_program()?, newest_chain()?);
        let world = World::new().await;
        account(&world.path("wallets"), "default", "//Miner", "//Miner//hot");
        world.write("model/model.onnx", &"weights ".repeat(4_000));
        world.write("model/README.md", "# A model\n");
        world.write("model/notes.lock", "never uploaded");
        let node = Node::start(script.clone()).await.unwrap();
        Some(Self { world, node, script, program })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command(&["push"]);
        command
            .args(arguments)
            .env("CHUTES_HF_TOKEN", READ_TOKEN)
            .env("ADIT_CHUTES", &self.program)
            .env("BITTENSOR_SUBTENSOR_ENDPOINT", self.node.url());
        command
    }

    /// Runs it to its end with a look at the world at each line; all that it said.
    #[track_caller]
    fn follow(&self, code: i32, mut command: Command, mut look: impl FnMut(&str)) -> String {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            look(&line);
            said = said + &line + "\n";
        }
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{said}");
        no_secret(&said);
        said
    }

    /// The same, and the chain reveals what is committed.
    #[track_caller]
    fn revealing(&self, command: Command) -> String {
        let mut text = String::new();
        self.follow(0, command, |line| {
            // The slug that upstream guesses is somebody else's.
            if let Some((commit, _)) =
                line.strip_prefix("✓ Hugging Face revision: ").and_then(|rest| rest.split_once(' '))
            {
                self.world.chutes.take_slug(&format!("miner-{}", chute_name(commit)));
            }
            if let Some(committed) = line.strip_prefix("Committing on-chain: ") {
                text = committed.to_owned();
            }
            if line == "✓ On-chain commitment submitted" {
                // What is committed alone is no reason to show the model.
                assert_eq!(self.world.hub.is_private(REPOSITORY), Some(true));
                self.node.set(self.script.clone().storage(unhex(REVEALED), revealed(&text)));
            }
        })
    }

    /// Appends what an operator sees to a transcript.
    #[track_caller]
    fn show(&self, transcript: &mut String, arguments: &[&str], variables: &[(&str, &str)]) {
        let (program, chain) = (self.program.to_str().unwrap(), self.node.url());
        let mut all = vec![
            ("CHUTES_HF_TOKEN", READ_TOKEN),
            ("ADIT_CHUTES", program),
            ("BITTENSOR_SUBTENSOR_ENDPOINT", &chain),
        ];
        all.extend(variables);
        let mut shown = String::new();
        self.world.show(&mut shown, &[&["push"], arguments].concat(), &all);
        let (typed, rest) = shown.split_once(" sv push").unwrap();
        let (_, told) = typed.split_once(&chain).unwrap();
        *transcript += &format!("${told} sv push{}", rest.replace("--- stdout\n--- stderr\n", ""));
    }

    /// What a push with `--json` says.
    #[track_caller]
    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let mut command = self.command(&[arguments, &["--json"]].concat());
        let output = finish_within(PATIENCE, &mut command, Stdio::null());
        let text = shown(&output);
        no_secret(&text);
        assert_eq!(output.status.code(), Some(code), "{text}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{text}"))
    }

    /// Calls that change something at either platform, so far.
    fn changes(&self) -> usize {
        let hub = self.world.hub.asked();
        let asks = [Some(hub::Call::Preupload), Some(hub::Call::Batch), Some(hub::Call::Verify)];
        let hub = hub.iter().filter(|asked| !["GET", "HEAD"].contains(&asked.method.as_str()));
        let chutes = self.world.chutes.asked();
        let chutes = chutes.iter().filter(|asked| asked.method != "GET");
        hub.filter(|asked| !asks.contains(&asked.call)).count()
            // A secret that is there already is refused, which its step tells.
            + chutes.filter(|asked| ![Some(Call::Health), Some(Call::PutSecret)].contains(&asked.call)).count()
    }
}

/// Each step with its status.
fn steps(result: &Value) -> Vec<String> {
    let steps = result["steps"].as_array().unwrap().iter();
    steps
        .map(|step| format!("{} {}", step["step"].as_str().unwrap(), step["status"].as_str().unwrap()))
        .collect()
}

fn facts<'a>(result: &'a Value, name: &str) -> &'a Value {
    let steps = result["steps"].as_array().unwrap();
    let found = steps.iter().find(|step| step["step"] == name);
    &found.unwrap_or_else(|| panic!("no {name}: {result:#}"))["facts"]
}

/// By the guide's command, as its reader types it, and by the guide's template.
#[tokio::test(flavor = "multi_thread")]
async fn from_a_folder_to_a_public_repository_that_is_committed() {
    let Some(desk) = Desk::new().await else { return };
    let world = &desk.world;
    let model = world.path("model");
    let push = ["--model_path", model.to_str().unwrap()];

    // A dry run changes nothing.
    let plan = desk.json(0, &[&push[..], &["--dry-run"]].concat());
    assert_eq!(steps(&plan), ["upload done", "build done", "commit done"]);
    let files: Vec<&str> = facts(&plan, "upload")["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(files, ["README.md", "model.onnx"]);
    assert_eq!((desk.changes(), world.hub.is_private(REPOSITORY)), (0, None));
    assert!(desk.node.submitted().is_empty());

    let said = desk.revealing(desk.command(&push));
    let at = |line: &str| said.find(line).unwrap_or_else(|| panic!("no {line}: {said}"));
    let order = [
        "✓ The repository is private",
        "✓ Hugging Face revision: ",
        "✓ Image ",
        "✓ Chute slug: ",
        "✓ The chute has its secret HF_TOKEN",
        "✓ The chute is healthy",
        "Committing on-chain: {",
        "✓ On-chain commitment submitted",
        "✓ Revealed in block 60",
        "✓ Hugging Face repository is now public after the on-chain commit.",
        "Done!",
    ];
    assert!(order.map(at).is_sorted(), "{said}");

    // The journal has each step as it was read back, and nothing of the dry run.
    let told: Vec<Pushed> = world.told("pushed");
    let steps_told: Vec<&str> = told.iter().map(|told| told.step.as_str()).collect();
    assert_eq!(
        steps_told,
        ["repository", "upload", "build", "deploy", "secret", "health", "commit", "publish"]
    );
    assert!(told.iter().all(|told| told.done && told.what == REPOSITORY), "{told:?}");
    no_secret(&format!("{told:?}"));

    // The commitment, byte for byte.
    let commits = world.hub.commits(REPOSITORY);
    let revision = &commits.last().unwrap().id;
    assert_eq!(commits.last().unwrap().paths(), [".gitattributes", "README.md", "model.onnx"]);
    assert_eq!(world.hub.stored(REPOSITORY, revision), ["model.onnx"]);
    let chute = world.chutes.asked().into_iter().find(|asked| asked.call == Some(Call::Deploy)).unwrap();
    let code = chute.body["code"].as_str().unwrap();
    assert!(code.contains(&format!("revision=\"{revision}\"")), "{code}");
    let name = chute.body["name"].as_str().unwrap();
    let chute_id = adit_turbo_vision::chutes::ids::chute("miner", name);
    let slug = world.chutes.slug(&chute_id).unwrap();
    assert_ne!(slug, format!("miner-{name}"));
    let text = format!(
        "{{\"role\": \"miner\", \"model\": \"{REPOSITORY}\", \"revision\": \"{revision}\", \"chute_id\": \
         \"{chute_id}\", \"slug\": \"{slug}\", \"hotkey\": \"{HOTKEY}\"}}"
    );
    assert!(said.contains(&format!("Committing on-chain: {text}\n")), "{text}\n{said}");
    assert_eq!(world.chutes.secret(&chute_id, "HF_TOKEN").as_deref(), Some(READ_TOKEN));
    assert_eq!(world.hub.is_private(REPOSITORY), Some(false));

    // Again, nothing is done.
    let before = (desk.changes(), world.hub.commits(REPOSITORY).len());
    let again = desk.json(0, &push);
    assert_eq!(
        steps(&again),
        [
            "repository held",
            "upload held",
            "build held",
            "deploy held",
            "secret held",
            "health done",
            "commit held",
            "publish held"
        ]
    );
    assert_eq!((desk.changes(), world.hub.commits(REPOSITORY).len()), before, "{again:#}");
    assert_eq!(facts(&again, "commit")["text"], text.as_str());
    assert!(desk.node.submitted().is_empty());
}

/// Each time the same command, which goes on where it failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_goes_on_where_it_failed_and_the_model_stays_private() {
    let Some(desk) = Desk::new().await else { return };
    let world = &desk.world;
    let model = world.path("model");
    let push = ["--model-path", model.to_str().unwrap()];
    let with = |more: &[&'static str]| [&push[..], more].concat();
    let private = || assert_eq!(world.hub.is_private(REPOSITORY), Some(true));
    let mut seen = String::new();
    let mut fails = |arguments: &[&str]| {
        let output = finish_within(PATIENCE, &mut desk.command(arguments), Stdio::null());
        let text = shown(&output);
        no_secret(&text);
        assert_eq!(output.status.code(), Some(1), "{text}");
        // The lines of the real program have times and addresses of their own.
        let stderr = world.named(&String::from_utf8(output.stderr).unwrap());
        for line in stderr.lines().filter(|line| !line.starts_with("    ") || line.starts_with("    CUDA")) {
            seen += &format!("{line}\n");
        }
        seen += "\n";
        private();
    };

    let uploaded = desk.json(0, &with(&["--no-deploy"]));
    assert_eq!(steps(&uploaded), ["repository held", "upload done", "build skipped", "commit skipped"]);
    private();
    // Another revision than the folder's.
    let commit = world.hub.commits(REPOSITORY)[0].id.clone();
    fails(&[&push[..], &["--no-deploy", "--revision", &commit]].concat());
    world.chutes.balance("miner", 10.0);
    fails(&with(&["--no-commit"]));
    world.chutes.balance("miner", 100.0);
    world.chutes.left_today(24, 0);
    fails(&with(&["--no-commit"]));
    assert_eq!(world.chutes.times(Call::PutSecret), 0);
    world.chutes.left_today(24, 24);
    world
        .chutes
        .starts(Start { looks: None, log: vec!["loading the model".into(), "CUDA out of memory".into()] });
    fails(&with(&["--no-commit", "--health-timeout", "3"]));

    // Its instance starts after all: what was deployed is left alone.
    let id = adit_turbo_vision::chutes::ids::chute("miner", &deployed_name(world));
    let code = world.chutes.asked().into_iter().rfind(|asked| asked.call == Some(Call::Deploy)).unwrap();
    world.chutes.starts(Start { looks: Some(0), log: Vec::new() });
    assert_eq!(world.chutes.chute("miner", &deployed_name(world), code.body["code"].as_str().unwrap()), id);
    let done = desk.json(0, &with(&["--no-commit"]));
    assert_eq!(
        steps(&done),
        [
            "repository held",
            "upload held",
            "build held",
            "deploy held",
            "secret held",
            "health done",
            "commit skipped"
        ]
    );
    private();
    let full = desk.script.clone().submission(Submission::Fails { pallet: 18, error: 2 });
    desk.node.set(full);
    fails(&push);
    insta::assert_snapshot!(seen.replace(&commit, "<first commit>"));
    assert_eq!((world.chutes.times(Call::Build), world.chutes.times(Call::Deploy)), (2, 2));

    desk.node.set(desk.script.clone());
    desk.revealing(desk.command(&push));
    assert_eq!(world.hub.is_private(REPOSITORY), Some(false));
}

/// Today's contract, with a template in place of the published one.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_today_is_pushed_with_the_template_that_validators_compare() {
    let Some(desk) = Desk::new().await else { return };
    let world = &desk.world;
    for file in ["miner.py", "chute_config.yml"] {
        fs::copy(example().join(file), world.path("model").join(file)).unwrap();
    }
    world.write("template.py.j2", TEMPLATE);
    let hash = hex::encode(Sha256::digest(TEMPLATE));
    let push = ["--model-path", "model", "--template", "template.py.j2", "--template-sha256", &hash];
    let mut seen = String::new();
    desk.show(&mut seen, &push[..4], &[]);
    world.write("model/weights.pt", "refused");
    desk.show(&mut seen, &push, &[]);
    fs::remove_file(world.path("model/weights.pt")).unwrap();
    desk.show(&mut seen, &[&push[..], &["--element-id", "manak0/Detect-car"]].concat(), &[]);
    desk.show(&mut seen, &[&push[..], &["--element-id", "manako/DetectFootballEvent"]].concat(), &[]);
    world.write(
        "two.yaml",
        &MANIFEST.replace("track: private\n  groundtruth_type: soccer_action", "track: public"),
    );
    desk.show(&mut seen, &push, &[("SCOREVISION_MANIFEST_PATH", "two.yaml")]);
    insta::assert_snapshot!(seen);
    assert_eq!((desk.changes(), world.hub.is_private(REPOSITORY)), (0, None));

    let said = desk.revealing(desk.command(&push));
    let revision = world.hub.commits(REPOSITORY).last().unwrap().id.clone();
    let asked = world.chutes.asked().into_iter().rfind(|asked| asked.call == Some(Call::Deploy)).unwrap();
    let name = chute_name(&revision);
    let filled = [
        ("{{ huggingface_repository_name }}", REPOSITORY),
        ("{{ huggingface_repository_revision }}", &revision),
        ("{{ chute_username }}", "miner"),
        ("{{ chute_name }}", &name),
    ];
    let script = filled.iter().fold(TEMPLATE.to_owned(), |script, (name, value)| script.replace(name, value));
    assert_eq!(asked.body["code"].as_str().unwrap().trim_end(), script.trim_end());
    let committed = said.lines().find_map(|line| line.strip_prefix("Committing on-chain: ")).unwrap();
    assert!(committed.ends_with("\"element_id\": \"manak0/Detect-fire\"}"), "{committed}");
    assert_eq!(world.hub.is_private(REPOSITORY), Some(false));

    // Without a token for the chute its health is seen last.
    world.write("model/README.md", "# Another\n");
    desk.node.set(desk.script.clone());
    let mut command = desk.command(&push);
    command.env_remove("CHUTES_HF_TOKEN");
    let said = desk.revealing(command);
    let at = |line: &str| said.find(line).unwrap_or_else(|| panic!("no {line}: {said}"));
    let order = [
        "CHUTES_HF_TOKEN is not set",
        "is public and becomes private",
        "⊘ No CHUTES_HF_TOKEN",
        "is now public",
        "✓ The chute is healthy",
    ];
    assert!(order.map(at).is_sorted(), "{said}");
}

const TEMPLATE: &str = r#"from chutes.chute import Chute, NodeSelector
from chutes.image import Image

HF_REPO_NAME = "{{ huggingface_repository_name }}"
HF_REPO_REVISION = "{{ huggingface_repository_revision }}"
CHUTES_USERNAME = "{{ chute_username }}"
CHUTE_NAME = "{{ chute_name }}"

image = Image(username=CHUTES_USERNAME, name=CHUTE_NAME, tag="latest").from_base("parachutes/python:3.12")
chute = Chute(
    username=CHUTES_USERNAME,
    name=CHUTE_NAME,
    image=image,
    node_selector=NodeSelector(gpu_count=1, min_vram_gb_per_gpu=16),
)


@chute.cord(public_api_path="/health")
async def health(self, *args, **kwargs) -> dict:
    return {"status": "healthy"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_before_anything_is_changed() {
    let Some(desk) = Desk::new().await else { return };
    let world = &desk.world;
    let push = ["--model-path", "model"];
    let mut seen = String::new();
    let mut show =
        |arguments: &[&str], variables: &[(&str, &str)]| desk.show(&mut seen, arguments, variables);

    show(&push, &[("HF_USER", "Your_hf_user")]);
    show(&push, &[("HF_TOKEN", "")]);
    show(&push, &[("HUGGINGFACE_CONCURRENCY", "17")]);
    show(&["--model-path", "nowhere"], &[]);
    show(&["--model-path", "cache"], &[]);
    show(&[], &[]);
    world.hub.account("miner", "hf_reader", hub::Role::Read);
    show(&push, &[("HF_TOKEN", "hf_reader")]);
    world.hub.account("other", "hf_other", hub::Role::Write);
    show(&push, &[("HF_TOKEN", "hf_other")]);
    show(&push, &[("HF_TOKEN", "hf_unknown")]);
    // Four times are tried.
    for (fault, times) in [(hub::Fault::RateLimited(1), 4), (hub::Fault::Page, 1)] {
        world.hub.plant(hub::Call::Whoami, fault, times);
        show(&push, &[]);
    }
    insta::assert_snapshot!("what_hugging_face_refuses", seen);

    let mut seen = String::new();
    let mut show =
        |arguments: &[&str], variables: &[(&str, &str)]| desk.show(&mut seen, arguments, variables);
    show(&push, &[("CHUTES_USERNAME", "xx")]);
    show(&push, &[("CHUTES_API_KEY", "cpk_hush")]);
    show(&push, &[("CHUTES_API_KEY", &KEY.replace("abc", "xyz"))]);
    let others = KEY.replace("abc", "uvw");
    world.chutes.account("other", Some(&others), None);
    show(&push, &[("CHUTES_API_KEY", &others)]);
    show(&push, &[("CHUTES_CONFIG_PATH", "none.ini")]);
    world.write("others.ini", &world.config("other"));
    show(&push, &[("CHUTES_CONFIG_PATH", "others.ini")]);
    show(&push, &[("ADIT_CHUTES", "/no/such/chutes")]);
    show(&push, &[("ADIT_CHUTES", ""), ("PATH", "/nowhere")]);
    for (fault, times) in [
        (Fault::Refused(401, "Can't find a user with that api key in our db :(".to_owned()), 1),
        (Fault::Refused(402, "Account balance is $0.0, please top-up".to_owned()), 1),
        (Fault::Refused(409, "in the way".to_owned()), 1),
        (Fault::Refused(500, "Internal Server Error".to_owned()), 4),
        (Fault::Page(200), 1),
    ] {
        world.chutes.plant(Call::Account, fault, times);
        show(&push, &[]);
    }
    show(&push, &[("BITTENSOR_SUBTENSOR_ENDPOINT", "ws://127.0.0.1:1")]);
    show(&push, &[("BITTENSOR_WALLET_PATH", "nowhere")]);
    insta::assert_snapshot!("what_chutes_refuses", seen.replace(&others, "<key>"));
    assert_eq!((desk.changes(), world.hub.is_private(REPOSITORY)), (0, None));
    assert!(desk.node.submitted().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_hangs_is_ended_with_the_push() {
    let Some(desk) = Desk::new().await else { return };
    let world = &desk.world;
    let pid = world.path("pid");
    world.write("hanging", &format!("#!/bin/sh\necho $$ > {}\necho begun\nexec sleep 600\n", pid.display()));
    fs::set_permissions(world.path("hanging"), fs::Permissions::from_mode(0o755)).unwrap();
    let hanging = world.path("hanging");
    let own = [("ADIT_CHUTES", hanging.to_str().unwrap())];
    let push = ["--model-path", "model", "--no-commit"];
    let mut seen = String::new();
    desk.show(&mut seen, &[&push[..], &["--build-timeout", "2"]].concat(), &own);
    insta::assert_snapshot!(seen);
    let gone = || {
        let status = fs::read_to_string(format!("/proc/{}/status", fs::read_to_string(&pid).unwrap().trim()));
        assert!(status.as_ref().map_or(true, |status| status.contains("State:\tZ")), "{status:?}");
    };
    gone();

    let mut command = desk.command(&push);
    command.env(own[0].0, own[0].1);
    let said = interrupted(command, "Building the image");
    assert!(said.contains("step: build"), "{said}");
    gone();
    assert_eq!(world.hub.is_private(REPOSITORY), Some(true));
}

/// Two operators, or one with two terminals: a revision is a whole folder that somebody tried.
#[tokio::test(flavor = "multi_thread")]
async fn two_pushes_at_once_are_never_mixed() {
    let world = World::new().await;
    world.hub.repository(REPOSITORY, true);
    let folders = ["left", "right"];
    let running = folders.map(|name| {
        fs::create_dir(world.path(name)).unwrap();
        world.write(&format!("{name}/model.onnx"), &name.repeat(5_000));
        world.write(&format!("{name}/README.md"), name);
        let mut command = world.command(&["push", "--no-deploy", "--json", "--model-path", name]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let mut done = 0;
    for child in running {
        let output = child.wait_with_output().unwrap();
        let result: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", shown(&output)));
        if output.status.success() {
            done += 1;
            continue;
        }
        let last = &result["steps"].as_array().unwrap().last().unwrap()["facts"];
        let told = last.to_string();
        assert!(told.contains("somebody else committed to the repository"), "{told}");
    }
    assert!(done > 0);
    let commits = world.hub.commits(REPOSITORY);
    assert_eq!(commits.len(), done + 1);
    for commit in &commits[1..] {
        let files = world.hub.files(REPOSITORY, &commit.id);
        let name = String::from_utf8(files["README.md"].clone()).unwrap();
        assert_eq!(files["model.onnx"], name.repeat(5_000).as_bytes());
    }
}

/// The name that was deployed last.
fn deployed_name(world: &World) -> String {
    let asked = world.chutes.asked().into_iter().rfind(|asked| asked.call == Some(Call::Deploy)).unwrap();
    asked.body["name"].as_str().unwrap().to_owned()
}

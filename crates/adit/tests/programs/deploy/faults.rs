//! What goes wrong: each time the step, why, and what to type; and the same command afterwards goes on.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use adit_stand_in::docker_hub::{Call, Fault};
use adit_stand_in::node::{Node, Submission};
use adit_stand_in::registry::{Flaky, PASSWORD, USER};
use serde_json::Value;

use super::{ELEMENT, PATIENCE, REVEALED, World, newest_chain, revealed, step, unhex};
use crate::chain::account;
use crate::process::{finish_within, program, shown};

const TAG: [&str; 2] = ["--tag", "v1"];
/// `Commitments.SpaceLimitExceeded` of the newest runtime.
const SPACE_LIMIT: Submission = Submission::Fails { pallet: 18, error: 2 };
/// Nothing but the image and the registry.
const UP_TO_SHARE: [&str; 4] = ["--tag", "v1", "--no-commit", "--no-start"];

impl World {
    /// The failure of a deployment with other variables: its step, its error and its hint.
    #[track_caller]
    fn fails(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (String, String, String) {
        let mut command = self.command(&[&["deploy-pt-miner", "--json"], arguments].concat());
        command.envs(variables.iter().copied());
        let output = finish_within(PATIENCE, &mut command, Stdio::null());
        assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
        assert!(!shown(&output).contains(PASSWORD), "{}", shown(&output));
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["ok"], false);
        let last = result["steps"].as_array().unwrap().last().unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&last["step"]), text(&last["facts"]["error"]), text(&last["facts"]["hint"]))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_hub_refuses_is_said_with_the_guides_remedy() {
    let Some(world) = World::without_chain().await else { return };
    // Nothing is built for a wrong token.
    let (step_name, error, hint) = world.fails(&UP_TO_SHARE, &[("DOCKERHUB_TOKEN", "wrong")]);
    assert_eq!(step_name, "preflight", "{error}");
    assert!(error.contains("DOCKERHUB_TOKEN") || error.contains(USER), "{error}");
    assert!(hint.contains("hub.docker.com/settings/security"), "{hint}");
    world.hub.plant(Call::Login, Fault::TokenExpired, 1);
    let (_, error, _) = world.fails(&UP_TO_SHARE, &[]);
    assert!(error.contains("expired"), "{error}");

    world.hub.plant(Call::AddCollaborator, Fault::InsufficientScope, 1);
    let (step_name, error, hint) = world.fails(&UP_TO_SHARE, &[]);
    assert_eq!(step_name, "share", "{error}");
    assert!(error.to_lowercase().contains("failed to add collaborator"), "{error}");
    assert!(hint.contains("Check your access token has write permissions"), "{hint}");
    assert!(hint.contains("Settings → Collaborators → Add `scorevision`"), "{hint}");
    // A list that nobody may read is no proof.
    world.hub.plant(Call::Collaborators, Fault::AccessTokenRefused, 2);
    let (_, error, hint) = world.fails(&UP_TO_SHARE, &[]);
    assert!(error.contains("does not show it"), "{error}");
    assert!(hint.contains("--no-share"), "{hint}");
    let done = world.deploy(0, &UP_TO_SHARE);
    for name in ["build", "repository", "push", "share"] {
        assert_eq!(step(&done, name).0, "held", "{name}: {done:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_repository_is_refused_unless_it_is_wanted() {
    let Some(world) = World::without_chain().await else { return };
    world.hub.repository("miner/pt-solution", false);
    let (step_name, error, hint) = world.fails(&UP_TO_SHARE, &[]);
    assert_eq!(step_name, "repository", "{error}");
    assert!(error.contains("is public: other miners could pull your model"), "{error}");
    assert!(hint.contains("--allow-public"), "{hint}");
    let done = world.deploy(0, &[&UP_TO_SHARE[..], &["--allow-public"]].concat());
    assert_eq!(step(&done, "push").0, "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_drops_the_connection_gets_the_rest_afterwards() {
    let Some(world) = World::without_chain().await else { return };
    let flaky = Flaky::start(world.registry.address(), 3, 200_000).await.unwrap();
    let registry = flaky.address().to_string();
    let mut command = world.command(&[&["deploy-pt-miner", "--json"], &UP_TO_SHARE[..]].concat());
    command.env("ADIT_DOCKERHUB_REGISTRY", &registry);
    let output = tokio::task::spawn_blocking(move || finish_within(PATIENCE, &mut command, Stdio::null()));
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert_eq!(flaky.left(), 0, "no upload was broken");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(step(&result, "push").0, "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_of_ones_own_is_shared_by_hand_and_must_be_private() {
    let Some(world) = World::without_chain().await else { return };
    let registry = world.registry.address().to_string();
    let own = [("ADIT_REGISTRY_USERNAME", USER), ("ADIT_REGISTRY_TOKEN", PASSWORD)];
    let arguments = [&UP_TO_SHARE[..], &["--registry", &registry]].concat();
    let (step_name, error, _) = world.fails(&arguments, &[own[0], ("ADIT_REGISTRY_TOKEN", "wrong")]);
    assert_eq!(step_name, "push", "{error}");
    assert!(error.contains("refused to push"), "{error}");
    let mut command = world.command(&[&["deploy-pt-miner", "--json"], &arguments[..]].concat());
    let output = finish_within(PATIENCE, command.envs(own), Stdio::null());
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (status, facts) = step(&result, "share");
    assert_eq!(status, "by hand");
    assert!(facts["todo"].as_str().unwrap().contains("scorevision"), "{facts}");
    assert!(world.hub.asked().is_empty(), "Docker Hub is not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_found_before_anything_is_built() {
    let Some(world) = World::without_chain().await else { return };
    let _taken = TcpListener::bind(("0.0.0.0", world.port)).unwrap();
    let (step_name, error, hint) = world.fails(&["--tag", "v1", "--no-push"], &[]);
    assert_eq!(step_name, "preflight", "{error}");
    assert!(error.contains(&format!("port {} of this host is taken", world.port)), "{error}");
    assert!(hint.contains("MINER_PORT"), "{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ends_at_once_is_shown_and_removed_and_the_one_before_runs_on() {
    let Some(world) = World::without_chain().await else { return };
    let start = ["--tag", "v1", "--no-push"];
    let good = world.deploy(0, &start);
    let id = step(&good, "start").1["container"].as_str().unwrap().to_owned();
    // What the miner itself would not start with is found before.
    let (step_name, error, _) = world.fails(&start, &[("ADIT_DIALECTS", "esperanto")]);
    assert_eq!(step_name, "preflight", "{error}");
    assert!(error.contains("`ADIT_DIALECTS=esperanto` is not a list of fiber and score"), "{error}");
    let dockerfile = world.checkout.path().join("Dockerfile.miner");
    let broken =
        fs::read_to_string(&dockerfile).unwrap() + "CMD [\"sh\", \"-c\", \"echo no weights; exit 3\"]\n";
    fs::write(&dockerfile, broken).unwrap();
    let (step_name, error, _) = world.fails(&start, &[]);
    assert_eq!(step_name, "start", "{error}");
    assert!(error.contains("the container ended at once (exit code 3) and was removed"), "{error}");
    assert!(error.contains("no weights"), "{error}");
    assert_eq!(world.running(), [&id[..12]]);
    let all = ["ps", "-aq", "--filter", &format!("name=pt-miner-{}", world.port)];
    assert_eq!(world.engine.docker(&all).lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_chain_refuses_is_said() {
    let Some(world) = World::with_chain().await else { return };
    let arguments = ["--tag", "v1", "--element-id", ELEMENT, "--no-start"];
    account(world.wallets.path(), "stranger", "//Stranger", "//Stranger//hot");
    let (step_name, error, hint) =
        world.fails(&[&arguments[..], &["--wallet.name", "stranger"]].concat(), &[]);
    assert_eq!(step_name, "preflight", "{error}");
    assert!(error.contains("is not registered on subnet 44"), "{error}");
    assert!(hint.contains("adit subnet register --netuid 44"), "{hint}");
    let (_, error, _) = world.fails(&[&arguments[..], &["--wallet.hotkey", "none"]].concat(), &[]);
    assert!(error.contains("hotkeys/none"), "{error}");
    let (step_name, error, hint) =
        world.fails(&["--tag", "v1", "--no-start"], &[("URL_MANIFEST", "http://127.0.0.1:1/index.json")]);
    assert_eq!(step_name, "preflight", "{error}");
    assert!(error.contains("the element is not named") && hint.contains("--element-id"), "{error} {hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commitment_that_is_one_too_many_and_one_that_was_interrupted() {
    let (Some(world), Some(script)) = (World::without_chain().await, newest_chain()) else { return };
    let arguments =
        ["--tag", "v1", "--element-id", ELEMENT, "--no-share", "--no-start", "--reveal-timeout", "30"];
    let node = Node::start(script.clone().submission(SPACE_LIMIT)).await.unwrap();
    let url = node.url();
    let over = [("BITTENSOR_SUBTENSOR_ENDPOINT", url.as_str())];
    let (step_name, error, hint) = tokio::task::block_in_place(|| world.fails(&arguments, &over));
    assert_eq!(step_name, "commit", "{error}");
    assert!(error.contains("SpaceLimitExceeded") || error.contains("space"), "{error}");
    assert!(error.starts_with("On-chain commit failed: "), "{error}");
    assert!(hint.contains("Check you're registered on subnet 44"), "{hint}");

    // One that no block takes is interrupted; then it turns out that it was taken after all.
    node.set(script.clone().submission(Submission::Forgotten));
    let mut command = world.command(&[&["deploy-pt-miner"], &arguments[..]].concat());
    command.env("BITTENSOR_SUBTENSOR_ENDPOINT", &url);
    let said = tokio::task::block_in_place(|| interrupted(command, "Committing on-chain: {"));
    let text = said.lines().find_map(|line| line.strip_prefix("Committing on-chain: ")).unwrap();
    node.set(script.storage(unhex(REVEALED), revealed(text)));
    let mut command = world.command(&[&["deploy-pt-miner", "--json"], &arguments[..]].concat());
    command.env("BITTENSOR_SUBTENSOR_ENDPOINT", &url);
    let output = tokio::task::block_in_place(|| finish_within(PATIENCE, &mut command, Stdio::null()));
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(step(&result, "commit").0, "held");
    assert!(node.submitted().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_are_said_before_anything_is_built() {
    let Some(world) = World::without_chain().await else { return };
    let no_push = ["--tag", "v1", "--no-push", "--no-start"];
    let start = ["--tag", "v1", "--no-push"];
    for (arguments, variables, error_has, hint_has) in [
        (&UP_TO_SHARE[..], ("DOCKERHUB_USERNAME", ""), "`DOCKERHUB_USERNAME`", "settings/security"),
        (&UP_TO_SHARE, ("DOCKERHUB_TOKEN", "your-access-token"), "`DOCKERHUB_TOKEN` is not set", "--no-push"),
        (&["--tag", "v 1", "--no-push"], ("A", ""), "is no image name", "me/pt-solution:v1.0.0"),
        (
            &no_push,
            ("DOCKER_HOST", "unix:///nowhere.sock"),
            "no Docker engine answers",
            "systemctl start docker",
        ),
        (&no_push, ("ADIT_PREDICTOR_FILE", "/nowhere/model.py"), "/nowhere/model.py does not exist", ""),
        (&start, ("ADIT_WORKER_ENV", "DOCKERHUB_TOKEN"), "a secret that no container gets", "another name"),
        (&start, ("ADIT_GPUS", "some"), "`ADIT_GPUS=some` is not all, none or auto", ""),
        (
            &["--tag", "v1", "--no-push"],
            ("STAKE_TABLE_FILE", "nodes.json"),
            "the container does not have",
            "leave it unset",
        ),
    ] {
        let (step_name, error, hint) = world.fails(arguments, &[variables]);
        assert_eq!(step_name, "preflight", "{error}");
        assert!(error.contains(error_has) && hint.contains(hint_has), "{error}\n{hint}");
    }
    assert!(world.hub.asked().is_empty());
}

/// Starts a deployment, interrupts it once it says `line`, and returns all that it said.
pub(crate) fn interrupted(mut command: Command, line: &str) -> String {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while !said.contains(line) {
        assert_ne!(stdout.read_line(&mut said).unwrap(), 0, "ended without {line:?}: {said}");
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    stdout.read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("stopped") && said.contains("the same command goes on from here"), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_deployment_goes_on_where_it_was() {
    let Some(world) = World::without_chain().await else { return };
    let arguments = [&["deploy-pt-miner"], &TAG[..], &["--no-commit"]].concat();
    world.hub.plant(Call::AddCollaborator, Fault::Silent, 1);
    for line in ["Building", "Ensuring repo", "Pushing", "Adding scorevision", "Starting container"] {
        interrupted(world.command(&arguments), line);
    }
    assert!(world.running().is_empty());
    let done = world.deploy(0, &[&TAG[..], &["--no-commit"]].concat());
    for name in ["build", "repository", "push", "share"] {
        assert_eq!(step(&done, name).0, "held", "{name}: {done:#}");
    }
    assert_eq!(step(&done, "start").0, "done");
    let first = world.running();
    // The next one is stopped while it starts: the first runs again.
    let model = world.checkout.path().join("scorevision/miner/private_track/predictor.py");
    let slow = fs::read_to_string(&model).unwrap() + "\nimport time\ntime.sleep(60)\n";
    fs::write(&model, slow).unwrap();
    interrupted(world.command(&arguments), "stopping the miner that runs there");
    assert_eq!(world.running(), first);
}

#[test]
fn no_engine_and_no_tag_are_said_without_any() {
    let mut command = program("sv");
    command.args(["deploy-pt-miner"]);
    let output = finish_within(PATIENCE, &mut command, Stdio::null());
    assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
    assert!(shown(&output).contains("--tag <TAG>"), "{}", shown(&output));
}

#[test]
fn help_of_deploy_pt_miner() {
    insta::assert_snapshot!(shown(&finish_within(
        PATIENCE,
        program("sv").args(["deploy-pt-miner", "--help"]),
        Stdio::null()
    )));
    insta::assert_snapshot!(shown(&finish_within(
        PATIENCE,
        program("sv").args(["spot-check", "--help"]),
        Stdio::null()
    )));
}

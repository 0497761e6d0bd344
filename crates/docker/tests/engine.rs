//! Against a real engine, which `ADIT_TEST_ENGINE` names.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use adit_docker::{
    Build, Container, Context, Engine, EngineError, Executed, Hardening, Image, Port, Progress,
};
use tokio::time::timeout;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(60);

async fn engine() -> Option<Engine> {
    let host = adit_stand_in::engine::host()?;
    Some(Engine::connect(Some(&host)).await.unwrap())
}

/// This machine's shell with what it takes to run, as the files of an image from scratch.
fn shell(root: &Path) {
    for program in ["/bin/sh", "/bin/sleep", "/bin/cat", "/usr/bin/getent"] {
        let listed = Command::new("ldd").arg(program).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.chain([program]) {
            let to = root.join("files").join(&file[1..]);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(file, to).unwrap();
        }
    }
}

async fn build(engine: &Engine, tag: &str, dockerfile: &str) -> Result<(Image, Vec<String>), EngineError> {
    let root = tempfile::tempdir().unwrap();
    shell(root.path());
    // A label of its own first, so that no test builds upon what another one is about to remove.
    let dockerfile = format!("FROM scratch\nLABEL of={tag}\nCOPY files /\n{dockerfile}");
    std::fs::write(root.path().join("Dockerfile"), dockerfile).unwrap();
    let context = Context::gather(root.path(), "Dockerfile").unwrap();
    let mut build = Build::new(tag);
    build.labels.push(("test".into(), "adit".into()));
    build.args.push(("SAID".into(), "hello".into()));
    let mut lines = Vec::new();
    let mut heard = |progress| {
        if let Progress::Line(line) = progress {
            lines.push(line);
        }
    };
    let image = engine.build(context, &build, &mut heard).await?;
    Ok((image, lines))
}

const SHELL: &str = "ARG SAID\nRUN echo $SAID > /said\nCMD [\"/bin/sleep\", \"300\"]\n";

#[tokio::test]
async fn an_image_is_built_with_its_output_and_its_labels() {
    let Some(engine) = engine().await else { return };
    let (image, lines) = build(&engine, "adit-test/built:v1", SHELL).await.unwrap();
    assert!(image.id.starts_with("sha256:") && image.size > 100_000, "{image:?}");
    assert_eq!(image.labels["test"], "adit");
    assert!(lines.iter().any(|line| line.to_lowercase().starts_with("step 3/7")), "{lines:#?}");
    assert_eq!(engine.image("adit-test/built:v1").await.unwrap(), Some(image));
    engine.remove_image("adit-test/built:v1").await.unwrap();
    assert_eq!(engine.image("adit-test/built:v1").await.unwrap(), None);
}

#[tokio::test]
async fn a_failed_build_shows_its_last_lines() {
    let Some(engine) = engine().await else { return };
    let dockerfile = "RUN echo one; echo two >&2; exit 3\n";
    let Err(error) = build(&engine, "adit-test/failed:v1", dockerfile).await else { panic!("it was built") };
    let EngineError::Build { message, last } = &error else { panic!("{error:?}") };
    // Docker's words, or Podman's.
    let words = ["returned a non-zero code: 3", "exit status 3"];
    assert!(words.iter().any(|words| message.contains(words)), "{message}");
    assert!(last.iter().any(|line| line == "one") && last.iter().any(|line| line == "two"), "{last:?}");
    assert!(error.hint().unwrap().contains("docker build -f Dockerfile.miner"));
}

#[tokio::test]
async fn a_full_disk_is_told_from_other_failures() {
    let Some(engine) = engine().await else { return };
    let dockerfile = "RUN cat /bin/cat > /dev/full\n";
    let Err(error) = build(&engine, "adit-test/full:v1", dockerfile).await else { panic!("it was built") };
    assert!(matches!(error, EngineError::DiskFull { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("docker system prune"));
}

#[tokio::test]
async fn a_container_is_run_looked_into_and_removed() {
    let Some(engine) = engine().await else { return };
    build(&engine, "adit-test/run:v1", SHELL).await.unwrap();
    let container = Container {
        name: "adit-test-run".into(),
        image: "adit-test/run:v1".into(),
        env: vec![("GREETING_OF".into(), "b".into()), ("GREETING".into(), "good day".into())],
        command: Some(
            ["/bin/sh", "-c", "echo $GREETING; cat /said /copied; echo done >&2; exit 7"]
                .map(str::to_owned)
                .into(),
        ),
        labels: vec![("adit-test".into(), "run".into())],
        hardening: Hardening { no_capabilities: true, cpus: Some(1), memory: Some(64 << 20) },
        ..Container::default()
    };
    engine.remove(&container.name).await.unwrap();
    let id = engine.create(&container).await.unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(7);
    header.set_mode(0o644);
    tar.append_data(&mut header, "copied", &b"copied\n"[..]).unwrap();
    engine.upload(&id, "/", tar.into_inner().unwrap()).await.unwrap();
    engine.start(&id, &container).await.unwrap();
    assert_eq!(timeout(PATIENCE, engine.wait(&id)).await.unwrap().unwrap(), 7);
    let stdout = engine.stdout(&id, 100).await.unwrap();
    assert!(engine.stdout(&id, 5).await.unwrap_err().to_string().contains("longer than 5 bytes"));
    assert_eq!(String::from_utf8(stdout).unwrap(), "good day\nhello\ncopied\n");
    assert_eq!(engine.logs(&id, 1).await.unwrap().lines().count(), 1);
    let state = engine.container(&id).await.unwrap().unwrap();
    assert_eq!((state.running, state.exit_code, state.out_of_memory), (false, 7, false));
    assert_eq!(engine.variable(&id, "GREETING").await.unwrap().as_deref(), Some("good day"));
    assert_eq!(engine.variable(&id, "GREET").await.unwrap(), None);
    assert!(matches!(engine.variable("adit-test-none", "A").await, Err(EngineError::Missing { .. })));
    assert_eq!(engine.download(&id, "/said", 100).await.unwrap(), Some(b"hello\n".to_vec()));
    assert_eq!(engine.download(&id, "/none", 100).await.unwrap(), None);
    let found = engine.containers("adit-test", "run").await.unwrap();
    assert_eq!((found.len(), found[0].name.as_str(), found[0].active), (1, "adit-test-run", false));
    engine.remove(&id).await.unwrap();
    assert_eq!(engine.container(&id).await.unwrap(), None);
    engine.remove_image("adit-test/run:v1").await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let Some(engine) = engine().await else { return };
    build(&engine, "adit-test/port:v1", SHELL).await.unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let host = taken.local_addr().unwrap().port();
    let address = Some("127.0.0.1".parse().unwrap());
    let container = Container {
        name: "adit-test-port".into(),
        image: "adit-test/port:v1".into(),
        ports: vec![Port { address, host, container: 8000 }],
        ..Container::default()
    };
    engine.remove(&container.name).await.unwrap();
    let id = engine.create(&container).await.unwrap();
    let error = engine.start(&id, &container).await.unwrap_err();
    engine.remove(&id).await.unwrap();
    assert!(matches!(error, EngineError::PortTaken { port, .. } if port == host), "{error:?}");
    engine.remove_image("adit-test/port:v1").await.unwrap();
}

#[tokio::test]
async fn containers_of_an_internal_network_know_one_another_by_name() {
    let Some(engine) = engine().await else { return };
    build(&engine, "adit-test/network:v1", SHELL).await.unwrap();
    let network = "adit-test-internal";
    let on_it = |name: &str, alias: &str| Container {
        name: name.into(),
        image: "adit-test/network:v1".into(),
        network: Some((network.into(), vec![alias.into()])),
        ..Container::default()
    };
    let proxy = on_it("adit-test-proxy", "video-proxy");
    let command = ["/usr/bin/getent", "hosts", "video-proxy"].map(str::to_owned).into();
    let asks = Container { command: Some(command), ..on_it("adit-test-asks", "asks") };
    for container in [&proxy, &asks] {
        engine.remove(&container.name).await.unwrap();
    }
    engine.remove_network(network).await.unwrap();
    engine.create_internal_network(network, &[]).await.unwrap();
    for container in [&proxy, &asks] {
        let id = engine.create(container).await.unwrap();
        engine.start(&id, container).await.unwrap();
    }
    assert_eq!(timeout(PATIENCE, engine.wait(&asks.name)).await.unwrap().unwrap(), 0);
    assert!(engine.logs(&asks.name, 5).await.unwrap().contains("video-proxy"));
    for container in [&proxy, &asks] {
        engine.remove(&container.name).await.unwrap();
    }
    engine.remove_network(network).await.unwrap();
    engine.remove_image("adit-test/network:v1").await.unwrap();
}

#[tokio::test]
async fn no_engine_is_said_with_what_to_do() {
    let error = Engine::connect(Some("unix:///nowhere/docker.sock")).await.unwrap_err();
    assert!(
        error.to_string().starts_with("no Docker engine answers at unix:///nowhere/docker.sock"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("systemctl start docker"));
    let error = Engine::connect(Some("tcp://127.0.0.1:1")).await.unwrap_err();
    assert!(matches!(error, EngineError::NotRunning { .. }), "{error:?}");
    let error = Engine::connect(Some("ssh://host")).await.unwrap_err();
    assert!(matches!(error, EngineError::BadHost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_program_is_run_beside_what_runs_in_a_container() {
    let Some(engine) = engine().await else { return };
    build(&engine, "adit-test/exec:v1", SHELL).await.unwrap();
    let container = Container {
        name: "adit-test-exec".into(),
        image: "adit-test/exec:v1".into(),
        ..Container::default()
    };
    engine.remove(&container.name).await.unwrap();
    let id = engine.create(&container).await.unwrap();
    engine.start(&id, &container).await.unwrap();
    let soon = || tokio::time::Instant::now() + PATIENCE;
    let shell = |script: &'static str| ["/bin/sh", "-c", script];

    let said = engine.exec(&id, None, &shell("cat /said; echo no >&2; exit 3"), 100, soon()).await.unwrap();
    let expected = Executed { exit_code: 3, stdout: b"hello\n".to_vec(), stderr: "no".to_owned() };
    assert_eq!(said, expected);
    let error = engine.exec(&id, None, &shell("cat /said /said"), 11, soon()).await.unwrap_err();
    assert!(error.to_string().contains("longer than 11 bytes"), "{error}");
    let missing = engine.exec(&id, None, &["/bin/none"], 1000, soon()).await.unwrap();
    assert!(missing.is_missing(), "{missing:?}");
    let as_another =
        engine.exec(&id, Some("10001:10001"), &shell("echo > /mine"), 100, soon()).await.unwrap();
    assert!(as_another.exit_code != 0 && !as_another.is_missing(), "{as_another:?}");
    let at_once = tokio::time::Instant::now() + Duration::from_millis(300);
    let error = engine.exec(&id, None, &["/bin/sleep", "30"], 100, at_once).await.unwrap_err();
    assert!(matches!(error, EngineError::Timeout { .. }), "{error:?}");

    engine.stop(&id, 0).await.unwrap();
    assert!(engine.exec(&id, None, &shell("true"), 100, soon()).await.is_err());
    engine.remove(&id).await.unwrap();
    engine.remove_image("adit-test/exec:v1").await.unwrap();
}

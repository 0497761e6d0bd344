//! Miners in the background: `start`, `stop`, `restart`, `delete`, `status`, `logs`, `systemd-unit`, and PM2.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use adit_stand_in::local_chain::LocalChain;
use serde_json::Value;

use crate::doctor::free_port;
use crate::generator::Desk;
use crate::process::{PATIENCE, finish, program, run, shown};

/// An operator's directory with the settings of a private-track miner that asks nobody for anything.
struct Directory {
    folder: tempfile::TempDir,
}

impl Directory {
    fn new(port: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(
            "BLACKLIST_ENABLED=false\nVERIFY_ENABLED=false\nADIT_PREDICTOR=baseline\nMINER_PORT={port}\n\
             ADIT_HOTKEY=5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY\nADIT_DATA_DIR={}\n",
            folder.path().join("data").display()
        );
        fs::write(folder.path().join(".env"), settings).unwrap();
        Self { folder }
    }

    fn sv(&self, arguments: &[&str]) -> Command {
        let mut command = program("sv");
        command.args(arguments).current_dir(self.folder.path()).env_remove("ADIT_ENV_FILE");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        finish(&mut self.sv(arguments))
    }

    fn status(&self) -> Value {
        status(&mut self.sv(&["status", "--json"]))
    }
}

/// What runs at the end of a test is ended with it.
impl Drop for Directory {
    fn drop(&mut self) {
        self.run(&["stop", "--now"]);
    }
}

/// A generative miner that is stopped at the end of a test.
struct Generator<'desk> {
    desk: &'desk Desk,
    port: String,
    chain: String,
}

impl Generator<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.desk.gascli(arguments);
        command.env("BT_AXON_PORT", &self.port).env("BT_CHAIN_ENDPOINT", &self.chain);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        finish(&mut self.command(arguments))
    }

    fn status(&self) -> Value {
        status(&mut self.command(&["status", "--json"]))
    }
}

impl Drop for Generator<'_> {
    fn drop(&mut self) {
        self.run(&["stop", "--now"]);
    }
}

fn status(command: &mut Command) -> Value {
    let output = finish(command);
    let status: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", shown(&output)));
    assert_eq!(output.status.success(), status["state"] == "online", "{status}");
    status
}

fn pid(status: &Value) -> u32 {
    status["pid"].as_u64().unwrap_or_else(|| panic!("{status:#}")).try_into().unwrap()
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Whether a process is there, and more than its exit code, which stays until somebody asks for it.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Exit code and what was printed, apart.
fn parts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn help_of_the_commands_of_a_process() {
    for command in
        ["start", "stop", "restart", "delete", "status", "logs", "systemd-unit", "completions", "man"]
    {
        let (words, name): (&[&str], _) = match command {
            "completions" | "man" => (&[command, "--help"], format!("help_of_gascli_{command}")),
            _ => (&["generator", command, "--help"], format!("help_of_generator_{command}")),
        };
        insta::assert_snapshot!(name, shown(&run("gascli", words)));
    }
    insta::assert_snapshot!("help_of_generator", shown(&run("gascli", &["generator", "--help"])));
    insta::assert_snapshot!("help_of_gascli", shown(&run("gascli", &["--help"])));
}

#[test]
fn first_letters_stand_for_a_command_where_they_are_no_others() {
    let (code, _, stderr) = parts(&run("gascli", &["g", "s"]));
    assert_eq!((code, &*stderr), (2, "Error: Too many matches: start, status, stop\n"));
    let (code, _, stderr) = parts(&run("gascli", &["ge", "start"]));
    assert_eq!((code, &*stderr), (2, "Error: Too many matches: gen, generator\n"));
    let (code, stdout, _) = parts(&run("gascli", &["g", "stat", "--help"]));
    assert_eq!(code, 0);
    assert!(stdout.contains("Usage: gascli generator status"), "{stdout}");
    let (code, _, stderr) = parts(&run("gascli", &["g", "x"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("unrecognized subcommand 'x'"), "{stderr}");
}

#[test]
fn shells_and_man_know_the_commands() {
    for name in ["adit", "sv", "gascli"] {
        for shell in ["bash", "zsh", "fish"] {
            let (code, script, _) = parts(&run(name, &["completions", shell]));
            assert_eq!(code, 0);
            assert!(script.contains(name) && script.contains("completions"), "{name} {shell}: {script}");
            if shell == "bash" {
                let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.bash"));
                fs::write(&file, script).unwrap();
                assert!(Command::new("bash").arg("-n").arg(&file).status().unwrap().success());
            }
        }
        let (code, page, _) = parts(&run(name, &["man"]));
        assert_eq!(code, 0);
        assert!(page.contains(&format!(".TH {name} 1")), "{page}");
    }
    let folder = tempfile::tempdir().unwrap();
    let output = finish(program("gascli").args(["man", "--output"]).arg(folder.path().join("man1")));
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let page = fs::read_to_string(folder.path().join("man1/gascli-generator-start.1")).unwrap();
    assert!(page.contains("gascli generator start"), "{page}");
}

#[test]
fn a_private_track_miner_from_start_to_delete() {
    let directory = Directory::new(&free_port());
    let (code, stdout, stderr) = parts(&directory.run(&["status"]));
    assert_eq!((code, &*stdout, &*stderr), (1, "Private-track miner not found\n`sv start` starts it.\n", ""));
    let (code, _, stderr) = parts(&directory.run(&["logs"]));
    assert_eq!(code, 1);
    assert!(stderr.starts_with("error: No logs found for private-track miner\nhint: `sv start`"), "{stderr}");

    let (code, stdout, stderr) = parts(&directory.run(&["start"]));
    assert_eq!((code, &*stderr), (0, ""), "{stdout}");
    assert!(stdout.starts_with("Starting private-track miner...\nSettings: /"), "{stdout}");
    assert!(stdout.contains("✅ Private-track miner started successfully! (pid "), "{stdout}");
    let before = directory.status();
    let (miner, supervisor) = (pid(&before), before["supervisor_pid"].as_u64().unwrap().try_into().unwrap());
    assert!(runs(miner) && runs(supervisor));

    let (code, stdout, _) = parts(&directory.run(&["start"]));
    assert_eq!(code, 0);
    assert!(stdout.contains(&format!("✅ Private-track miner runs already (pid {miner}).")), "{stdout}");

    kill("-KILL", miner);
    let again = until("it is not back", || {
        let status = directory.status();
        (status["state"] == "online" && pid(&status) != miner).then_some(status)
    });
    assert_eq!(again["restarts"], 1);
    let (_, log, _) = parts(&directory.run(&["logs"]));
    assert!(log.contains("WARNING: the miner ended after") && log.contains("signal 9 (SIGKILL"), "{log}");
    let (_, last, _) = parts(&directory.run(&["logs", "-n", "1"]));
    assert_eq!(last.lines().count(), 1);

    let (code, stdout, _) = parts(&directory.run(&["restart"]));
    assert_eq!(code, 0);
    assert!(stdout.contains("✅ Private-track miner restarted successfully!"), "{stdout}");
    let second = directory.status();
    assert_ne!(pid(&second), pid(&again));

    let (code, stdout, _) = parts(&directory.run(&["stop"]));
    assert_eq!((code, &*stdout), (0, "Stopping private-track miner...\n✅ Private-track miner stopped.\n"));
    assert!(!runs(supervisor) && !runs(pid(&second)));
    assert_eq!(directory.status()["state"], "stopped");
    let (code, stdout, _) = parts(&directory.run(&["stop"]));
    assert_eq!((code, &*stdout), (0, "Stopping private-track miner...\nPrivate-track miner does not run.\n"));

    let (code, _, _) = parts(&directory.run(&["delete"]));
    assert_eq!(code, 0);
    assert_eq!(directory.status()["state"], "not found");
    let (code, _, stderr) = parts(&directory.run(&["delete"]));
    assert_eq!(code, 1);
    assert!(stderr.starts_with("error: Private-track miner not found\n"), "{stderr}");
    // One that does not run is started.
    let (code, stdout, _) = parts(&directory.run(&["restart"]));
    assert_eq!(code, 0);
    assert!(stdout.contains("started successfully!"), "{stdout}");
}

#[test]
fn a_log_is_followed_while_the_miner_is_killed_and_started_again() {
    let directory = Directory::new(&free_port());
    assert_eq!(directory.run(&["start"]).status.code(), Some(0));
    let file = directory.folder.path().join("followed");
    let mut following = directory.sv(&["logs", "--follow", "-n", "0"]);
    let mut following =
        following.stdout(fs::File::create(&file).unwrap()).stdin(Stdio::null()).spawn().unwrap();
    // What is followed is what comes after the look at the end of the file.
    until("nothing is followed", || {
        kill("-KILL", pid(&directory.status()));
        until("it is not back", || (directory.status()["state"] == "online").then_some(()));
        let text = fs::read_to_string(&file).unwrap();
        (text.contains("signal 9 (SIGKILL") && text.contains("Listening on")).then_some(())
    });
    assert!(following.try_wait().unwrap().is_none());
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn a_port_in_use_is_said_with_the_miners_own_words() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let directory = Directory::new(&port);
    let (code, _, stderr) = parts(&directory.run(&["start"]));
    assert_eq!(code, 1);
    let listen = format!("    error: cannot listen on 0.0.0.0:{port}: Address already in use");
    assert!(stderr.starts_with("Its last lines:\n") && stderr.contains(&listen), "{stderr}");
    assert!(stderr.contains("❌ Private-track miner failed to start\nerror: the private-track miner did not start: it ended: exit code 1\nhint: "), "{stderr}");
    let (code, stdout, _) = parts(&directory.run(&["status"]));
    assert_eq!(code, 1);
    assert!(
        stdout.contains("❌ errored: it ended by itself") && stdout.contains("cannot listen on"),
        "{stdout}"
    );
    let supervisor = directory.status()["supervisor_pid"].clone();
    assert_eq!(supervisor, Value::Null);

    // Once it is free, so is the way.
    drop(taken);
    assert_eq!(directory.run(&["start"]).status.code(), Some(0));
}

/// No home, no terminal, and hardly a variable.
#[test]
fn cron_can_start_a_miner() {
    let directory = Directory::new(&free_port());
    let mut cron = Command::new("setsid");
    cron.arg("--wait")
        .arg(directory.sv(&[]).get_program())
        .arg("start")
        .env_clear()
        .current_dir(directory.folder.path());
    let output = finish(&mut cron);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert_eq!(directory.status()["state"], "online");

    // Without ADIT_DATA_DIR it is the home that the list of accounts names.
    let output = finish(program("sv").arg("logs").env("ADIT_PROCESS_NAME", "no-such-miner"));
    let home = std::env::home_dir().unwrap();
    let (_, _, stderr) = parts(&output);
    let log = home.join(".local/share/adit/processes/sv/no-such-miner/miner.log");
    assert!(stderr.contains(log.to_str().unwrap()), "{stderr}");
}

#[test]
fn two_miners_of_one_user_have_two_names() {
    let (first, second) = (Directory::new(&free_port()), Directory::new(&free_port()));
    assert_eq!(first.run(&["start"]).status.code(), Some(0));
    // Both keep their processes in one place.
    let data = first.folder.path().join("data");
    let mut start = second.sv(&["start"]);
    let (code, _, stderr) = parts(&finish(start.env("ADIT_DATA_DIR", &data)));
    assert_eq!(code, 1);
    let elsewhere = first.folder.path().display();
    assert!(
        stderr.starts_with(&format!(
            "error: private-track-miner runs already, started in {elsewhere}\nhint: ADIT_PROCESS_NAME"
        )),
        "{stderr}"
    );

    let named = |arguments: &[&str]| {
        let mut command = second.sv(arguments);
        command.env("ADIT_DATA_DIR", &data).env("ADIT_PROCESS_NAME", "miner2");
        command
    };
    let output = finish(&mut named(&["start"]));
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let other = status(&mut named(&["status", "--json"]));
    assert_ne!(pid(&other), pid(&first.status()));
    assert_eq!(finish(&mut named(&["stop"])).status.code(), Some(0));
    assert_eq!(first.status()["state"], "online");

    let (code, _, stderr) = parts(&finish(named(&["start"]).env("ADIT_PROCESS_NAME", "../x")));
    assert_eq!(code, 1);
    assert!(
        stderr.contains("`../x` is no name of a process") && stderr.contains("ADIT_PROCESS_NAME"),
        "{stderr}"
    );
}

#[test]
fn settings_that_are_missing_doubled_or_no_file_are_said() {
    let directory = Directory::new(&free_port());
    let empty = tempfile::tempdir().unwrap();
    let mut start = directory.sv(&["start"]);
    start.current_dir(empty.path()).env("ADIT_DATA_DIR", directory.folder.path().join("data"));
    let (code, _, stderr) = parts(&finish(&mut start));
    assert_eq!(code, 1);
    assert!(stderr.starts_with("warning: no .env in this directory or above it"), "{stderr}");
    assert!(stderr.contains("copy env.example to .env"), "{stderr}");

    let file = directory.folder.path().join(".env");
    let port = free_port();
    fs::write(&file, format!("{}MINER_PORT={port}\n", fs::read_to_string(&file).unwrap())).unwrap();
    let (code, _, stderr) = parts(&directory.run(&["start"]));
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains("line 7 sets again what is set above, to another value; the last one counts"),
        "{stderr}"
    );
    let (_, log, _) = parts(&directory.run(&["logs"]));
    assert!(log.contains(&format!("Listening on http://0.0.0.0:{port}")), "{log}");
    directory.run(&["stop"]);

    let mut start = directory.sv(&["start"]);
    let (code, _, stderr) = parts(&finish(start.env("ADIT_ENV_FILE", directory.folder.path())));
    assert_eq!(code, 1);
    assert!(stderr.contains("cannot read") && stderr.contains("ADIT_ENV_FILE"), "{stderr}");
}

#[test]
fn a_data_folder_that_is_none_is_named() {
    let directory = Directory::new(&free_port());
    let mut start = directory.sv(&["start"]);
    let (code, _, stderr) = parts(&finish(start.env("ADIT_DATA_DIR", "/dev/null/data")));
    assert_eq!(code, 1);
    assert!(stderr.contains("cannot use /dev/null/data/processes/sv/private-track-miner"), "{stderr}");
    assert!(stderr.contains("hint: ADIT_DATA_DIR names another directory"), "{stderr}");
}

/// On a file system of 256 KiB, which is filled while the miner runs.
#[test]
fn a_full_disk_under_the_log_stops_neither_the_miner_nor_its_commands() {
    let directory = Directory::new(&free_port());
    let small = directory.folder.path().join("small");
    fs::create_dir(&small).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=256k none {small} || exit 9; export ADIT_DATA_DIR={small}; sv=$1\n\
         $sv start || exit 1; dd if=/dev/zero of={small}/full bs=1k 2>/dev/null\n\
         pid() {{ $sv status --json | sed -n 's/^  \"pid\": \\([0-9]*\\),/\\1/p'; }}\n\
         before=$(pid); kill -KILL $before; until after=$(pid); [ \"${{after:-$before}}\" != $before ]; do sleep 0.05; done\n\
         head -c 300000 /dev/zero >>{small}/processes/sv/private-track-miner/miner.log 2>/dev/null\n\
         $sv restart && $sv status && $sv stop || exit 2; rm {small}/full; $sv start && $sv stop && $sv delete",
        small = small.display(),
    );
    let sv = directory.sv(&[]);
    let mut shell = Command::new("unshare");
    shell
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(sv.get_program())
        .current_dir(directory.folder.path());
    let output = finish(&mut shell);
    let (code, stdout, stderr) = parts(&output);
    if code == 9 || stderr.contains("unshare failed") {
        assert!(std::env::var_os("ADIT_CI").is_none(), "no file system can be mounted: {stderr}");
        eprintln!("SKIPPED: no file system can be mounted here, so none was filled: {stderr}");
        return;
    }
    assert_eq!((code, &*stderr), (0, ""), "{stdout}");
    assert!(stdout.contains("restarted successfully") && stdout.contains("✅ online"), "{stdout}");
}

/// systemd's protocol over a socket that a path names.
#[test]
fn a_service_manager_hears_that_the_miner_is_ready() {
    let directory = Directory::new("0");
    let path = directory.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut serve = directory.sv(&["serve"]);
    let mut miner =
        serve.env("NOTIFY_SOCKET", &path).stderr(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
    let mut said = [0; 64];
    let length = socket.recv(&mut said).unwrap();
    assert_eq!(&said[..length], b"READY=1");
    kill("-TERM", miner.id());
    assert!(miner.wait().unwrap().success());
}

#[test]
fn a_systemd_unit_is_one() {
    if Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("ADIT_CI").is_none(), "systemd-analyze is missing");
        eprintln!("SKIPPED: systemd-analyze is not installed, so no unit was verified");
        return;
    }
    let odd = tempfile::Builder::new().prefix("50% off \"here\"").tempdir().unwrap();
    fs::write(odd.path().join(".env.gen_miner"), "BT_NETUID=34\n").unwrap();
    for user in [&[][..], &["--user"][..]] {
        let mut command = program("gascli");
        command
            .args(["generator", "systemd-unit"])
            .args(user)
            .current_dir(odd.path())
            .env_remove("ADIT_ENV_FILE");
        let (code, unit, stderr) = parts(&finish(command.env("ADIT_DATA_DIR", odd.path())));
        assert_eq!((code, &*stderr), (0, ""));
        assert!(unit.contains("Type=notify") && unit.contains("generator serve\n"), "{unit}");
        let file = odd.path().join("miner.service");
        fs::write(&file, &unit).unwrap();
        let mut verify = Command::new("systemd-analyze");
        verify
            .args(["verify", "--recursive-errors=no"])
            .args(user)
            .arg(&file)
            .env("XDG_RUNTIME_DIR", odd.path());
        let (code, stdout, stderr) = parts(&finish(&mut verify));
        assert_eq!((code, &*stdout, &*stderr), (0, "", ""), "{unit}");
    }
}

#[test]
fn a_generative_miner_is_back_after_a_kill_and_its_log_says_why() {
    let Some(chain) = LocalChain::start(&["--block-time", "12"]) else { return };
    let desk = Desk::new("//Miner//hot");
    let generator = Generator { desk: &desk, port: free_port(), chain: chain.url().to_owned() };
    let (code, stdout, stderr) = parts(&generator.run(&["start"]));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.starts_with("Starting generative miner...\n"), "{stdout}");
    assert!(stdout.contains("✅ Generative miner started successfully!"), "{stdout}");
    let before = generator.status();
    assert_eq!(
        (&before["queue"], &before["deliveries"]),
        (&0.into(), &Value::Object(serde_json::Map::new()))
    );
    let (code, stdout, _) = parts(&generator.run(&["status"]));
    assert_eq!(code, 0);
    for words in
        ["✅ online", "Pid:", "Uptime:", "Memory:", "CPU:", "Restarts:", "Queue:", "Deliveries:", "Log:"]
    {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }

    kill("-KILL", pid(&before));
    let again = until("it is not back", || {
        let status = generator.status();
        (status["state"] == "online" && pid(&status) != pid(&before)).then_some(status)
    });
    let (_, log, _) = parts(&generator.run(&["logs"]));
    assert!(log.contains("signal 9 (SIGKILL"), "{log}");
    assert!(!log.contains("sk-or-secret"));
    let (code, stdout, _) = parts(&generator.run(&["stop"]));
    assert_eq!((code, &*stdout), (0, "Stopping generative miner...\n✅ Generative miner stopped.\n"));
    let supervisor = before["supervisor_pid"].as_u64().unwrap().try_into().unwrap();
    assert!(!runs(pid(&again)) && !runs(supervisor));

    let (code, stdout, _) = parts(&generator.run(&["delete"]));
    assert_eq!(code, 0);
    assert!(stdout.contains("Its tasks and media stay: 0 tasks not ended"), "{stdout}");
    assert!(desk.path("media/.gen_miner_state/tasks.db").exists());
}

#[test]
fn a_generative_miner_that_cannot_mine_says_why_at_the_start() {
    let Some(chain) = LocalChain::start(&["--block-time", "12"]) else { return };
    let desk = Desk::new("//Nobody//hot");
    let generator = Generator { desk: &desk, port: free_port(), chain: chain.url().to_owned() };
    let (code, _, stderr) = parts(&generator.run(&["start"]));
    assert_eq!(code, 1);
    assert!(stderr.contains("is not registered on subnet 34"), "{stderr}");
    assert!(stderr.contains("❌ Generative miner failed to start"), "{stderr}");
    assert!(!stderr.contains("sk-or-secret"), "{stderr}");

    fs::write(desk.path("a-file"), "").unwrap();
    let (code, _, stderr) =
        parts(&finish(generator.command(&["start"]).env("MINER_OUTPUT_DIR", desk.path("a-file/media"))));
    assert_eq!(code, 1);
    assert!(stderr.contains("a-file/media") && stderr.contains("MINER_OUTPUT_DIR"), "{stderr}");
}

/// As the guide says. PM2 is what `npm install pm2` brings.
#[test]
fn pm2_starts_the_generative_miner() {
    let Some(pm2) = pm2() else { return };
    let desk = Desk::new("//Miner//hot");
    let port = free_port();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gen_miner.config.js");
    fs::copy(config, desk.path("gen_miner.config.js")).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_gascli")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&pm2);
        command.args(arguments).env_clear().env("PM2_HOME", desk.path("pm2")).env("HOME", desk.path("home"));
        command.env("PATH", format!("{}:{path}", programs.display()));
        desk.settle(&mut command);
        let output = finish(command.env("BT_AXON_PORT", &port));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", shown(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    struct End<F: Fn()>(F);
    impl<F: Fn()> Drop for End<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    let _end = End(|| drop(run(&["kill"])));

    run(&["start", "gen_miner.config.js"]);
    let miner = || -> Option<u32> {
        let listed: Value = serde_json::from_str(&run(&["jlist"])).ok()?;
        let miner = listed.as_array()?.iter().find(|one| one["name"] == "bitmind-generative-miner")?.clone();
        (miner["pm2_env"]["status"] == "online").then(|| miner["pid"].as_u64())??.try_into().ok()
    };
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let answers = || std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
    let first = until("it does not listen", || miner().filter(|_| answers()));
    kill("-KILL", first);
    let second = until("it is not back", || miner().filter(|pid| *pid != first && answers()));
    run(&["stop", "bitmind-generative-miner"]);
    assert!(!runs(second));
    let log = fs::read_to_string(desk.path("pm2/logs/bitmind-generative-miner-error.log")).unwrap();
    assert!(log.contains("Listening on http://") && log.contains("SIGINT"), "{log}");
    run(&["delete", "bitmind-generative-miner"]);
}

/// The program that `scripts/setup test` installs, or the one on the path.
fn pm2() -> Option<PathBuf> {
    let named = std::env::var_os("ADIT_TEST_PM2").map(PathBuf::from).filter(|path| path.exists());
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("pm2")).find(|file| file.exists())
    };
    let found = named.or_else(on_path);
    if found.is_none() {
        assert!(std::env::var_os("ADIT_CI").is_none(), "PM2 is missing");
        eprintln!(
            "SKIPPED: PM2 is not installed (npm install pm2; ADIT_TEST_PM2 names it), so it started nothing"
        );
    }
    found
}

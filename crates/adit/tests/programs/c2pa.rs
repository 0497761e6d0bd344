//! `gascli generator verify-c2pa` and `trust-anchors`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use adit_provenance::signing::{Authority, Claim, Signer};
use adit_provenance::{Format, TrustAnchors};
use adit_stand_in::media::{JPEG, MP4, PNG};
use adit_stand_in::shared_folder;
use adit_stand_in::video_host::{Reply, VideoHost};
use chrono::{TimeDelta, Utc};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::process::{finish, finish_reading, program, run, shown};

/// An operator with files, and an authority of one's own that the settings vouch for.
struct Desk {
    folder: tempfile::TempDir,
    signer: Signer,
    vouched: String,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Own authority").unwrap();
        let anchors = folder.path().join("data/trust-anchors");
        std::fs::create_dir_all(&anchors).unwrap();
        std::fs::write(anchors.join("own.pem"), authority.certificate()).unwrap();
        let vouched = format!("own.pem@{}", fingerprint(authority.certificate()));
        Self { folder, signer: authority.signer("OpenAI").unwrap(), vouched }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn signed(&self, name: &str, bytes: &[u8]) -> PathBuf {
        self.file(name, &self.signer.sign_bytes(&Claim::now("dall-e-3"), bytes).unwrap())
    }

    /// In the folder, so that files can be named without it.
    fn gascli(&self, arguments: &[&str]) -> Command {
        let mut command = program("gascli");
        command
            .arg("generator")
            .args(arguments)
            .current_dir(self.folder.path())
            .env("ADIT_DATA_DIR", self.path("data"))
            .env("ADIT_EXTRA_TRUST_ANCHORS", &self.vouched);
        command
    }

    fn verify(&self, arguments: &[&str]) -> Output {
        finish(&mut self.gascli(&[&["verify-c2pa"], arguments].concat()))
    }
}

fn fingerprint(pem: &str) -> String {
    let anchors = TrustAnchors::default().trusting("own.pem", pem).unwrap();
    anchors.iter().next().unwrap().fingerprint.to_string()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A host with files at `/anchors/…`. The runtime has to stay for as long as it is asked.
fn host(files: &[(&str, Vec<u8>)]) -> (Runtime, VideoHost) {
    let runtime = Runtime::new().unwrap();
    let host = runtime.block_on(VideoHost::start()).unwrap();
    for (name, bytes) in files {
        host.serve(&format!("/anchors/{name}"), Reply::bytes(bytes.clone()));
    }
    (runtime, host)
}

fn published(folder: &Path) -> Vec<(String, Vec<u8>)> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn help_of_verify_c2pa() {
    insta::assert_snapshot!(shown(&run("gascli", &["generator", "verify-c2pa", "--help"])));
}

#[test]
fn help_of_trust_anchors() {
    insta::assert_snapshot!(shown(&run("gascli", &["gen", "trust-anchors", "update", "--help"])));
}

#[test]
fn without_anchors_it_says_what_to_type() {
    let desk = Desk::new();
    let file = desk.signed("a.png", PNG);
    let mut command = desk.gascli(&["verify-c2pa"]);
    let output =
        finish(command.arg(&file).env("ADIT_DATA_DIR", "/nowhere").env_remove("ADIT_EXTRA_TRUST_ANCHORS"));
    insta::assert_snapshot!(shown(&output));
}

/// The guide's line, on a machine that has nothing yet but the subnet's repository to ask.
#[test]
fn the_guides_line_works_after_an_update() {
    let (Some(anchors), Some(samples)) = (shared_folder("trust_anchors"), shared_folder("c2pa_samples"))
    else {
        return;
    };
    let files = published(&anchors);
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let (_runtime, host) = host(&files);
    let data = tempfile::tempdir().unwrap();
    let gascli = |arguments: &[&str]| {
        let mut command = program("gascli");
        command.arg("generator").args(arguments).env("ADIT_DATA_DIR", data.path());
        finish(command.env("ADIT_TRUST_ANCHORS_URL", host.url("/anchors/")))
    };
    let updated = gascli(&["trust-anchors", "update"]);
    assert_eq!(updated.status.code(), Some(0), "{}", shown(&updated));
    assert_eq!(stdout(&updated).matches("  fetched").count(), 10, "{}", shown(&updated));
    let again = gascli(&["trust-anchors", "update"]);
    assert_eq!(stdout(&again).matches("  unchanged").count(), 10, "{}", shown(&again));

    let sample = |name: &str| samples.join(name).to_str().unwrap().to_owned();
    let accepted = gascli(&["verify-c2pa", &sample("real_openai_dalle3_2024.webp"), "--verbose"]);
    let text = stdout(&accepted);
    assert!(text.contains("Status: ✅ PASSED") && text.contains("\n  cert_issuer:       OpenAI\n"), "{text}");
    assert_eq!(accepted.status.code(), Some(0), "{}", shown(&accepted));
    let listed = gascli(&["trust-anchors", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 21);
}

#[test]
fn an_update_takes_nothing_that_is_not_pinned() {
    let stranger = Authority::new("Stranger").unwrap();
    let (_runtime, host) = host(&[
        ("google_c2pa.pem", stranger.certificate().into()),
        ("adobe.pem", b"not a certificate".to_vec()),
        ("runway.pem", vec![b'x'; 300 * 1024]),
        ("own.pem", stranger.certificate().into()),
    ]);
    let desk = Desk::new();
    let url = host.url("/anchors");
    let update = |extra: &str| {
        let mut command = desk.gascli(&["trust-anchors", "update"]);
        finish(command.env("ADIT_TRUST_ANCHORS_URL", &url).env("ADIT_EXTRA_TRUST_ANCHORS", extra))
    };
    let before = std::fs::read(desk.path("data/trust-anchors/own.pem")).unwrap();
    let output = update(&desk.vouched);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    for refused in ["not pinned: Stranger", "holds no usable certificate", "answered with status 404"] {
        assert!(text.contains(refused), "{refused}: {text}");
    }
    assert!(String::from_utf8_lossy(&output.stderr).contains("ADIT_EXTRA_TRUST_ANCHORS as FILE@FINGERPRINT"));
    let kept = published(&desk.path("data/trust-anchors"));
    assert_eq!(kept, [("own.pem".to_owned(), before)]);

    // What the operator vouches for is taken, also where it renews a file of the validators'.
    let print = fingerprint(stranger.certificate());
    update(&format!("own.pem@{print}, google_c2pa.pem@{print}"));
    let mut kept: Vec<_> =
        published(&desk.path("data/trust-anchors")).into_iter().map(|file| file.0).collect();
    kept.sort();
    assert_eq!(kept, ["google_c2pa.pem", "own.pem"]);
}

#[test]
fn a_wrong_list_of_anchors_is_named() {
    let desk = Desk::new();
    let output = finish(desk.gascli(&["verify-c2pa", "x"]).env("ADIT_EXTRA_TRUST_ANCHORS", "own.pem@12"));
    insta::assert_snapshot!(shown(&output));
}

#[test]
fn a_vouched_file_that_is_not_there_says_what_to_type() {
    let desk = Desk::new();
    let extra = desk.vouched.replace("own.pem", "gone.pem");
    let output = finish(desk.gascli(&["verify-c2pa", "x"]).env("ADIT_EXTRA_TRUST_ANCHORS", extra));
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("gone.pem") && stderr.contains("hint: gascli generator trust-anchors update"),
        "{stderr}"
    );
}

#[test]
fn a_verdict_is_one_line() {
    let desk = Desk::new();
    desk.signed("signed.png", PNG);
    desk.file("plain.jpg", JPEG);
    let mut changed = std::fs::read(desk.signed("changed.mp4", MP4)).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    desk.file("changed.mp4", &changed);
    let output = desk.verify(&["signed.png", "plain.jpg", "changed.mp4"]);
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("✅ PASSED  signed.png: signed by OpenAI, made by dall-e-3, AI-generated, 20"),
        "{text}"
    );
    assert!(lines[1].starts_with("❌ FAILED  plain.jpg: No C2PA manifest found: "), "{text}");
    assert!(lines[2].starts_with("           hint: use a service"), "{text}");
    assert!(lines[3].contains("assertion.bmffHash.mismatch"), "{text}");
    assert!(lines[4].starts_with("           hint: deliver the bytes that the service sent"), "{text}");
    assert_eq!(lines[6..], ["1 of 3 would be accepted."], "{text}");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(desk.verify(&["signed.png"]).status.code(), Some(0));
}

#[test]
fn verbose_is_the_subnets_block_with_the_manifests_below() {
    let desk = Desk::new();
    desk.signed("signed.png", PNG);
    desk.file("plain.jpg", JPEG);
    let text = stdout(&desk.verify(&["signed.png", "plain.jpg", "-v"]));
    let rule = "=".repeat(60);
    let head = format!(
        "\n{rule}\nFile: signed.png\nStatus: ✅ PASSED\n{rule}\n  verified:          True\n  signature_valid:   True\n  \
         is_self_signed:    False\n  is_trusted_issuer: True\n  issuer:            dall-e-3\n  cert_issuer:       OpenAI\n  \
         ai_generated:      True\n"
    );
    assert!(text.starts_with(&head), "{text}");
    assert!(text.contains("(active)") && text.contains("c2pa.created by dall-e-3"), "{text}");
    assert!(text.contains("Status: ❌ FAILED") && text.contains("\n  issuer:            None\n"), "{text}");
}

#[test]
fn json_is_alone_on_stdout() {
    let desk = Desk::new();
    desk.signed("signed.png", PNG);
    desk.file("plain.jpg", JPEG);
    let output = desk.verify(&["signed.png", "plain.jpg", "missing.png", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&output);
    assert!(
        text.starts_with(
            "[\n  {\n    \"file\": \"signed.png\",\n    \"result\": {\n      \"verified\": true,\n"
        ),
        "{text}"
    );
    let entries: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(format!("{entries:#}\n"), text, "printed in pieces as in one");
    assert_eq!(entries[0]["result"]["accepted"], true);
    assert_eq!(
        entries[1]["result"]["error"],
        "No C2PA manifest found: ManifestNotFound: no JUMBF data found"
    );
    assert!(entries[2]["error"].as_str().unwrap().starts_with("cannot read missing.png: "));
    assert!(entries[0]["result"].get("manifests").is_none());
    let verbose = desk.verify(&["signed.png", "--json", "--verbose"]);
    let entries: Value = serde_json::from_slice(&verbose.stdout).unwrap();
    assert!(entries[0]["result"]["manifests"]["active_manifest"].is_string());
}

#[test]
fn directories_and_standard_input() {
    let desk = Desk::new();
    for name in ["all/b.png", "all/deep/er/a.png", "all/c.png"] {
        desk.signed(name, PNG);
    }
    desk.file("all/notes.txt", b"no media at all");
    std::os::unix::fs::symlink("..", desk.path("all/deep/up")).unwrap();
    let output = desk.verify(&["all"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let text = stdout(&output);
    let order: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("✅ PASSED  ")?.split(':').next()).collect();
    assert_eq!(order, ["all/b.png", "all/c.png", "all/deep/er/a.png"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("note: 1 file in the directories left out"));

    let signed = File::open(desk.path("all/b.png")).unwrap();
    let output = finish_reading(&mut desk.gascli(&["verify-c2pa", "-"]), signed);
    assert!(stdout(&output).starts_with("✅ PASSED  -: signed by OpenAI"), "{}", shown(&output));
    let output = finish_reading(&mut desk.gascli(&["verify-c2pa", "-"]), Stdio::null());
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
}

#[test]
fn what_cannot_be_read_is_exit_code_2() {
    let desk = Desk::new();
    desk.signed("signed.png", PNG);
    std::fs::create_dir(desk.path("empty")).unwrap();
    let made = Command::new("mkfifo").arg(desk.path("pipe")).status().unwrap();
    assert!(made.success());
    for (name, said) in [
        ("missing.png", "cannot read missing.png: No such file or directory"),
        ("pipe", "pipe is a pipe, not a file"),
        ("empty", "there is no file in empty"),
        ("/dev/zero", "/dev/zero is a device, not a file"),
    ] {
        let output = desk.verify(&["signed.png", name]);
        assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{}", shown(&output));
        assert!(stdout(&output).starts_with("✅ PASSED  signed.png"), "the others are verified all the same");
    }
    assert_eq!(desk.verify(&[]).status.code(), Some(2));
}

#[test]
fn the_signing_time_is_judged_by_todays_rules_alone() {
    let desk = Desk::new();
    let at = |time| Claim { created: time, ..Claim::now("dall-e-3") };
    let now = Utc::now();
    let old = desk.signer.sign_bytes(&at(now - TimeDelta::hours(2)), PNG).unwrap();
    let future = desk.signer.sign_bytes(&at(now + TimeDelta::hours(2)), PNG).unwrap();
    desk.file("old.png", &old);
    desk.file("future.png", &future);
    let sent = now.to_rfc3339();
    assert_eq!(desk.verify(&["old.png"]).status.code(), Some(0));
    let output = desk.verify(&["old.png", "--sent-at", &sent]);
    assert!(
        stdout(&output).contains("C2PA manifest signed before challenge was issued"),
        "{}",
        shown(&output)
    );
    assert_eq!(output.status.code(), Some(1));
    let output = desk.verify(&["future.png", "--era", "all"]);
    let text = stdout(&output);
    assert!(text.starts_with("✅ PASSED [document]  future.png"), "{text}");
    assert!(text.contains("❌ FAILED [head]  future.png: C2PA signing timestamp is in the future"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

/// What the file or its certificate calls itself cannot act on the terminal.
#[test]
fn escape_sequences_do_not_reach_the_terminal() {
    let desk = Desk::new();
    let claim = Claim { generator: "OpenAI\u{1b}[2J\nStatus: ✅ PASSED".to_owned(), ..Claim::now("m") };
    desk.file("bad\u{1b}[31m.png", &desk.signer.sign_bytes(&claim, PNG).unwrap());
    for verbose in [&[][..], &["--verbose"]] {
        let output = desk.verify(&[&["bad\u{1b}[31m.png"], verbose].concat());
        let text = stdout(&output);
        assert!(!text.contains('\u{1b}') && text.contains("OpenAI"), "{text}");
        assert_eq!(
            text.lines().filter(|line| line.trim_start().starts_with("Status:")).count(),
            verbose.len()
        );
    }
}

/// The library reads a clip in pieces of 256 MiB, two at a time.
#[test]
fn a_large_clip_is_verified_in_bounded_memory() {
    const LENGTH: u32 = 1200 << 20;
    const LIMIT_KIB: u32 = 1 << 20;
    let desk = Desk::new();
    let mut clip = tempfile::tempfile().unwrap();
    clip.write_all(MP4).unwrap();
    clip.write_all(&LENGTH.to_be_bytes()).unwrap();
    clip.write_all(b"mdat").unwrap();
    clip.set_len(MP4.len() as u64 + u64::from(LENGTH)).unwrap();
    let mut signed =
        File::options().read(true).write(true).create_new(true).open(desk.path("large.mp4")).unwrap();
    desk.signer.sign(Format::Mp4, &Claim::now("sora-2"), &mut clip, &mut signed).unwrap();

    let gascli = desk.gascli(&["verify-c2pa", "large.mp4"]);
    let mut limited = Command::new("sh");
    limited
        .env_clear()
        .env("MALLOC_ARENA_MAX", "1")
        .envs(gascli.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.current_dir(desk.folder.path()).args([
        "-c",
        &format!("ulimit -v {LIMIT_KIB} && exec \"$@\""),
        "sh",
    ]);
    limited.arg(gascli.get_program()).args(gascli.get_args());
    let output = finish(&mut limited);
    assert!(stdout(&output).starts_with("✅ PASSED  large.mp4"), "{}", shown(&output));
}

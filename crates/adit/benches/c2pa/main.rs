//! `gascli generator verify-c2pa` beside the C2PA library alone and beside a Python process that does the same, each a
//! whole process; a directory on one core and on all; and the memory that a long clip takes.
//!
//! Works on the samples and the anchors of `../shared` where they are, else on files of its own. The library alone
//! is this program itself, called with `--library`.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use adit_provenance::signing::{Authority, Claim, Signer};
use adit_provenance::{Format, TrustAnchors};
use adit_stand_in::{media, shared_folder};
use anyhow::{Context as _, Result, ensure};

/// Runs of each, in turns, so that what else the machine does hits all of them alike.
const ROUNDS: usize = 15;
const MANY: usize = 500;
const LONG_CLIP: u32 = 500_000_000;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.first().and_then(|first| first.to_str()) {
        // `cargo test --benches` passes --test: then being built is all that was asked.
        Some("--test") => Ok(()),
        Some("--library") => library_alone(Path::new(&arguments[1]), &arguments[2..]),
        _ => measure(),
    }
}

fn library_alone(anchors: &Path, files: &[impl AsRef<OsStr>]) -> Result<()> {
    let mut pem = String::new();
    for file in sorted(anchors)? {
        pem.push_str(&std::fs::read_to_string(file)?);
    }
    let settings = serde_json::json!({ "trust": { "user_anchors": pem } });
    let context = std::sync::Arc::new(c2pa::Context::new().with_settings(settings.to_string().as_str())?);
    for path in files {
        let path = Path::new(path);
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let read = c2pa::Reader::from_shared_context(&context)
            .with_stream(extension, std::io::BufReader::new(File::open(path)?))
            .and_then(|reader| reader.json_checked());
        println!(
            "{} {}",
            path.display(),
            read.map_or_else(|error| error.to_string(), |json| json.len().to_string())
        );
    }
    Ok(())
}

/// Files to verify, and how the program and the others find the anchors.
struct Desk {
    folder: tempfile::TempDir,
    anchors: PathBuf,
    vouched: String,
    signer: Signer,
    samples: Vec<PathBuf>,
}

impl Desk {
    fn set() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let anchors = folder.path().join("anchors");
        std::fs::create_dir(&anchors)?;
        let authority = Authority::new("Bench")?;
        std::fs::write(anchors.join("own.pem"), authority.certificate())?;
        let trusted = TrustAnchors::default().trusting("own.pem", authority.certificate())?;
        let print = trusted.iter().next().context("a certificate")?.fingerprint;
        let signer = authority.signer("OpenAI")?;
        let samples = match (shared_folder("c2pa_samples"), shared_folder("trust_anchors")) {
            (Some(samples), Some(validators)) => {
                for file in
                    sorted(&validators)?.iter().filter(|file| !file.ends_with("globalsign_root_r6.pem"))
                {
                    std::fs::copy(file, anchors.join(file.file_name().context("a file")?))?;
                }
                let media =
                    |path: &PathBuf| !matches!(path.extension().and_then(OsStr::to_str), Some("pem" | "key"));
                sorted(&samples)?.into_iter().filter(media).collect()
            }
            _ => {
                let write = |(index, file): (usize, &&[u8])| -> Result<PathBuf> {
                    let path = folder.path().join(format!("{index}.{}", Format::detect(file).extension()));
                    std::fs::write(&path, signer.sign_bytes(&Claim::now("bench"), file)?)?;
                    Ok(path)
                };
                media::ALL.iter().enumerate().map(write).collect::<Result<_>>()?
            }
        };
        Ok(Self { folder, anchors, vouched: format!("own.pem@{print}"), signer, samples })
    }

    /// On one core, or on all.
    fn gascli(&self, one_core: bool) -> Command {
        let mut command = process(env!("CARGO_BIN_EXE_gascli"), one_core);
        command
            .args(["generator", "verify-c2pa"])
            .env("ADIT_TRUST_ANCHORS_DIR", &self.anchors)
            .env("ADIT_EXTRA_TRUST_ANCHORS", &self.vouched)
            .env("ADIT_ENV_FILE", "/dev/null");
        command
    }
}

fn process(program: impl AsRef<OsStr>, one_core: bool) -> Command {
    let mut command = if one_core {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}

fn measure() -> Result<()> {
    let desk = Desk::set()?;
    let samples = desk.samples.len();
    let python = std::env::var_os("PEER_PYTHON").filter(|python| Path::new(python).exists());
    let ours = |files: &[PathBuf]| {
        let mut command = desk.gascli(true);
        command.args(files);
        command
    };
    let library = |files: &[PathBuf]| -> Result<Command> {
        let mut command = process(std::env::current_exe()?, true);
        command.arg("--library").arg(&desk.anchors).args(files);
        Ok(command)
    };
    let peer = |files: &[PathBuf]| {
        let mut command = process(python.as_ref()?, true);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/peer/verify_c2pa.py");
        command.arg(script).arg(&desk.anchors).args(files);
        Some(command)
    };

    let together = Sides::measure(
        &mut [ours(&desk.samples)],
        &mut [library(&desk.samples)?],
        peer(&desk.samples).into_iter(),
    )?;
    println!("{samples} samples in one process, one core, median of {ROUNDS}:");
    together.print(1.0);
    println!("| | ours to the library | {:.2}x | target 1.2x |", together.ours / together.library);
    let each = || desk.samples.chunks(1);
    let mut alone: Vec<_> = each().map(library).collect::<Result<_>>()?;
    let apart =
        Sides::measure(&mut each().map(ours).collect::<Vec<_>>(), &mut alone, each().filter_map(peer))?;
    println!("A process for each sample, as the guide has it, one core, mean of the medians:");
    apart.print(samples as f64);
    match apart.peer {
        Some(peer) => println!("| | ours to c2pa-python | 1/{:.1} | target 1/5 |", peer / apart.ours),
        None => println!("| | c2pa-python | PEER_PYTHON names no Python; `make bench` sets it up |"),
    }
    many(&desk)?;
    long_clip(&desk)
}

/// Seconds that each takes.
struct Sides {
    ours: f64,
    library: f64,
    peer: Option<f64>,
}

impl Sides {
    fn measure(
        ours: &mut [Command],
        library: &mut [Command],
        peer: impl Iterator<Item = Command>,
    ) -> Result<Self> {
        let mut peer: Vec<_> = peer.collect();
        let mut times =
            [vec![Vec::new(); ours.len()], vec![Vec::new(); library.len()], vec![Vec::new(); peer.len()]];
        for _ in 0..ROUNDS {
            for (commands, times) in [&mut *ours, &mut *library, &mut *peer].into_iter().zip(&mut times) {
                for (command, times) in commands.iter_mut().zip(times) {
                    times.push(time(command)?);
                }
            }
        }
        let [ours, library, peer] = times.map(|times| times.into_iter().map(median).sum::<f64>());
        Ok(Self { ours, library, peer: (peer > 0.0).then_some(peer) })
    }

    fn print(&self, processes: f64) {
        let sides = [
            ("gascli", Some(self.ours)),
            ("the c2pa library", Some(self.library)),
            ("c2pa-python", self.peer),
        ];
        for (name, seconds) in sides.iter().filter_map(|(name, seconds)| Some((name, (*seconds)?))) {
            println!("| | {name} | {:.1} ms | |", seconds * 1e3 / processes);
        }
    }
}

fn many(desk: &Desk) -> Result<()> {
    let folder = desk.folder.path().join("many");
    std::fs::create_dir(&folder)?;
    let signed = desk.signer.sign_bytes(&Claim::now("bench"), media::PNG)?;
    for index in 0..MANY {
        std::fs::write(folder.join(format!("{index}.png")), &signed)?;
    }
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        one.push(time(desk.gascli(true).arg(&folder))?);
        all.push(time(desk.gascli(false).arg(&folder))?);
    }
    let cores = std::thread::available_parallelism()?;
    let (one, all) = (median(one), median(all));
    println!(
        "| directory of {MANY} files | {:.0} ms on {cores} cores, {:.0} ms on one | {:.2}x |",
        all * 1e3,
        one * 1e3,
        one / all
    );
    Ok(())
}

fn long_clip(desk: &Desk) -> Result<()> {
    let mut clip = tempfile::tempfile()?;
    clip.write_all(media::MP4)?;
    clip.write_all(&LONG_CLIP.to_be_bytes())?;
    clip.write_all(b"mdat")?;
    clip.set_len(media::MP4.len() as u64 + u64::from(LONG_CLIP))?;
    let path = desk.folder.path().join("long.mp4");
    let mut signed = File::options().read(true).write(true).create_new(true).open(&path)?;
    desk.signer.sign(Format::Mp4, &Claim::now("bench"), &mut clip, &mut signed)?;
    let from = Instant::now();
    let mut child = desk.gascli(false).arg(&path).spawn()?;
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_kib(child.id()).unwrap_or_default());
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    ensure!(status.success(), "the long clip was refused");
    println!(
        "| clip of {} MB | {:.2} s, {} MiB at most | bound 512 MiB |",
        LONG_CLIP / 1_000_000,
        from.elapsed().as_secs_f64(),
        peak / 1024
    );
    Ok(())
}

/// Most resident memory that a process has had, as far as it still lives.
fn peak_kib(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Seconds that a process takes. What it thinks of the files is of no account, that it did look at them is.
fn time(command: &mut Command) -> Result<f64> {
    let from = Instant::now();
    let status = command.status().with_context(|| format!("{command:?}"))?;
    let took = from.elapsed().as_secs_f64();
    ensure!(matches!(status.code(), Some(0 | 1)), "{command:?} ended with {status}");
    Ok(took)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

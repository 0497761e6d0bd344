//! `systemd-unit`.

use std::path::Path;
use std::process::ExitCode;

use adit_settings::Environment;

use super::Track;
use crate::cli::process::SystemdUnit;
use crate::failure::Failure;

pub(crate) fn run(track: &Track, env: &Environment, args: &SystemdUnit) -> Result<ExitCode, Failure> {
    let place = track.place(env)?;
    let directory = match env.file().and_then(|(file, _)| file.parent()) {
        Some(folder) => std::path::absolute(folder)?,
        None => std::env::current_dir()?,
    };
    let file = env.file().map(|(file, _)| std::path::absolute(file)).transpose()?;
    let program = beside(&std::env::current_exe()?, track.program);
    let mut start: Vec<String> = vec![quoted(&program)?];
    start.extend(track.group.iter().map(|word| (*word).to_owned()));
    start.push("serve".to_owned());

    let name = place.name();
    let user = if args.user { " --user" } else { "" };
    println!("# systemctl{user} daemon-reload && systemctl{user} enable --now {name}");
    println!("# journalctl{user} --unit {name} --follow");
    if args.user {
        println!("# loginctl enable-linger    (so that it runs while nobody is logged in)");
    }
    println!("\n[Unit]\nDescription=Adit {} ({name})", track.miner);
    println!("Wants=network-online.target\nAfter=network-online.target");
    println!("StartLimitIntervalSec=300\nStartLimitBurst=10");
    println!("\n[Service]\n# It says itself when it is ready.\nType=notify");
    println!("WorkingDirectory={}", unit_text(&directory)?);
    if let Some(file) = file {
        println!("Environment={}", quoted_text(&format!("ADIT_ENV_FILE={}", utf8(&file)?)));
    }
    if !args.user {
        println!("User={}", rustix::process::getuid().as_raw());
    }
    println!("ExecStart={}", start.join(" "));
    println!(
        "TimeoutStartSec=120\n# Paid calls and answers under way are waited for.\nTimeoutStopSec=150\nKillMode=mixed"
    );
    println!("Restart=always\nRestartSec=1\nLimitNOFILE=65536\nNoNewPrivileges=true");
    println!("\n[Install]\nWantedBy={}", if args.user { "default.target" } else { "multi-user.target" });
    Ok(ExitCode::SUCCESS)
}

/// The program of this name beside ours, else ours.
fn beside(own: &Path, name: &str) -> std::path::PathBuf {
    let named = own.with_file_name(name);
    if named.is_file() { named } else { own.to_owned() }
}

fn utf8(path: &Path) -> Result<&str, Failure> {
    path.to_str().filter(|path| !path.contains('\n')).ok_or_else(|| {
        Failure::new(format!("{} cannot be written into a unit", path.display()))
            .hint("move it to a path that is UTF-8, on one line")
    })
}

/// For a setting that takes a path as it is.
fn unit_text(path: &Path) -> Result<String, Failure> {
    Ok(utf8(path)?.replace('%', "%%"))
}

/// For a setting that is split at blanks (`systemd.service(5)`, command lines).
fn quoted(path: &Path) -> Result<String, Failure> {
    Ok(quoted_text(utf8(path)?).replace('$', "$$"))
}

fn quoted_text(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_its_meaning() {
        assert_eq!(unit_text(Path::new("/a b/50%")).unwrap(), "/a b/50%%");
        assert_eq!(quoted(Path::new(r#"/a b/"x"\$HOME 5%"#)).unwrap(), r#""/a b/\"x\"\\$$HOME 5%%""#);
        assert!(unit_text(Path::new("/a\nExecStartPre=/bin/false")).is_err());
    }
}

//! Processes as the system shows them in `/proc`.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, pidfd_send_signal, waitpid,
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// What the kernel counts times in, whatever its own clock: `USER_HZ`, 100 on every Linux that Rust runs on.
pub(crate) const TICKS_A_SECOND: u64 = 100;

/// A process, and not another one that has got its number since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Clock ticks after the system's start.
    began: u64,
}

/// What is told of a process in `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    zombie: bool,
    began: u64,
    /// Processor time in ticks, that of the children it has waited for included.
    ticks: u64,
}

/// What a miner and its children use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// Resident memory in bytes, added up.
    pub(crate) memory: u64,
    /// Processor time in ticks.
    pub(crate) ticks: u64,
}

impl Process {
    /// The process of this number that runs now.
    pub(crate) fn find(pid: u32) -> Option<Self> {
        let stat = stat(pid).filter(|stat| !stat.zombie)?;
        Some(Self { pid, began: stat.began })
    }

    pub(crate) fn runs(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Sends a signal; nothing where it has ended.
    pub(crate) fn signal(self, signal: Signal) {
        let Some(pid) = to_pid(self.pid) else { return };
        // The number cannot come to mean another process between the look and the signal.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        if self.runs() {
            let _ = pidfd_send_signal(handle, signal);
        }
    }
}

/// A process and all below it.
pub(crate) fn usage(pid: u32) -> Usage {
    let all = all();
    let mut usage = Usage::default();
    for pid in std::iter::once(pid).chain(below(pid, &all)) {
        usage.ticks += all.get(&pid).map_or(0, |stat| stat.ticks);
        usage.memory += resident(pid);
    }
    usage
}

/// Takes leave of children of this process that have ended, but for the miner, whose end somebody else waits for: they
/// came here when their parents ended, and would else stay in the system's table for as long as the miner runs.
pub(crate) fn take_leave(miner: u32) {
    let own = std::process::id();
    let ended = all().into_iter().filter(|(pid, stat)| stat.parent == own && stat.zombie && *pid != miner);
    for pid in ended.filter_map(|(pid, _)| to_pid(pid)) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// Ends every child of this process, and theirs, which become this process's when their parents end. Those of an
/// ended miner have nobody to work for. How many there were.
pub(crate) async fn end_children() -> usize {
    let own = std::process::id();
    let mut ended = 0;
    // Bounded, should a child hang in a system call that nothing ends.
    for _ in 0..100 {
        let children: Vec<u32> =
            all().iter().filter(|(_, stat)| stat.parent == own).map(|(pid, _)| *pid).collect();
        if children.is_empty() {
            break;
        }
        for pid in children.into_iter().filter_map(to_pid) {
            let _ = kill_process(pid, Signal::KILL);
            if matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_))) {
                ended += 1;
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
    ended
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

fn all() -> HashMap<u32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect()
}

fn below(pid: u32, all: &HashMap<u32, Stat>) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    let mut above = vec![pid];
    while let Some(parent) = above.pop() {
        let children = all.iter().filter(|(_, stat)| stat.parent == parent).map(|(child, _)| *child);
        let children: Vec<u32> = children.filter(|child| *child != pid && !found.contains(child)).collect();
        above.extend(&children);
        found.extend(children);
    }
    found
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The fields of `proc_pid_stat(5)`. The second, the program's name, may hold anything, brackets and blanks included.
fn parse(line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line[line.rfind(')')? + 1..].split_ascii_whitespace().collect();
    // The third field is the first of these.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: u32::try_from(number(4)?).ok()?,
        ticks: [14, 15, 16, 17].into_iter().map(number).sum::<Option<u64>>()?,
        began: number(22)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_program_is_called() {
        let line = "77 (a) R 1 (b) S 4 77 77 0 -1 4194560 100 0 0 0 7 5 3 2 20 0 1 0 900 1000 50 0 0 0 0 0";
        assert_eq!(parse(line), Some(Stat { parent: 4, zombie: false, began: 900, ticks: 17 }));
        let zombie = line.replace(") S ", ") Z ");
        assert!(parse(&zombie).unwrap().zombie);
        for broken in
            ["", "77", "77 (a", "77 (a) S 4", "77 (a) S x 77 77 0 -1 0 0 0 0 0 7 5 3 2 20 0 1 0 900"]
        {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_process_is_no_other_that_has_its_number() {
        let own = Process::find(std::process::id()).unwrap();
        assert!(own.runs());
        assert!(!Process { began: own.began + 1, ..own }.runs());

        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::find(child.id()).unwrap();
        Process { began: process.began + 1, ..process }.signal(Signal::KILL);
        assert!(process.runs());
        process.signal(Signal::KILL);
        child.wait().unwrap();
        assert!(!process.runs());
        process.signal(Signal::KILL);
    }

    #[test]
    fn a_process_that_is_no_more_than_its_exit_code_does_not_run() {
        let mut child = Command::new("true").spawn().unwrap();
        // Not waited for, it stays in the table; this ends when it is seen as what it is.
        while Process::find(child.id()).is_some() {
            std::thread::yield_now();
        }
        assert!(stat(child.id()).unwrap().zombie);
        child.wait().unwrap();
    }

    #[test]
    fn what_children_use_counts_too() {
        let mut shell = Command::new("sh").args(["-c", "sleep 60 & sleep 60 & wait"]).spawn().unwrap();
        let below_shell = loop {
            let below = below(shell.id(), &all());
            if below.len() == 2 {
                break below;
            }
            std::thread::yield_now();
        };
        let alone: u64 = resident(shell.id());
        assert!(usage(shell.id()).memory > alone);
        for pid in below_shell.into_iter().filter_map(Process::find) {
            pid.signal(Signal::KILL);
        }
        shell.wait().unwrap();
        assert_eq!(usage(shell.id()), Usage::default());
    }
}

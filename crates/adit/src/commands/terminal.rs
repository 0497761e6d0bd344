//! Questions on the terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// No line that a person types is longer, and a terminal in line mode does not give more at once.
const LINE: usize = 4096;

/// The terminal that the operator sits at, even where stdin is a pipe. `None` where stderr is none:
/// nobody would see the question.
fn terminal() -> Option<File> {
    if !io::stderr().is_terminal() {
        return None;
    }
    OpenOptions::new().read(true).write(true).open("/dev/tty").ok()
}

/// Puts back how the terminal was, however the question ends.
struct Quiet<'terminal> {
    terminal: &'terminal File,
    before: Termios,
}

impl<'terminal> Quiet<'terminal> {
    fn new(terminal: &'terminal File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        quiet.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
        // What was typed before the question is no answer to it.
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Asks for a line that is not shown while it is typed. `None` without a terminal.
pub(super) fn ask_secret(question: &str) -> io::Result<Option<Zeroizing<String>>> {
    let Some(terminal) = terminal() else { return Ok(None) };
    // Quiet before the question: a quick answer would be shown, and thrown away.
    let mut quiet = Quiet::new(&terminal)?;
    write!(quiet.terminal, "{question}: ")?;
    let mut line = Zeroizing::new([0; LINE]);
    let length = quiet.terminal.take(LINE as u64).read(line.as_mut_slice())?;
    drop(quiet);
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = std::str::from_utf8(&line[..length]).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Some(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned())))
}

/// Asks a question that is answered with yes or no; anything but yes is no. `None` without a terminal.
pub(super) fn confirm(question: &str) -> io::Result<Option<bool>> {
    let Some(mut terminal) = terminal() else { return Ok(None) };
    write!(terminal, "{question} [y/N] ")?;
    let mut line = [0; LINE];
    let length = terminal.read(&mut line)?;
    let answer = String::from_utf8_lossy(&line[..length]);
    Ok(Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")))
}

/// Asks which of several is meant; its index. `None` without a terminal, or where the answer is none of them.
pub(super) fn choose_one(question: &str, of: &[String]) -> io::Result<Option<usize>> {
    let Some(mut terminal) = terminal() else { return Ok(None) };
    for (index, one) in of.iter().enumerate() {
        writeln!(terminal, "  {}. {one}", index + 1)?;
    }
    write!(terminal, "{question} [1-{}] ", of.len())?;
    let mut line = [0; LINE];
    let length = terminal.read(&mut line)?;
    let answer: Option<usize> = String::from_utf8_lossy(&line[..length]).trim().parse().ok();
    Ok(answer.and_then(|answer| answer.checked_sub(1)).filter(|index| *index < of.len()))
}

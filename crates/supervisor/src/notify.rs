//! What a miner tells whoever started it, by systemd's protocol (`sd_notify(3)`): the same for our supervisor and for
//! a unit of `Type=notify`.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// The variable that names the socket; `@` stands for the zero byte of an abstract name.
pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";
const READY: &[u8] = b"READY=1";

/// Says that this process is ready, where somebody wants to know (`NOTIFY_SOCKET`). The state is all that is sent.
///
/// # Errors
/// Where the socket that is named is not there.
pub fn notify_ready() -> io::Result<()> {
    let Some(name) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else { return Ok(()) };
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(READY, &address)?;
    Ok(())
}

/// Has the system send SIGTERM to this process when the supervisor of this number is gone, so that no miner is left
/// that nobody looks after. To be called by the thread that the process started with.
///
/// # Errors
/// Where the supervisor is gone already.
pub fn end_with(supervisor: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // It may have ended before the line above.
    if getppid().is_none_or(|parent| parent.as_raw_nonzero().get().unsigned_abs() != supervisor) {
        return Err(io::Error::other(format!("this is not a child of the supervisor {supervisor}")));
    }
    Ok(())
}

/// The other end.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: tokio::net::UnixDatagram,
    name: OsString,
}

impl Listener {
    /// An abstract name: it takes no file that could be left over, has no length that a folder could exceed, and a
    /// miner that has become another user reaches it. Whoever guesses it can say "ready" too early, and nothing else.
    pub(crate) fn bind() -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("adit-supervisor-{}-{now}", Pid::as_raw(Some(getpid())));
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        socket.set_nonblocking(true)?;
        let name = OsString::from_vec([b"@", name.as_bytes()].concat());
        Ok(Self { socket: tokio::net::UnixDatagram::from_std(socket)?, name })
    }

    /// What [`VARIABLE`] is to say.
    pub(crate) fn name(&self) -> &OsString {
        &self.name
    }

    /// Ready when the miner is.
    pub(crate) async fn ready(&self) {
        let mut message = [0; 4096];
        loop {
            match self.socket.recv(&mut message).await {
                Ok(length) if message[..length].split(|byte| *byte == b'\n').any(|line| line == READY) => {
                    return;
                }
                Ok(_) => {}
                // A bound socket of datagrams does not fail; should it, the miner is never ready.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Forgets what an earlier miner may have said.
    pub(crate) fn clear(&self) {
        while self.socket.try_recv(&mut [0; 64]).is_ok() {}
    }
}

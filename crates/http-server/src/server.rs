//! The sockets.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::stall::WriteStall;

/// Largest request head in bytes. A validator's has about 800.
const MAX_HEAD: usize = 32 * 1024;
/// Connections open at once: half of the 1,024 files that a process may have open by default, since
/// each request may need a few more.
const MAX_CONNECTIONS: usize = 512;
/// A peer that does not read its answer for this long is dropped.
const WRITE_STALL: Duration = Duration::from_secs(10);
/// What runs when the server is told to stop has this long to end.
const DRAIN: Duration = Duration::from_secs(30);
/// After a failed `accept` (no file descriptors left, say) the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    /// Address and port.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

impl ListenError {
    /// What to do about it, where these settings name the port and, if one does, the address.
    #[must_use]
    pub fn hint(&self, port: &str, address: Option<&str>) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                Some(format!("another program has this port: stop it, or set {port} to a free one"))
            }
            io::ErrorKind::PermissionDenied => {
                Some(format!("ports below 1024 need a privilege: set {port} to a higher one"))
            }
            io::ErrorKind::AddrNotAvailable => {
                address.map(|address| format!("{address} is an address of this host; 0.0.0.0 is all of them"))
            }
            _ => None,
        }
    }
}

/// A server that has its port. HTTP/1.1 without TLS, as validators ask.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    head_timeout: Duration,
}

impl Server {
    /// Takes the port; port 0 is a free one. A request's head has `head_timeout` to arrive.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(address: SocketAddr, head_timeout: Duration) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, head_timeout })
    }

    /// Address and port in use.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready, gives the port back, then lets what is under way end, for 30 s at most.
    pub async fn serve(self, app: Router, stop: impl Future<Output = ()>) {
        let service = TowerToHyperService::new(app);
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.head_timeout).max_buf_size(MAX_HEAD);
        let graceful = GracefulShutdown::new();
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        tokio::pin!(stop);
        loop {
            // At the limit the kernel's backlog holds what comes.
            let accept = async {
                let place = Arc::clone(&connections).acquire_owned().await;
                (self.listener.accept().await, place)
            };
            let (stream, place) = tokio::select! {
                () = &mut stop => break,
                (accepted, place) = accept => match accepted {
                    Ok((stream, _)) => (stream, place),
                    Err(error) => {
                        tracing::warn!("accepting a connection: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            // Answers are one small write each; waiting to fill a packet only delays them.
            let _ = stream.set_nodelay(true);
            let connection =
                http.serve_connection(TokioIo::new(WriteStall::new(stream, WRITE_STALL)), service.clone());
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = connection.await {
                    tracing::debug!("connection: {error}");
                }
            });
        }
        drop(self.listener);
        if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests did not end within {} s", DRAIN.as_secs());
        }
    }
}

/// Where a client on this host finds a server: one that listens on all addresses, on loopback.
#[must_use]
pub fn seen_from_here(mut listens: SocketAddr) -> SocketAddr {
    match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listens.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listens.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_found_on_loopback() {
        for (listens, found) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.7:80", "192.0.2.7:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ] {
            assert_eq!(seen_from_here(listens.parse().unwrap()).to_string(), found);
        }
    }
}

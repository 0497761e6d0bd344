//! What can go wrong with a request. A message names the host and the cause; never the path, query or user
//! of a URL, which may carry a token.

use std::{error::Error, time::Duration};

use crate::guard::NoAddress;

/// Why a request failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The TLS part of the client could not be set up on this host.
    #[error("cannot set up the HTTP client: {cause}")]
    Setup {
        /// What the TLS library said.
        cause: String,
    },
    /// The text is no URL that is fetched.
    #[error("not a URL that can be fetched: {reason}")]
    BadUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// The address guard refused the host.
    #[error("{host} is refused: it is {what}; put the host on the allow-list if it is meant to be reached")]
    Refused {
        /// Host name or address.
        host: String,
        /// What kind of address it is.
        what: &'static str,
    },
    /// No connection could be made: nothing was sent.
    #[error("cannot reach {host}: {cause}")]
    Connect {
        /// Host and port.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// The connection ended after the request was sent, at least in part, and before an answer came: the server
    /// may have acted on it.
    #[error("{host} closed the connection without an answer: {cause}")]
    Lost {
        /// Host and port.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// The server sent nothing for too long.
    #[error("{host} sent nothing for {} s", .waited.as_secs_f64())]
    Idle {
        /// Host and port.
        host: String,
        /// The limit that was reached.
        waited: Duration,
    },
    /// The deadline of the whole request passed.
    #[error("{host} did not finish in time ({received} bytes received)")]
    Deadline {
        /// Host and port.
        host: String,
        /// Bytes of the body received by then.
        received: u64,
    },
    /// An answer that is no success.
    #[error("{host} answered with status {status}")]
    Status {
        /// Host and port.
        host: String,
        /// The HTTP status code.
        status: u16,
    },
    /// More redirects than allowed, or one that leads nowhere.
    #[error("{host} redirects {reason}")]
    Redirect {
        /// Host and port of the last hop.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// The body is larger than the caller allows.
    #[error("{host} sends more than {limit} bytes")]
    TooLarge {
        /// Host and port.
        host: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The body ended before it was whole.
    #[error("{host} closed the connection after {received} bytes{}", of(*.expected))]
    Interrupted {
        /// Host and port.
        host: String,
        /// Bytes of the body that came.
        received: u64,
        /// Bytes that Content-Length promised, if it did.
        expected: Option<u64>,
    },
}

fn of(expected: Option<u64>) -> String {
    expected.map(|bytes| format!(" of {bytes}")).unwrap_or_default()
}

impl FetchError {
    /// The error of a request that got no answer.
    pub(crate) fn from_send(host: &str, error: &reqwest::Error) -> Self {
        let mut innermost: &dyn Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        if let Some(NoAddress { what }) = innermost.downcast_ref() {
            return Self::Refused { host: host.to_owned(), what };
        }
        // The outermost text holds the URL; the innermost one is about the socket, the name or TLS.
        let cause = match error.source() {
            Some(_) => innermost.to_string(),
            None => "the request could not be sent".to_owned(),
        };
        let host = host.to_owned();
        if error.is_connect() || error.is_builder() {
            Self::Connect { host, cause }
        } else {
            Self::Lost { host, cause }
        }
    }
}

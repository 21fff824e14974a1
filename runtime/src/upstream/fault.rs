//! Why an exchange broke: found from the types of errors, told in sentences that a plugin's author understands.
//! Must never look at an error's text, and never show one, an address or a secret to a plugin.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::AlertDescription;

use crate::domain::{CallFault, CallFaultKind};

/// The ways in which an exchange ends without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Break {
    #[error("a resolved address is not public")]
    PrivateAddress,
    #[error("the host name could not be resolved")]
    NoSuchHost,
    #[error("no connection could be made")]
    NoConnection,
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    #[error("TLS failed")]
    Tls,
    #[error("the other side refused the handshake")]
    TlsRefused,
    #[error("silent for {0:?}")]
    Silent(Duration),
    #[error("not done within {0:?}")]
    Late(Duration),
    #[error("the connection broke")]
    Broken,
    #[error("the answer is not HTTP")]
    NotHttp,
    #[error("the answer's headers are too large")]
    HeadTooLarge,
    #[error("the answer's body is over {0} bytes")]
    BodyTooLarge(usize),
}

impl Break {
    /// Finds the cause in the chain of sources of an error that the HTTP client gave.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut found = Self::Broken;
        for cause in causes(error) {
            if let Some(own) = cause.downcast_ref::<Self>() {
                return *own;
            }
            if let Some(error) = cause.downcast_ref::<hyper::Error>() {
                found = of_http(error);
            }
            if let Some(error) = cause.downcast_ref::<io::Error>().filter(|error| error.kind() == io::ErrorKind::InvalidData) {
                return of_tls(error);
            }
        }
        found
    }

    /// The cause why no TCP connection was made.
    pub(super) fn of_dial(error: &(dyn Error + 'static), limit: Duration) -> Self {
        for cause in causes(error) {
            if let Some(own) = cause.downcast_ref::<Self>() {
                return *own;
            }
            if cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                return Self::ConnectTimeout(limit);
            }
        }
        Self::NoConnection
    }

    /// Whether it is of the time in which a connection is made, as the last try of a client may be that has thrown a dead one away.
    pub(super) fn is_before_connection(self) -> bool {
        matches!(self, Self::PrivateAddress | Self::NoSuchHost | Self::NoConnection | Self::ConnectTimeout(_) | Self::TlsRefused)
    }

    fn kind(self) -> CallFaultKind {
        match self {
            Self::PrivateAddress => CallFaultKind::PrivateAddress,
            Self::NoSuchHost | Self::NoConnection => CallFaultKind::Connect,
            Self::ConnectTimeout(_) | Self::Silent(_) | Self::Late(_) => CallFaultKind::Timeout,
            Self::Tls | Self::TlsRefused => CallFaultKind::Tls,
            Self::Broken | Self::NotHttp => CallFaultKind::Reset,
            Self::HeadTooLarge | Self::BodyTooLarge(_) => CallFaultKind::ResponseTooLarge,
        }
    }

    fn sentence(self, target: &str, allow: &str) -> String {
        match self {
            Self::PrivateAddress => format!("{target} is at a private or reserved address, which is refused; {allow}"),
            Self::NoSuchHost => format!("the host name of {target} could not be resolved"),
            Self::NoConnection => format!("no connection could be made to {target}"),
            Self::ConnectTimeout(limit) => format!("no connection to {target} within {limit:?}"),
            Self::Tls | Self::TlsRefused => {
                format!("TLS with {target} failed: the two sides did not accept each other's certificate or protocol")
            }
            Self::Silent(limit) => format!("{target} was silent for {limit:?}"),
            Self::Late(limit) => format!("{target} had not answered in full within {limit:?}"),
            Self::Broken => format!("the connection to {target} broke before the answer was complete"),
            Self::NotHttp => format!("{target} sent an answer that is not valid HTTP"),
            Self::HeadTooLarge => format!("the headers of the answer of {target} are too many or too large"),
            Self::BodyTooLarge(limit) => format!("the answer of {target} is larger than the {limit} bytes allowed"),
        }
    }
}

/// An exchange that broke, and whether the request had begun to leave by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) cause: Break,
    pub(super) was_sent: bool,
}

impl Broken {
    /// The fault as a plugin sees it. `target` is how the author knows the other side, such as "upstream `crm`"; `allow` says how
    /// its operator would allow a private address.
    pub(super) fn fault(self, target: &str, allow: &str) -> CallFault {
        let Self { cause, was_sent } = self;
        CallFault { may_have_happened: was_sent, ..CallFault::new(cause.kind(), cause.sentence(target, allow)) }
    }
}

/// In TLS 1.3 the client is done with the handshake before the server has looked at its certificate, so that a refusal arrives as an alert
/// on a connection (RFC 8446 §4.4.2.4). No server reads a request of a client that it refuses.
/// HTTP/2 hands on the error's kind alone.
fn of_tls(error: &io::Error) -> Break {
    let alert = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => return Break::Tls,
    };
    match alert {
        AlertDescription::AccessDenied
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRequired
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::HandshakeFailure
        | AlertDescription::UnknownCA
        | AlertDescription::UnsupportedCertificate => Break::TlsRefused,
        _ => Break::Tls,
    }
}

fn of_http(error: &hyper::Error) -> Break {
    if error.is_parse_too_large() {
        Break::HeadTooLarge
    } else if error.is_parse() || error.is_parse_status() {
        Break::NotHttp
    } else {
        Break::Broken
    }
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

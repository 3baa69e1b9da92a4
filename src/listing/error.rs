//! Why a listing failed.

/// Why a listing failed. The set is closed: it is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The credential chain gave nothing.
    Credentials,
    /// 401, 403: wrong keys, or no permission to list.
    AccessDenied,
    /// The bucket, or the folder, does not exist.
    NoSuchBucket,
    /// The bucket is in another region than configured.
    WrongRegion,
    /// Refused, reset, unknown host.
    Connection,
    /// The certificate is not trusted, or the peer does not speak TLS.
    Tls,
    /// No answer, or none in time.
    Timeout,
    /// `SlowDown`, 429, 503.
    Throttled,
    /// Another 5xx.
    ServerError,
    /// An answer that is no list page: cut off, invalid, endless, another protocol.
    InvalidResponse,
    /// The local folder cannot be read.
    Folder,
    /// A fault of this program.
    Internal,
}

impl Reason {
    /// Every reason, so that each can be a counter from the start.
    pub const ALL: [Self; 12] = [
        Self::Credentials,
        Self::AccessDenied,
        Self::NoSuchBucket,
        Self::WrongRegion,
        Self::Connection,
        Self::Tls,
        Self::Timeout,
        Self::Throttled,
        Self::ServerError,
        Self::InvalidResponse,
        Self::Folder,
        Self::Internal,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::AccessDenied => "access_denied",
            Self::NoSuchBucket => "no_such_bucket",
            Self::WrongRegion => "wrong_region",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Throttled => "throttled",
            Self::ServerError => "server_error",
            Self::InvalidResponse => "invalid_response",
            Self::Folder => "folder",
            Self::Internal => "internal",
        }
    }
}

/// A listing that failed, after all its retries.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ListError {
    /// For the metric.
    pub reason: Reason,
    /// For people: what was asked, what came back, what to do.
    pub message: String,
}

impl ListError {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

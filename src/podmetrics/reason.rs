//! Why a pod is down: the closed set of reasons, which are label values.

/// Why a scrape gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A label or annotation of the pod cannot be read.
    BadLabel,
    /// Its address is one that is not scraped.
    RefusedAddress,
    /// It shares the network of its node.
    HostNetwork,
    /// No connection.
    Connect,
    /// No TLS, or a certificate that cannot be trusted.
    Tls,
    /// The configured token cannot be sent.
    Token,
    /// Not within its time.
    Timeout,
    /// The connection broke, or what came was no HTTP.
    Transport,
    /// A redirect, which is not followed.
    Redirect,
    /// Another status than 200.
    Status,
    /// A content type or an encoding that was not asked for, or a broken encoding.
    Encoding,
    /// More bytes than the limit.
    BodySize,
    /// More samples or families than the limit.
    SampleLimit,
    /// More labels than the limit, or longer ones.
    LabelLimit,
    /// Not of its format.
    Syntax,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::BadLabel,
        Self::RefusedAddress,
        Self::HostNetwork,
        Self::Connect,
        Self::Tls,
        Self::Token,
        Self::Timeout,
        Self::Transport,
        Self::Redirect,
        Self::Status,
        Self::Encoding,
        Self::BodySize,
        Self::SampleLimit,
        Self::LabelLimit,
        Self::Syntax,
    ];

    /// As a label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadLabel => "bad_label",
            Self::RefusedAddress => "refused_address",
            Self::HostNetwork => "host_network",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Token => "token",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Redirect => "redirect",
            Self::Status => "status",
            Self::Encoding => "encoding",
            Self::BodySize => "body_size",
            Self::SampleLimit => "sample_limit",
            Self::LabelLimit => "label_limit",
            Self::Syntax => "syntax",
        }
    }
}

/// A scrape that gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// The kind of reason.
    pub reason: Reason,
    /// For people.
    pub detail: String,
}

impl Failure {
    /// A failure with its words.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

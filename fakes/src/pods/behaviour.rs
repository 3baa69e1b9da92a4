//! What a pod does with a request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// The media type of the text format.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The media type of OpenMetrics.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A body with what is said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The body before compression.
    pub text: Bytes,
    /// The `Content-Type` header; `None`: there is none.
    pub content_type: Option<String>,
    /// Whether clients that accept gzip get it.
    pub gzip: bool,
}

impl Body {
    /// A body in the text format.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::of_type(text, TEXT)
    }

    /// A body in OpenMetrics.
    pub fn openmetrics(text: impl Into<Bytes>) -> Self {
        Self::of_type(text, OPENMETRICS)
    }

    /// A body of any type.
    pub fn of_type(text: impl Into<Bytes>, content_type: &str) -> Self {
        Self { text: text.into(), content_type: Some(content_type.to_owned()), gzip: false }
    }

    /// A body of no type.
    pub fn untyped(text: impl Into<Bytes>) -> Self {
        Self { text: text.into(), content_type: None, gzip: false }
    }

    /// The same, compressed for clients that accept it.
    #[must_use]
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self
    }
}

/// What a pod does with a request. The request is read first, if nothing else is said.
#[derive(Clone)]
pub enum Behaviour {
    /// Answers with a `Content-Length`, and keeps the connection open.
    Serve(Body),
    /// Answers with a chunked body.
    Chunked(Body),
    /// Answers with a body computed for each request; the number is that of the request, from 0.
    Computed(Arc<dyn Fn(usize) -> Body + Send + Sync>),
    /// Answers as the `Accept` header wishes, like a client library.
    Negotiate {
        /// For everybody else.
        text: Body,
        /// For clients that prefer OpenMetrics.
        openmetrics: Body,
    },
    /// Does nothing for a time, and then this.
    After(Duration, Box<Behaviour>),
    /// Adds a header, name and value, to the head of the answer.
    WithHeader(String, String, Box<Behaviour>),
    /// Never answers.
    Hang,
    /// Accepts connections and never reads from them; there is no TLS handshake either. Connections that
    /// are already in use hang.
    Silent,
    /// Sends the body slowly.
    Trickle {
        /// All of it is announced as `Content-Length`.
        body: Body,
        /// So many bytes at a time.
        chunk: usize,
        /// The pause before each piece.
        every: Duration,
    },
    /// Announces the body as `Content-Length` and resets the connection in the middle of it.
    ResetAfter {
        /// The whole body.
        body: Body,
        /// How much of it is sent.
        bytes: usize,
    },
    /// Announces the body as `Content-Length` and closes the connection in the middle of it.
    Truncated {
        /// The whole body.
        body: Body,
        /// How much of it is sent.
        bytes: usize,
    },
    /// Sends chunks and closes the connection without the last one.
    TruncatedChunks {
        /// The whole body.
        body: Body,
        /// How much of it is sent.
        bytes: usize,
    },
    /// HTTP/1.0: the body ends when the connection does.
    CloseDelimited(Body),
    /// 302 to this location.
    Redirect(String),
    /// A small gzip stream that unpacks to so many bytes of valid text, sent in chunks whether the client
    /// accepts gzip or not. It has one series again and again.
    GzipBomb {
        /// Bytes of text.
        unpacked: u64,
    },
    /// Says gzip and sends plain text.
    BrokenGzip,
    /// Says gzip and sends the first half of the compressed body, in a complete answer.
    CutGzip(Body),
    /// This status, with a line of text.
    Status(u16),
    /// 200 with a web page.
    Html,
    /// Chunks of different series without end, as fast as the client reads.
    Endless,
    /// An answer that is not HTTP; then the connection is closed.
    NotHttp,
    /// Response headers without end, as fast as the client reads.
    LongHead,
    /// Announces so many bytes as `Content-Length` and sends none of them.
    DeclaredLength(u64),
}

impl Behaviour {
    /// Answers with this in the text format.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Serve(Body::text(text))
    }

    /// Answers with this in OpenMetrics.
    pub fn openmetrics(text: impl Into<Bytes>) -> Self {
        Self::Serve(Body::openmetrics(text))
    }

    /// Answers with the first or the second, as the `Accept` header wishes.
    pub fn negotiate(text: impl Into<Bytes>, openmetrics: impl Into<Bytes>) -> Self {
        Self::Negotiate { text: Body::text(text), openmetrics: Body::openmetrics(openmetrics) }
    }

    /// Answers with what `body` gives for the number of the request, from 0.
    pub fn computed(body: impl Fn(usize) -> Body + Send + Sync + 'static) -> Self {
        Self::Computed(Arc::new(body))
    }

    /// The same, with its bodies compressed for clients that accept it.
    #[must_use]
    pub fn gzip(mut self) -> Self {
        match &mut self {
            Self::Negotiate { text, openmetrics } => (text.gzip, openmetrics.gzip) = (true, true),
            Self::Serve(body)
            | Self::Chunked(body)
            | Self::CloseDelimited(body)
            | Self::CutGzip(body)
            | Self::Trickle { body, .. }
            | Self::ResetAfter { body, .. }
            | Self::Truncated { body, .. }
            | Self::TruncatedChunks { body, .. } => body.gzip = true,
            Self::Computed(body) => {
                let body = Arc::clone(body);
                self = Self::computed(move |number| body(number).gzip());
            }
            Self::After(_, inner) | Self::WithHeader(_, _, inner) => **inner = inner.clone().gzip(),
            _ => {}
        }
        self
    }

    /// The same, after this time.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self::After(time, Box::new(self))
    }

    /// The same, with another header in the answer.
    #[must_use]
    pub fn with_header(self, name: &str, value: &str) -> Self {
        Self::WithHeader(name.to_owned(), value.to_owned(), Box::new(self))
    }
}

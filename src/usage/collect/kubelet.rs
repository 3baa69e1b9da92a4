//! Asks the kubelet of the node for its summary.
//!
//! The token of the service account goes to the kubelet alone: over TLS or to this machine, never to where a redirect points, past every proxy.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION};
use tokio::time::timeout;
use url::Url;

use super::super::packing::{Packing, UnpackError};
use super::config::KubeletConfig;
use super::summary::{self, Summary, SummaryError};
use super::token::{bearer, is_private};
use crate::http::{self as client, BodyError, ClientError, ClientOptions, chain, is_tls_failure, read_body};

/// The kubelet's summary of 250 pods with a hundred volumes each is a tenth of it.
const LARGEST: usize = 64 << 20;
/// Of a refusal, for the log.
const LARGEST_REFUSAL: usize = 4 << 10;
/// The kubelet asks the runtime for each container. A node that is busy takes seconds for it, and one that works no longer than this.
const DEADLINES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(20));

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScrapeError {
    #[error("{0}")]
    Token(String),
    #[error("the kubelet's certificate is not trusted: {0}; see --kubelet-ca and --kubelet-insecure-tls")]
    Tls(String),
    #[error("the kubelet cannot be reached: {0}")]
    Transport(String),
    #[error("the kubelet has not answered within {} s", .0.as_secs())]
    Late(Duration),
    #[error("the kubelet answered {0}{1}")]
    Status(StatusCode, String),
    #[error("the kubelet answered {0}: the service account needs the right to `get` `nodes/stats`{1}")]
    Forbidden(StatusCode, String),
    #[error("{0}")]
    Body(#[from] BodyError),
    #[error("the kubelet's answer cannot be unpacked: {0}")]
    Packed(String),
    #[error(transparent)]
    Summary(#[from] SummaryError),
    #[error("the kubelet does not say how its node is called; set --node-name (NODE_NAME)")]
    NoNode,
}

/// The kubelet, as it is reached.
pub(super) struct Kubelet {
    http: reqwest::Client,
    endpoint: Url,
    token_file: Option<PathBuf>,
}

impl Kubelet {
    /// # Errors
    /// For a CA bundle that cannot be used.
    pub(super) fn new(config: &KubeletConfig) -> Result<Self, ClientError> {
        let http = client::client(ClientOptions {
            verify: !config.insecure_tls,
            direct: true,
            resolve: config.resolve.as_ref().map(|(name, address)| (name.as_str(), *address)),
            ca_bundle: config.ca.as_deref(),
            ..Default::default()
        })?;
        if config.insecure_tls {
            tracing::warn!("the kubelet's certificate is not verified: whoever answers in its place gets the token");
        }
        let private = is_private(&config.endpoint);
        if !private {
            tracing::warn!(endpoint = %config.endpoint, "the kubelet is asked over plain HTTP, so it gets no token");
        }
        Ok(Self { http, endpoint: config.endpoint.clone(), token_file: config.token_file.clone().filter(|_| private) })
    }

    /// Asks once, for no longer than most of the `interval` if that is a sensible time.
    ///
    /// # Errors
    /// When there is no whole summary in time.
    pub(super) async fn summary(&self, interval: Duration) -> Result<Summary, ScrapeError> {
        let longest = interval.mul_f64(0.8).clamp(DEADLINES.0, DEADLINES.1);
        let body = timeout(longest, self.ask()).await.map_err(|_| ScrapeError::Late(longest))??;
        Ok(summary::read(&body)?)
    }

    async fn ask(&self) -> Result<Vec<u8>, ScrapeError> {
        let mut request = self.http.get(self.endpoint.clone()).header(ACCEPT, "application/json").header(ACCEPT_ENCODING, "gzip");
        if let Some(file) = &self.token_file {
            request = request.header(AUTHORIZATION, bearer(file).await.map_err(ScrapeError::Token)?);
        }
        let response = request.send().await.map_err(|error| match is_tls_failure(&error) {
            true => ScrapeError::Tls(chain(&error)),
            false => ScrapeError::Transport(chain(&error)),
        })?;
        let status = response.status();
        if status != StatusCode::OK {
            let body = read_body(response, LARGEST_REFUSAL).await.unwrap_or_default();
            let words = words(&body);
            return Err(match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ScrapeError::Forbidden(status, words),
                _ => ScrapeError::Status(status, words),
            });
        }
        let packing = Packing::of(response.headers())
            .map_err(|encoding| ScrapeError::Packed(format!("its encoding is `{}`", encoding.escape_debug())))?;
        let body = read_body(response, LARGEST).await?;
        match packing {
            Packing::Identity => Ok(body),
            packed => unpack(packed, &body, LARGEST),
        }
    }
}

/// What a peer says of its refusal, in one line behind a colon.
pub(super) fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: Vec<&str> = text.split_whitespace().collect();
    let short: String = line.join(" ").chars().filter(|letter| !letter.is_control()).take(300).collect();
    if short.is_empty() { short } else { format!(": {short}") }
}

fn unpack(packing: Packing, body: &[u8], limit: usize) -> Result<Vec<u8>, ScrapeError> {
    packing.unpack(body, limit).map(Cow::into_owned).map_err(|error| match error {
        UnpackError::TooLarge(limit) => BodyError::TooLarge(limit).into(),
        UnpackError::Damaged(reason) => ScrapeError::Packed(reason),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn an_answer_is_unpacked_within_its_limit() {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&[b'x'; 1_000]).unwrap();
        let packed = packer.finish().unwrap();
        assert_eq!(unpack(Packing::Gzip, &packed, 1_000).unwrap(), [b'x'; 1_000]);
        assert!(matches!(unpack(Packing::Gzip, &packed, 999), Err(ScrapeError::Body(BodyError::TooLarge(999)))));
        assert!(matches!(unpack(Packing::Gzip, &packed[..packed.len() / 2], 1_000), Err(ScrapeError::Packed(_))));
        assert!(matches!(unpack(Packing::Gzip, b"{}", 1_000), Err(ScrapeError::Packed(_))));
    }

    #[test]
    fn a_refusal_is_told_in_one_short_line() {
        assert_eq!(words(b" Forbidden\n (user=x)\x07\n"), ": Forbidden (user=x)");
        assert_eq!((words(b"\n").as_str(), words(&[b'x'; 5_000]).len()), ("", 302));
    }
}

//! Who may send: anybody, whoever has a token of ours, or pods that the Kubernetes API vouches for, each for its own node.

mod review;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use ring::digest::{SHA256, digest};

use self::review::Reviewer;
use super::config::AuthConfig;

/// How often the file is read again.
const REREAD: Duration = Duration::from_secs(10);

/// Why a sender is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token, or one that is not good.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// A good token of somebody who may not send this.
    #[error("{0}")]
    Forbidden(String),
    /// Nobody can say now.
    #[error("{0}")]
    Unavailable(String),
}

/// For which nodes somebody may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// For any.
    Any,
    /// For the one that the token is bound to.
    Node(String),
}

impl Sender {
    /// Whether a report of `node` may come from here.
    ///
    /// # Errors
    /// When the token is bound to another node.
    pub fn may_report(&self, node: &str) -> Result<(), Denied> {
        match self {
            Self::Node(bound) if bound != node => {
                Err(Denied::Forbidden(format!("the token is bound to the node {bound}, which is not the one that is reported")))
            }
            _ => Ok(()),
        }
    }
}

/// Checks senders.
pub enum Auth {
    /// Anybody may send.
    Open,
    /// Whoever has the token in a file.
    Token(TokenFile),
    /// Whoever the API vouches for.
    Review(Box<Reviewer>),
}

impl Auth {
    /// Prepares what `config` asks for.
    ///
    /// # Errors
    /// When the API cannot be asked, or the file cannot be read.
    pub fn new(config: &AuthConfig, kube: &kube::Config) -> anyhow::Result<Self> {
        Ok(match config {
            AuthConfig::Open => Self::Open,
            AuthConfig::TokenFile(path) => Self::Token(TokenFile::new(path)?),
            AuthConfig::Review { audience, users } => {
                Self::Review(Box::new(Reviewer::new(kube, audience.clone(), users.clone())?))
            }
        })
    }

    /// Who sends a request with these headers.
    ///
    /// # Errors
    /// When whoever sends it may not, or when that cannot be said.
    pub async fn sender(&self, headers: &HeaderMap) -> Result<Sender, Denied> {
        match self {
            Self::Open => Ok(Sender::Any),
            Self::Token(file) => file.check(bearer(headers)?),
            Self::Review(reviewer) => reviewer.check(bearer(headers)?).await,
        }
    }
}

/// The token in `Authorization` (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Denied> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = value.and_then(|value| value.split_once(' ')).unwrap_or_default();
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(Denied::Unauthorized("a bearer token is needed"))
    }
}

/// What is compared instead of a token, so that the time it takes tells nothing of it, and kept instead of it.
fn hash(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

/// A token in a file, which may be replaced.
pub struct TokenFile {
    path: PathBuf,
    read: Mutex<(Instant, [u8; 32])>,
}

impl TokenFile {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let token = Self::token(path).map_err(|reason| anyhow::anyhow!("usage.auth.token_file: {reason}"))?;
        Ok(Self { path: path.into(), read: Mutex::new((Instant::now(), token)) })
    }

    fn token(path: &Path) -> Result<[u8; 32], String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        match text.trim() {
            "" => Err(format!("{} holds no token", path.display())),
            token => Ok(hash(token)),
        }
    }

    fn check(&self, token: &str) -> Result<Sender, Denied> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.0.elapsed() > REREAD {
            match Self::token(&self.path) {
                Ok(token) => *read = (Instant::now(), token),
                Err(reason) => {
                    tracing::warn!(reason, "the token that is known stays good");
                    read.0 = Instant::now();
                }
            }
        }
        if hash(token) == read.1 { Ok(Sender::Any) } else { Err(Denied::Unauthorized("the token is not the right one")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        [(header::AUTHORIZATION, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn only_bearer_tokens_count() {
        assert_eq!(bearer(&headers("bearer  abc ")), Ok("abc"));
        for wrong in ["", "Bearer", "Bearer  ", "Basic abc", "abc"] {
            assert!(matches!(bearer(&headers(wrong)), Err(Denied::Unauthorized(_))), "{wrong}");
        }
        assert!(bearer(&HeaderMap::new()).is_err());
    }

    #[tokio::test]
    async fn the_token_of_the_file_is_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(TokenFile::new(&path).is_err());
        std::fs::write(&path, " \n").unwrap();
        assert!(TokenFile::new(&path).is_err_and(|error| error.to_string().contains("no token")));
        std::fs::write(&path, "secret\n").unwrap();
        let auth = Auth::Token(TokenFile::new(&path).unwrap());
        assert_eq!(auth.sender(&headers("Bearer secret")).await, Ok(Sender::Any));
        assert!(matches!(auth.sender(&headers("Bearer secre")).await, Err(Denied::Unauthorized(_))));
        assert!(matches!(auth.sender(&HeaderMap::new()).await, Err(Denied::Unauthorized(_))));
    }

    #[test]
    fn a_bound_token_is_for_its_node() {
        assert!(Sender::Any.may_report("a").is_ok());
        assert!(Sender::Node("a".into()).may_report("a").is_ok());
        assert!(matches!(Sender::Node("a".into()).may_report("b"), Err(Denied::Forbidden(_))));
    }
}

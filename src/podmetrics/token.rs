//! The token that some pods are sent. Only if the operator said so, only to the namespaces that are listed, only over TLS that the CA bundle vouches
//! for, and only if it is for nobody else: whoever may label a pod must not get to own more than that.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde::Deserialize;

use super::config::TokenConfig;
use super::reason::{Failure, Reason};
use super::target::{Pod, Settings};

/// The token of one request, read once for all pods; or why it cannot be sent.
#[derive(Debug)]
pub(super) struct Token {
    config: TokenConfig,
    header: Result<HeaderValue, String>,
}

/// `aud` of a JSON Web Token (RFC 7519, 4.1.3): one or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct Claims {
    aud: Option<Audience>,
}

impl Token {
    /// Reads it from disk, where Kubernetes renews it.
    pub(super) async fn read(config: &TokenConfig) -> Self {
        let read = tokio::fs::read_to_string(&config.file).await.map_err(|error| unreadable(&config.file, &error));
        let header = read.and_then(|text| header(text.trim(), &config.audience));
        Self { config: config.clone(), header }
    }

    /// Whether it can be sent.
    pub(super) fn state(&self) -> Result<(), &str> {
        self.header.as_ref().map(|_| ()).map_err(String::as_str)
    }

    /// What is sent to a pod, if anything.
    ///
    /// # Errors
    /// When the pod should get it and it cannot be sent.
    pub(super) fn for_pod(&self, pod: &Pod, settings: &Settings) -> Result<Option<&HeaderValue>, Failure> {
        let verified = settings.tls.as_ref().is_some_and(|tls| tls.verify);
        if !verified || !self.config.namespaces.iter().any(|namespace| **namespace == *pod.namespace) {
            return Ok(None);
        }
        self.header.as_ref().map(Some).map_err(|why| Failure::new(Reason::Token, why.clone()))
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> String {
    format!("cannot read the token {}: {error}", file.display())
}

fn header(token: &str, audience: &str) -> Result<HeaderValue, String> {
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Claims> = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
    let only = match claims.and_then(|claims| claims.aud) {
        Some(Audience::One(one)) => one == audience,
        Some(Audience::Several(several)) => several == [audience],
        None => false,
    };
    if !only {
        return Err(format!("the token is not for the audience `{audience}` alone, so it is not sent"));
    }
    let mut header =
        HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| "the token cannot stand in a header".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_for_anybody_else_is_not_sent() {
        let token = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        for claims in [r#"{"aud":"pods"}"#, r#"{"aud":["pods"],"sub":"x"}"#] {
            let header = header(&token(claims), "pods").unwrap();
            assert!(header.is_sensitive() && header.to_str().unwrap().starts_with("Bearer e30."));
        }
        for claims in [r#"{"aud":["pods","https://kubernetes.default.svc"]}"#, r#"{"aud":"api"}"#, "{}", "[]", r#"{"aud":[]}"#] {
            assert!(header(&token(claims), "pods").is_err(), "{claims}");
        }
        assert!(header("opaque", "pods").is_err() && header("", "pods").is_err());
    }
}

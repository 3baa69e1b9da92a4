//! How a Prometheus is reached: its address, and who asks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use object_store::aws::AwsCredentialProvider;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use crate::aws::{self, S3Options, S3OptionsError};
use crate::http::ClientError;

/// An endpoint that cannot be used. Told at start, with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Nothing to ask.
    #[error("it has no url")]
    NoUrl,
    /// Not an address; a password in it is not repeated.
    #[error("its URL is not an address; write http://HOST[:PORT] or https://HOST[:PORT], with a path if there is one")]
    Url,
    /// More than one way to say who asks.
    #[error("it has {0} and {1}; choose one")]
    TwoIdentities(&'static str, &'static str),
    /// Half of basic authentication.
    #[error("its basic_auth needs a username, and either password or password_file")]
    HalfBasicAuth,
    /// Half of a client certificate.
    #[error("its tls needs client_certificate and client_key together")]
    HalfClientCertificate,
    /// A file with a secret.
    #[error("cannot read {0}: {1}")]
    SecretFile(PathBuf, std::io::Error),
    /// A header that cannot be sent.
    #[error("its header `{0}` has a name or a value that no header has")]
    Header(String),
    /// Signatures without a region.
    #[error("its sigv4 needs a region, since the host's name does not tell it")]
    NoRegion,
    /// TLS.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Keys for signatures.
    #[error(transparent)]
    Aws(#[from] S3OptionsError),
}

/// How an endpoint is reached, from its configuration.
#[derive(Debug, Clone, Default)]
pub struct EndpointOptions {
    /// Base URL, or that of `query_range`.
    pub url: String,
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// File with a token; read again for each request.
    pub bearer_token_file: Option<PathBuf>,
    /// Sent with each request, such as `X-Scope-OrgID`.
    pub headers: BTreeMap<String, SecretString>,
    /// Certificates.
    pub tls: TlsOptions,
    /// Signatures for Amazon Managed Prometheus.
    pub sigv4: Option<SigV4Options>,
}

/// User and password.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
    /// File with the password, such as a mounted Secret; read again for each request.
    pub password_file: Option<PathBuf>,
}

/// Certificates.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// PEM certificates trusted beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// PEM certificate (chain) shown to the server.
    pub client_certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub client_key: Option<PathBuf>,
}

/// Signatures (AWS Signature Version 4, service `aps`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigV4Options {
    /// Region of the workspace; read off the host's name where absent.
    pub region: Option<String>,
    /// Static key pair; the chain of the environment where absent.
    pub access_key_id: Option<SecretString>,
    /// Second half of the key pair.
    pub secret_access_key: Option<SecretString>,
    /// Session token of a temporary key pair.
    pub session_token: Option<SecretString>,
}

/// Where requests go, without user and password.
#[derive(Debug, Clone)]
pub(super) struct Address {
    base: Url,
}

impl Address {
    /// Takes base URLs and those of `query_range`. Also gives user and password, if they stand in it.
    pub(super) fn parse(text: &str) -> Result<(Self, Option<BasicAuth>), EndpointError> {
        if text.trim().is_empty() {
            return Err(EndpointError::NoUrl);
        }
        let mut base = Url::parse(text.trim()).map_err(|_| EndpointError::Url)?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() || base.fragment().is_some() {
            return Err(EndpointError::Url);
        }
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = (!base.username().is_empty() || base.password().is_some()).then(|| BasicAuth {
            username: Some(decoded(base.username())),
            password: Some(decoded(base.password().unwrap_or_default()).into()),
            password_file: None,
        });
        // Neither fails on a URL with a host.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        let path = base.path().trim_end_matches('/');
        let path = ["/query_range", "/api/v1"].iter().fold(path, |path, end| path.strip_suffix(end).unwrap_or(path)).to_owned();
        base.set_path(&path);
        Ok((Self { base }, user))
    }

    /// The URL of an endpoint below `/api/v1/`. Parameters of the base, such as `dedup=true`, stay.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/v1/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }
}

impl std::fmt::Display for Address {
    /// Without parameters, among which a secret may be.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = self.base.clone();
        shown.set_query(None);
        f.write_str(shown.as_str().trim_end_matches('/'))
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    Anonymous,
    Basic(String, Secret),
    Bearer(PathBuf),
    SigV4(AwsCredentialProvider, String),
}

/// A secret, or where it is.
#[derive(Debug, Clone)]
pub(super) enum Secret {
    Value(SecretString),
    File(PathBuf),
}

impl Identity {
    pub(super) fn new(options: &EndpointOptions, from_url: Option<BasicAuth>, address: &Address) -> Result<Self, EndpointError> {
        let given = [
            ("a user in its URL", from_url.is_some()),
            ("basic_auth", options.basic_auth.is_some()),
            ("bearer_token_file", options.bearer_token_file.is_some()),
            ("sigv4", options.sigv4.is_some()),
        ];
        let mut named = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
        if let (Some(one), Some(other)) = (named.next(), named.next()) {
            return Err(EndpointError::TwoIdentities(one, other));
        }
        if let Some(basic) = options.basic_auth.clone().or(from_url) {
            let secret = match (basic.password, basic.password_file) {
                (Some(password), None) => Secret::Value(password),
                (None, Some(file)) => Secret::File(file),
                _ => return Err(EndpointError::HalfBasicAuth),
            };
            return Ok(Self::Basic(basic.username.ok_or(EndpointError::HalfBasicAuth)?, secret));
        }
        if let Some(file) = &options.bearer_token_file {
            std::fs::read_to_string(file).map_err(|error| EndpointError::SecretFile(file.clone(), error))?;
            return Ok(Self::Bearer(file.clone()));
        }
        let Some(sigv4) = &options.sigv4 else { return Ok(Self::Anonymous) };
        let region = sigv4.region.clone().or_else(|| aws::region_of_host(address.host())).ok_or(EndpointError::NoRegion)?;
        let keys = S3Options {
            access_key_id: sigv4.access_key_id.clone(),
            secret_access_key: sigv4.secret_access_key.clone(),
            session_token: sigv4.session_token.clone(),
            ..Default::default()
        };
        let environment = aws::environment_key_pair();
        let provider = aws::credentials(&keys.or(&environment), &region)?;
        provider.map_or(Ok(Self::Anonymous), |provider| Ok(Self::SigV4(provider, region)))
    }

    /// Headers that say who asks, for a request as it will be sent.
    ///
    /// # Errors
    /// One line, when a file cannot be read or no credential can be had.
    pub(super) async fn headers(&self, method: &http::Method, url: &Url, body: &Bytes) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        match self {
            Self::Anonymous => {}
            Self::Basic(user, secret) => {
                let secret = match secret {
                    Secret::Value(value) => value.clone(),
                    Secret::File(file) => read_secret(file).await?,
                };
                let pair = format!("{user}:{}", secret.expose_secret());
                headers.insert(AUTHORIZATION, sensitive(&format!("Basic {}", BASE64_STANDARD.encode(pair)))?);
            }
            Self::Bearer(file) => {
                let token = read_secret(file).await?;
                headers.insert(AUTHORIZATION, sensitive(&format!("Bearer {}", token.expose_secret()))?);
            }
            Self::SigV4(provider, region) => {
                let credential = provider.get_credential().await.map_err(|error| format!("no credential for AWS: {error}"))?;
                return aws::signature(method, url, body, "aps", region, &credential).map_err(|error| error.to_string());
            }
        }
        Ok(headers)
    }
}

async fn read_secret(file: &Path) -> Result<SecretString, String> {
    let text = tokio::fs::read_to_string(file).await.map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(text.trim().to_owned().into())
}

fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text).map_err(|_| "the credential holds a character that no header has".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Headers as they are configured.
pub(super) fn fixed_headers(options: &EndpointOptions) -> Result<HeaderMap, EndpointError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &options.headers {
        let illegal = || EndpointError::Header(name.clone());
        let parsed = HeaderName::try_from(name.as_str()).map_err(|_| illegal())?;
        headers.insert(parsed, sensitive(value.expose_secret()).map_err(|_| illegal())?);
    }
    Ok(headers)
}

/// Certificate and key in one PEM text.
pub(super) fn client_identity(tls: &TlsOptions) -> Result<Option<Vec<u8>>, EndpointError> {
    let read = |path: &PathBuf| std::fs::read(path).map_err(|error| EndpointError::SecretFile(path.clone(), error));
    match (&tls.client_certificate, &tls.client_key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some([read(certificate)?, b"\n".to_vec(), read(key)?].concat())),
        _ => Err(EndpointError::HalfClientCertificate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_base_whatever_is_given() {
        for (given, query_range) in [
            ("http://prom:9090", "http://prom:9090/api/v1/query_range"),
            ("http://prom:9090/", "http://prom:9090/api/v1/query_range"),
            ("http://prom:9090/api/v1/query_range", "http://prom:9090/api/v1/query_range"),
            ("https://a/prometheus/api/v1/query_range/?dedup=true", "https://a/prometheus/api/v1/query_range?dedup=true"),
            ("https://a/select/0/prometheus", "https://a/select/0/prometheus/api/v1/query_range"),
        ] {
            assert_eq!(Address::parse(given).unwrap().0.url("query_range").as_str(), query_range);
        }
        assert!(matches!(Address::parse(" "), Err(EndpointError::NoUrl)));
        for wrong in ["prom:9090", "ftp://x", "http://", "file:///x", "http://x/#a"] {
            assert!(matches!(Address::parse(wrong), Err(EndpointError::Url)), "{wrong}");
        }
    }

    #[tokio::test]
    async fn user_and_password_in_the_address_are_sent_and_never_shown() {
        let (address, user) = Address::parse("https://me:p%40ss@host/x?token=hunter2").unwrap();
        assert_eq!(address.to_string(), "https://host/x");
        let identity = Identity::new(&EndpointOptions::default(), user, &address).unwrap();
        let headers = identity.headers(&http::Method::GET, &address.url("query"), &Bytes::new()).await.unwrap();
        // Encoded by coreutils' base64.
        assert_eq!(headers[AUTHORIZATION], "Basic bWU6cEBzcw==");
        assert!(!format!("{identity:?} {headers:?}").contains("p@ss"));
    }

    #[tokio::test]
    async fn a_token_is_read_again_for_each_request() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "first\n").unwrap();
        let (address, _) = Address::parse("http://a").unwrap();
        let options = EndpointOptions { bearer_token_file: Some(file.path().into()), ..Default::default() };
        let identity = Identity::new(&options, None, &address).unwrap();
        let url = address.url("query");
        for token in ["first", "second"] {
            std::fs::write(file.path(), format!("{token}\n")).unwrap();
            let headers = identity.headers(&http::Method::GET, &url, &Bytes::new()).await.unwrap();
            assert_eq!(headers[AUTHORIZATION], format!("Bearer {token}"));
        }
        drop(file);
        assert!(identity.headers(&http::Method::GET, &url, &Bytes::new()).await.unwrap_err().contains("cannot read"));
    }

    #[tokio::test]
    async fn a_request_to_amazon_is_signed_for_its_service_and_region() {
        let (address, _) = Address::parse("https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1").unwrap();
        let sigv4 =
            SigV4Options { access_key_id: Some("AKID".into()), secret_access_key: Some("secret".into()), ..Default::default() };
        let options = EndpointOptions { sigv4: Some(sigv4), ..Default::default() };
        let identity = Identity::new(&options, None, &address).unwrap();
        let headers = identity.headers(&http::Method::GET, &address.url("query"), &Bytes::new()).await.unwrap();
        let authorization = headers[AUTHORIZATION].to_str().unwrap();
        assert!(authorization.contains("AKID/") && authorization.contains("/eu-west-1/aps/aws4_request"), "{authorization}");
    }

    #[test]
    fn who_asks_is_said_once_and_whole() {
        let (address, _) = Address::parse("http://a").unwrap();
        let refused = |options: EndpointOptions| Identity::new(&options, None, &address).unwrap_err().to_string();
        let basic = |password: Option<&str>| {
            Some(BasicAuth { username: Some("a".into()), password: password.map(Into::into), password_file: None })
        };
        let (none, token) = (EndpointOptions::default, || Some("/nowhere/token".into()));
        let both = EndpointOptions { basic_auth: basic(Some("b")), bearer_token_file: token(), ..none() };
        assert!(refused(both).contains("choose one"));
        assert!(refused(EndpointOptions { basic_auth: basic(None), ..none() }).contains("password_file"));
        assert!(refused(EndpointOptions { sigv4: Some(SigV4Options::default()), ..none() }).contains("region"));
        assert!(refused(EndpointOptions { bearer_token_file: token(), ..none() }).contains("/nowhere/token"));
        let half = TlsOptions { client_key: Some("x".into()), ..Default::default() };
        assert!(matches!(client_identity(&half), Err(EndpointError::HalfClientCertificate)));
    }
}

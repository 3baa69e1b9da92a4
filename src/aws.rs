//! How an S3 endpoint is reached: address, addressing style, region, credentials and request signatures.
//!
//! Credentials come from `object_store`: static keys, web identity (IRSA), ECS and EKS pod identity, instance metadata. Profiles in `~/.aws` are
//! not read. Signatures are made by its `AwsAuthorizer`.

mod address;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredential, AwsCredentialProvider};
use object_store::client::HttpRequestBody;
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig, StaticCredentialProvider};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

pub use self::address::{BucketAddress, region_of_host};
use crate::http::{self as client, ClientError};

/// A setting that cannot be used. Told at start, with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum S3OptionsError {
    /// The endpoint is not an address.
    #[error("endpoint `{0}` is not an address; write https://HOST[:PORT], http://HOST[:PORT] or file:///FOLDER")]
    Endpoint(String),
    /// The endpoint holds a user or a password, which is not repeated.
    #[error("the endpoint holds a user or a password; give the key pair by -access-key-id and -secret-access-key instead")]
    EndpointWithSecret,
    /// A bucket cannot stand in front of an IP address.
    #[error("virtual-hosted addressing needs an endpoint with a host name, and `{0}` is an IP address")]
    VirtualHostedAddress(String),
    /// The region cannot be one.
    #[error("{0:?} is not a region; it has 1 to 64 letters, digits, dashes and underscores (a line feed at its end?)")]
    Region(String),
    /// The bucket's name cannot be one.
    #[error("`{0}` is not a bucket name; it has 1 to 255 letters, digits, dots, dashes and underscores")]
    Bucket(String),
    /// Half of a key pair.
    #[error("{0} is set, but {1} is not; a key pair needs both")]
    HalfKeyPair(&'static str, &'static str),
    /// A credential that cannot stand in a request header.
    #[error("{0} holds a character that no credential has (a line feed at its end?)")]
    IllegalCredential(&'static str),
    /// A file with a secret.
    #[error("cannot read secret_access_key_file {0}: {1}")]
    SecretFile(PathBuf, std::io::Error),
    /// A folder in place of a bucket.
    #[error("cannot make the folder {0}: {1}")]
    Folder(PathBuf, std::io::Error),
    /// TLS.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The credential chain.
    #[error("cannot set up credentials: {0}")]
    Credentials(#[from] object_store::Error),
}

/// The `s3` section of the configuration, and the same keys on a single bucket.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Options {
    /// `https://...`, `http://...` or `file:///...`; AWS itself where absent.
    pub endpoint: Option<String>,
    /// Region for the signature; where absent it is read off the endpoint's name, or guessed and corrected by what the bucket answers.
    pub region: Option<String>,
    /// The guess, from `AWS_REGION`: in a pod it is the region of the cluster, and the bucket may be in another.
    #[serde(skip)]
    pub region_hint: Option<String>,
    /// How the bucket is named in a request.
    pub addressing: Option<Addressing>,
    /// Static key pair; the credential chain is asked where absent.
    pub access_key_id: Option<SecretString>,
    /// Second half of the key pair.
    pub secret_access_key: Option<SecretString>,
    /// File with the second half of the key pair, such as a mounted Secret.
    pub secret_access_key_file: Option<PathBuf>,
    /// Session token of a temporary key pair.
    pub session_token: Option<SecretString>,
    /// No signature at all, for public buckets.
    pub anonymous: Option<bool>,
    /// PEM certificates trusted beside the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// How the bucket is named in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Addressing {
    /// Virtual-hosted on AWS, path-style elsewhere and for bucket names that are not one label of a host name (a dot, a capital, an underscore).
    #[default]
    Auto,
    /// `https://endpoint/bucket`
    Path,
    /// `https://bucket.endpoint`
    Virtual,
}

impl S3Options {
    /// These options, completed by `fallback`. Half a key pair is completed too, but a whole one is never mixed: its token is its own.
    pub fn or(self, fallback: &Self) -> Self {
        let (has_id, has_secret) =
            (self.access_key_id.is_some(), self.secret_access_key.is_some() || self.secret_access_key_file.is_some());
        let complete = has_id && has_secret || self.anonymous == Some(true);
        let lower = if complete { &Self::default() } else { fallback };
        let secret = if has_secret { &Self::default() } else { lower };
        Self {
            endpoint: self.endpoint.or_else(|| fallback.endpoint.clone()),
            region: self.region.or_else(|| fallback.region.clone()),
            region_hint: self.region_hint.or_else(|| fallback.region_hint.clone()),
            addressing: self.addressing.or(fallback.addressing),
            ca_bundle: self.ca_bundle.or_else(|| fallback.ca_bundle.clone()),
            access_key_id: self.access_key_id.or_else(|| lower.access_key_id.clone()),
            secret_access_key: self.secret_access_key.or_else(|| secret.secret_access_key.clone()),
            secret_access_key_file: self.secret_access_key_file.or_else(|| secret.secret_access_key_file.clone()),
            session_token: self.session_token.or_else(|| lower.session_token.clone()),
            anonymous: self.anonymous.or(if has_id || has_secret { None } else { fallback.anonymous }),
        }
    }

    /// The endpoint, parsed.
    pub fn endpoint(&self) -> Result<Endpoint, S3OptionsError> {
        let Some(text) = &self.endpoint else { return Ok(Endpoint::Aws) };
        let refused = || match text.contains('@') {
            true => S3OptionsError::EndpointWithSecret,
            false => S3OptionsError::Endpoint(text.split('?').next().unwrap_or_default().to_owned()),
        };
        if text.starts_with('/') || text.starts_with("file:") && !text.starts_with("file:///") {
            return Err(refused());
        }
        let with_scheme = if text.contains("://") { text.clone() } else { format!("https://{text}") };
        let url = Url::parse(&with_scheme).map_err(|_| refused())?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(refused());
        }
        match url.scheme() {
            "file" => url.to_file_path().map(Endpoint::Folder).map_err(|()| refused()),
            // AWS under its global name: a bucket outside us-east-1 is only reached under its region's.
            "https" if url.host_str() == Some("s3.amazonaws.com") => Ok(Endpoint::Aws),
            "http" | "https" if url.has_host() => Ok(Endpoint::Url(url)),
            _ => Err(refused()),
        }
    }
}

/// What an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// AWS, in the configured region.
    Aws,
    /// An S3 server.
    Url(Url),
    /// A local folder with one folder per bucket.
    Folder(PathBuf),
}

/// Checks that `bucket` can be put in a path and a host name as it is.
pub fn check_bucket_name(bucket: &str) -> Result<(), S3OptionsError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if (1..=255).contains(&bucket.len()) && bucket.bytes().all(legal) && !bucket.bytes().all(|byte| byte == b'.') {
        Ok(())
    } else {
        Err(S3OptionsError::Bucket(bucket.to_owned()))
    }
}

/// Who the credentials come from: the options' own key pair, else the chain of the environment. `None` for anonymous access.
pub fn credentials(options: &S3Options, region: &str) -> Result<Option<AwsCredentialProvider>, S3OptionsError> {
    if options.anonymous == Some(true) {
        return Ok(None);
    }
    let from_file = match &options.secret_access_key_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| S3OptionsError::SecretFile(path.clone(), error))?;
            Some(SecretString::from(text.trim().to_owned()))
        }
        None => None,
    };
    let secret = options.secret_access_key.as_ref().or(from_file.as_ref());
    match (&options.access_key_id, secret) {
        (Some(key_id), Some(secret)) => Ok(Some(static_credentials(key_id, secret, options.session_token.as_ref())?)),
        (Some(_), None) => Err(S3OptionsError::HalfKeyPair("the access key id", "the secret access key")),
        (None, Some(_)) => Err(S3OptionsError::HalfKeyPair("the secret access key", "the access key id")),
        (None, None) => Ok(Some(credential_chain(options, region)?)),
    }
}

fn static_credentials(
    key_id: &SecretString,
    secret: &SecretString,
    token: Option<&SecretString>,
) -> Result<AwsCredentialProvider, S3OptionsError> {
    let checked = |name, value: &SecretString| match HeaderValue::from_str(value.expose_secret()) {
        Ok(_) => Ok(value.expose_secret().to_owned()),
        Err(_) => Err(S3OptionsError::IllegalCredential(name)),
    };
    let credential = AwsCredential {
        key_id: checked("the access key id", key_id)?,
        secret_key: checked("the secret access key", secret)?,
        token: token.map(|token| checked("the session token", token)).transpose()?,
    };
    Ok(Arc::new(StaticCredentialProvider::new(credential)))
}

/// What the chain is told by: web identity, ECS and EKS pod identity, instance metadata. Nothing else of the environment concerns it.
const CHAIN_VARIABLES: [&str; 9] = [
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
    "AWS_IMDSV1_FALLBACK",
];

fn credential_chain(options: &S3Options, region: &str) -> Result<AwsCredentialProvider, S3OptionsError> {
    let mut client_options =
        ClientOptions::new().with_timeout(Duration::from_secs(10)).with_connect_timeout(Duration::from_secs(5));
    if let Some(path) = &options.ca_bundle {
        for certificate in Certificate::from_pem_bundle(&client::read_ca_bundle(path)?)? {
            client_options = client_options.with_root_certificate(certificate);
        }
    }
    let retry = RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(15), backoff: BackoffConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name("credentials-only")
        .with_region(region)
        .with_client_options(client_options)
        .with_retry(retry);
    for name in CHAIN_VARIABLES {
        // A variable that is set to nothing counts as not set.
        if let Some(value) = std::env::var(name).ok().filter(|value| !value.is_empty()) {
            builder = builder.with_config(name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()?, value);
        }
    }
    let store = builder.build()?;
    Ok(Arc::clone(store.credentials()))
}

/// A signed (or, without a credential, plain) GET request to S3 for a region that has been checked.
///
/// # Errors
/// When the credential chain gave something that cannot stand in a header.
pub fn signed_get(url: &Url, region: &str, credential: Option<&AwsCredential>) -> Result<reqwest::Request, S3OptionsError> {
    let mut request = reqwest::Request::new(http::Method::GET, url.clone());
    if let Some(credential) = credential {
        *request.headers_mut() = signature(&http::Method::GET, url, &Bytes::new(), "s3", region, credential)?;
    }
    Ok(request)
}

/// The headers that sign a request (AWS Signature Version 4).
///
/// # Errors
/// When the credential chain gave something that cannot stand in a header.
pub fn signature(
    method: &http::Method,
    url: &Url,
    body: &Bytes,
    service: &str,
    region: &str,
    credential: &AwsCredential,
) -> Result<HeaderMap, S3OptionsError> {
    let request = http::Request::builder().method(method).uri(url.as_str()).body(HttpRequestBody::from(body.clone()));
    let mut request = request.map_err(|_| S3OptionsError::Endpoint(url.to_string()))?;
    // The authorizer would panic.
    for (what, text) in [("the access key id", Some(&credential.key_id)), ("the session token", credential.token.as_ref())] {
        HeaderValue::from_str(text.map_or("", String::as_str)).map_err(|_| S3OptionsError::IllegalCredential(what))?;
    }
    AwsAuthorizer::new(credential, service, region).authorize(&mut request, None);
    Ok(std::mem::take(request.headers_mut()))
}

/// The key pair under AWS' own names, for services beside S3.
pub fn environment_key_pair() -> S3Options {
    let secret = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(SecretString::from);
    S3Options {
        access_key_id: secret("AWS_ACCESS_KEY_ID"),
        secret_access_key: secret("AWS_SECRET_ACCESS_KEY"),
        session_token: secret("AWS_SESSION_TOKEN"),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        let endpoint = |text: &str| S3Options { endpoint: Some(text.into()), ..Default::default() }.endpoint();
        for text in
            ["ftp://x", "/x", "file:/x", "https://", "http://a?b", "http://a#b", "file:///a#b", "file://relative/x", ":::"]
        {
            assert!(matches!(endpoint(text), Err(S3OptionsError::Endpoint(_))), "{text}");
        }
        for bucket in ["", "a/b", "a?b", "..", "a b", "ä"] {
            assert!(check_bucket_name(bucket).is_err(), "{bucket}");
        }
        let half = S3Options { access_key_id: Some("a".into()), ..Default::default() };
        assert!(matches!(credentials(&half, "r"), Err(S3OptionsError::HalfKeyPair(..))));
    }

    #[test]
    fn a_password_in_an_endpoint_is_refused_and_not_repeated() {
        for text in ["https://user:hunter2@host", "http://:hunter2@host", "user:hunter2@host", "ftp://u:hunter2@h"] {
            let options = S3Options { endpoint: Some(text.into()), ..Default::default() };
            let error = options.endpoint().unwrap_err().to_string();
            assert!(error.contains("password") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_key_pair_is_never_mixed_and_never_printed() {
        let file = S3Options {
            access_key_id: Some("file-id".into()),
            secret_access_key: Some("file-secret".into()),
            session_token: Some("file-token".into()),
            region: Some("r".into()),
            ..Default::default()
        };
        let flags =
            S3Options { access_key_id: Some("id".into()), secret_access_key: Some("secret".into()), ..Default::default() };
        let merged = flags.or(&file);
        assert_eq!(merged.secret_access_key.as_ref().unwrap().expose_secret(), "secret");
        assert!(merged.session_token.is_none());
        assert_eq!(merged.region.as_deref(), Some("r"));
        let printed = format!("{merged:?}");
        assert!(!printed.contains("secret\"") && !printed.contains("\"id\""), "{printed}");
        let signing =
            S3Options { anonymous: Some(false), session_token: Some("own-token".into()), ..Default::default() }.or(&file);
        assert_eq!(signing.access_key_id.unwrap().expose_secret(), "file-id");
        assert_eq!(signing.session_token.unwrap().expose_secret(), "own-token");
        assert_eq!(signing.anonymous, Some(false));
        let half = S3Options { secret_access_key: Some("own-secret".into()), ..Default::default() }.or(&file);
        assert_eq!(half.access_key_id.unwrap().expose_secret(), "file-id");
        assert_eq!(half.secret_access_key.unwrap().expose_secret(), "own-secret");
        let public = S3Options { anonymous: Some(true), ..Default::default() };
        assert_eq!(file.or(&public).anonymous, None);
    }

    #[test]
    fn a_credential_that_is_no_header_is_an_error_and_no_panic() {
        let url = Url::parse("http://s3/b").unwrap();
        let credential = AwsCredential { key_id: "a".into(), secret_key: "b".into(), token: Some("c\n".into()) };
        assert!(signed_get(&url, "r", Some(&credential)).is_err());
        let credential = AwsCredential { token: None, ..credential };
        assert!(signed_get(&url, "r", Some(&credential)).unwrap().headers().contains_key("authorization"));
    }
}

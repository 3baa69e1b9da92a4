//! How an S3 endpoint is reached: address, addressing style, region, credentials and request signatures.
//!
//! Credentials come from `object_store`, so that what works for AWS' own tools works here: static keys, web identity (IRSA), ECS and EKS pod
//! identity, instance metadata. Signatures are made by its `AwsAuthorizer`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential, AwsCredentialProvider};
use object_store::client::HttpRequestBody;
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig, StaticCredentialProvider};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use crate::http::{self as client, ClientError};

/// Where no region is named and none can be told from the endpoint. S3-compatible servers ignore it or use this one.
const DEFAULT_REGION: &str = "us-east-1";

/// A setting that cannot be used. Told at start, with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum S3OptionsError {
    /// The endpoint is not an address.
    #[error("endpoint `{0}` is not an address; write https://HOST[:PORT], http://HOST[:PORT] or file:///FOLDER")]
    Endpoint(String),
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
    /// Region for the signature; where absent it is read off the endpoint's name, else `us-east-1`, else what the bucket answers.
    pub region: Option<String>,
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
    /// Virtual-hosted on AWS, path-style elsewhere and for bucket names with a dot (no certificate covers them).
    #[default]
    Auto,
    /// `https://endpoint/bucket`
    Path,
    /// `https://bucket.endpoint`
    Virtual,
}

impl S3Options {
    /// These options, completed by `fallback`. A key pair is taken whole from one of the two, never half and half.
    pub fn or(self, fallback: &Self) -> Self {
        let own_credentials = self.access_key_id.is_some()
            || self.secret_access_key.is_some()
            || self.secret_access_key_file.is_some()
            || self.anonymous.is_some();
        let credentials = if own_credentials { self.clone() } else { fallback.clone() };
        Self {
            endpoint: self.endpoint.or_else(|| fallback.endpoint.clone()),
            region: self.region.or_else(|| fallback.region.clone()),
            addressing: self.addressing.or(fallback.addressing),
            ca_bundle: self.ca_bundle.or_else(|| fallback.ca_bundle.clone()),
            ..credentials
        }
    }

    /// The endpoint, parsed.
    pub fn endpoint(&self) -> Result<Endpoint, S3OptionsError> {
        let Some(text) = &self.endpoint else { return Ok(Endpoint::Aws) };
        let refused = || S3OptionsError::Endpoint(text.clone());
        let with_scheme = if text.contains("://") { text.clone() } else { format!("https://{text}") };
        let url = Url::parse(&with_scheme).map_err(|_| refused())?;
        match url.scheme() {
            "file" => url.to_file_path().map(Endpoint::Folder).map_err(|()| refused()),
            "http" | "https"
                if url.has_host() && url.query().is_none() && url.fragment().is_none() && url.username().is_empty() =>
            {
                Ok(Endpoint::Url(url))
            }
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

/// Where requests for a bucket go, and for which region they are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketAddress {
    /// The bucket's URL, without a trailing slash or query.
    pub url: Url,
    /// The region in the signature.
    pub region: String,
    /// True where the region was not configured, so that the bucket's own answer may correct it.
    pub region_is_a_guess: bool,
}

impl BucketAddress {
    /// The address of `bucket` behind `endpoint`, which is no folder.
    pub fn new(options: &S3Options, endpoint: &Endpoint, bucket: &str) -> Result<Self, S3OptionsError> {
        let configured = match endpoint {
            Endpoint::Url(url) => Some(url.clone()),
            Endpoint::Aws | Endpoint::Folder(_) => None,
        };
        let named = configured.as_ref().and_then(Url::host_str).and_then(region_of_host);
        let region = options.region.clone().or(named);
        let region_is_a_guess = region.is_none();
        let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let refused = || S3OptionsError::Endpoint(options.endpoint.clone().unwrap_or_default());
        let base = match configured {
            Some(url) => url,
            None => Url::parse(&format!("https://s3.{region}.amazonaws.com")).map_err(|_| refused())?,
        };
        let url = bucket_url(base, bucket, options.addressing.unwrap_or_default()).ok_or_else(refused)?;
        Ok(Self { url, region, region_is_a_guess })
    }

    /// The same bucket in `region`, which the server named. On AWS the host follows.
    pub fn in_region(&self, region: &str) -> Self {
        let mut url = self.url.clone();
        if let Some(host) = self.url.host_str().filter(|host| host.ends_with(".amazonaws.com")) {
            let bucket = host.split(".s3.").next().filter(|bucket| *bucket != host);
            let regional = match bucket {
                Some(bucket) => format!("{bucket}.s3.{region}.amazonaws.com"),
                None => format!("s3.{region}.amazonaws.com"),
            };
            // A region that cannot stand in a host name leaves the host as it is; the request then fails with the server's own words.
            let _ = url.set_host(Some(&regional));
        }
        Self { url, region: region.to_owned(), region_is_a_guess: false }
    }
}

fn bucket_url(mut base: Url, bucket: &str, addressing: Addressing) -> Option<Url> {
    let host = base.host_str()?.to_owned();
    let on_aws = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    let path_style = match addressing {
        Addressing::Path => true,
        Addressing::Virtual => false,
        Addressing::Auto => !on_aws || bucket.contains('.') || bucket.contains('_'),
    };
    if path_style {
        let path = format!("{}/{bucket}", base.path().trim_end_matches('/'));
        base.set_path(&path);
    } else {
        base.set_host(Some(&format!("{bucket}.{host}"))).ok()?;
    }
    Some(base)
}

/// `eu-west-1` from `s3.eu-west-1.amazonaws.com`, `s3-eu-west-1...` or `s3.dualstack.eu-west-1...`.
fn region_of_host(host: &str) -> Option<String> {
    let service = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let region = service.rsplit('.').next()?;
    let region = region.strip_prefix("s3-").unwrap_or(region);
    (region != "s3" && region.contains('-') && region.ends_with(|last: char| last.is_ascii_digit())).then(|| region.to_owned())
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

fn credential_chain(options: &S3Options, region: &str) -> Result<AwsCredentialProvider, S3OptionsError> {
    let mut client_options =
        ClientOptions::new().with_timeout(Duration::from_secs(10)).with_connect_timeout(Duration::from_secs(5));
    if let Some(path) = &options.ca_bundle {
        for certificate in Certificate::from_pem_bundle(&client::read_ca_bundle(path)?)? {
            client_options = client_options.with_root_certificate(certificate);
        }
    }
    let retry = RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(15), backoff: BackoffConfig::default() };
    let store = AmazonS3Builder::from_env()
        .with_bucket_name("credentials-only")
        .with_region(region)
        .with_client_options(client_options)
        .with_retry(retry)
        .build()?;
    Ok(Arc::clone(store.credentials()))
}

/// A signed (or, without a credential, plain) GET request.
///
/// # Errors
/// When `url` is no request target, which a [`Url`] always is.
pub fn signed_get(url: &Url, region: &str, credential: Option<&AwsCredential>) -> Result<reqwest::Request, http::Error> {
    let mut request = http::Request::get(url.as_str()).body(HttpRequestBody::empty())?;
    if let Some(credential) = credential {
        AwsAuthorizer::new(credential, "s3", region).authorize(&mut request, None);
    }
    let mut signed = reqwest::Request::new(http::Method::GET, url.clone());
    *signed.headers_mut() = std::mem::take(request.headers_mut());
    Ok(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(endpoint: Option<&str>, region: Option<&str>, addressing: Addressing) -> S3Options {
        S3Options {
            endpoint: endpoint.map(Into::into),
            region: region.map(Into::into),
            addressing: Some(addressing),
            ..Default::default()
        }
    }

    fn address(endpoint: Option<&str>, region: Option<&str>, addressing: Addressing, bucket: &str) -> (String, String, bool) {
        let options = options(endpoint, region, addressing);
        let address = BucketAddress::new(&options, &options.endpoint().unwrap(), bucket).unwrap();
        (address.url.to_string(), address.region, address.region_is_a_guess)
    }

    #[test]
    fn a_bucket_is_addressed_as_its_server_expects() {
        use Addressing::{Auto, Path, Virtual};
        let cases = [
            (None, None, Auto, "b", "https://b.s3.us-east-1.amazonaws.com/", "us-east-1", true),
            (None, Some("eu-west-1"), Auto, "b", "https://b.s3.eu-west-1.amazonaws.com/", "eu-west-1", false),
            (None, Some("eu-west-1"), Auto, "b.c", "https://s3.eu-west-1.amazonaws.com/b.c", "eu-west-1", false),
            (None, Some("eu-west-1"), Path, "b", "https://s3.eu-west-1.amazonaws.com/b", "eu-west-1", false),
            (Some("http://minio:9000"), None, Auto, "b", "http://minio:9000/b", "us-east-1", true),
            (Some("http://minio:9000/s3/"), None, Auto, "b", "http://minio:9000/s3/b", "us-east-1", true),
            (Some("minio:9000"), None, Virtual, "b", "https://b.minio:9000/", "us-east-1", true),
            (
                Some("https://s3.eu-north-1.amazonaws.com"),
                None,
                Path,
                "b",
                "https://s3.eu-north-1.amazonaws.com/b",
                "eu-north-1",
                false,
            ),
            (Some("https://s3.amazonaws.com"), None, Auto, "b", "https://b.s3.amazonaws.com/", "us-east-1", true),
        ];
        for (endpoint, region, addressing, bucket, url, signed_for, guess) in cases {
            assert_eq!(address(endpoint, region, addressing, bucket), (url.into(), signed_for.into(), guess));
        }
    }

    #[test]
    fn the_region_that_a_bucket_names_is_adopted() {
        for (bucket, url) in [("b", "https://b.s3.eu-west-3.amazonaws.com/"), ("b.c", "https://s3.eu-west-3.amazonaws.com/b.c")] {
            let options = options(None, None, Addressing::Auto);
            let address = BucketAddress::new(&options, &Endpoint::Aws, bucket).unwrap().in_region("eu-west-3");
            assert_eq!((address.url.as_str(), address.region.as_str()), (url, "eu-west-3"));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for endpoint in ["ftp://x", "https://", "http://a?b", "file://relative/x", "https://user@host", ":::"] {
            assert!(options(Some(endpoint), None, Addressing::Auto).endpoint().is_err(), "{endpoint}");
        }
        for bucket in ["", "a/b", "a?b", "..", "a b", "ä"] {
            assert!(check_bucket_name(bucket).is_err(), "{bucket}");
        }
        let half = S3Options { access_key_id: Some("a".into()), ..Default::default() };
        assert!(matches!(credentials(&half, "r"), Err(S3OptionsError::HalfKeyPair(..))));
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
        assert!(S3Options::default().or(&file).session_token.is_some());
    }
}

//! `ListObjectsV2` against an S3 server: one signed request a page, tried again where that can help, with every failure told apart.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use object_store::aws::AwsCredentialProvider;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prometheus::IntCounter;
use url::Url;

use super::page::read_error_document;
use super::{Cursor, ListError, Page, PageError, Reason};
use crate::aws::{self, BucketAddress, Endpoint, S3Options, S3OptionsError};
use crate::http::{self as client, BodyError, Failed, Retry, RetryPolicy};

/// A dead endpoint is given up after 45 s at most, so that a scan of it fails within a minute.
const POLICY: RetryPolicy =
    RetryPolicy { attempts: 6, attempt_timeout: Duration::from_secs(20), total_timeout: Duration::from_secs(45) };

/// A thousand keys of 1,024 bytes, each byte percent-encoded, with room for what surrounds them.
const LARGEST_PAGE: usize = 16 << 20;

/// What may stand in a query as it is (RFC 3986, and SigV4's canonical form).
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A bucket on an S3 server, listed below a prefix.
pub struct Bucket {
    client: reqwest::Client,
    credentials: Option<AwsCredentialProvider>,
    /// Replaced once if the bucket turns out to be in another region than guessed.
    address: RwLock<BucketAddress>,
    prefix: String,
}

impl Bucket {
    pub(super) fn new(options: &S3Options, endpoint: &Endpoint, bucket: &str, prefix: &str) -> Result<Self, S3OptionsError> {
        let address = BucketAddress::new(options, endpoint, bucket)?;
        Ok(Self {
            client: client::client(options.ca_bundle.as_deref())?,
            credentials: aws::credentials(options, &address.region)?,
            address: RwLock::new(address),
            prefix: prefix.to_owned(),
        })
    }

    pub(super) fn prefix(&self) -> &[u8] {
        self.prefix.as_bytes()
    }

    pub(super) fn location(&self) -> String {
        let url = self.address().url;
        if self.prefix.is_empty() { url.to_string() } else { format!("{url} (prefix {:?})", self.prefix) }
    }

    /// Fetches a page. Each attempt is counted in `requests`.
    pub(super) async fn page(&self, cursor: &Cursor, requests: Option<&IntCounter>) -> Result<Page, ListError> {
        let timed_out = |limit: Duration| {
            self.error(
                Reason::Timeout,
                format!("no complete answer within {} s (no route, or a stalled server?)", limit.as_secs()),
            )
        };
        client::with_retries(POLICY, timed_out, || self.attempt(cursor, requests)).await
    }

    async fn attempt(&self, cursor: &Cursor, requests: Option<&IntCounter>) -> Result<Page, Failed<ListError>> {
        if let Some(requests) = requests {
            requests.inc();
        }
        Page::read(self.request(cursor).await?).map_err(|error| self.page_failure(error, None, None))
    }

    async fn request(&self, cursor: &Cursor) -> Result<Vec<u8>, Failed<ListError>> {
        let address = self.address();
        let credential = match &self.credentials {
            None => None,
            Some(provider) => Some(provider.get_credential().await.map_err(|error| Failed {
                error: self.error(Reason::Credentials, format!("no credentials: {}", client::chain(&error))),
                retry: Retry::Backoff,
            })?),
        };
        let url = page_url(&address.url, &self.prefix, cursor);
        let request = aws::signed_get(&url, &address.region, credential.as_deref())
            .map_err(|error| Failed { error: self.error(Reason::InvalidResponse, error.to_string()), retry: Retry::Never })?;
        let response = self.client.execute(request).await.map_err(|error| self.transport_failure(&error))?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = client::read_body(response, LARGEST_PAGE).await.map_err(|error| match error {
            BodyError::Transport(error) => self.transport_failure(&error),
            too_large @ BodyError::TooLarge(_) => {
                Failed { error: self.error(Reason::InvalidResponse, too_large.to_string()), retry: Retry::Never }
            }
        })?;
        if status.is_success() {
            return Ok(body);
        }
        let named_region = headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let error = match read_error_document(&body) {
            Some(PageError::ErrorDocument { code, message, region }) => {
                PageError::ErrorDocument { code, message, region: region.or(named_region) }
            }
            _ => PageError::ErrorDocument { code: String::new(), message: String::new(), region: named_region },
        };
        Err(self.page_failure(error, Some(status), client::retry_after(&headers)))
    }

    fn transport_failure(&self, error: &reqwest::Error) -> Failed<ListError> {
        let reason = match error {
            error if client::is_tls_failure(error) => Reason::Tls,
            error if error.is_timeout() => Reason::Timeout,
            _ => Reason::Connection,
        };
        let retry = if reason == Reason::Tls { Retry::Never } else { Retry::Backoff };
        Failed { error: self.error(reason, client::chain(error)), retry }
    }

    /// Judges an answer that is no page: by S3's own error code first, then by the status, if it was not 200.
    fn page_failure(&self, error: PageError, status: Option<http::StatusCode>, after: Option<Duration>) -> Failed<ListError> {
        let PageError::ErrorDocument { code, message, region } = error else {
            return Failed { error: self.error(Reason::InvalidResponse, error.to_string()), retry: Retry::Backoff };
        };
        if let Some(region) = &region
            && is_region_error(&code, status)
            && self.move_to_region(region)
        {
            let moved = self.error(Reason::WrongRegion, format!("the bucket is in region {region}"));
            return Failed { error: moved, retry: Retry::Backoff };
        }
        let (reason, again) = judge(&code, status);
        let retry = match (again, after) {
            (false, _) => Retry::Never,
            (true, Some(after)) => Retry::After(after),
            (true, None) => Retry::Backoff,
        };
        let mut text = status.map_or_else(|| "200 with an error".to_owned(), |status| status.to_string());
        for part in [&code, &message].into_iter().filter(|part| !part.is_empty()) {
            text = format!("{text}: {part}");
        }
        if reason == Reason::WrongRegion {
            let region = region.as_deref().unwrap_or("another one");
            text = format!("{text}: the bucket is in region {region}; set the region to that");
        }
        Failed { error: self.error(reason, text), retry }
    }

    /// Follows the bucket to the region it named, once, and only where the operator named none. True if the next attempt may succeed.
    fn move_to_region(&self, region: &str) -> bool {
        let mut address = self.address.write().unwrap_or_else(PoisonError::into_inner);
        if !address.region_is_a_guess || region == address.region {
            return false;
        }
        tracing::info!(region, bucket = %address.url, "the bucket is in this region; following it there");
        *address = address.in_region(region);
        true
    }

    fn address(&self) -> BucketAddress {
        self.address.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn error(&self, reason: Reason, text: String) -> ListError {
        ListError::new(reason, format!("listing {}: {text}", self.location()))
    }
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Bucket").field(&self.location()).finish()
    }
}

/// `encoding-type=url` is asked for, so that keys with characters that XML cannot hold arrive.
fn page_url(bucket: &Url, prefix: &str, cursor: &Cursor) -> Url {
    let encode = |text| utf8_percent_encode(text, &UNRESERVED);
    let mut query = String::from("list-type=2&encoding-type=url");
    if !prefix.is_empty() {
        query.push_str("&prefix=");
        query.extend(encode(prefix));
    }
    if let Cursor::Token(token) = cursor {
        query.push_str("&continuation-token=");
        query.extend(encode(token));
    }
    let mut url = bucket.clone();
    url.set_query(Some(&query));
    url
}

fn is_region_error(code: &str, status: Option<http::StatusCode>) -> bool {
    matches!(
        code,
        "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException"
    ) || status.is_some_and(|status| status.is_redirection())
}

/// The reason of an error answer, and whether to try again.
/// Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
fn judge(code: &str, status: Option<http::StatusCode>) -> (Reason, bool) {
    if is_region_error(code, status) {
        return (Reason::WrongRegion, false);
    }
    match code {
        "SlowDown" | "ServiceUnavailable" | "Throttling" | "ThrottlingException" | "TooManyRequests" | "RequestLimitExceeded" => {
            return (Reason::Throttled, true);
        }
        "InternalError" => return (Reason::ServerError, true),
        "RequestTimeout" => return (Reason::Timeout, true),
        // Temporary keys that ran out are replaced by the provider before the next attempt.
        "ExpiredToken" => return (Reason::AccessDenied, true),
        "NoSuchBucket" => return (Reason::NoSuchBucket, false),
        "AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "RequestTimeTooSkewed" | "InvalidToken" => {
            return (Reason::AccessDenied, false);
        }
        _ => {}
    }
    match status.map(|status| status.as_u16()) {
        Some(401 | 403) => (Reason::AccessDenied, false),
        Some(404) => (Reason::NoSuchBucket, false),
        Some(408) => (Reason::Timeout, true),
        Some(429 | 503) => (Reason::Throttled, true),
        Some(500..=599) => (Reason::ServerError, true),
        _ => (Reason::InvalidResponse, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_survives_signing() {
        let bucket = Url::parse("http://s3:9000/b").unwrap();
        let url = page_url(&bucket, "a b/+é", &Cursor::Token("1+/=&".into()));
        assert_eq!(
            url.as_str(),
            "http://s3:9000/b?list-type=2&encoding-type=url&prefix=a%20b%2F%2B%C3%A9&continuation-token=1%2B%2F%3D%26"
        );
    }

    #[test]
    fn errors_are_judged_by_code_then_status() {
        let status = |code| http::StatusCode::from_u16(code).ok();
        assert_eq!(judge("SlowDown", None), (Reason::Throttled, true));
        assert_eq!(judge("SignatureDoesNotMatch", status(403)), (Reason::AccessDenied, false));
        assert_eq!(judge("", status(502)), (Reason::ServerError, true));
        assert_eq!(judge("", status(301)), (Reason::WrongRegion, false));
        assert_eq!(judge("NoSuchBucket", status(404)), (Reason::NoSuchBucket, false));
        assert_eq!(judge("MalformedXML", status(400)), (Reason::InvalidResponse, false));
    }
}

//! `ListObjectsV2` against an S3 server: one signed request a page, tried again where that can help, with every failure told apart.

mod refusal;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use object_store::aws::{AwsCredential, AwsCredentialProvider};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use url::Url;

use self::refusal::Refusal;
use super::{Cursor, ListError, Meter, Pace, Page, PageError, Pages, Reason};
use crate::aws::{self, BucketAddress, Endpoint, S3Options, S3OptionsError};
use crate::http::{self as client, BodyError, ClientOptions, FIRST_BACKOFF, Failed, Retry, RetryPolicy};

/// A dead endpoint is given up after 45 s at most, so that a scan of it fails within a minute.
const POLICY: RetryPolicy = RetryPolicy {
    attempts: 6,
    attempt_timeout: Duration::from_secs(20),
    total_timeout: Duration::from_secs(45),
    first_backoff: FIRST_BACKOFF,
};

/// A thousand keys of 1,024 bytes, each byte percent-encoded, with as much again for what surrounds them.
const LARGEST_PAGE: usize = 6 << 20;

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
            client: client::client(ClientOptions { ca_bundle: options.ca_bundle.as_deref(), ..Default::default() })?,
            credentials: aws::credentials(options, address.region())?,
            address: RwLock::new(address),
            prefix: prefix.to_owned(),
        })
    }

    /// Fetches a page. Each attempt waits for its turn and is told, where there is somebody to tell.
    pub(super) async fn fetch(&self, cursor: &Cursor, watched: Option<(&Meter, &Pace)>) -> Result<Page, ListError> {
        let timed_out = |attempts: u32, elapsed: Duration| {
            if let Some((_, pace)) = watched {
                pace.overrun();
            }
            let text =
                format!("no complete answer; {attempts} attempts in {} s (no route, or a stalled server?)", elapsed.as_secs());
            self.error(Reason::Timeout, &text)
        };
        let turn = async || match watched {
            Some((_, pace)) => Some(pace.turn().await),
            None => None,
        };
        client::with_retries(POLICY, timed_out, turn, || self.attempt(cursor, watched)).await
    }

    async fn attempt(&self, cursor: &Cursor, watched: Option<(&Meter, &Pace)>) -> Result<Page, Failed<ListError>> {
        let start = Instant::now();
        if let Some((meter, _)) = watched {
            meter.request();
        }
        let page = self.request(cursor).await.and_then(|body| {
            Page::read(body).map_err(|error| match error {
                PageError::ErrorDocument(document) => self.refused(&Refusal { document, ..Refusal::default() }),
                // A body that was cut off or garbled on its way may be whole next time.
                garbled => self.failed(Reason::InvalidResponse, &garbled.to_string(), Retry::Backoff),
            })
        });
        if let Some((_, pace)) = watched {
            match &page {
                Ok(_) => pace.answered(start.elapsed()),
                Err(failed) if failed.error.reason == Reason::Throttled => pace.overrun(),
                Err(_) => {}
            }
        }
        page
    }

    async fn request(&self, cursor: &Cursor) -> Result<Vec<u8>, Failed<ListError>> {
        let address = self.address();
        let credential = self.credential().await?;
        let url = page_url(address.url(), &self.prefix, cursor);
        let request = aws::signed_get(&url, address.region(), credential.as_deref())
            .map_err(|error| self.failed(Reason::Credentials, &error.to_string(), Retry::Never))?;
        let response = self.client.execute(request).await.map_err(|error| self.transport_failure(error))?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = client::read_body(response, LARGEST_PAGE).await.map_err(|error| match error {
            BodyError::Transport(error) => self.transport_failure(error),
            BodyError::TooLarge(_) => self.failed(Reason::InvalidResponse, &error.to_string(), Retry::Never),
        })?;
        if status.is_success() {
            return Ok(body);
        }
        Err(self.refused(&Refusal::new(status, &headers, &body)))
    }

    async fn credential(&self) -> Result<Option<Arc<AwsCredential>>, Failed<ListError>> {
        let Some(provider) = &self.credentials else { return Ok(None) };
        provider.get_credential().await.map(Some).map_err(|error| {
            let text = format!(
                "no key pair is configured, and neither web identity nor pod identity nor instance metadata gives one: {}",
                client::chain(&error)
            );
            self.failed(Reason::Credentials, &text, Retry::Backoff)
        })
    }

    fn transport_failure(&self, error: reqwest::Error) -> Failed<ListError> {
        let (reason, retry) = match &error {
            error if client::is_tls_failure(error) => (Reason::Tls, Retry::Never),
            error if error.is_timeout() => (Reason::Timeout, Retry::Backoff),
            _ => (Reason::Connection, Retry::Backoff),
        };
        // Where the request went is told already.
        let mut text = client::chain(&error.without_url());
        if text.contains("InvalidContentType") {
            text.push_str(" (the server does not speak TLS; is it http:// that is meant?)");
        }
        self.failed(reason, &text, retry)
    }

    fn refused(&self, refusal: &Refusal) -> Failed<ListError> {
        if refusal.names_region()
            && let Some(region) = &refusal.document.region
            && self.move_to_region(region)
        {
            return self.failed(Reason::WrongRegion, &format!("the bucket is in region {region}"), Retry::Backoff);
        }
        let (reason, retry) = refusal.judge();
        self.failed(reason, &refusal.to_string(), retry)
    }

    /// Follows the bucket to the region it named, once, and only where the operator named none. True if the next attempt may succeed.
    fn move_to_region(&self, region: &str) -> bool {
        let mut address = self.address.write().unwrap_or_else(PoisonError::into_inner);
        let Some(moved) = address.in_region(region) else { return false };
        tracing::info!(region, bucket = %address.url(), "the bucket is in this region; following it there");
        *address = moved;
        true
    }

    fn address(&self) -> BucketAddress {
        self.address.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn error(&self, reason: Reason, text: &str) -> ListError {
        ListError::new(reason, format!("listing {}: {text}", self.location()))
    }

    fn failed(&self, reason: Reason, text: &str, retry: Retry) -> Failed<ListError> {
        Failed { error: self.error(reason, text), retry }
    }
}

impl Pages for Bucket {
    fn prefix(&self) -> &[u8] {
        self.prefix.as_bytes()
    }

    fn location(&self) -> String {
        let url = self.address().url().clone();
        if self.prefix.is_empty() { url.to_string() } else { format!("{url} (prefix {:?})", self.prefix) }
    }

    async fn page(&self, cursor: &Cursor, meter: &Meter, pace: &Pace) -> Result<Page, ListError> {
        self.fetch(cursor, Some((meter, pace))).await
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
    match cursor {
        Cursor::Start => {}
        Cursor::After(key) => {
            query.push_str("&start-after=");
            query.extend(percent_encode(key, &UNRESERVED));
        }
        Cursor::Token(token) => {
            query.push_str("&continuation-token=");
            query.extend(encode(token));
        }
    }
    let mut url = bucket.clone();
    url.set_query(Some(&query));
    url
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
}

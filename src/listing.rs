//! Lists every object of a bucket, exactly: all of them or an error, never a part.
//!
//! A [`Listing`] has two sources that speak the same page: [`s3`] (`ListObjectsV2`) and [`folder`] (a bucket as a local folder). A page is read
//! whole before its first object is counted ([`page`]), so an answer that is cut off half-way counts nothing and can be asked for again.
//!
//! Pages are fetched one after the other here. A listing is a loop over [`Cursor`]s that feeds a [`Tally`]; ranges listed side by side are
//! several such loops over parts of the key space, each with its own tally.

mod folder;
mod page;
mod s3;
mod values;
mod xml;

use prometheus::{IntCounter, IntGauge};

use self::folder::Folder;
pub use self::page::{Page, PageError};
use self::s3::Bucket;
use crate::aws::{self, Endpoint, S3Options, S3OptionsError};

/// An object as a listing tells it, valid while its page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<'a> {
    /// The whole key, prefix included; UTF-8 on S3 itself, any bytes elsewhere.
    pub key: &'a [u8],
    /// Bytes.
    pub size: u64,
    /// Last modification, in milliseconds since the Unix epoch.
    pub modified: i64,
    /// Such as `STANDARD` or `GLACIER`.
    pub storage_class: &'a [u8],
}

/// Takes the objects of a listing, each once, in the order of the server.
pub trait Tally {
    /// Counts an object.
    fn add(&mut self, object: &Object<'_>);
}

/// What a running listing shows of itself.
#[derive(Debug, Clone)]
pub struct Meter {
    /// Pages read.
    pub pages: IntCounter,
    /// Requests sent, failed ones included.
    pub requests: IntCounter,
    /// Objects seen by the listing that is running or ran last.
    pub objects_seen: IntGauge,
}

/// Why a listing failed. The set is closed: it is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The credential chain gave nothing.
    Credentials,
    /// 401, 403: wrong keys, or no permission to list.
    AccessDenied,
    /// The bucket, or the folder, does not exist.
    NoSuchBucket,
    /// The bucket is in another region than configured.
    WrongRegion,
    /// Refused, reset, unknown host.
    Connection,
    /// The certificate is not trusted, or the peer does not speak TLS.
    Tls,
    /// No answer, or none in time.
    Timeout,
    /// `SlowDown`, 429, 503.
    Throttled,
    /// Another 5xx.
    ServerError,
    /// An answer that is no list page: cut off, invalid, endless, another protocol.
    InvalidResponse,
    /// The local folder cannot be read.
    Folder,
}

impl Reason {
    /// Every reason, so that each can be a counter from the start.
    pub const ALL: [Self; 11] = [
        Self::Credentials,
        Self::AccessDenied,
        Self::NoSuchBucket,
        Self::WrongRegion,
        Self::Connection,
        Self::Tls,
        Self::Timeout,
        Self::Throttled,
        Self::ServerError,
        Self::InvalidResponse,
        Self::Folder,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::AccessDenied => "access_denied",
            Self::NoSuchBucket => "no_such_bucket",
            Self::WrongRegion => "wrong_region",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Throttled => "throttled",
            Self::ServerError => "server_error",
            Self::InvalidResponse => "invalid_response",
            Self::Folder => "folder",
        }
    }
}

/// A listing that failed, after all its retries.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ListError {
    /// For the metric.
    pub reason: Reason,
    /// For people: what was asked, what came back, what to do.
    pub message: String,
}

impl ListError {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Where the next page starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// At the first key with the prefix.
    Start,
    /// Where the last page said that it ends.
    Token(String),
}

/// A bucket that can be listed.
#[derive(Debug)]
pub enum Listing {
    /// An S3 server.
    S3(Box<Bucket>),
    /// A local folder.
    Folder(Folder),
}

/// After so many empty pages in a row the server will not come to an end.
const MOST_EMPTY_PAGES: u32 = 1_000;

impl Listing {
    /// Prepares to list the objects of `bucket` whose key begins with `prefix`. Nothing is asked yet.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn open(options: &S3Options, bucket: &str, prefix: &str) -> Result<Self, S3OptionsError> {
        aws::check_bucket_name(bucket)?;
        match options.endpoint()? {
            Endpoint::Folder(root) => Ok(Self::Folder(Folder::new(root.join(bucket), prefix))),
            endpoint => Ok(Self::S3(Box::new(Bucket::new(options, &endpoint, bucket, prefix)?))),
        }
    }

    /// Where the objects are, for people.
    pub fn location(&self) -> String {
        match self {
            Self::S3(bucket) => bucket.location(),
            Self::Folder(folder) => folder.location(),
        }
    }

    /// Feeds every object to `tally`.
    ///
    /// # Errors
    /// When any page could not be had; `tally` then holds a part and is to be thrown away.
    pub async fn list(&self, tally: &mut impl Tally, meter: &Meter) -> Result<(), ListError> {
        meter.objects_seen.set(0);
        match self {
            Self::S3(bucket) => list_pages(bucket, tally, meter).await,
            Self::Folder(folder) => folder.list(tally, meter).await,
        }
    }

    /// Asks for the first page only, to see whether listing works. Gives its number of objects, and whether there are more.
    pub async fn probe(&self) -> Result<(usize, bool), ListError> {
        match self {
            Self::S3(bucket) => {
                let page = bucket.page(&Cursor::Start, None).await?;
                Ok((page.len(), page.truncated))
            }
            Self::Folder(folder) => folder.probe().await,
        }
    }
}

/// The serial lister: page after page by continuation token.
async fn list_pages(bucket: &Bucket, tally: &mut impl Tally, meter: &Meter) -> Result<(), ListError> {
    let mut cursor = Cursor::Start;
    let mut repeats = Repeats::default();
    let mut empty_pages = 0;
    loop {
        let mut page = bucket.page(&cursor, Some(&meter.requests)).await?;
        let invalid = |what: &str| Err(ListError::new(Reason::InvalidResponse, format!("{}: {what}", bucket.location())));
        if repeats.seen_before(&page) {
            return invalid("the server answers the continuation token with objects that have been listed already");
        }
        for object in page.objects() {
            if !object.key.starts_with(bucket.prefix()) {
                return invalid("the server ignores the prefix");
            }
            tally.add(&object);
        }
        count_page(meter, page.len());
        if !page.truncated {
            return Ok(());
        }
        empty_pages = if page.is_empty() { empty_pages + 1 } else { 0 };
        if empty_pages > MOST_EMPTY_PAGES {
            return invalid("more than 1,000 empty pages in a row");
        }
        let Some(token) = page.next_token.take() else { return invalid("a truncated page without a continuation token") };
        let next = Cursor::Token(token);
        if next == cursor {
            return invalid("the continuation token does not move on");
        }
        cursor = next;
    }
}

/// Notices a server that goes back: to the key before, or in a circle of pages of any length (Brent's method: the page whose first key is
/// remembered is moved forward at every power of two).
#[derive(Default)]
struct Repeats {
    pages: u64,
    remembered: Vec<u8>,
    last_key: Vec<u8>,
}

impl Repeats {
    fn seen_before(&mut self, page: &Page) -> bool {
        let Some(first) = page.objects().next() else { return false };
        let again = self.pages > 0 && (first.key == self.remembered.as_slice() || first.key == self.last_key.as_slice());
        self.pages += 1;
        if self.pages.is_power_of_two() {
            self.remembered = first.key.to_vec();
        }
        if let Some(last) = page.objects().next_back() {
            self.last_key.clear();
            self.last_key.extend_from_slice(last.key);
        }
        again
    }
}

fn count_page(meter: &Meter, objects: usize) {
    meter.pages.inc();
    meter.objects_seen.add(i64::try_from(objects).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str]) -> Page {
        let mut page = Page::default();
        keys.iter().for_each(|key| page.push(key.as_bytes(), 1, 0));
        page
    }

    #[test]
    fn a_server_that_goes_back_is_noticed() {
        let mut overlap = Repeats::default();
        assert!(!overlap.seen_before(&page(&["a", "b"])));
        assert!(overlap.seen_before(&page(&["b", "c"])));
        for circle in 1..20 {
            let mut repeats = Repeats::default();
            assert!(!repeats.seen_before(&page(&["start"])) && !repeats.seen_before(&page(&[])));
            let noticed = (0..200).position(|number| repeats.seen_before(&page(&[&format!("{}", number % circle), "end"])));
            assert!(noticed.is_some_and(|at| at <= 3 * circle + 2), "a circle of {circle}: {noticed:?}");
        }
    }

    #[test]
    fn a_server_that_goes_on_is_not() {
        let mut repeats = Repeats::default();
        assert!(!(0..1_000).any(|number| repeats.seen_before(&page(&[&format!("{number:04}a"), &format!("{number:04}b")]))));
    }
}

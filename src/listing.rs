//! Lists every object of a bucket, exactly: all of them or an error, never a part.
//!
//! A [`Listing`] has two sources that speak the same page: [`s3`] (`ListObjectsV2`) and [`folder`] (a bucket as a local folder). A page is read
//! whole before its first object is counted ([`page`]), so an answer that is cut off half-way counts nothing and can be asked for again.
//!
//! A bucket is cut into ranges of keys that are listed side by side ([`parallel`] asks, [`ranges`] decides, [`shape`] and [`histogram`] say where
//! to cut, [`pace`] how many at once). A server that cannot be asked by key is listed page after page ([`serial`]).

mod folder;
mod histogram;
mod pace;
mod page;
mod parallel;
mod ranges;
mod s3;
mod serial;
mod shape;
mod values;
mod xml;

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Counter, IntCounter, IntGauge};

use self::folder::Folder;
use self::histogram::Histogram;
use self::pace::Pace;
pub use self::page::{Page, PageError};
use self::parallel::{Pages, Stopped};
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

/// Takes the objects of a listing, each once, in no order.
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
    /// What the requests cost, at `price` each.
    pub cost: Counter,
    /// Of one request.
    pub price: f64,
    /// Objects seen by the listing that is running or ran last.
    pub objects_seen: IntGauge,
    /// How many requests may run side by side.
    pub concurrency: IntGauge,
    /// Listings that had to go on page after page.
    pub fallbacks: IntCounter,
}

impl Meter {
    fn request(&self) {
        self.requests.inc();
        self.cost.inc_by(self.price);
    }

    fn page(&self, objects: u64) {
        self.pages.inc();
        self.objects_seen.add(i64::try_from(objects).unwrap_or(i64::MAX));
    }
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
    /// A fault of this program.
    Internal,
}

impl Reason {
    /// Every reason, so that each can be a counter from the start.
    pub const ALL: [Self; 12] = [
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
        Self::Internal,
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
            Self::Internal => "internal",
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
    /// Behind this key.
    After(Box<[u8]>),
    /// Where the last page said that it ends.
    Token(String),
}

/// A bucket that can be listed.
#[derive(Debug)]
pub struct Listing(Source);

#[derive(Debug)]
enum Source {
    /// An S3 server.
    S3(Box<Repeated<Bucket>>),
    /// A local folder.
    Folder(Folder),
}

impl Listing {
    /// Prepares to list the objects of `bucket` whose key begins with `prefix`, with at most `ways` requests side by side. Nothing is asked yet.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn open(options: &S3Options, bucket: &str, prefix: &str, ways: usize) -> Result<Self, S3OptionsError> {
        aws::check_bucket_name(bucket)?;
        match options.endpoint()? {
            Endpoint::Folder(root) => Ok(Self(Source::Folder(Folder::new(root.join(bucket), prefix)))),
            endpoint => {
                let bucket = Bucket::new(options, &endpoint, bucket, prefix)?;
                Ok(Self(Source::S3(Box::new(Repeated::new(bucket, ways)))))
            }
        }
    }

    /// Where the objects are, for people.
    pub fn location(&self) -> String {
        match &self.0 {
            Source::S3(listing) => listing.source.location(),
            Source::Folder(folder) => folder.location(),
        }
    }

    /// Gives every object to a tally; to a new one if the listing has to begin again.
    ///
    /// # Errors
    /// When any page could not be had.
    pub async fn list<T: Tally>(&self, tally: impl Fn() -> T, meter: &Meter) -> Result<T, ListError> {
        match &self.0 {
            Source::S3(listing) => listing.list(tally, meter).await,
            Source::Folder(folder) => {
                meter.objects_seen.set(0);
                let mut tally = tally();
                folder.list(&mut tally, meter).await?;
                Ok(tally)
            }
        }
    }

    /// Asks for the first page only, to see whether listing works. Gives its number of objects, and whether there are more.
    pub async fn probe(&self) -> Result<(usize, bool), ListError> {
        match &self.0 {
            Source::S3(listing) => {
                let page = listing.source.fetch(&Cursor::Start, |_| ()).await?;
                Ok((page.len(), page.truncated))
            }
            Source::Folder(folder) => folder.probe().await,
        }
    }
}

/// Lists the same pages again and again, and remembers what there is to know about them.
#[derive(Debug)]
struct Repeated<P> {
    source: Arc<P>,
    ways: usize,
    memory: Mutex<Memory>,
}

/// What is known of a bucket from its last listing.
#[derive(Debug, Clone, Default)]
struct Memory {
    histogram: Arc<Histogram>,
    /// How often in a row the server turned out not to be asked by key.
    distrusted: u32,
    /// Listings that go on page after page before it is tried again.
    serial: u32,
}

/// After so many listings page after page a server is tried by key again, at the latest.
const MOST_SERIAL: u32 = 64;

impl<P: Pages> Repeated<P> {
    fn new(source: P, ways: usize) -> Self {
        Self { source: Arc::new(source), ways, memory: Mutex::default() }
    }

    async fn list<T: Tally>(&self, tally: impl Fn() -> T, meter: &Meter) -> Result<T, ListError> {
        meter.objects_seen.set(0);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut count = tally();
        if memory.serial > 0 {
            memory.serial -= 1;
            serial::list(&*self.source, &mut count, None, meter).await?;
        } else {
            match parallel::list(&self.source, &mut count, Arc::clone(&memory.histogram), self.ways, meter).await {
                Ok(learned) => memory = Memory { histogram: Arc::new(learned), ..Memory::default() },
                Err(Stopped::Failed(error)) => return Err(error),
                Err(Stopped::Distrust(why)) => {
                    memory.distrusted += 1;
                    memory.serial = 2_u32.saturating_pow(memory.distrusted).min(MOST_SERIAL);
                    tracing::warn!(bucket = %self.source.location(), "the bucket is listed page after page, since {why}");
                    meter.fallbacks.inc();
                    meter.objects_seen.set(0);
                    count = tally();
                    serial::list(&*self.source, &mut count, why.witness(), meter).await?;
                }
            }
        }
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = memory;
        Ok(count)
    }
}

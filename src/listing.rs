//! Lists every object of a bucket, exactly: all of them or an error, never a part.
//!
//! A [`Listing`] has two sources that speak the same page: [`s3`] (`ListObjectsV2`) and [`folder`] (a bucket as a local folder). A page is read
//! whole before its first object is counted ([`page`]), so an answer that is cut off half-way counts nothing and can be asked for again.
//!
//! A bucket is cut into ranges of keys that are listed side by side ([`parallel`] asks, [`ranges`] decides, [`shape`] and [`histogram`] say where
//! to cut, [`pace`] how many at once). A server that cannot be asked by key is listed page after page ([`serial`]).

mod error;
mod folder;
mod histogram;
mod pace;
mod page;
mod parallel;
mod ranges;
mod repeated;
mod s3;
mod serial;
mod shape;
mod values;
mod xml;

use prometheus::{Counter, IntCounter, IntGauge};

pub use self::error::{ListError, Reason};
use self::folder::Folder;
use self::pace::Pace;
pub use self::page::{Page, PageError};
use self::repeated::Repeated;
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

/// Gives pages: a bucket on a server, or what a test makes of one.
trait Pages: Send + Sync + 'static {
    /// What all keys begin with.
    fn prefix(&self) -> &[u8];

    /// Where the objects are, for people.
    fn location(&self) -> String;

    /// The page at `cursor`, after as many attempts as make sense; each is told to `meter` and `pace`.
    fn page(&self, cursor: &Cursor, meter: &Meter, pace: &Pace) -> impl Future<Output = Result<Page, ListError>> + Send;
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
                let page = listing.source.fetch(&Cursor::Start, None).await?;
                Ok((page.len(), page.truncated))
            }
            Source::Folder(folder) => folder.probe().await,
        }
    }
}

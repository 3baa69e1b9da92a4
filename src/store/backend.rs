//! What is behind a store: a local folder, or an S3 server in the region that the bucket names.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use tokio::sync::{Mutex, OnceCell};

use super::folder::Folder;
use crate::aws::{self, BucketAddress, S3Options, S3OptionsError};
use crate::http as client;

/// A part of 8 MiB on a line of 1 Mbit/s.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);
/// What arrives within it.
const REQUEST_BYTES: usize = 8 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Retries of one request.
const RETRIES: usize = 5;
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);
/// For the bucket to tell its region.
const REGION_TIMEOUT: Duration = Duration::from_secs(10);

/// For a request that carries so many bytes, on the same line.
pub(super) fn deadline(bytes: usize) -> Duration {
    let begun = bytes.div_ceil(REQUEST_BYTES).max(1);
    REQUEST_TIMEOUT.saturating_mul(u32::try_from(begun).unwrap_or(u32::MAX))
}

/// Where objects are.
#[derive(Debug)]
pub(super) enum Backend {
    /// Folders know no metadata and cannot replace on a condition: what this process does, it does one at a time.
    Folder {
        clients: Clients,
        files: Folder,
        one_at_a_time: Mutex<()>,
    },
    Server(Box<Server>),
}

#[derive(Debug)]
pub(super) struct Server {
    options: S3Options,
    bucket: String,
    address: BucketAddress,
    clients: Clients,
    /// Once the bucket was asked for its region: others, if it is in another one.
    moved: OnceCell<Option<Clients>>,
}

/// Two clients of the same bucket.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// Without a limit on the whole of a request, since an object may be large. Whoever asks sets one.
    pub(super) reader: Arc<dyn ObjectStore>,
}

impl Backend {
    pub(super) fn folder(folder: &FilePath) -> Result<Self, S3OptionsError> {
        std::fs::create_dir_all(folder).map_err(|error| S3OptionsError::Folder(folder.into(), error))?;
        let files = Folder::new(folder)?;
        let objects: Arc<dyn ObjectStore> = files.objects();
        Ok(Self::Folder { clients: Clients { reader: Arc::clone(&objects), objects }, files, one_at_a_time: Mutex::default() })
    }

    pub(super) fn server(options: &S3Options, bucket: &str, address: BucketAddress) -> Result<Self, S3OptionsError> {
        let clients = Clients::new(options, bucket, &address)?;
        let (options, bucket) = (options.clone(), bucket.to_owned());
        Ok(Self::Server(Box::new(Server { options, bucket, address, clients, moved: OnceCell::new() })))
    }

    pub(super) async fn clients(&self) -> &Clients {
        match self {
            Self::Folder { clients, .. } => clients,
            Self::Server(server) => server.clients().await,
        }
    }
}

impl Server {
    /// Follows the bucket to its region once, where the operator named none.
    async fn clients(&self) -> &Clients {
        if !self.address.has_guessed_region() {
            return &self.clients;
        }
        let moved = self.moved.get_or_try_init(async || {
            let region = self.region().await?;
            let address = region.and_then(|region| self.address.in_region(&region));
            Ok::<_, reqwest::Error>(address.and_then(|address| Clients::new(&self.options, &self.bucket, &address).ok()))
        });
        moved.await.ok().and_then(Option::as_ref).unwrap_or(&self.clients)
    }

    /// What S3 tells anybody about a bucket, also who may not read it.
    async fn region(&self) -> Result<Option<String>, reqwest::Error> {
        let options = client::ClientOptions { ca_bundle: self.options.ca_bundle.as_deref(), ..Default::default() };
        let Ok(http) = client::client(options) else { return Ok(None) };
        let response = http.head(self.address.url().clone()).timeout(REGION_TIMEOUT).send().await?;
        let region = response.headers().get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
        Ok(region.map(str::to_owned))
    }
}

impl Clients {
    fn new(options: &S3Options, bucket: &str, address: &BucketAddress) -> Result<Self, S3OptionsError> {
        let mut client_options = ClientOptions::new()
            .with_timeout(REQUEST_TIMEOUT)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_allow_http(address.url().scheme() == "http");
        if let Some(path) = &options.ca_bundle {
            for certificate in Certificate::from_pem_bundle(&client::read_ca_bundle(path)?)? {
                client_options = client_options.with_root_certificate(certificate);
            }
        }
        let credentials = aws::credentials(options, address.region())?;
        let build = |client_options| -> Result<Arc<dyn ObjectStore>, S3OptionsError> {
            let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, backoff: BackoffConfig::default() };
            // The address has the bucket in it, which this builder expects of virtual-hosted addresses.
            let builder = AmazonS3Builder::new()
                .with_bucket_name(bucket)
                .with_region(address.region())
                .with_endpoint(address.url().as_str().trim_end_matches('/'))
                .with_virtual_hosted_style_request(true)
                .with_client_options(client_options)
                .with_retry(retry);
            let builder = match &credentials {
                Some(credentials) => builder.with_credentials(Arc::clone(credentials)),
                None => builder.with_skip_signature(true),
            };
            Ok(Arc::new(builder.build()?))
        };
        let reader = client_options.clone().with_timeout_disabled();
        Ok(Self { objects: build(client_options)?, reader: build(reader)? })
    }
}

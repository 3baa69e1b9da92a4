//! What can be different about an in-memory S3, chosen before it starts.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use s3s::service::S3ServiceBuilder;

use super::serve::{self, OneUser, Shared};
use super::{S3Memory, addressing, listing, operations};
use crate::http_server::{Handler, HttpServer};
use crate::s3_list::MAX_KEYS;
use crate::tls::Authority;

/// The certificate holds for these.
const TLS_NAMES: [&str; 3] = ["localhost", "*.localhost", "127.0.0.1"];

/// How to start an [`S3Memory`].
#[derive(Debug, Clone)]
pub struct Builder {
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) session_token: Option<String>,
    pub(super) domain: String,
}

impl Builder {
    /// Listens here instead of on a free port of 127.0.0.1.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// HTTPS with a new authority: see [`S3Memory::ca_pem`].
    #[must_use]
    pub fn tls(mut self, on: bool) -> Self {
        self.tls = on;
        self
    }

    /// Other credentials than the built-in ones.
    #[must_use]
    pub fn credentials(mut self, access_key_id: &str, secret_access_key: &str) -> Self {
        access_key_id.clone_into(&mut self.access_key_id);
        secret_access_key.clone_into(&mut self.secret_access_key);
        self
    }

    /// Requests need this session token besides the credentials.
    #[must_use]
    pub fn session_token(mut self, token: &str) -> Self {
        self.session_token = Some(token.to_owned());
        self
    }

    /// Hosts below this domain name a bucket, instead of those below `localhost`.
    #[must_use]
    pub fn domain(mut self, domain: &str) -> Self {
        domain.clone_into(&mut self.domain);
        self
    }

    /// Starts the server. Fails if its address is taken.
    pub async fn start(self) -> io::Result<S3Memory> {
        let shared = Arc::new(Shared {
            objects: Mutex::default(),
            page_limit: AtomicUsize::new(MAX_KEYS),
            requests: Mutex::default(),
            faults: Mutex::default(),
            session_token: self.session_token.clone(),
            domain: self.domain.clone(),
        });
        let mut service = S3ServiceBuilder::new(operations::Operations(Arc::clone(&shared)));
        service.set_auth(OneUser {
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.as_str().into(),
        });
        service.set_host(addressing::Domain(self.domain));
        service.set_route(listing::Listing(Arc::clone(&shared)));
        let service = service.build();
        let handler: Handler = {
            let shared = Arc::clone(&shared);
            Arc::new(move |request| serve::answer(service.clone(), Arc::clone(&shared), request).boxed())
        };
        let authority = self.tls.then(|| Authority::new("fake S3 authority"));
        let acceptor = authority.as_ref().map(|authority| authority.acceptor("fake S3", &TLS_NAMES));
        Ok(S3Memory {
            server: HttpServer::start(self.address, acceptor, handler).await?,
            shared,
            access_key_id: self.access_key_id,
            secret_access_key: self.secret_access_key,
            session_token: self.session_token,
            ca_pem: authority.map(|authority| authority.pem()),
        })
    }
}

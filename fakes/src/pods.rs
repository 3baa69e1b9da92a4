//! Pods that have metrics, or should have: HTTP servers, each on its own loopback address.
//!
//! A pod has a [`Behaviour`], which a test can change while the pod runs. Several pods can have the same
//! port on different addresses, as in a cluster: start the others with the [`port`](PodBuilder::port) of
//! the first. Linux answers on all of 127.0.0.0/8; other systems do not.

mod address;
mod behaviour;
mod concurrency;
mod connection;
pub mod exposition;
mod fleet;
mod gzip;
mod negotiation;
mod respond;
mod serve;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use address::loopback;
pub use behaviour::{Behaviour, Body, OPENMETRICS, TEXT};
pub use concurrency::Concurrency;
pub use fleet::{Fleet, FleetOptions};

use crate::lock;
pub use crate::tls::Authority;
use serve::Shared;

/// A running pod; it stops when this is dropped.
pub struct Pod {
    address: SocketAddr,
    shared: Arc<Shared>,
    ca_pem: Option<String>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

/// One request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRequest {
    /// `GET`.
    pub method: String,
    /// Path and query, as sent.
    pub path_and_query: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

impl PodRequest {
    /// The first header of this name (in lower case), empty without one.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }
}

impl Pod {
    /// A pod on an address of its own and a free port.
    pub async fn start(behaviour: Behaviour) -> Self {
        Self::builder(behaviour).start().await.expect("a free port on a loopback address")
    }

    /// A pod on `address`; port 0 takes a free port. Fails if the address is taken.
    pub async fn start_on(address: SocketAddr, behaviour: Behaviour) -> io::Result<Self> {
        Self::builder(behaviour).ip(address.ip()).port(address.port()).start().await
    }

    /// A pod with HTTPS, whose certificate holds for `names`: DNS names and IP addresses.
    pub async fn start_tls(behaviour: Behaviour, names: &[&str]) -> Self {
        Self::builder(behaviour).tls(names).start().await.expect("a free port on a loopback address")
    }

    /// A pod whose requests are counted together with those of others.
    pub async fn start_counted(behaviour: Behaviour, concurrency: &Concurrency) -> Self {
        Self::builder(behaviour).counted(concurrency).start().await.expect("a free port on a loopback address")
    }

    /// A pod with more to say about it.
    pub fn builder(behaviour: Behaviour) -> PodBuilder {
        PodBuilder { behaviour, ip: loopback(), port: 0, tls: None, concurrency: None, forgetful: false }
    }

    /// Its address.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Address and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it does this: with new requests, also on open connections.
    pub fn set(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    /// All requests so far, oldest first.
    pub fn requests(&self) -> Vec<PodRequest> {
        lock(&self.shared.requests).clone()
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The certificate of the authority behind the certificate of the pod.
    ///
    /// # Panics
    ///
    /// If the pod has no TLS.
    pub fn ca_pem(&self) -> &str {
        self.ca_pem.as_deref().expect("a pod that was started with TLS")
    }

    /// Closes all connections; from now on connections are refused.
    pub async fn stop(&self) {
        let accepting = lock(&self.accepting).take();
        if let Some(task) = accepting {
            task.abort();
            // An abort is done when the task was dropped, not when it was asked for.
            let _cancelled = task.await;
        }
    }

    /// Listens again on the same address after [`stop`](Self::stop).
    pub async fn resume(&self) {
        self.stop().await;
        let listener = TcpListener::bind(self.address).await.expect("the port was ours a moment ago");
        self.accept_from(listener);
    }

    fn accept_from(&self, listener: TcpListener) {
        let task = tokio::spawn(serve::accept(listener, Arc::clone(&self.shared)));
        *lock(&self.accepting) = Some(task);
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.accepting).take() {
            task.abort();
        }
    }
}

/// A pod before it runs.
#[must_use]
pub struct PodBuilder {
    behaviour: Behaviour,
    ip: IpAddr,
    port: u16,
    tls: Option<(tokio_rustls::TlsAcceptor, String)>,
    concurrency: Option<Concurrency>,
    forgetful: bool,
}

impl PodBuilder {
    /// Listens on this address, in place of one of its own.
    pub fn ip(self, ip: IpAddr) -> Self {
        Self { ip, ..self }
    }

    /// Listens on this port, in place of a free one.
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Speaks HTTPS, with a certificate for `names` from an authority of its own.
    pub fn tls(self, names: &[&str]) -> Self {
        self.tls_by(&Authority::new("fake pod authority"), names)
    }

    /// Speaks HTTPS, with a certificate for `names` from `authority`.
    pub fn tls_by(self, authority: &Authority, names: &[&str]) -> Self {
        Self { tls: Some((authority.acceptor("fake pod", names), authority.pem())), ..self }
    }

    /// Counts its requests together with those of others.
    pub fn counted(self, concurrency: &Concurrency) -> Self {
        Self { concurrency: Some(concurrency.clone()), ..self }
    }

    /// Keeps no requests: [`Pod::requests`] is empty.
    pub fn forgetful(self) -> Self {
        Self { forgetful: true, ..self }
    }

    /// Listens. Fails if the address is taken.
    pub async fn start(self) -> io::Result<Pod> {
        let listener = TcpListener::bind((self.ip, self.port)).await?;
        let (tls, ca_pem) = self.tls.unzip();
        let shared = Shared {
            behaviour: Mutex::new(self.behaviour),
            requests: Mutex::default(),
            forgetful: self.forgetful,
            asked: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            concurrency: self.concurrency,
            tls,
        };
        let pod = Pod { address: listener.local_addr()?, shared: Arc::new(shared), ca_pem, accepting: Mutex::default() };
        pod.accept_from(listener);
        Ok(pod)
    }
}

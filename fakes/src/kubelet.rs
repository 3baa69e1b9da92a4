//! A kubelet, as far as `/stats/summary` goes, with faults.
//!
//! Its pods use more with each answer, always by the same steps, so that a test can say what any of them
//! uses. They are of several kinds in turn, since runtimes do not all tell the same: see [`Kind`].

mod respond;
mod summary;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use serde_json::Value;

use crate::http_server::{ANY_PORT, Handler, HttpServer};
use crate::lock;
use crate::tls::Authority;
use respond::Shared;
pub use summary::Kind;

/// A running kubelet; it stops when this is dropped.
pub struct Kubelet {
    server: HttpServer,
    shared: Arc<Shared>,
    tls: bool,
    ca_pem: String,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KubeletFault {
    /// This code and a line of text.
    Status(u16),
    /// No answer, for as long as the client waits.
    Hang,
    /// Half of the answer, and the end of the connection.
    Truncated,
    /// A whole answer that is no JSON.
    Garbage,
    /// The connection is reset.
    Reset,
    /// Another place.
    Redirect(String),
    /// Any other answer with 200.
    Body(String),
}

/// One request as it came in, also if it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeletRequest {
    /// `/stats/summary`.
    pub path: String,
    /// `Authorization`, empty without.
    pub authorization: String,
}

impl Kubelet {
    /// A kubelet without TLS on a free port of 127.0.0.1, with ten pods, that lets everybody in.
    pub async fn start() -> Self {
        Self::builder().start().await.expect("a free port on the loopback interface")
    }

    /// A kubelet with more to say about it.
    pub fn builder() -> KubeletBuilder {
        KubeletBuilder { address: ANY_PORT, node: "node-1".to_owned(), pods: 10, names: None, token: None }
    }

    /// `http://127.0.0.1:PORT`, or with https.
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.server.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The certificate of the authority that signed its own.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// From now on it wants this bearer token.
    pub fn require_token(&self, token: &str) {
        *lock(&self.shared.token) = Some(token.to_owned());
    }

    /// From now on there are so many pods.
    pub fn set_pods(&self, pods: usize) {
        lock(&self.shared.node).pods = pods;
    }

    /// From now on every answer has this fault, or none.
    pub fn set_fault(&self, fault: Option<KubeletFault>) {
        *lock(&self.shared.fault) = fault;
    }

    /// What it says in its `answer`-th whole answer, from zero.
    pub fn summary(&self, answer: u64) -> Value {
        lock(&self.shared.node).summary(answer)
    }

    /// All requests so far, oldest first.
    pub fn requests(&self) -> Vec<KubeletRequest> {
        lock(&self.shared.requests).clone()
    }

    /// Closes all connections; from now on connections are refused.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Listens again on the same port after [`stop`](Self::stop).
    pub async fn resume(&self) {
        self.server.resume().await.expect("the port was ours a moment ago");
    }
}

/// A kubelet before it runs.
#[must_use]
pub struct KubeletBuilder {
    address: SocketAddr,
    node: String,
    pods: usize,
    names: Option<Vec<String>>,
    token: Option<String>,
}

impl KubeletBuilder {
    /// Listens here.
    pub fn address(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// Calls its node so; empty: it does not tell.
    pub fn node(self, name: &str) -> Self {
        Self { node: name.to_owned(), ..self }
    }

    /// Has so many pods.
    pub fn pods(self, pods: usize) -> Self {
        Self { pods, ..self }
    }

    /// Speaks HTTPS, with a certificate for `names` from an authority of its own.
    pub fn tls(self, names: &[&str]) -> Self {
        Self { names: Some(names.iter().map(|name| (*name).to_owned()).collect()), ..self }
    }

    /// Wants this bearer token.
    pub fn token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    /// Listens. Fails if the address is taken.
    pub async fn start(self) -> io::Result<Kubelet> {
        let shared = Arc::new(Shared {
            node: Mutex::new(summary::Node { name: self.node, pods: self.pods }),
            token: Mutex::new(self.token),
            fault: Mutex::default(),
            answers: Mutex::default(),
            requests: Mutex::default(),
        });
        let handler: Handler = {
            let shared = Arc::clone(&shared);
            Arc::new(move |request| respond::answer(Arc::clone(&shared), request).boxed())
        };
        let authority = Authority::new("fake kubelet authority");
        let acceptor = self.names.map(|names| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            authority.acceptor("fake kubelet", &names)
        });
        let tls = acceptor.is_some();
        let server = HttpServer::start(self.address, acceptor, handler).await?;
        Ok(Kubelet { server, shared, tls, ca_pem: authority.pem() })
    }
}

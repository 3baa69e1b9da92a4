//! What reports are sent to: takes them, or says what a test tells it to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How it answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// 200, with this body.
    Take(&'static str),
    /// Another code, and `Retry-After`.
    Refuse(u16, Option<u64>),
    /// Takes the report, and goes away before it says so.
    Lose,
    /// Another place.
    Redirect(String),
}

/// A POST as it came in.
#[derive(Debug, Clone)]
pub struct Post {
    pub at: Instant,
    pub path: String,
    pub headers: HeaderMap,
    /// As it came.
    pub body: Bytes,
    /// As JSON, unpacked.
    pub json: Value,
    /// Whether it was answered with 200, or would have been.
    pub taken: bool,
}

impl Post {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn timestamp(&self) -> &str {
        self.json["timestamp"].as_str().unwrap()
    }
}

#[derive(Default)]
struct Shared {
    posts: Mutex<Vec<Post>>,
    /// The next answers; then the usual one.
    next: Mutex<VecDeque<Answer>>,
    usual: Mutex<Option<Answer>>,
}

/// A running receiver; it stops when this is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    serving: Mutex<JoinHandle<()>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::default());
        let serving = Mutex::new(serve(listener, &shared));
        Self { address, shared, serving }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    /// All POSTs so far, oldest first.
    pub fn posts(&self) -> Vec<Post> {
        self.shared.posts.lock().unwrap().clone()
    }

    /// Those that were taken.
    pub fn taken(&self) -> Vec<Post> {
        self.posts().into_iter().filter(|post| post.taken).collect()
    }

    /// Answers so from now on.
    pub fn always(&self, answer: Answer) {
        *self.shared.usual.lock().unwrap() = Some(answer);
    }

    /// Answers so next, and then as usual.
    pub fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.next.lock().unwrap().extend(answers);
    }

    /// Refuses connections.
    pub async fn stop(&self) {
        let old = std::mem::replace(&mut *self.serving.lock().unwrap(), tokio::spawn(async {}));
        old.abort();
        let _cancelled = old.await;
    }

    /// Listens again.
    pub async fn resume(&self) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        *self.serving.lock().unwrap() = serve(socket.listen(64).unwrap(), &self.shared);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.lock().unwrap().abort();
    }
}

/// Without connections that are kept: they would outlive a stop.
fn serve(listener: TcpListener, shared: &Arc<Shared>) -> JoinHandle<()> {
    let routes = Router::new().fallback(take).with_state(Arc::clone(shared));
    tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(routes.clone());
            let io = hyper_util::rt::TokioIo::new(stream);
            open.spawn(hyper::server::conn::http1::Builder::new().keep_alive(false).serve_connection(io, service));
        }
    })
}

async fn take(State(shared): State<Arc<Shared>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(method, Method::POST);
    let unpacked = match headers.get("content-encoding").map(|value| value.to_str().unwrap()) {
        None => body.to_vec(),
        Some("zstd") => zstd::bulk::decompress(&body, 64 << 20).unwrap(),
        Some(other) => panic!("the encoding {other}"),
    };
    let next = shared.next.lock().unwrap().pop_front();
    let answer = next.or_else(|| shared.usual.lock().unwrap().clone()).unwrap_or(Answer::Take(r#"{"status":"ok"}"#));
    let taken = matches!(answer, Answer::Take(_) | Answer::Lose);
    let json = serde_json::from_slice(&unpacked).unwrap();
    shared.posts.lock().unwrap().push(Post { at: Instant::now(), path: uri.to_string(), headers, body, json, taken });
    match answer {
        Answer::Take(text) => text.into_response(),
        Answer::Refuse(code, after) => {
            let after = after.map(|seconds| [("retry-after", seconds.to_string())]);
            let words = (StatusCode::from_u16(code).unwrap(), "not this one");
            after.map_or_else(|| words.into_response(), |after| (words.0, after, words.1).into_response())
        }
        Answer::Redirect(place) => (StatusCode::TEMPORARY_REDIRECT, [("location", place)]).into_response(),
        Answer::Lose => {
            let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("gone")) });
            // The head is never sent, since the first piece of the body fails.
            let mut response = axum::body::Body::from_stream(broken).into_response();
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
    }
}

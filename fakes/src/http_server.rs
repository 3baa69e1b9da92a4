//! The HTTP/1.1 server under every fake: one listener, one handler, all tasks gone on drop.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::lock;

/// Every response body; an error ends the connection in the middle of the body.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Answers one request.
pub(crate) type Handler = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// A body that is known as a whole.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// Any port of the loopback interface.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// In the extensions of each request: set it, and the connection ends with a TCP reset instead of an
/// orderly end.
#[derive(Clone, Default)]
pub(crate) struct ResetOnClose(Arc<AtomicBool>);

impl ResetOnClose {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// In the extensions of a response: the connection ends without it.
#[derive(Clone)]
struct Unanswered;

/// No answer: the connection is reset.
pub(crate) fn unanswered(reset: &ResetOnClose) -> Response<Body> {
    reset.set();
    let mut response = Response::new(full(Bytes::new()));
    response.extensions_mut().insert(Unanswered);
    response
}

/// A listener with its connections.
pub(crate) struct HttpServer {
    address: SocketAddr,
    handler: Handler,
    tls: Option<TlsAcceptor>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl HttpServer {
    /// Listens on `address`; port 0 takes a free port.
    pub(crate) async fn start(address: SocketAddr, tls: Option<TlsAcceptor>, handler: Handler) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let server = Self { address: listener.local_addr()?, handler, tls, accepting: Mutex::default() };
        server.accept_from(listener);
        Ok(server)
    }

    /// The address in use, with the real port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and all connections; when this returns, connections are refused.
    pub(crate) async fn stop(&self) {
        let accepting = lock(&self.accepting).take();
        if let Some(task) = accepting {
            task.abort();
            // An abort is done when the task was dropped, not when it was asked for.
            let _cancelled = task.await;
        }
    }

    /// Listens again on the same port after [`stop`](Self::stop).
    pub(crate) async fn resume(&self) -> io::Result<()> {
        self.stop().await;
        self.accept_from(TcpListener::bind(self.address).await?);
        Ok(())
    }

    fn accept_from(&self, listener: TcpListener) {
        let task = tokio::spawn(accept(listener, self.tls.clone(), Arc::clone(&self.handler)));
        *lock(&self.accepting) = Some(task);
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.accepting).take() {
            task.abort();
        }
    }
}

/// Accepts for ever. The connections live in the set of this task and end with it.
async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, handler: Handler) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _peer)) = accepted {
                    connections.spawn(connection(stream, tls.clone(), Arc::clone(&handler)));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, handler: Handler) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    let reset = ResetOnClose::default();
    let socket = Socket::new(stream, reset.clone());
    match tls {
        None => serve(socket, reset, handler).await,
        Some(acceptor) => {
            if let Ok(encrypted) = acceptor.accept(socket).await {
                serve(encrypted, reset, handler).await;
            }
        }
    }
}

async fn serve<S>(socket: S, reset: ResetOnClose, handler: Handler)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(reset.clone());
        let answer = handler(request);
        async move {
            let response = answer.await;
            match response.extensions().get() {
                Some(Unanswered) => Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
                None => Ok(response),
            }
        }
    });
    // A client that goes away, or a fault that breaks the body, is an error here and no news.
    let _ended =
        hyper::server::conn::http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(socket), service).await;
}

/// A TCP stream that can end with a reset.
pub(crate) struct Socket {
    stream: TcpStream,
    reset: ResetOnClose,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, reset: ResetOnClose) -> Self {
        Self { stream, reset }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.is_set() {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.is_set() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

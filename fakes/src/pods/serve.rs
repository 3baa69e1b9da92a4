//! From a listener of a pod to its answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::PodRequest;
use super::behaviour::Behaviour;
use super::concurrency::{Concurrency, Watched, watched};
use super::connection::Connection;
use super::respond::{Then, respond};
use crate::http_server::{ResetOnClose, Socket};
use crate::lock;

/// What a pod and its connections share.
pub(super) struct Shared {
    pub(super) behaviour: Mutex<Behaviour>,
    pub(super) requests: Mutex<Vec<PodRequest>>,
    /// Keeps no requests.
    pub(super) forgetful: bool,
    /// How many requests there were.
    pub(super) asked: AtomicUsize,
    pub(super) connections: AtomicUsize,
    pub(super) concurrency: Option<Concurrency>,
    pub(super) tls: Option<TlsAcceptor>,
}

/// Accepts for ever. The connections live in the set of this task and end with it.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(connection(stream, Arc::clone(&shared)));
                }
                // Out of file descriptors: do not spin until there are some.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    let watched = shared.concurrency.as_ref().and_then(|_| watched(&stream));
    if is_silent(&lock(&shared.behaviour)) {
        let _busy = shared.concurrency.as_ref().zip(watched).map(|(concurrency, socket)| concurrency.enter(socket));
        closed(&stream).await;
        return;
    }
    let reset = ResetOnClose::default();
    let socket = Socket::new(stream, reset.clone());
    match &shared.tls {
        None => talk(Connection::new(socket, reset), watched, &shared).await,
        Some(acceptor) => {
            if let Ok(encrypted) = acceptor.accept(socket).await {
                talk(Connection::new(encrypted, reset), watched, &shared).await;
            }
        }
    }
}

/// Answers the requests of one connection.
async fn talk<S>(mut connection: Connection<S>, watched: Option<Watched>, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some((request, keep)) = connection.request().await {
        let number = shared.asked.fetch_add(1, Ordering::Relaxed);
        if !shared.forgetful {
            lock(&shared.requests).push(request.clone());
        }
        let behaviour = lock(&shared.behaviour).clone();
        connection.busy = shared.concurrency.as_ref().zip(watched.clone()).map(|(concurrency, socket)| concurrency.enter(socket));
        let Ok(then) = respond(&mut connection, behaviour, &request, number).await else {
            return;
        };
        connection.busy = None;
        if then == Then::Close || !keep {
            break;
        }
    }
    connection.close().await;
}

fn is_silent(behaviour: &Behaviour) -> bool {
    match behaviour {
        Behaviour::Silent => true,
        Behaviour::After(_, next) | Behaviour::WithHeader(_, _, next) => is_silent(next),
        _ => false,
    }
}

/// Waits until the client closes the connection, without reading from it.
async fn closed(stream: &TcpStream) {
    while stream.ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
        // What it sent stays unread, and the stream ready.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

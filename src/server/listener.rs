//! Listening, accepting and ending connections. Slow and silent clients are bounded in number and in time: who sends no request within ten
//! seconds is cut off, a connection takes requests for a minute, and no answer takes longer than another minute and a half.

use std::net::{Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// Connections at once; a Prometheus needs one.
pub const CONNECTIONS: usize = 512;
/// The same for a listener that all nodes of a cluster send to.
pub const MOST_CONNECTIONS: usize = 4_096;
/// For the head of a request, and so for an idle connection too; a scraper connects again.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// After this a connection takes no further request.
const LIFETIME: Duration = Duration::from_secs(60);
/// For the answer in progress then: the longest that a Prometheus usually waits, and what sending takes.
const LAST_ANSWER: Duration = Duration::from_secs(90);
/// For the answers in progress when the process comes to its end: a Prometheus' usual patience.
const DRAIN: Duration = Duration::from_secs(10);

/// Who is at the other end of the connection; an extension of each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// True for what [`bind`] takes, as far as that can be seen.
pub fn is_address(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        port.parse::<u16>().is_ok() && (bracketed || !host.contains([':', '[', ']', ' ']))
    })
}

/// Listens on `address`: `HOST:PORT`, or Go's `:PORT` for all interfaces, IPv6 and IPv4.
///
/// # Errors
/// When the address cannot be resolved or bound.
pub async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    let failed = || format!("cannot listen on `{address}`");
    let Some(port) = address.strip_prefix(':') else {
        let resolved: Vec<_> = lookup_host(address).await.with_context(failed)?.collect();
        return TcpListener::bind(resolved.as_slice()).await.with_context(failed);
    };
    let port: u16 = port.parse().with_context(|| format!("`{port}` is not a port")).with_context(failed)?;
    match dual_stack(port) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(error).with_context(failed),
        // Whatever else is the matter with IPv6 here, IPv4 decides.
        Err(_) => TcpListener::bind(("0.0.0.0", port)).await.with_context(failed),
    }
}

/// All interfaces in both families, also where the system's default is IPv6 alone.
fn dual_stack(port: u16) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

/// Serves `routes` on so many connections at once until `stop`; then answers in progress may end.
pub async fn serve(listener: TcpListener, routes: Router, connections: usize, stop: CancellationToken) -> anyhow::Result<()> {
    let connections = Arc::new(Semaphore::new(connections));
    let open = TaskTracker::new();
    let accept = async {
        loop {
            let permit = Arc::clone(&connections).acquire_owned().await?;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let connection = serve_connection(stream, Peer(peer), routes.clone(), stop.clone());
                    open.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    let result: Option<anyhow::Result<()>> = stop.run_until_cancelled(accept).await;
    drop(listener);
    open.close();
    open.wait().await;
    result.unwrap_or(Ok(()))
}

/// Serves one connection to its end, which comes within [`LIFETIME`] and [`LAST_ANSWER`], and within [`DRAIN`] of the stop.
async fn serve_connection(stream: TcpStream, peer: Peer, routes: Router, stop: CancellationToken) {
    let routes = routes.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)));
    let mut ended = stop.run_until_cancelled(timeout(LIFETIME, connection.as_mut())).await;
    if let Some(Err(_)) = ended {
        connection.as_mut().graceful_shutdown();
        ended = stop.run_until_cancelled(timeout(LAST_ANSWER, connection.as_mut())).await;
    }
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        ended = Some(timeout(DRAIN, connection).await);
    }
    let ended = ended.and_then(Result::ok).unwrap_or(Ok(()));
    // Clients hang up as they like.
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn addresses_in_gos_form_listen_on_all_interfaces() {
        let listener = bind(":0").await.unwrap();
        assert!(listener.local_addr().unwrap().ip().is_unspecified());
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert!(bind("localhost:0").await.unwrap().local_addr().unwrap().ip().is_loopback());
        assert!(bind("[::1]:0").await.is_ok() || bind("127.0.0.1:0").await.is_ok());
        for refused in ["", ":", ":http", ":70000", "9340", "127.0.0.1"] {
            let error = format!("{:#}", bind(refused).await.unwrap_err());
            assert!(error.starts_with("cannot listen on"), "{error}");
        }
        let taken = bind(&format!(":{port}")).await.unwrap_err();
        assert!(format!("{taken:#}").contains("in use"));
    }

    /// A server, with a route that never answers.
    async fn server() -> (SocketAddr, CancellationToken) {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let routes = Router::new().route("/", get(|| async { "well" })).route("/never", get(pending::<()>));
        tokio::spawn(serve(listener, routes, CONNECTIONS, stop.clone()));
        (address, stop)
    }

    async fn answer(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_say_nothing_or_never_end_make_room_for_others() {
        let (address, _stop) = server().await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS / 2 {
            silent.push(TcpStream::connect(address).await.unwrap());
            let mut waiting = TcpStream::connect(address).await.unwrap();
            waiting.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            silent.push(waiting);
        }
        assert!(answer(address, "/").await.ends_with("well"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_progress_outlasts_the_connections_time_for_requests() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let slow = || async {
            sleep(LIFETIME + DRAIN).await;
            "well"
        };
        tokio::spawn(serve(listener, Router::new().route("/", get(slow)), CONNECTIONS, CancellationToken::new()));
        assert!(answer(address, "/").await.ends_with("well"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_stop_lets_nobody_wait_for_ever() {
        let (address, stop) = server().await;
        let waiting = tokio::spawn(answer(address, "/never"));
        assert!(answer(address, "/").await.ends_with("well"));
        stop.cancel();
        assert_eq!(waiting.await.unwrap(), "");
    }
}

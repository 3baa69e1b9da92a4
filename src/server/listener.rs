//! Listening, accepting and ending connections. Slow and silent clients are bounded in number and time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Connections at once; a Prometheus needs one.
const MOST_CONNECTIONS: usize = 256;
/// For the head of a request, and so for an idle connection too: longer than a usual scrape interval.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// For answers in progress when the process stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Listens on `address`: `HOST:PORT`, or Go's `:PORT` for all interfaces, IPv6 and IPv4.
///
/// # Errors
/// When the address cannot be read, resolved or bound.
pub async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    let failed = || format!("cannot listen on `{address}`");
    let Some(port) = address.strip_prefix(':') else {
        let resolved: Vec<_> = lookup_host(address).await.with_context(failed)?.collect();
        return TcpListener::bind(resolved.as_slice()).await.with_context(failed);
    };
    let port: u16 = port.parse().with_context(|| format!("{}: `{port}` is not a port", failed()))?;
    match TcpListener::bind(("::", port)).await {
        Ok(listener) => Ok(listener),
        // A host without IPv6 has no such address to bind.
        Err(error) if matches!(error.kind(), std::io::ErrorKind::AddrNotAvailable | std::io::ErrorKind::Unsupported) => {
            TcpListener::bind(("0.0.0.0", port)).await.with_context(failed)
        }
        Err(error) if error.raw_os_error() == Some(EAFNOSUPPORT) => {
            TcpListener::bind(("0.0.0.0", port)).await.with_context(failed)
        }
        Err(error) => Err(error).with_context(failed),
    }
}

/// Linux' number for "address family not supported", which `std` has no kind for.
const EAFNOSUPPORT: i32 = 97;

/// Serves `routes` until `stop`; then answers in progress may end.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) -> anyhow::Result<()> {
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let accept = async {
        loop {
            let permit = Arc::clone(&connections).acquire_owned().await?;
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes.clone()));
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                // Clients hang up as they like.
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
                drop(permit);
            });
        }
    };
    let result: Option<anyhow::Result<()>> = stop.run_until_cancelled(accept).await;
    drop(listener);
    let _ = timeout(DRAIN, graceful.shutdown()).await;
    result.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_in_gos_form_listen_on_all_interfaces() {
        assert!(bind(":0").await.unwrap().local_addr().unwrap().ip().is_unspecified());
        assert!(bind("localhost:0").await.unwrap().local_addr().unwrap().ip().is_loopback());
        assert!(bind("[::1]:0").await.is_ok() || bind("127.0.0.1:0").await.is_ok());
        for refused in ["", ":", ":http", ":70000", "9340", "127.0.0.1"] {
            let error = format!("{:#}", bind(refused).await.unwrap_err());
            assert!(error.starts_with("cannot listen on"), "{error}");
        }
    }
}

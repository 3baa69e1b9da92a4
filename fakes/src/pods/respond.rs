//! A behaviour on the wire. It is written by hand: hyper would not do most of it.

use std::io;

use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};

use super::behaviour::{Behaviour, Body, TEXT};
use super::connection::Connection;
use super::negotiation::{Format, format, takes_gzip};
use super::{PodRequest, gzip};

/// Whether the connection can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Keep,
    Close,
}

/// Answers a request, the `number`-th of the pod. An error is the end of the connection.
pub(super) async fn respond<S>(
    connection: &mut Connection<S>,
    mut behaviour: Behaviour,
    request: &PodRequest,
    number: usize,
) -> io::Result<Then>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Head::new();
    let behaviour = loop {
        match behaviour {
            Behaviour::After(time, next) => {
                connection.wait(time).await?;
                behaviour = *next;
            }
            Behaviour::WithHeader(name, value, next) => {
                head.add(&name, &value);
                behaviour = *next;
            }
            other => break other,
        }
    };
    match behaviour {
        Behaviour::Serve(body) => whole(connection, head, &body, request).await,
        Behaviour::Computed(body) => whole(connection, head, &body(number), request).await,
        Behaviour::Negotiate { text, openmetrics } => {
            let body = match format(request.header("accept")) {
                Format::Text => text,
                Format::OpenMetrics => openmetrics,
            };
            whole(connection, head, &body, request).await
        }
        Behaviour::Chunked(body) => {
            let bytes = head.body(&body, request);
            connection.write(&head.chunked()).await?;
            for piece in bytes.chunks(1 << 14) {
                connection.write(&chunk(piece)).await?;
            }
            connection.end(LAST_CHUNK).await?;
            Ok(Then::Keep)
        }
        Behaviour::CloseDelimited(body) => {
            let bytes = head.body(&body, request);
            head.version = "HTTP/1.0";
            connection.write(&head.bytes()).await?;
            connection.end(&bytes).await?;
            Ok(Then::Close)
        }
        Behaviour::Trickle { body, chunk, every } => {
            let bytes = head.body(&body, request);
            connection.write(&head.length(bytes.len() as u64)).await?;
            for piece in bytes.chunks(chunk.max(1)) {
                connection.wait(every).await?;
                connection.write(piece).await?;
            }
            Ok(Then::Keep)
        }
        Behaviour::ResetAfter { body, bytes } => {
            cut(connection, head, &body, bytes, request).await?;
            Err(connection.reset())
        }
        Behaviour::Truncated { body, bytes } => cut(connection, head, &body, bytes, request).await,
        Behaviour::TruncatedChunks { body, bytes } => {
            let all = head.body(&body, request);
            connection.write(&head.chunked()).await?;
            connection.write(&chunk(&all[..bytes.min(all.len())])).await?;
            Ok(Then::Close)
        }
        Behaviour::CutGzip(body) => {
            let packed = gzip::pack(&body.text);
            head.add("Content-Encoding", "gzip");
            let half = Body { text: packed.slice(..packed.len() / 2), gzip: false, ..body };
            whole(connection, head, &half, request).await
        }
        Behaviour::BrokenGzip => {
            head.add("Content-Encoding", "gzip");
            whole(connection, head, &Body::text("not_gzip 1\n"), request).await
        }
        Behaviour::GzipBomb { unpacked } => {
            head.add("Content-Type", TEXT);
            head.add("Content-Encoding", "gzip");
            connection.write(&head.chunked()).await?;
            for piece in gzip::bomb(unpacked).filter(|piece| !piece.is_empty()) {
                connection.write(&chunk(&piece)).await?;
            }
            connection.end(LAST_CHUNK).await?;
            Ok(Then::Keep)
        }
        Behaviour::Redirect(location) => {
            head.status = 302;
            head.add("Location", &location);
            whole(connection, head, &Body::of_type("Found\n", "text/plain; charset=utf-8"), request).await
        }
        Behaviour::Status(status) => {
            head.status = status;
            let body = Body::of_type(format!("{}\n", head.reason()), "text/plain; charset=utf-8");
            whole(connection, head, &body, request).await
        }
        Behaviour::Html => {
            let page = "<!DOCTYPE html>\n<html><head><title>Exporter</title></head><body><a href=\"/metrics\">Metrics</a></body></html>\n";
            whole(connection, head, &Body::of_type(page, "text/html; charset=utf-8"), request).await
        }
        Behaviour::Endless => {
            head.add("Content-Type", TEXT);
            connection.write(&head.chunked()).await?;
            connection.write(&chunk(b"# TYPE endless_total counter\n")).await?;
            for block in 0_u64.. {
                let lines: String = (0..500).map(|line| format!("endless_total{{n=\"{}\"}} 1\n", block * 500 + line)).collect();
                connection.write(&chunk(lines.as_bytes())).await?;
            }
            Ok(Then::Close)
        }
        Behaviour::LongHead => {
            connection.write(b"HTTP/1.1 200 OK\r\n").await?;
            for number in 0_u64.. {
                connection.write(format!("X-Padding-{number}: {}\r\n", "x".repeat(1_000)).as_bytes()).await?;
            }
            Ok(Then::Close)
        }
        Behaviour::NotHttp => {
            connection.end(b"-ERR unknown command 'GET'\r\n").await?;
            Ok(Then::Close)
        }
        Behaviour::DeclaredLength(length) => {
            head.add("Content-Type", TEXT);
            connection.write(&head.length(length)).await?;
            Err(connection.gone().await)
        }
        // The others came to nothing above.
        Behaviour::Hang | Behaviour::Silent | Behaviour::After(..) | Behaviour::WithHeader(..) => Err(connection.gone().await),
    }
}

/// A complete answer with its length.
async fn whole<S>(connection: &mut Connection<S>, mut head: Head, body: &Body, request: &PodRequest) -> io::Result<Then>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bytes = head.body(body, request);
    let mut answer = head.length(bytes.len() as u64);
    answer.extend_from_slice(&bytes);
    connection.end(&answer).await?;
    Ok(Then::Keep)
}

/// An answer with its length, and only so many bytes of it.
async fn cut<S>(
    connection: &mut Connection<S>,
    mut head: Head,
    body: &Body,
    bytes: usize,
    request: &PodRequest,
) -> io::Result<Then>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let all = head.body(body, request);
    connection.write(&head.length(all.len() as u64)).await?;
    connection.end(&all[..bytes.min(all.len())]).await?;
    Ok(Then::Close)
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// The head of an answer.
struct Head {
    version: &'static str,
    status: u16,
    headers: String,
}

impl Head {
    fn new() -> Self {
        Self { version: "HTTP/1.1", status: 200, headers: String::new() }
    }

    fn add(&mut self, name: &str, value: &str) {
        self.headers += &format!("{name}: {value}\r\n");
    }

    fn reason(&self) -> &'static str {
        StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unknown")
    }

    /// The bytes of `body` for this client, with the headers about them.
    fn body(&mut self, body: &Body, request: &PodRequest) -> Bytes {
        if let Some(content_type) = &body.content_type {
            self.add("Content-Type", content_type);
        }
        if !(body.gzip && takes_gzip(request.header("accept-encoding"))) {
            return body.text.clone();
        }
        self.add("Content-Encoding", "gzip");
        gzip::pack(&body.text)
    }

    fn length(&mut self, length: u64) -> Vec<u8> {
        self.add("Content-Length", &length.to_string());
        self.bytes()
    }

    fn chunked(&mut self) -> Vec<u8> {
        self.add("Transfer-Encoding", "chunked");
        self.bytes()
    }

    fn bytes(&self) -> Vec<u8> {
        format!("{} {} {}\r\n{}\r\n", self.version, self.status, self.reason(), self.headers).into_bytes()
    }
}

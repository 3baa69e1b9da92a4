//! Pods: what each behaviour does on the wire, as a client without HTTP library sees it.

#![expect(clippy::unwrap_used, reason = "a test that finds something else should panic")]

mod groups;

use std::io::{self, Read};
use std::time::Duration;

use fakes::pods::{Behaviour, Body, OPENMETRICS, Pod, TEXT};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Waits for nothing longer than this: no test hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// After this long without an answer there is none.
const SHORT: Duration = Duration::from_millis(100);

/// Sends a request with these header lines.
async fn asked(pod: &Pod, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(pod.address()).await.unwrap();
    let request = format!("GET /metrics?x=1 HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", pod.address());
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Everything until the end of the connection, and how it ended.
async fn rest(stream: &mut TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an end in time").map(|_| ());
    (bytes, end)
}

/// Head and body of the answer to a request with these headers, of a connection that ends in order.
async fn answer(behaviour: Behaviour, headers: &str) -> (String, Vec<u8>) {
    let pod = Pod::start(behaviour).await;
    let (bytes, end) = rest(&mut asked(&pod, &format!("Connection: close\r\n{headers}")).await).await;
    end.unwrap();
    split(&bytes)
}

fn split(bytes: &[u8]) -> (String, Vec<u8>) {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    (String::from_utf8(bytes[..end].to_vec()).unwrap(), bytes[end..].to_vec())
}

/// Reads so many bytes.
async fn some(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    timeout(PATIENCE, stream.read_exact(&mut read)).await.expect("bytes in time").unwrap();
    read
}

/// Nothing comes, and the connection stays open.
async fn nothing(stream: &mut TcpStream) {
    assert!(timeout(SHORT, stream.read_u8()).await.is_err());
}

fn unzipped(bytes: &[u8]) -> io::Result<String> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).map(|_| text)
}

/// The content of a chunked body that is complete.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let line = bytes.windows(2).position(|window| window == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        content.extend_from_slice(&bytes[line + 2..line + 2 + length]);
        bytes = &bytes[line + 4 + length..];
        if length == 0 {
            assert!(bytes.is_empty());
            return content;
        }
    }
}

#[tokio::test]
async fn bodies_and_requests() {
    let pod = Pod::start(Behaviour::text("up 1\n").with_header("X-Pod", "a")).await;
    let expected = format!("HTTP/1.1 200 OK\r\nX-Pod: a\r\nContent-Type: {TEXT}\r\nContent-Length: 5\r\n\r\nup 1\n");
    let mut stream = asked(&pod, "Accept: */*\r\n").await;
    assert_eq!(some(&mut stream, expected.len()).await, expected.as_bytes());

    // The connection stays, and the next answer is another one.
    pod.set(Behaviour::Serve(Body::untyped("up 2\n")));
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let (bytes, _) = rest(&mut stream).await;
    assert_eq!(bytes, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 2\n");

    assert_eq!(pod.connections(), 1);
    let requests = pod.requests();
    assert_eq!(requests.iter().map(|request| request.path_and_query.as_str()).collect::<Vec<_>>(), ["/metrics?x=1", "/"]);
    assert_eq!((requests[0].method.as_str(), requests[0].header("accept")), ("GET", "*/*"));
}

#[tokio::test]
async fn negotiation_and_compression() {
    let both = Behaviour::negotiate("text 1\n", "openmetrics 1\n# EOF\n").gzip();
    let openmetrics = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";
    let (head, body) = answer(both.clone(), openmetrics).await;
    assert!(head.contains(OPENMETRICS) && !head.contains("gzip"));
    assert_eq!(body, b"openmetrics 1\n# EOF\n");
    let (head, body) = answer(both, "Accept-Encoding: gzip\r\n").await;
    assert!(head.contains(TEXT) && head.contains("Content-Encoding: gzip\r\n"));
    assert_eq!(unzipped(&body).unwrap(), "text 1\n");

    let (head, body) = answer(Behaviour::BrokenGzip, "").await;
    assert!(head.contains("Content-Encoding: gzip\r\n") && unzipped(&body).is_err());
    let (head, body) = answer(Behaviour::CutGzip(Body::text("text 1\n".repeat(100))), "").await;
    assert!(head.contains("Content-Encoding: gzip\r\n") && body.starts_with(&[0x1f, 0x8b]));
    assert_eq!(unzipped(&body).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

    let (head, body) = answer(Behaviour::GzipBomb { unpacked: 5_000_000 }, "").await;
    let packed = unchunked(&body);
    assert!(head.contains("Content-Encoding: gzip\r\n") && packed.len() < 50_000);
    assert_eq!(unzipped(&packed).unwrap().len(), 5_000_000);
}

#[tokio::test]
async fn computed_chunked_and_closed_bodies() {
    let pod = Pod::start(Behaviour::computed(|number| Body::text(format!("scrapes_total {number}\n")))).await;
    for number in 0..2 {
        let (bytes, _) = rest(&mut asked(&pod, "Connection: close\r\n").await).await;
        assert!(bytes.ends_with(format!("scrapes_total {number}\n").as_bytes()));
    }
    let text = "up 1\n".repeat(10_000);
    let (head, body) = answer(Behaviour::Chunked(Body::text(text.clone())), "").await;
    assert!(head.contains("Transfer-Encoding: chunked\r\n") && !head.contains("Content-Length"));
    assert_eq!(unchunked(&body), text.as_bytes());

    let pod = Pod::start(Behaviour::CloseDelimited(Body::text(text.clone()))).await;
    let (bytes, end) = rest(&mut asked(&pod, "").await).await;
    end.unwrap();
    let (head, body) = split(&bytes);
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n") && !head.contains("Transfer-Encoding") && !head.contains("Content-Length"));
    assert_eq!(body, text.as_bytes());
}

#[tokio::test]
async fn silence() {
    let pod = Pod::start(Behaviour::Hang).await;
    nothing(&mut asked(&pod, "").await).await;
    assert_eq!(pod.requests().len(), 1);

    pod.set(Behaviour::Silent);
    nothing(&mut asked(&pod, "").await).await;
    assert_eq!((pod.requests().len(), pod.connections()), (1, 2));

    pod.set(Behaviour::DeclaredLength(1 << 40));
    let mut stream = asked(&pod, "").await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40);
    assert_eq!(some(&mut stream, head.len()).await, head.as_bytes());
    nothing(&mut stream).await;

    pod.set(Behaviour::text("late 1\n").after(2 * SHORT));
    let mut stream = asked(&pod, "Connection: close\r\n").await;
    nothing(&mut stream).await;
    assert!(rest(&mut stream).await.0.ends_with(b"late 1\n"));
}

#[tokio::test]
async fn bodies_that_end_badly() {
    let body = || Body::text("up 1\n".repeat(100));
    let pod = Pod::start(Behaviour::ResetAfter { body: body(), bytes: 42 }).await;
    let (bytes, end) = rest(&mut asked(&pod, "").await).await;
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let (head, sent) = split(&bytes);
    assert!(head.contains("Content-Length: 500\r\n") && sent.len() == 42);

    pod.set(Behaviour::Truncated { body: body(), bytes: 42 });
    let (bytes, end) = rest(&mut asked(&pod, "").await).await;
    end.unwrap();
    let (head, sent) = split(&bytes);
    assert!(head.contains("Content-Length: 500\r\n") && sent.len() == 42);

    pod.set(Behaviour::TruncatedChunks { body: body(), bytes: 10 });
    let (bytes, end) = rest(&mut asked(&pod, "").await).await;
    end.unwrap();
    assert_eq!(split(&bytes).1, b"a\r\nup 1\nup 1\n\r\n");

    pod.set(Behaviour::Trickle { body: body(), chunk: 2, every: SHORT });
    let mut stream = asked(&pod, "").await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\nContent-Length: 500\r\n\r\n");
    some(&mut stream, head.len()).await;
    let mut piece = [0; 500];
    assert_eq!(timeout(PATIENCE, stream.read(&mut piece)).await.unwrap().unwrap(), 2);
}

#[tokio::test]
async fn answers_that_are_no_metrics() {
    let (head, _) = answer(Behaviour::Redirect("http://127.0.0.1:1/".to_owned()), "").await;
    assert!(head.starts_with("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"));
    let (head, body) = answer(Behaviour::Status(503), "").await;
    assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && body == b"Service Unavailable\n");
    let (head, body) = answer(Behaviour::Html, "").await;
    assert!(head.contains("text/html") && body.starts_with(b"<!DOCTYPE html>"));
    let pod = Pod::start(Behaviour::NotHttp).await;
    assert_eq!(rest(&mut asked(&pod, "").await).await.0, b"-ERR unknown command 'GET'\r\n");
}

#[tokio::test]
async fn answers_without_end() {
    let pod = Pod::start(Behaviour::Endless).await;
    let text = some(&mut asked(&pod, "").await, 10_000_000).await;
    let (head, body) = split(&text);
    assert!(head.contains("chunked") && body.starts_with(b"1d\r\n# TYPE endless_total counter\n\r\n"));
    pod.set(Behaviour::LongHead);
    let head = String::from_utf8(some(&mut asked(&pod, "").await, 1_000_000).await).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nX-Padding-0: x") && !head.contains("\r\n\r\n"));
}

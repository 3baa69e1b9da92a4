//! The server side of one connection: requests in, bytes out.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::PodRequest;
use super::concurrency::Busy;
use crate::http_server::ResetOnClose;

/// More than this before the empty line is no request.
const LONGEST_HEAD: usize = 1 << 20;

pub(super) struct Connection<S> {
    socket: S,
    unread: Vec<u8>,
    reset: ResetOnClose,
    /// Counts the request that is being answered.
    pub(super) busy: Option<Busy>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(socket: S, reset: ResetOnClose) -> Self {
        Self { socket, unread: Vec::new(), reset, busy: None }
    }

    /// The next request, and whether the client wants to keep the connection after it; `None` at the end.
    pub(super) async fn request(&mut self) -> Option<(PodRequest, bool)> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return parse(&String::from_utf8_lossy(&head));
            }
            if self.unread.len() > LONGEST_HEAD || self.read().await.is_err() {
                return None;
            }
        }
    }

    /// Sends a part of an answer.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await?;
        self.socket.flush().await
    }

    /// Sends the end of an answer. The request is over before the client can know it, so that no client
    /// that is quick has more requests in progress than it thinks.
    pub(super) async fn end(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (before, last) = bytes.split_at(bytes.len().saturating_sub(usize::from(self.busy.is_some())));
        self.write(before).await?;
        self.busy = None;
        self.write(last).await
    }

    /// Does nothing for this time; an error if the client goes away.
    pub(super) async fn wait(&mut self, time: Duration) -> io::Result<()> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            error = self.gone() => Err(error),
        }
    }

    /// Waits until the client goes away.
    pub(super) async fn gone(&mut self) -> io::Error {
        loop {
            if let Err(error) = self.read().await {
                return error;
            }
        }
    }

    /// The connection ends with a reset when it is dropped.
    pub(super) fn reset(&self) -> io::Error {
        self.reset.set();
        io::ErrorKind::ConnectionReset.into()
    }

    /// Ends the connection in order.
    pub(super) async fn close(mut self) {
        let _ended = self.socket.shutdown().await;
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.socket.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Reads the head of a request. Requests with a body are no requests to pods.
fn parse(head: &str) -> Option<(PodRequest, bool)> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, path, version) = (words.next()?, words.next()?, words.next()?);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let request = PodRequest { method: method.to_owned(), path_and_query: path.to_owned(), headers };
    let keep = version == "HTTP/1.1" && !request.header("connection").eq_ignore_ascii_case("close");
    Some((request, keep))
}

//! How many requests a group of pods has in progress at once.

use std::collections::BTreeMap;
use std::net::TcpStream as StdStream;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::TcpStream;

use crate::lock;

/// The other side has closed the connection, also when it has sent something before that was not read.
#[cfg(target_os = "linux")]
const GONE: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const GONE: PollFlags = PollFlags::HUP;

/// Counts requests in progress; give clones of one to all pods that should be counted together.
///
/// A request is in progress from its head until before the last byte of its answer, or until the client
/// closes the connection. A connection to a pod that is silent counts as a request.
#[derive(Clone, Default)]
pub struct Concurrency(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    begun: u64,
    running: BTreeMap<u64, Watched>,
    peak: usize,
}

/// A second handle of the socket of a request.
pub(super) type Watched = Arc<StdStream>;

impl Concurrency {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests in progress now.
    pub fn now(&self) -> usize {
        let mut counts = lock(&self.0);
        counts.forget_gone();
        counts.running.len()
    }

    /// The most requests that were in progress at once.
    pub fn peak(&self) -> usize {
        lock(&self.0).peak
    }

    /// Begins a new [`peak`](Self::peak).
    pub fn reset_peak(&self) {
        let mut counts = lock(&self.0);
        counts.forget_gone();
        counts.peak = counts.running.len();
    }

    /// Counts a request until the result is dropped or the other side of `socket` has gone.
    pub(super) fn enter(&self, socket: Watched) -> Busy {
        let mut counts = lock(&self.0);
        // Their tasks may not know yet that nobody waits for them any more.
        counts.forget_gone();
        counts.begun += 1;
        let number = counts.begun;
        counts.running.insert(number, socket);
        counts.peak = counts.peak.max(counts.running.len());
        Busy { concurrency: self.clone(), number }
    }
}

impl Counts {
    fn forget_gone(&mut self) {
        self.running.retain(|_, socket| !is_gone(socket));
    }
}

/// A request in progress.
pub(super) struct Busy {
    concurrency: Concurrency,
    number: u64,
}

impl Drop for Busy {
    fn drop(&mut self) {
        lock(&self.concurrency.0).running.remove(&self.number);
    }
}

/// A second handle of `stream` to look at it; `None` if there are no file descriptors left.
pub(super) fn watched(stream: &TcpStream) -> Option<Watched> {
    stream.as_fd().try_clone_to_owned().ok().map(|socket| Arc::new(socket.into()))
}

fn is_gone(socket: &StdStream) -> bool {
    let mut sockets = [PollFd::new(socket, GONE)];
    // Errors and hang-ups come without being asked for.
    poll(&mut sockets, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

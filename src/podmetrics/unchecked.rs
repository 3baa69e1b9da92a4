//! Answers of pods on their way to being checked: small ones in place, large ones on a thread of their own, as long as there is time.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::body::Body;
use super::budget::Share;
use super::check::{Limits, Terms, check};
use super::gather::{Ungathered, lost};
use super::reason::Failure;
use super::scrape::Scraped;
use crate::exposition::Escaping;

/// A body up to this size is checked within a millisecond or so, in place.
const SMALL: usize = 256 << 10;

/// A body, and all that it is checked for.
pub(super) struct Unchecked {
    pub(super) scraped: Scraped,
    pub(super) escaping: Escaping,
    pub(super) limits: Limits,
    /// Names of the labels that every sample gains.
    pub(super) names: Vec<String>,
    pub(super) honor_labels: bool,
    /// What is held for it, given back only when nothing of it is left.
    pub(super) share: Share,
}

/// What came of it.
type Checked = (Result<Body, Failure>, Share);

impl Unchecked {
    /// Checks it; `None` if that is not done by `deadline`. A large one takes one of `threads`.
    ///
    /// # Errors
    /// When the check panics.
    pub(super) async fn check_by(self, deadline: Instant, threads: &Arc<Semaphore>) -> Result<Option<Checked>, Ungathered> {
        if self.scraped.text.len() <= SMALL { Ok(Some(self.check())) } else { beside(deadline, threads, || self.check()).await }
    }

    fn check(self) -> Checked {
        let added: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let Scraped { text, format } = self.scraped;
        let (escaping, limits, honor_labels) = (self.escaping, self.limits, self.honor_labels);
        (check(text, Terms { format, escaping, limits, added: &added, honor_labels }), self.share)
    }
}

/// Works on another thread; `None` if that is not done by `deadline`. A thread cannot be stopped: it keeps its permit until it is done.
async fn beside<T: Send + 'static>(
    deadline: Instant,
    threads: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, Ungathered> {
    let working = async {
        let permit = Arc::clone(threads).acquire_owned().await.ok();
        let done = spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.map_err(|error| lost(&error))
    };
    timeout_at(deadline, working).await.ok().transpose()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_that_is_late_is_not_waited_for() {
        let threads = Arc::new(Semaphore::new(1));
        let soon = || Instant::now() + Duration::from_millis(20);
        let late = Instant::now() + Duration::from_secs(60);
        assert_eq!(beside(late, &threads, || 1).await.unwrap(), Some(1));
        let (done, waits) = channel::<()>();
        assert_eq!(beside(soon(), &threads, move || waits.recv().is_ok()).await.unwrap(), None);
        // Its thread is still taken.
        assert_eq!(beside(soon(), &threads, || 2).await.unwrap(), None);
        done.send(()).unwrap();
        assert_eq!(beside(late, &threads, || 3).await.unwrap(), Some(3));
    }

    #[tokio::test]
    async fn work_that_panics_is_told_and_its_thread_is_free_again() {
        let threads = Arc::new(Semaphore::new(1));
        let late = Instant::now() + Duration::from_secs(60);
        let panicked = beside(late, &threads, || panic!("a bug")).await.map(|done: Option<()>| done);
        assert!(matches!(panicked, Err(Ungathered::Panicked(words)) if words.contains("a bug")));
        assert_eq!(beside(late, &threads, || 1).await.unwrap(), Some(1));
    }
}

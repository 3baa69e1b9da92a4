//! The same request made twice at once is answered by the same work; and an answer may be given again for a while.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::time::{Instant, sleep};

use super::page::Page;
use super::refusal::Refusal;
use crate::exposition::Answer;

/// What makes two requests the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) job: String,
    pub(super) answer: Answer,
    /// How much time there is, if the request says so.
    pub(super) time: Option<Duration>,
}

/// What requests wait for, and how it is known without being kept alive.
type Work = BoxFuture<'static, Result<Page, Refusal>>;
pub(super) type Flight = Shared<Work>;
type Known = WeakShared<Work>;

/// Requests that are being worked on, and answers that are young enough to be given again.
#[derive(Default)]
pub(super) struct Flights {
    running: Mutex<Running>,
    kept: Mutex<HashMap<(String, Answer), (Instant, Page)>>,
}

#[derive(Default)]
struct Running {
    flights: HashMap<Key, (u64, Known)>,
    /// How many have begun, which tells one from the next of the same key.
    begun: u64,
}

/// Forgets a flight when it ends: with an answer, with a panic, or because nobody waits any more.
struct Landing {
    flights: Arc<Flights>,
    key: Key,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut running = lock(&self.flights.running);
        if running.flights.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            running.flights.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flights {
    /// Joins the flight of the same request, or begins it with `work`; true if it was joined. Work that panics is [`Refusal::Internal`] for all who
    /// wait for it.
    pub(super) fn join<W>(self: &Arc<Self>, key: Key, work: impl FnOnce() -> W) -> (Flight, bool)
    where
        W: Future<Output = Result<Page, Refusal>> + Send + 'static,
    {
        let mut running = lock(&self.running);
        if let Some(flight) = running.flights.get(&key).and_then(|(_, known)| known.upgrade()) {
            return (flight, true);
        }
        running.begun += 1;
        let number = running.begun;
        let landing = Landing { flights: Arc::clone(self), key: key.clone(), number };
        let work = AssertUnwindSafe(work()).catch_unwind();
        let flight = async move {
            let result = work.await.unwrap_or_else(|panic| {
                tracing::error!(job = landing.key.job, error = what(panic.as_ref()), "work on a request panicked; this is a bug");
                Err(Refusal::Internal)
            });
            drop(landing);
            result
        };
        let flight = flight.boxed().shared();
        if let Some(known) = flight.downgrade() {
            running.flights.insert(key, (number, known));
        }
        (flight, false)
    }

    /// An answer that is at most `max_age` old.
    pub(super) fn kept(&self, key: &Key, max_age: Duration) -> Option<Page> {
        let kept = lock(&self.kept);
        let (at, page) = kept.get(&(key.job.clone(), key.answer))?;
        (at.elapsed() < max_age).then(|| page.clone())
    }

    /// Keeps an answer for as long as it may be given again.
    pub(super) fn keep(self: &Arc<Self>, key: &Key, page: &Page, max_age: Duration) {
        if max_age.is_zero() {
            return;
        }
        let (at, slot) = (Instant::now(), (key.job.clone(), key.answer));
        lock(&self.kept).insert(slot.clone(), (at, page.clone()));
        let flights = Arc::clone(self);
        tokio::spawn(async move {
            sleep(max_age).await;
            let mut kept = lock(&flights.kept);
            if kept.get(&slot).is_some_and(|(since, _)| *since == at) {
                kept.remove(&slot);
            }
        });
    }

    /// Drops all answers that are kept, since others need the room; false if there were none.
    pub(super) fn forget(&self) -> bool {
        let kept = std::mem::take(&mut *lock(&self.kept));
        !kept.is_empty()
    }
}

/// The words of a panic.
fn what(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::super::check::Limits;
    use super::*;
    use crate::exposition::negotiate;

    fn key(job: &str) -> Key {
        Key { job: job.to_owned(), answer: negotiate(std::iter::empty()), time: None }
    }

    fn page() -> Page {
        Page::of_bodies(Vec::new(), negotiate(std::iter::empty()), Limits::default(), false)
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_for_work_that_panics_are_told_and_the_next_begins_anew() {
        let flights = Arc::new(Flights::default());
        let (first, joined) = flights.join(key("a"), || async {
            sleep(Duration::from_secs(1)).await;
            panic!("a bug")
        });
        assert!(!joined);
        let (second, joined) = flights.join(key("a"), || async { Ok(page()) });
        assert!(joined);
        let (first, second) = tokio::join!(first, second);
        assert_eq!((first.unwrap_err(), second.unwrap_err()), (Refusal::Internal, Refusal::Internal));
        assert!(lock(&flights.running).flights.is_empty());
        let (third, joined) = flights.join(key("a"), || async { Ok(page()) });
        assert!(!joined && third.await.is_ok());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_forgotten() {
        let flights = Arc::new(Flights::default());
        let (mut first, _) = flights.join(key("a"), pending);
        assert!((&mut first).now_or_never().is_none());
        let (other, joined) = flights.join(key("b"), pending);
        assert!(!joined);
        drop((first, other));
        assert!(lock(&flights.running).flights.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_kept_for_their_time_and_dropped_where_others_need_the_room() {
        let flights = Arc::new(Flights::default());
        let age = Duration::from_secs(10);
        flights.keep(&key("never"), &page(), Duration::ZERO);
        assert!(!flights.forget());
        flights.keep(&key("a"), &page(), age);
        sleep(Duration::from_secs(9)).await;
        assert!(flights.kept(&key("a"), age).is_some() && flights.kept(&key("b"), age).is_none());
        sleep(Duration::from_secs(2)).await;
        assert!(flights.kept(&key("a"), age).is_none() && !flights.forget());
        flights.keep(&key("a"), &page(), age);
        assert!(flights.forget() && flights.kept(&key("a"), age).is_none());
    }
}

//! How many requests run side by side: as many as allowed, fewer when the server cannot keep up, and slowly more again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The mean time of a round may be so many times the shortest before it counts as rising...
const RISING: f64 = 2.0;
/// ...and that much longer, since the shortest may be no time at all.
const GRACE: f64 = 0.02;
/// The shortest time is forgotten by so much a round: the way to the server may have become longer for good.
const FORGET: f64 = 1.02;
/// Requests that were sent together are throttled together; that counts once.
const ONCE_IN: Duration = Duration::from_millis(500);
/// After that it does not grow for so long, lest it be throttled with every other request.
const HOLD: Duration = Duration::from_secs(10);

/// The number of requests that may run, between one and a cap.
#[derive(Debug)]
pub(super) struct Pace {
    cap: f64,
    state: Mutex<State>,
    /// Somebody's turn may have come.
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limit: f64,
    running: usize,
    /// Seconds.
    shortest: f64,
    answers: f64,
    seconds: f64,
    overrun: Option<Instant>,
}

impl Pace {
    /// Starts at `cap`.
    pub(super) fn new(cap: usize) -> Self {
        Self::starting_at(cap, cap)
    }

    /// Starts lower, where the server has been overrun before.
    pub(super) fn starting_at(limit: usize, cap: usize) -> Self {
        let cap = cap.max(1) as f64;
        let state = State {
            limit: (limit.max(1) as f64).min(cap),
            running: 0,
            shortest: f64::INFINITY,
            answers: 0.0,
            seconds: 0.0,
            overrun: None,
        };
        Self { cap, state: Mutex::new(state), freed: Notify::new() }
    }

    /// How many requests may run now.
    pub(super) fn limit(&self) -> usize {
        self.state().limit()
    }

    /// Waits until another request may run, as one that is tried again must too. It runs for as long as what is given lives.
    pub(super) async fn turn(&self) -> Turn<'_> {
        loop {
            {
                let mut state = self.state();
                if state.running < state.limit() {
                    state.running += 1;
                    return Turn(self);
                }
            }
            // Remembers that it was notified before it was asked.
            self.freed.notified().await;
        }
    }

    /// An answer that was complete after `took`. As many of them as may run at once are a round.
    pub(super) fn answered(&self, took: Duration) {
        let mut state = self.state();
        state.answers += 1.0;
        state.seconds += took.as_secs_f64();
        if state.answers < state.limit.floor() {
            return;
        }
        let mean = state.seconds / state.answers;
        state.shortest = mean.min(state.shortest * FORGET);
        let held = state.overrun.is_some_and(|last| last.elapsed() < HOLD);
        state.limit = if mean > state.shortest * RISING + GRACE {
            state.limit * 0.9
        } else if held {
            state.limit
        } else {
            state.limit + 1.0
        };
        state.limit = state.limit.clamp(1.0, self.cap);
        (state.answers, state.seconds) = (0.0, 0.0);
        self.freed.notify_one();
    }

    /// 503, 429, `SlowDown`, or no answer in time.
    pub(super) fn overrun(&self) {
        let mut state = self.state();
        if state.overrun.is_some_and(|last| last.elapsed() < ONCE_IN) {
            return;
        }
        state.overrun = Some(Instant::now());
        state.limit = (state.limit / 2.0).max(1.0);
        (state.answers, state.seconds) = (0.0, 0.0);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between one and the cap")]
    fn limit(&self) -> usize {
        self.limit as usize
    }
}

/// A request that runs.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Pace);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(pace: &Pace, number: usize, milliseconds: u64) {
        for _ in 0..number {
            (0..pace.limit()).for_each(|_| pace.answered(Duration::from_millis(milliseconds)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_halves_it_once_for_all_that_were_sent_together() {
        let pace = Pace::new(32);
        (0..32).for_each(|_| pace.overrun());
        assert_eq!(pace.limit(), 16);
        tokio::time::advance(ONCE_IN).await;
        pace.overrun();
        assert_eq!(pace.limit(), 8);
        for _ in 0..9 {
            tokio::time::advance(ONCE_IN).await;
            pace.overrun();
        }
        assert_eq!(pace.limit(), 1);
        rounds(&pace, 10, 80);
        assert_eq!(pace.limit(), 1, "not so soon");
        tokio::time::advance(HOLD).await;
        rounds(&pace, 10, 80);
        assert_eq!(pace.limit(), 11);
        rounds(&pace, 100, 80);
        assert_eq!(pace.limit(), 32);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_waited_for_while_the_limit_is_low() {
        let pace = Pace::new(2);
        let (first, _second) = (pace.turn().await, pace.turn().await);
        pace.overrun();
        let waiting = tokio::time::timeout(Duration::from_millis(1), pace.turn()).await;
        assert!(waiting.is_err());
        drop(first);
        let waiting = tokio::time::timeout(Duration::from_millis(1), pace.turn()).await;
        assert!(waiting.is_err(), "one still runs, and the limit is one");
        tokio::time::advance(HOLD).await;
        pace.answered(Duration::from_millis(1));
        assert_eq!(pace.limit(), 2);
        let _third = pace.turn().await;
    }

    /// Many that wait, few that may run: nobody is forgotten.
    #[tokio::test]
    async fn everybodys_turn_comes() {
        let pace = Pace::new(3);
        pace.overrun();
        let turns = (0..200).map(async |number| {
            let _turn = pace.turn().await;
            tokio::task::yield_now().await;
            if number % 10 == 0 {
                pace.answered(Duration::from_millis(1));
            }
        });
        tokio::time::timeout(Duration::from_secs(30), futures::future::join_all(turns)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn rising_latency_lowers_it_until_the_latency_falls() {
        let pace = Pace::new(64);
        rounds(&pace, 5, 80);
        assert_eq!(pace.limit(), 64);
        rounds(&pace, 10, 150);
        assert_eq!(pace.limit(), 64);
        rounds(&pace, 10, 400);
        assert_eq!(pace.limit(), 22);
        rounds(&pace, 10, 80);
        assert_eq!(pace.limit(), 32);
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_that_has_become_longer_is_got_used_to() {
        let pace = Pace::new(64);
        rounds(&pace, 5, 80);
        rounds(&pace, 300, 400);
        assert_eq!(pace.limit(), 64);
    }
}

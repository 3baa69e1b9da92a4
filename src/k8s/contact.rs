//! When the API last told a watch something that could be read.
//!
//! The head of an answer counts: a watch in which nothing happens has nothing else, and ends and begins again every minute. But an answer that cannot be
//! read takes back what its head has counted, and no head counts until something has been read again; otherwise an API, or something in front of it, that
//! answers with nonsense would look well for ever.

use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::Gauge;

use crate::time::Clock;

/// The contact of a watch.
#[derive(Debug)]
pub(super) struct Contact {
    resource: String,
    last: Gauge,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The contact before the answer that came last.
    before: f64,
    /// What was last heard cannot be read.
    nonsense: bool,
    /// What was last heard is a failure.
    failing: bool,
}

impl Contact {
    /// Of the watch that is called `resource` in log lines; `last` shows when it was, in seconds since the Unix epoch.
    pub(super) fn new(resource: &str, last: Gauge, clock: Clock) -> Self {
        Self { resource: resource.to_owned(), last, clock, state: Mutex::default() }
    }

    /// An answer begins, and is a success so far.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        if !state.nonsense {
            state.before = self.last.get();
            self.well(&mut state);
        }
    }

    /// An object has been read, or the end of a list.
    pub(super) fn understood(&self) {
        let mut state = self.state();
        state.nonsense = false;
        self.well(&mut state);
        state.before = self.last.get();
    }

    /// An answer could not be read.
    pub(super) fn not_understood(&self) {
        let mut state = self.state();
        (state.nonsense, state.failing) = (true, true);
        self.last.set(state.before);
    }

    /// There was no answer, or it was a failure.
    pub(super) fn failed(&self) {
        self.state().failing = true;
    }

    fn well(&self, state: &mut State) {
        self.last.set(self.clock.unix_seconds());
        if std::mem::take(&mut state.failing) {
            tracing::info!(resource = self.resource, "the Kubernetes API answers again");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use jiff::Timestamp;

    use super::*;

    #[test]
    fn only_what_can_be_read_is_contact() {
        let now = Arc::new(AtomicI64::new(0));
        let clock = Clock::from_fn({
            let now = Arc::clone(&now);
            move || Timestamp::from_second(now.load(Ordering::Relaxed)).unwrap()
        });
        let contact = Contact::new("pods", Gauge::new("contact", "Contact.").unwrap(), clock);
        let after = |second: i64, heard: &[fn(&Contact)]| {
            now.store(second, Ordering::Relaxed);
            heard.iter().for_each(|heard| heard(&contact));
            contact.last.get()
        };
        assert_eq!(after(5, &[Contact::answered, Contact::not_understood]), 0.0);
        assert_eq!(after(10, &[Contact::answered]), 0.0, "nothing of it has been read yet");
        assert_eq!(after(11, &[Contact::understood]), 11.0);
        // Watches in which nothing happens.
        assert_eq!(after(50, &[Contact::answered]), 50.0);
        assert_eq!(after(100, &[Contact::answered]), 100.0);
        assert_eq!(after(110, &[Contact::failed]), 100.0);
        assert_eq!(after(120, &[Contact::answered]), 120.0);
        assert_eq!(after(130, &[Contact::not_understood]), 100.0);
        assert_eq!(after(200, &[Contact::answered, Contact::not_understood, Contact::answered]), 100.0);
        assert_eq!(after(210, &[Contact::answered, Contact::understood]), 210.0);
        assert_eq!(after(250, &[Contact::understood]), 250.0);
        assert_eq!(after(260, &[Contact::not_understood]), 250.0);
    }
}

//! The same bucket, listed again and again: what one listing teaches the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::histogram::Histogram;
use super::parallel::{self, Stopped};
use super::{ListError, Meter, Pace, Pages, Reason, Tally, serial};

/// A bucket, and what is remembered of it.
#[derive(Debug)]
pub(super) struct Repeated<P> {
    pub(super) source: Arc<P>,
    ways: usize,
    memory: Mutex<Memory>,
}

/// What is known of a bucket from its last listing.
#[derive(Debug, Clone, Default)]
struct Memory {
    histogram: Arc<Histogram>,
    /// How many requests ran side by side when the server had them fail by throttling.
    overrun_at: Option<usize>,
    /// How often in a row the server turned out not to be asked by key.
    distrusted: u32,
    /// Listings that go on page after page before it is tried again.
    serial: u32,
}

/// After so many listings page after page a server is tried by key again, at the latest.
const MOST_SERIAL: u32 = 64;

impl<P: Pages> Repeated<P> {
    pub(super) fn new(source: P, ways: usize) -> Self {
        Self { source: Arc::new(source), ways, memory: Mutex::default() }
    }

    /// In ranges side by side; page after page if the server cannot be asked by key, or could not last time.
    pub(super) async fn list<T: Tally>(&self, tally: impl Fn() -> T, meter: &Meter) -> Result<T, ListError> {
        meter.objects_seen.set(0);
        let memory = self.memory().clone();
        let mut count = tally();
        if memory.serial > 0 {
            // Before it is tried, lest a bucket whose listing keeps failing is never tried by key again.
            self.memory().serial = memory.serial - 1;
            serial::list(&*self.source, &mut count, None, meter).await?;
            return Ok(count);
        }
        let pace = Arc::new(Pace::starting_at(memory.overrun_at.unwrap_or(self.ways), self.ways));
        match parallel::list(&self.source, &mut count, memory.histogram, &pace, self.ways, meter).await {
            Ok(learned) => *self.memory() = Memory { histogram: Arc::new(learned), ..Memory::default() },
            Err(Stopped::Failed(error)) => {
                self.memory().overrun_at = (error.reason == Reason::Throttled).then(|| pace.limit());
                return Err(error);
            }
            Err(Stopped::Distrust(why)) => {
                tracing::warn!(bucket = %self.source.location(), "the server of the bucket cannot be asked by key, so it is listed page after page: {why}");
                self.distrust();
                meter.objects_seen.set(0);
                count = tally();
                serial::list(&*self.source, &mut count, why.witness(), meter).await?;
            }
        }
        Ok(count)
    }

    /// At once, lest a listing that is given up before its end has to find out again.
    fn distrust(&self) {
        let mut memory = self.memory();
        memory.distrusted += 1;
        memory.serial = 2_u32.saturating_pow(memory.distrusted).min(MOST_SERIAL);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What the log says of reports that are refused: of each outcome at once, and then once a minute, with how many there were meanwhile. A sender that
//! is wrong is wrong every few seconds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines about one outcome.
const PAUSE: Duration = Duration::from_secs(60);

/// When something was last said, and how much was not since.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<HashMap<&'static str, (Instant, u64)>>);

impl Complaints {
    /// How many were not told of since the last line about `outcome`, if it is time for another.
    fn due(&self, outcome: &'static str, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match said.get_mut(outcome) {
            Some((at, unsaid)) if now.duration_since(*at) < PAUSE => {
                *unsaid += 1;
                None
            }
            _ => said.insert(outcome, (now, 0)).map_or(Some(0), |(_, unsaid)| Some(unsaid)),
        }
    }

    /// A report was not taken, or not as a whole.
    pub fn about(&self, outcome: &'static str, peer: Option<IpAddr>, field: Option<&str>, reason: &str) {
        let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_canonical().to_string());
        match self.due(outcome, Instant::now()) {
            Some(others) => tracing::warn!(outcome, peer, field, reason, others, "a report was not taken as it is"),
            None => tracing::debug!(outcome, peer, field, reason, "a report was not taken as it is"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_told_at_once_and_then_once_a_minute_with_those_between() {
        let (complaints, begun) = (Complaints::default(), Instant::now());
        let due = |outcome, seconds| complaints.due(outcome, begun + Duration::from_secs(seconds));
        assert_eq!((due("full", 0), due("invalid", 1)), (Some(0), Some(0)));
        assert_eq!((due("full", 30), due("full", 59)), (None, None));
        assert_eq!((due("full", 60), due("full", 61), due("full", 200)), (Some(2), None, Some(1)));
    }
}

//! What can be wrong with the in-memory S3, and when.

use std::time::Duration;

use crate::mix::{Luck, Probability};

/// A fault and the requests that it strikes: those for which everything holds that is set.
///
/// Of several faults of the same request all latencies apply, and of the other effects the first one.
#[derive(Debug, Clone, PartialEq)]
pub struct S3Fault {
    /// `PUT`, `GET`, `POST`, `HEAD` or `DELETE`. The parts of an upload are put; it starts and completes
    /// with a post.
    pub method: Option<&'static str>,
    /// The key has this in it. Requests without a key, such as lists, have an empty one.
    pub key: Option<String>,
    /// It is one of the first so many, of those for which the above holds.
    pub first: Option<u64>,
    /// It has bad luck. Whether it does follows from what is asked and how often it was asked before, and
    /// not from the order in which different requests arrive.
    pub probability: Option<Probability>,
    /// What happens.
    pub effect: S3Effect,
}

impl S3Fault {
    /// This effect on every request.
    pub fn always(effect: S3Effect) -> Self {
        Self { method: None, key: None, first: None, probability: None, effect }
    }
}

/// What a fault does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Effect {
    /// Nothing is done, and the answer is this status with an S3 error document of this code.
    Status(u16, &'static str),
    /// Nothing is done, and the connection is reset.
    Reset,
    /// The operation is done, and then the connection is reset: its response is lost.
    ResetAfter,
    /// The request waits this long on the tokio timer before anything happens.
    Latency(Duration),
    /// The request is never answered.
    Hang,
}

/// The faults that are set, with their counts.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Armed>);

#[derive(Debug)]
struct Armed {
    fault: S3Fault,
    requests: u64,
    luck: Luck,
}

impl Faults {
    pub(super) fn new(faults: Vec<S3Fault>) -> Self {
        Self(faults.into_iter().map(|fault| Armed { fault, requests: 0, luck: Luck::default() }).collect())
    }

    /// Counts one request and says how long it waits, and what happens then. The key is as it stands in
    /// the path.
    pub(super) fn strike(&mut self, method: &str, key: &str, query: &str) -> (Duration, Option<S3Effect>) {
        let (mut latency, mut effect) = (Duration::ZERO, None);
        for armed in &mut self.0 {
            if armed.strikes(method, key, query) {
                match armed.fault.effect {
                    S3Effect::Latency(more) => latency += more,
                    other => effect = effect.or(Some(other)),
                }
            }
        }
        (latency, effect)
    }
}

impl Armed {
    fn strikes(&mut self, method: &str, key: &str, query: &str) -> bool {
        let fault = &self.fault;
        let other_method = fault.method.is_some_and(|wanted| wanted != method);
        let other_key = fault.key.as_ref().is_some_and(|part| !decoded(key).contains(part));
        if other_method || other_key {
            return false;
        }
        self.requests += 1;
        let in_time = fault.first.is_none_or(|first| self.requests <= first);
        in_time && self.luck.strikes(fault.probability, [method, key, query])
    }
}

/// A path without its percent signs. A plus in a path is a plus.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => bytes.extend_from_slice(format!("%{part}").as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_together() {
        let effect = S3Effect::Status(503, "SlowDown");
        let put = S3Fault { method: Some("PUT"), key: Some("a b+".to_owned()), first: Some(1), ..S3Fault::always(effect) };
        let late = S3Fault::always(S3Effect::Latency(Duration::from_secs(1)));
        let mut faults = Faults::new(vec![late.clone(), put, late, S3Fault::always(S3Effect::Hang)]);
        let wait = Duration::from_secs(2);
        assert_eq!(faults.strike("GET", "xa%20b+y", ""), (wait, Some(S3Effect::Hang)));
        assert_eq!(faults.strike("PUT", "xa%20by", ""), (wait, Some(S3Effect::Hang)));
        assert_eq!(faults.strike("PUT", "xa%20b+y", ""), (wait, Some(effect)));
        assert_eq!(faults.strike("PUT", "xa%20b%2By", ""), (wait, Some(S3Effect::Hang)));
    }

    #[test]
    fn some_have_bad_luck() {
        let probability = Some(Probability { p: 0.5, seed: 3 });
        let mut faults = Faults::new(vec![S3Fault { probability, ..S3Fault::always(S3Effect::Reset) }]);
        let struck = (0..1_000).filter(|_| faults.strike("PUT", "key", "").1.is_some()).count();
        assert!((400..600).contains(&struck), "{struck}");
    }

    #[test]
    fn paths() {
        assert_eq!(["a%2Fb", "%", "a%zz", "%c3%a9+"].map(decoded), ["a/b", "%", "a%zz", "é+"]);
    }
}

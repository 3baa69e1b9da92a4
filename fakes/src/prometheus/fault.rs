//! What can be wrong with a Prometheus, and when.

use std::time::Duration;

use super::problem::Problem;
use super::query::{Params, Query};
use crate::mix::{Luck, Probability};

/// A fault and the requests that it strikes.
///
/// Several rules may strike the same request: all that change the answer (`Warnings`, `Infos`, `Empty`,
/// `Partial`) apply, and of the others the first one. A limit that an answer keeps to is no fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Which requests.
    pub when: When,
    /// What happens to them.
    pub fault: Fault,
}

/// The requests that a [`Rule`] strikes: those for which everything holds that is set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct When {
    /// The path is this one.
    pub path: Option<String>,
    /// It is a query of the metric of this name.
    pub metric: Option<String>,
    /// It is a query of a time that begins here, in unix seconds: `start`, or the beginning of the range.
    pub window_start: Option<i64>,
    /// It is one of the first so many, of those for which the above holds.
    pub first: Option<u64>,
    /// It has bad luck. Whether it does follows from its parameters and how often it was asked before,
    /// and not from the order in which different requests arrive.
    pub probability: Option<Probability>,
}

impl When {
    /// Every request.
    pub fn always() -> Self {
        Self::default()
    }

    /// The next `n` requests.
    pub fn first(n: u64) -> Self {
        Self { first: Some(n), ..Self::default() }
    }

    /// Queries of this metric.
    pub fn metric(name: &str) -> Self {
        Self { metric: Some(name.to_owned()), ..Self::default() }
    }

    /// Queries of a time that begins at `unix_seconds`.
    pub fn window_start(unix_seconds: i64) -> Self {
        Self { window_start: Some(unix_seconds), ..Self::default() }
    }

    /// About `p` (0 to 1) of the requests.
    pub fn probability(p: f64, seed: u64) -> Self {
        Self { probability: Some(Probability { p, seed }), ..Self::default() }
    }
}

/// One way of a Prometheus, or of a proxy before it, to be wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// This status.
    Status {
        /// The HTTP status.
        code: u16,
        /// Seconds in a `Retry-After` header.
        retry_after: Option<u64>,
        /// What the response says.
        body: ErrorBody,
    },
    /// An error document with status 200.
    ErrorIn200 {
        /// `internal`, `timeout`, ...
        error_type: &'static str,
        /// The message.
        error: &'static str,
    },
    /// 200 with the HTML of a login page.
    Html,
    /// The right answer with these `warnings`.
    Warnings(Vec<String>),
    /// The right answer with these `infos`.
    Infos(Vec<String>),
    /// Half of the body, then the connection is closed.
    CutBody {
        /// Whether the whole length was announced; else the body is chunked, without its last chunk.
        content_length: bool,
    },
    /// Half of the document in a complete HTTP response.
    CutJson,
    /// The request is read and never answered.
    Hang,
    /// Half of the body, then silence on an open connection.
    StallMidBody,
    /// The right answer, only so many bytes of it in each interval.
    Slow {
        /// Bytes at a time.
        bytes: usize,
        /// The pause before each piece.
        every: Duration,
    },
    /// A success without any series.
    Empty,
    /// 422, as Prometheus answers when the answer would have more samples than this.
    SampleLimit {
        /// The most that it gives.
        max: u64,
    },
    /// 400, as Prometheus answers when a range has more steps than this; its own limit is 11,000.
    ResolutionLimit {
        /// The most that it gives.
        max_steps: u64,
    },
    /// 503, as Prometheus answers when a query takes too long: one with more samples than this.
    TimeoutAbove {
        /// The most that it gives in time.
        samples: u64,
    },
    /// The connection is reset without an answer.
    Reset,
    /// Only every n-th series, and no word about the others.
    Partial(usize),
}

/// What stands in an answer with an error status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorBody {
    /// A document of the API.
    Api {
        /// `execution`, `unavailable`, ...
        error_type: &'static str,
        /// The message.
        error: &'static str,
    },
    /// Plain text, as from a proxy.
    Text(&'static str),
}

/// The rules that are set, with their counts.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Armed>);

#[derive(Debug)]
struct Armed {
    rule: Rule,
    requests: u64,
    luck: Luck,
}

impl Rules {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Self(rules.into_iter().map(|rule| Armed { rule, requests: 0, luck: Luck::default() }).collect())
    }

    /// Counts one request and says what strikes it, in the order of the rules.
    pub(super) fn strike(&mut self, path: &str, params: &Params, query: Option<&Result<Query, Problem>>) -> Vec<Fault> {
        let query = query.and_then(|query| query.as_ref().ok());
        let strikes = self.0.iter_mut().filter_map(|armed| armed.strikes(path, params, query).then(|| armed.rule.fault.clone()));
        strikes.collect()
    }
}

impl Armed {
    fn strikes(&mut self, path: &str, params: &Params, query: Option<&Query>) -> bool {
        let when = &self.rule.when;
        let other_path = when.path.as_ref().is_some_and(|wanted| wanted != path);
        let metric = query.and_then(|query| query.selector.metric());
        let other_metric = when.metric.as_ref().is_some_and(|wanted| metric != Some(wanted.as_str()));
        let start = query.map(Query::window_start);
        let other_start = when.window_start.is_some_and(|wanted| start != wanted.checked_mul(1_000));
        if other_path || other_metric || other_start {
            return false;
        }
        self.requests += 1;
        if when.first.is_some_and(|first| self.requests > first) {
            return false;
        }
        let texts = params.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        self.luck.strikes(when.probability, texts.chain([path]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(when: When) -> Rules {
        Rules::new(vec![Rule { when, fault: Fault::Hang }])
    }

    /// Whether a query of `metric` from `start` on is struck.
    fn struck(rules: &mut Rules, metric: &str, start: i64) -> bool {
        let param = |name: &str, value: String| (name.to_owned(), value);
        let params = [
            param("query", metric.to_owned()),
            param("start", start.to_string()),
            param("end", "9999".to_owned()),
            param("step", "1".to_owned()),
        ];
        !rules.strike("/api/v1/query_range", &params, Some(&Query::range(&params))).is_empty()
    }

    #[test]
    fn conditions_hold_together() {
        let mut both = rules(When { metric: Some("a".to_owned()), window_start: Some(15), first: Some(2), ..When::default() });
        assert!(!struck(&mut both, "b", 15) && !struck(&mut both, "a", 30));
        assert!(struck(&mut both, "a", 15) && struck(&mut both, "a", 15) && !struck(&mut both, "a", 15));
        assert!(both.strike("/-/ready", &[], None).is_empty());

        let mut ready = rules(When { path: Some("/-/ready".to_owned()), ..When::default() });
        assert!(!struck(&mut ready, "a", 0));
        assert_eq!(ready.strike("/-/ready", &[], None), [Fault::Hang]);
    }

    #[test]
    fn luck_does_not_depend_on_the_order() {
        let asked = |starts: &mut dyn Iterator<Item = i64>, seed| {
            let mut rules = rules(When::probability(0.3, seed));
            let mut struck: Vec<i64> = starts.filter(|start| struck(&mut rules, "a", *start)).collect();
            struck.sort_unstable();
            struck
        };
        let forwards = asked(&mut (0..1_000), 1);
        assert!((250..350).contains(&forwards.len()), "{}", forwards.len());
        assert_eq!(forwards, asked(&mut (0..1_000).rev(), 1));
        assert_ne!(forwards, asked(&mut (0..1_000), 2));
        let again = asked(&mut std::iter::repeat_n(7, 1_000), 1);
        assert!((250..350).contains(&again.len()), "{}", again.len());
    }
}

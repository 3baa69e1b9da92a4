//! Which nodes have reported lately.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// A node that says nothing for so long is silent.
pub const SILENT_AFTER: Duration = Duration::from_secs(600);
/// Names are foreign: no more are kept.
const MOST_NODES: usize = 100_000;

/// When each node last reported, since the start.
#[derive(Debug, Default)]
pub struct Board(Mutex<HashMap<String, Timestamp>>);

impl Board {
    /// A node has reported.
    pub fn heard(&self, node: &str, now: Timestamp) {
        let mut nodes = self.nodes();
        if let Some(at) = nodes.get_mut(node) {
            *at = now;
        } else if nodes.len() < MOST_NODES {
            nodes.insert(node.to_owned(), now);
        }
    }

    /// How many nodes have reported lately, and which one did last.
    pub fn reporting(&self, now: Timestamp) -> (usize, Option<(String, Timestamp)>) {
        let nodes = self.nodes();
        let lately = nodes.values().filter(|at| is_recent(**at, now)).count();
        let latest = nodes.iter().max_by_key(|(_, at)| **at);
        (lately, latest.map(|(node, at)| (node.clone(), *at)))
    }

    /// Those of `names` that have not reported lately, and forgets nodes that nobody has heard of for long and that are not among `names`.
    pub fn silent<'a>(&self, names: impl Iterator<Item = &'a str>, now: Timestamp) -> Vec<String> {
        let nodes = self.nodes();
        let mut silent: Vec<String> =
            names.filter(|name| nodes.get(*name).is_none_or(|at| !is_recent(*at, now))).map(str::to_owned).collect();
        silent.sort_unstable();
        silent
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(at)).unwrap_or_default() < SILENT_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_fall_silent() {
        let board = Board::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        board.heard("a", at(0));
        board.heard("b", at(500));
        assert_eq!(board.silent(["a", "b", "c"].into_iter(), at(599)), ["c"]);
        assert_eq!(board.silent(["a", "b", "c"].into_iter(), at(600)), ["a", "c"]);
        assert_eq!(board.reporting(at(600)), (1, Some(("b".to_owned(), at(500)))));
        assert_eq!(board.reporting(at(0)).0, 2, "a clock that was set back makes nobody silent");
    }
}

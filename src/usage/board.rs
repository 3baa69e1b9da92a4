//! Which nodes have reported lately.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// A node that says nothing for so long is silent.
pub const SILENT_AFTER: Duration = Duration::from_secs(600);
/// A node that says nothing for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// Names are foreign: no more are kept.
const MOST_NODES: usize = 100_000;

/// When each node last reported, since the board began.
#[derive(Debug)]
pub struct Board {
    began: Timestamp,
    nodes: Mutex<HashMap<String, Timestamp>>,
}

impl Board {
    /// A board on which nobody stands, as of `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { began: now, nodes: Mutex::default() }
    }

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
        let lately = nodes.values().filter(|at| age(**at, now) < SILENT_AFTER).count();
        let latest = nodes.iter().max_by_key(|(_, at)| **at);
        (lately, latest.map(|(node, at)| (node.clone(), *at)))
    }

    /// Those of `names` that have not reported lately; none before the board is old enough to tell. Forgets nodes that nobody has heard of for a day,
    /// and where names fill the board, all that are silent or that are not among `names`.
    pub fn silent<'a>(&self, names: impl Iterator<Item = &'a str>, now: Timestamp) -> Vec<String> {
        let mut nodes = self.nodes();
        nodes.retain(|_, at| age(*at, now) < FORGOTTEN_AFTER);
        let names: HashSet<&str> = names.collect();
        if nodes.len() >= MOST_NODES {
            nodes.retain(|name, at| age(*at, now) < SILENT_AFTER && names.contains(name.as_str()));
        }
        if age(self.began, now) < SILENT_AFTER {
            return Vec::new();
        }
        let is_silent = |name: &&str| nodes.get(*name).is_none_or(|at| age(*at, now) >= SILENT_AFTER);
        let mut silent: Vec<String> = names.into_iter().filter(is_silent).map(str::to_owned).collect();
        silent.sort_unstable();
        silent
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// None where the clock was set back.
fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn nodes_fall_silent() {
        let board = Board::new(at(-1_000));
        board.heard("a", at(0));
        board.heard("b", at(500));
        assert_eq!(board.silent(["a", "b", "c"].into_iter(), at(599)), ["c"]);
        assert_eq!(board.silent(["a", "b", "c"].into_iter(), at(600)), ["a", "c"]);
        assert_eq!(board.reporting(at(600)), (1, Some(("b".to_owned(), at(500)))));
        assert_eq!(board.reporting(at(0)).0, 2, "a clock that was set back makes nobody silent");
    }

    #[test]
    fn nobody_is_silent_before_all_had_the_time_to_report() {
        let board = Board::new(at(0));
        assert_eq!(board.silent(["a"].into_iter(), at(599)), Vec::<String>::new());
        assert_eq!(board.silent(["a"].into_iter(), at(600)), ["a"]);
    }

    #[test]
    fn nodes_of_yesterday_are_forgotten() {
        let board = Board::new(at(0));
        board.heard("a", at(0));
        board.heard("b", at(100));
        board.silent(["a", "b"].into_iter(), at(86_400));
        assert_eq!(board.nodes().keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn names_of_nobody_do_not_fill_the_board_for_good() {
        let board = Board::new(at(0));
        board.heard("silent", at(0));
        board.heard("a", at(900));
        (0..MOST_NODES).for_each(|number| board.heard(&format!("made up {number}"), at(900)));
        board.heard("b", at(950));
        assert_eq!(board.silent(["a", "b", "silent"].into_iter(), at(1_000)), ["b", "silent"]);
        board.heard("b", at(1_010));
        assert_eq!(board.silent(["a", "b", "silent"].into_iter(), at(1_020)), ["silent"]);
        assert_eq!(board.nodes().len(), 2);
    }
}

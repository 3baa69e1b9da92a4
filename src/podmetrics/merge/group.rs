//! Families of the same name, and which of their types stands: the one that most targets declare, the first target's among equals.

use std::borrow::Cow;
use std::cmp::Reverse;

use super::super::body::{Family, Traits};
use super::super::check::is_long;
use super::super::series::out_name;
use super::{Member, Part, Source, body_of, lines_in_order};
use crate::exposition::{Answer, Entry, Format, Kind, Scanner};

/// All families of one name. The name is that of the text format, so that `foo` of OpenMetrics and `foo_total` of text are one counter.
#[derive(Debug)]
pub(super) struct Group {
    /// In the order of their sources.
    pub(super) members: Vec<(Member, Kind)>,
    /// The type that stands; unknown where nobody declares one.
    pub(super) kind: Kind,
    /// How many targets declare it.
    votes: u32,
    /// The first that does.
    first: u32,
}

/// Types that can stand beside each other: `info` and `stateset` are gauges to those who speak the text format.
fn class(kind: Kind) -> Kind {
    if matches!(kind, Kind::Info | Kind::StateSet) { Kind::Gauge } else { kind }
}

/// A type, how many targets are for it, the first, and the last that was counted.
struct Votes {
    kind: Kind,
    count: u32,
    first: u32,
    last: u32,
}

impl Group {
    pub(super) fn new() -> Self {
        Self { members: Vec::new(), kind: Kind::Unknown, votes: 0, first: u32::MAX }
    }

    /// Settles on a type and gives back the members that cannot be of it. Those without a type follow, unless no sample of the type has their name: then
    /// they must be outvoted as well.
    pub(super) fn settle(&mut self) -> Vec<(Member, Kind)> {
        self.members.sort_by_key(|(member, _)| (member.source, member.family));
        let mut votes: Vec<Votes> = Vec::new();
        for (member, kind) in &self.members {
            let (kind, source) = (class(*kind), member.source);
            match votes.iter_mut().find(|votes| votes.kind == kind) {
                Some(votes) if votes.last == source => {}
                Some(votes) => (votes.count, votes.last) = (votes.count + 1, source),
                None => votes.push(Votes { kind, count: 1, first: source, last: source }),
            }
        }
        let rank = |votes: &&Votes| (votes.count, Reverse(votes.first));
        let untyped = votes.iter().find(|votes| votes.kind == Kind::Unknown);
        let typed = votes.iter().filter(|votes| votes.kind != Kind::Unknown).max_by_key(rank);
        let bare = |kind: Kind| kind.suffixes(Format::Text).contains(&"");
        let winner = match (typed, untyped) {
            (None, _) => return Vec::new(),
            (Some(typed), Some(untyped)) if !bare(typed.kind) && untyped.count > typed.count => untyped,
            (Some(typed), _) => typed,
        };
        let follows = |kind: Kind| class(kind) == winner.kind || (kind == Kind::Unknown && bare(winner.kind));
        let (stay, go) = std::mem::take(&mut self.members).into_iter().partition(|(_, kind)| follows(*kind));
        self.members = stay;
        let mut kinds = self.members.iter().map(|(_, kind)| *kind);
        let one = kinds.next().unwrap_or(winner.kind);
        self.kind = if kinds.all(|kind| kind == one) && one != Kind::Unknown { one } else { winner.kind };
        (self.votes, self.first) = if winner.kind == Kind::Unknown { (0, u32::MAX) } else { (winner.count, winner.first) };
        go
    }

    /// True if its type would have to go for that of the other.
    pub(super) fn loses_to(&self, other: &Self) -> bool {
        (self.votes, Reverse(self.first)) < (other.votes, Reverse(other.first))
    }

    /// True for gauges and what could be one.
    pub(super) fn may_be_gauge(&self) -> bool {
        matches!(class(self.kind), Kind::Unknown | Kind::Gauge)
    }
}

/// Samples of members.
pub(super) fn count(sources: &[Source], members: &[(Member, Kind)], answer: Answer) -> u64 {
    let of = |member: &Member| {
        let Some((_, _, family)) = body_of(sources, member) else { return 0 };
        if member.part == Part::All {
            return u64::from(family.samples);
        }
        let mut samples = 0;
        each_sample(sources, member, answer, |_| samples += 1);
        samples
    };
    members.iter().map(|(member, _)| of(member)).sum()
}

/// Reads the samples of a member again.
pub(super) fn each_sample(sources: &[Source], member: &Member, answer: Answer, mut take: impl FnMut(&Scanner<'_>)) {
    let Some((_, body, _)) = body_of(sources, member) else { return };
    for (run, part, family) in lines_in_order(body, std::slice::from_ref(member)) {
        let mut scanner = Scanner::resume(&body.text, body.format, run.start);
        while scanner.offset() < run.end {
            let Ok(Some(Entry::Sample)) = scanner.entry() else { break };
            if part.holds(&out_name(scanner.sample().name, answer.escaping), family) {
                take(&scanner);
            }
        }
    }
}

/// Under which names of the text format a family goes, with which type and which of its samples.
pub(super) fn parts<'a>(name: &'a [u8], family: &Family, from: Format, to: Format) -> Vec<(Cow<'a, [u8]>, Kind, Part)> {
    let with = |suffix: &str| Cow::Owned([name, suffix.as_bytes()].concat());
    let kind = family.kind;
    let split_created = to == Format::Text && family.traits.any(Traits::CREATED);
    let main = if split_created { Part::NotCreated } else { Part::All };
    let mut parts = match kind {
        Kind::Counter if from == Format::OpenMetrics && !is_long(kind, name, from) => vec![(with("_total"), kind, main)],
        Kind::Info if !is_long(kind, name, from) => vec![(with("_info"), kind, main)],
        Kind::GaugeHistogram if to == Format::Text => vec![
            (with("_bucket"), Kind::Unknown, Part::Buckets),
            (with("_gcount"), Kind::Gauge, Part::Counts),
            (with("_gsum"), Kind::Gauge, Part::Sums),
        ],
        _ => vec![(Cow::Borrowed(name), kind, main)],
    };
    if split_created {
        parts.push((with("_created"), Kind::Gauge, Part::Created));
    }
    parts
}

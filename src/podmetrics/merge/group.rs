//! Families of the same name, and which of their types stands: the one that most targets declare, the first target's among equals.

use std::borrow::Cow;

use super::super::body::{Family, Traits};
use super::{Member, Part, Source, body_of};
use crate::exposition::{Format, Kind};

/// All families of one name. The name is that of the text format, so that `foo` of OpenMetrics and `foo_total` of text are one counter.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) members: Vec<(Member, Kind)>,
    /// The type that stands; unknown where nobody declares one.
    pub(super) kind: Kind,
    /// How many targets declare it.
    pub(super) votes: u32,
    /// The first that does.
    pub(super) first: u32,
}

/// Types that can stand beside each other: `info` and `stateset` are gauges to those who speak the text format.
fn class(kind: Kind) -> Kind {
    if matches!(kind, Kind::Info | Kind::StateSet) { Kind::Gauge } else { kind }
}

impl Group {
    pub(super) fn new() -> Self {
        Self { members: Vec::new(), kind: Kind::Unknown, votes: 0, first: u32::MAX }
    }

    /// Settles on a type and gives back the members that cannot be of it. Those without a type follow.
    pub(super) fn settle(&mut self) -> Vec<(Member, Kind)> {
        // Type, votes, first target.
        let mut votes: Vec<(Kind, u32, u32)> = Vec::new();
        for (member, kind) in self.members.iter().filter(|(_, kind)| *kind != Kind::Unknown) {
            match votes.iter_mut().find(|(candidate, ..)| *candidate == class(*kind)) {
                Some((_, count, _)) => *count += 1,
                None => votes.push((class(*kind), 1, member.source)),
            }
        }
        // The first of equals: `max_by_key` gives the last.
        let Some((winner, votes, first)) = votes.into_iter().rev().max_by_key(|(_, count, _)| *count) else { return Vec::new() };
        let bare = winner.suffixes(Format::Text).contains(&"");
        let (stay, go) = std::mem::take(&mut self.members)
            .into_iter()
            .partition(|(_, kind)| class(*kind) == winner || (bare && *kind == Kind::Unknown));
        self.members = stay;
        let mut kinds = self.members.iter().map(|(_, kind)| *kind).filter(|kind| *kind != Kind::Unknown);
        let one = kinds.next().unwrap_or(winner);
        self.kind = if kinds.all(|kind| kind == one) { one } else { winner };
        (self.votes, self.first) = (votes, first);
        go
    }

    /// True if a type that somebody declares would have to go for another of so many votes.
    pub(super) fn loses_to(&self, other: &Self) -> bool {
        (self.votes, std::cmp::Reverse(self.first)) < (other.votes, std::cmp::Reverse(other.first))
    }

    /// True if its samples can be those of a part of a family of another type.
    pub(super) fn can_follow(&self, suffix: &str) -> bool {
        self.kind == Kind::Unknown || (suffix == "_created" && class(self.kind) == Kind::Gauge)
    }

    pub(super) fn samples(&self, sources: &[Source]) -> u64 {
        count(sources, &self.members)
    }
}

/// Samples in the families of members.
pub(super) fn count(sources: &[Source], members: &[(Member, Kind)]) -> u64 {
    members.iter().filter_map(|(member, _)| body_of(sources, member)).map(|(_, _, family)| u64::from(family.samples)).sum()
}

/// Under which names of the text format a family goes, with which type and which of its samples.
pub(super) fn parts<'a>(name: &'a [u8], family: &Family, from: Format, to: Format) -> Vec<(Cow<'a, [u8]>, Kind, Part)> {
    let with = |suffix: &str| Cow::Owned([name, suffix.as_bytes()].concat());
    let kind = family.kind;
    if from == Format::Text {
        return vec![(Cow::Borrowed(name), kind, Part::All)];
    }
    let split_created = to == Format::Text && family.traits.any(Traits::CREATED);
    let main = if split_created { Part::Without("_created") } else { Part::All };
    let mut parts = match kind {
        Kind::Counter | Kind::Info if family.traits.any(Traits::LONG) => vec![(Cow::Borrowed(name), kind, main)],
        Kind::Counter => vec![(with("_total"), kind, main)],
        Kind::Info => vec![(with("_info"), kind, Part::All)],
        Kind::GaugeHistogram if to == Format::Text => vec![
            (with("_bucket"), Kind::Unknown, Part::Only("_bucket")),
            (with("_gcount"), Kind::Gauge, Part::Only("_gcount")),
            (with("_gsum"), Kind::Gauge, Part::Only("_gsum")),
        ],
        _ => vec![(Cow::Borrowed(name), kind, main)],
    };
    if split_created && !family.traits.any(Traits::LONG) {
        parts.push((with("_created"), Kind::Gauge, Part::Only("_created")));
    }
    parts
}

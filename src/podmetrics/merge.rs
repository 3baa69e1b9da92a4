//! From checked bodies to one answer: families side by side, each with one HELP, one TYPE and all its samples together.
//!
//! Deciding ([`plan`](mod@plan), [`group`]) is apart from writing ([`render`](super::render)): a plan is small and is made once, and each reader of the answer
//! writes it from the bodies as it goes.

mod group;
mod omit;
mod plan;

use std::collections::HashSet;
use std::ops::Range;

use super::body::{Body, Family};
use super::budget::Share;
use super::reason::Failure;
use crate::exposition::{Answer, Kind};

pub(super) use self::plan::plan;

/// What came of one target.
#[derive(Debug)]
pub(super) struct Source {
    /// The labels that its samples gain: name and value, in their order.
    pub(super) added: Vec<(String, String)>,
    /// From the first to the last byte, connecting included.
    pub(super) seconds: f64,
    pub(super) body: Result<Body, Failure>,
    /// Of what may be held at once, given back when the answer is sent.
    #[expect(dead_code, reason = "it is held, and dropped at the end")]
    pub(super) share: Option<Share>,
}

/// What of a family of a body is meant, by what the names of its samples add to that of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    All,
    Created,
    NotCreated,
    Buckets,
    Counts,
    Sums,
}

impl Part {
    /// Whether a sample of this name belongs to the part of a family; both names as they go out.
    pub(super) fn holds(self, name: &[u8], family: &[u8]) -> bool {
        let is = |end: &[u8]| name.strip_prefix(family) == Some(end);
        match self {
            Self::All => true,
            Self::Created => is(b"_created"),
            Self::NotCreated => !is(b"_created"),
            Self::Buckets => is(b"_bucket"),
            Self::Counts => is(b"_gcount"),
            Self::Sums => is(b"_gsum"),
        }
    }
}

/// A family of a body, or a part of it, that goes into a family of the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// Index of the source.
    pub(super) source: u32,
    /// Index of the family in its body.
    pub(super) family: u32,
    pub(super) part: Part,
}

/// A family of the answer.
#[derive(Debug)]
pub(super) struct Planned {
    /// In its `HELP` and `TYPE`, which in OpenMetrics can be shorter than the names of its samples.
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    /// Whose HELP it is.
    pub(super) help: Option<Member>,
    /// Whose UNIT it is.
    pub(super) unit: Option<Member>,
    /// By source, and in its own order within one.
    pub(super) members: Vec<Member>,
}

/// An answer that is yet to be written.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) sources: Vec<Source>,
    pub(super) answer: Answer,
    /// Whether labels of samples stand over those that are added.
    pub(super) honor_labels: bool,
    pub(super) families: Vec<Planned>,
    /// Samples left out since their TYPE lost against another.
    pub(super) conflicts: u64,
    /// Lines left out since another target had the same series, which honoured labels make possible; by source and offset.
    pub(super) repeated: HashSet<(u32, usize)>,
}

impl Merged {
    /// Merges `sources`, which are in their stable order.
    pub(super) fn new(sources: Vec<Source>, answer: Answer, honor_labels: bool) -> Self {
        let (families, conflicts) = plan(&sources, answer);
        let repeated = if honor_labels { omit::repeated(&sources, &families, answer) } else { HashSet::new() };
        Self { sources, answer, honor_labels, families, conflicts, repeated }
    }

    pub(super) fn body(&self, member: &Member) -> Option<(&Source, &Body, &Family)> {
        body_of(&self.sources, member)
    }

    /// Bytes held for the bodies.
    pub(super) fn bytes(&self) -> usize {
        let members: usize = self.families.iter().map(|family| family.members.capacity() * size_of::<Member>()).sum();
        members + self.sources.iter().filter_map(|source| source.body.as_ref().ok()).map(Body::bytes).sum::<usize>()
    }
}

/// Where a member's lines are.
pub(super) fn body_of<'a>(sources: &'a [Source], member: &Member) -> Option<(&'a Source, &'a Body, &'a Family)> {
    let source = &sources[member.source as usize];
    let body = source.body.as_ref().ok()?;
    Some((source, body, &body.families()[member.family as usize]))
}

/// The lines of members of one source in the order of its text: where they are, of which part, and the name of their family.
pub(super) fn lines_in_order<'a>(body: &'a Body, members: &[Member]) -> Vec<(Range<usize>, Part, &'a [u8])> {
    let mut lines: Vec<(Range<usize>, Part, &[u8])> = members
        .iter()
        .flat_map(|member| {
            let family = &body.families()[member.family as usize];
            body.runs(family).map(|run| (run, member.part, body.name(family)))
        })
        .collect();
    lines.sort_by_key(|(run, ..)| run.start);
    lines
}

#[cfg(test)]
mod tests;

//! From checked bodies to one answer: families side by side, each with one HELP, one TYPE and all its samples together.
//!
//! Deciding ([`plan`](mod@plan), [`group`]) is apart from writing ([`render`](super::render)): a plan is small and is made once, and each reader of the answer
//! writes it from the bodies as it goes.

mod group;
mod omit;
mod plan;

use std::collections::HashSet;

use super::body::{Body, Family, Span};
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

/// What of a family of a body is meant, by the end of the names of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    All,
    Only(&'static str),
    Without(&'static str),
}

impl Part {
    /// Whether a sample of this name belongs to the part.
    pub(super) fn holds(self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Only(suffix) => name.ends_with(suffix.as_bytes()),
            Self::Without(suffix) => !name.ends_with(suffix.as_bytes()),
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
    /// Lines that are left out, by source and offset.
    pub(super) omitted: HashSet<(u32, usize)>,
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
    /// Samples left out since another target had the same series, which honoured labels make possible.
    pub(super) repeated: u64,
}

impl Merged {
    /// Merges `sources`, which are in their stable order.
    pub(super) fn new(sources: Vec<Source>, answer: Answer, honor_labels: bool) -> Self {
        let (mut families, conflicts) = plan(&sources, answer.format);
        let repeated = if honor_labels { omit::omit_repeated(&sources, &mut families, answer) } else { 0 };
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

/// The lines of members of one source in the order of its text.
pub(super) fn lines_in_order(body: &Body, members: &[Member]) -> Vec<(Span, Part)> {
    let mut lines: Vec<(Span, Part)> = members
        .iter()
        .flat_map(|member| {
            let family = &body.families()[member.family as usize];
            body.runs(family).map(|run| (Span::new(run), member.part))
        })
        .collect();
    lines.sort_by_key(|(span, _)| span.range().start);
    lines
}

#[cfg(test)]
mod tests;

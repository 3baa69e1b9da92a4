//! An answer: checked and merged, held once, written as often as it is asked for.

use std::sync::Arc;

use super::check::{Limits, Terms, check};
use super::merge::{Merged, Source};
use super::reason::Failure;
use super::render::Renderer;
use crate::exposition::{Answer, Format};

/// The merged answer of some targets. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Page(Arc<Merged>);

/// A target whose body is at hand.
#[derive(Debug)]
pub struct Target {
    /// The labels that its samples gain: name and value.
    pub added: Vec<(String, String)>,
    /// Its answer.
    pub body: Vec<u8>,
    /// What that is written in.
    pub format: Format,
}

impl Page {
    /// Merges bodies that are at hand, in the order in which they are given.
    pub fn of_bodies(targets: Vec<Target>, answer: Answer, limits: Limits, honor_labels: bool) -> Self {
        let sources = targets.into_iter().map(|target| {
            let added: Vec<&str> = target.added.iter().map(|(name, _)| name.as_str()).collect();
            let terms = Terms { format: target.format, escaping: answer.escaping, limits, added: &added, honor_labels };
            let body = check(target.body, terms);
            Source { added: target.added, seconds: 0.0, body, share: None }
        });
        Self::new(sources.collect(), answer, honor_labels)
    }

    pub(super) fn new(sources: Vec<Source>, answer: Answer, honor_labels: bool) -> Self {
        Self(Arc::new(Merged::new(sources, answer, honor_labels)))
    }

    /// The text, piece by piece.
    pub fn pieces(&self) -> impl Iterator<Item = Vec<u8>> + Send + use<> {
        let mut renderer = Renderer::new(Arc::clone(&self.0));
        std::iter::from_fn(move || renderer.piece())
    }

    /// What it is written in.
    pub fn answer(&self) -> Answer {
        self.0.answer
    }

    /// Bytes held: the bodies, and what is known of them.
    pub fn held_bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Why targets are down, by their position.
    pub fn failures(&self) -> impl Iterator<Item = (usize, &Failure)> {
        self.0.sources.iter().enumerate().filter_map(|(at, source)| Some((at, source.body.as_ref().err()?)))
    }

    /// The targets that answered well or not, in their order.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Source> {
        self.0.sources.iter()
    }

    /// The labels that the samples of a target gain.
    pub(super) fn labels_of(&self, target: usize) -> &[(String, String)] {
        self.0.sources.get(target).map(|source| source.added.as_slice()).unwrap_or_default()
    }

    /// Samples of all targets.
    pub fn samples(&self) -> u64 {
        self.targets().filter_map(|source| source.body.as_ref().ok()).map(|body| u64::from(body.samples)).sum()
    }

    /// Samples left out since their TYPE lost against another, and since another target had the same series.
    pub fn left_out(&self) -> (u64, u64) {
        (self.0.conflicts, self.0.repeated.len() as u64)
    }
}

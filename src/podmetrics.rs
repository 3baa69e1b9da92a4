//! `podmetrics`: the metrics of all pods that carry a job's label, scraped when somebody asks, as one page.
//!
//! [`discover`] keeps the [`index`] of such pods by a watch; [`target`] says what their labels and annotations mean, [`guard`] which addresses may be
//! scraped at all.

pub mod discover;
pub mod guard;
pub mod index;
pub mod target;

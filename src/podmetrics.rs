//! `podmetrics`: the metrics of all pods that carry a job's label, scraped when somebody asks, as one page.
//!
//! [`target`] says what the labels and annotations of a pod mean, [`guard`] which addresses may be scraped at all.

pub mod guard;
pub mod target;

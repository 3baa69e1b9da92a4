//! `podmetrics`: the metrics of all pods that carry a job's label, scraped when somebody asks, as one page.
//!
//! [`index`] holds such pods; [`target`] says what their labels and annotations mean, [`guard`] which addresses may be scraped at all.

pub mod guard;
pub mod index;
pub mod target;

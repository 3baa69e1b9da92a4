//! `podmetrics`: on request, the metrics of all pods of a job as one valid exposition.

mod body;
mod check;
pub mod discover;
pub mod guard;
pub mod index;
mod line;
mod merge;
mod own;
mod page;
mod reason;
mod render;
mod series;
pub mod target;

pub use self::check::Limits;
pub use self::page::{Page, Target};
pub use self::reason::{Failure, Reason};

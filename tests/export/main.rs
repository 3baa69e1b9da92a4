//! The export as its users meet it: the real binary between a Prometheus and an S3 that do everything wrong that they can.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod changes;
mod crash;
mod faults;
mod recheck;
mod serving;
mod split;
mod store;
#[expect(dead_code, reason = "most of it is for `tests/whole`")]
#[path = "../whole/support.rs"]
mod support;
mod usage;
mod world;

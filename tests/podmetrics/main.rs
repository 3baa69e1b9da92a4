//! The metrics of pods as their users meet them: the real binary between a Kubernetes API and pods that do everything wrong that they can.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod answer;
mod discovery;
mod faults;
mod formats;
mod labels;
mod limits;
mod routes;
mod safety;
mod sharing;
mod status;
#[expect(dead_code, reason = "most of it is for `tests/whole`")]
#[path = "../whole/support.rs"]
mod support;
mod tls;
mod token;
mod watching;
mod world;

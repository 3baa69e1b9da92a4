//! The merging of expositions, held against what others say: a real Prometheus, promtool, the Python client, and the answers of real exporters.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod bodies;
mod differential;
mod fixtures;
mod oracles;
mod properties;
mod read;
#[path = "../whole/real_prometheus.rs"]
mod real_prometheus;
mod scraped;
#[expect(dead_code, reason = "most of it is for `tests/whole`")]
#[path = "../whole/support.rs"]
mod support;

//! The whole program, as its users meet it: the real binary, real protocols on loopback, outside oracles where there are any.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod command_line;
mod credentials;
mod drop_in;
mod export_source;
mod faults;
mod kubernetes;
mod listing;
mod prometheus;
mod real_prometheus;
mod serving;
mod support;

//! The usage of nodes as their senders and readers meet it: the real binary between senders, a Kubernetes API and S3, all of which fail, and what is in
//! the bucket in the end, read back.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod bodies;
mod crash;
mod damage;
mod durability;
mod end_to_end;
mod enrich;
mod oracle;
mod report;
mod routes;
mod security;
mod start;
#[expect(dead_code, reason = "most of it is for `tests/whole`")]
#[path = "../whole/support.rs"]
mod support;
mod table;
mod world;

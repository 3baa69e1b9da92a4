//! The node collector as its users meet it: the real binary between a kubelet, a metadata service and a receiver that do everything wrong that they can.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod instance;
mod kubelet;
mod once;
mod receiver;
mod reports;
mod sending;
mod settings;
#[expect(dead_code, reason = "most of it is for `tests/whole`")]
#[path = "../whole/support.rs"]
mod support;
mod world;

//! The bodies that collectors send, and those that nobody should: fixtures with the answer that each must get, properties, and what others say of them.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod fixtures;
mod oracle;
mod properties;
mod rules;
#[expect(dead_code, reason = "most of it is for `tests/whole`")]
#[path = "../whole/support.rs"]
mod support;

//! The whole program, as its users meet it: the real binary, real protocols on loopback, outside oracles where there are any.

mod command_line;
mod drop_in;
mod faults;
mod kubernetes;
mod prometheus;
mod serving;
mod support;

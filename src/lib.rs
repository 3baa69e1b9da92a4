//! kube-s3-exporter: watches Kubernetes backups in S3 and tells Prometheus, per cluster, how many there are, how large, and how old the newest is.
//!
//! The program is a thin shell around this library. ARCHITECTURE.md is the tour; imports run one way:
//!
//! ```text
//! main -> cli -> app -> subsystems -> mechanism -> clients -> core
//! ```
//!
//! - subsystems, none of which imports another: [`inventory`], [`export`], [`podmetrics`], [`usage`]
//! - mechanism, which knows no subsystem: [`parts`], [`job`], [`server`], [`lifecycle`], [`telemetry`]
//! - clients, the only modules that talk to the outside: [`http`], [`aws`], [`listing`], [`store`], [`promapi`], [`k8s`]
//! - core, pure: [`exposition`], [`quantity`], [`size`], [`time`]

pub mod app;
pub mod cli;
pub mod config;

pub mod export;
pub mod inventory;
pub mod podmetrics;
pub mod usage;

pub mod job;
pub mod lifecycle;
pub mod parts;
pub mod server;
pub mod telemetry;

pub mod aws;
pub mod http;
pub mod k8s;
pub mod listing;
pub mod promapi;
pub mod store;

pub mod exposition;
pub mod quantity;
pub mod size;
pub mod time;

//! Fake peers over HTTP, for the tests and the benchmarks of kube-s3-exporter.
//!
//! Each fake is a real server on a loopback address, so that the code under test speaks its own
//! protocol to it and needs no trait or switch for tests. A fake runs on the tokio runtime of the
//! caller and stops when its handle is dropped. The only global state is how many addresses were given
//! to pods.
//!
//! | module | plays | good for |
//! |---|---|---|
//! | [`s3_memory`] | S3 with signature checks over an in-memory store | correctness: odd keys, credentials, TLS, conditional puts, lost responses |
//! | [`s3_pages`] | ListObjectsV2 over computed keys, with faults | millions of objects, benchmarks, broken servers |
//! | [`prometheus`] | the HTTP API of Prometheus over computed series, with faults | exports of any size, broken servers |
//! | [`kube_api`] | the Kubernetes API: list and watch | watches, expiry, outages |
//! | [`kubelet`] | the kubelet's `/stats/summary`, with faults | collectors on nodes |
//! | [`imds`] | the metadata service of an EC2 instance | the same |
//! | [`pods`] | pods with metrics, each on its own address | scrapes, and everything that a pod can do wrong |

pub mod imds;
pub mod kube_api;
pub mod kubelet;
pub mod pods;
pub mod prometheus;
pub mod s3_memory;
pub mod s3_pages;

mod http_server;
mod mix;
mod s3_list;
mod text;
mod tls;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic of another holder: a fake keeps serving when one of its users failed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What a subsystem hands to the composition root.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::server::{JobHandler, Panel};

/// A built subsystem: what it shows, and what it does in the background.
pub struct Parts {
    /// Its face on the server.
    pub panel: Arc<dyn Panel>,
    /// Tasks that run until the stop token they were built with is cancelled, each with a name for the log.
    pub tasks: Tasks,
    /// What answers for the metrics of a job, if it does.
    pub jobs: Option<JobHandler>,
    /// Where it is to be listened for jobs beside the main address.
    pub jobs_address: Option<String>,
}

/// Background tasks with their names.
pub type Tasks = Vec<(String, BoxFuture<'static, anyhow::Result<()>>)>;

impl Parts {
    /// Parts that answer for no jobs.
    pub fn new(panel: Arc<dyn Panel>, tasks: Tasks) -> Self {
        Self { panel, tasks, jobs: None, jobs_address: None }
    }
}

//! What a subsystem hands to the composition root.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::server::{Handlers, Listen, Panel};

/// A built subsystem: what it shows, and what it does in the background.
pub struct Parts {
    /// Its face on the server.
    pub panel: Arc<dyn Panel>,
    /// Tasks that run until the stop token they were built with is cancelled, each with a name for the log.
    pub tasks: Tasks,
    /// What it answers.
    pub handlers: Handlers,
    /// Where it is to be listened for it beside the main address.
    pub listen: Option<Listen>,
}

/// Background tasks with their names.
pub type Tasks = Vec<(String, BoxFuture<'static, anyhow::Result<()>>)>;

impl Parts {
    /// Parts that answer nothing of their own.
    pub fn new(panel: Arc<dyn Panel>, tasks: Tasks) -> Self {
        Self { panel, tasks, handlers: Handlers::default(), listen: None }
    }
}

//! What a subsystem hands to the composition root.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::server::Panel;

/// A built subsystem: what it shows, and what it does in the background.
pub struct Parts {
    /// Its face on the server.
    pub panel: Arc<dyn Panel>,
    /// Tasks that run until the stop token they were built with is cancelled, each with a name for the log.
    pub tasks: Vec<(String, BoxFuture<'static, anyhow::Result<()>>)>,
}

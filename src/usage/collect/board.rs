//! How the collector is doing: for readiness, `/health` and the status page.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::queue::Queue;
use crate::server::{Fragment, Health, Panel};
use crate::size::humanize;
use crate::time::{Clock, ago};

/// When something was last done, and how that went.
type Last<T> = Option<(Timestamp, Result<T, String>)>;

/// The last scrape and the last attempt to send.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Lasts>);

#[derive(Debug, Default, Clone)]
struct Lasts {
    /// With the number of pods.
    scrape: Last<usize>,
    send: Last<()>,
    /// A scrape has succeeded once.
    scraped: bool,
}

impl Board {
    pub(super) fn scraped(&self, at: Timestamp, pods: Result<usize, String>) {
        let mut lasts = self.lock();
        lasts.scraped |= pods.is_ok();
        lasts.scrape = Some((at, pods));
    }

    pub(super) fn sent(&self, at: Timestamp, result: Result<(), String>) {
        self.lock().send = Some((at, result));
    }

    fn lock(&self) -> MutexGuard<'_, Lasts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The collector's face on its own server.
pub(super) struct CollectPanel {
    pub(super) board: Arc<Board>,
    pub(super) queue: Arc<Queue>,
    pub(super) clock: Clock,
}

impl Panel for CollectPanel {
    fn name(&self) -> &'static str {
        "collect"
    }

    /// Ready with the first report. A receiver that is away is no reason: reports wait for it.
    fn readiness(&self) -> Result<(), String> {
        let lasts = self.board.lock();
        match &lasts.scrape {
            _ if lasts.scraped => Ok(()),
            Some((_, Err(error))) => Err(error.clone()),
            _ => Err("the kubelet has not been asked yet".to_owned()),
        }
    }

    fn health(&self) -> Health {
        let lasts = self.board.lock().clone();
        let (reports, bytes) = self.queue.size();
        let healthy = matches!(lasts.scrape, Some((_, Ok(_)))) && !matches!(lasts.send, Some((_, Err(_))));
        let details = json!({
            "scrape": told(&lasts.scrape),
            "send": told(&lasts.send),
            "queue": { "reports": reports, "bytes": bytes },
        });
        Health::new(healthy, details)
    }

    fn fragments(&self) -> Vec<Fragment> {
        Vec::new()
    }

    fn section(&self) -> Markup {
        let (lasts, now) = (self.board.lock().clone(), self.clock.now());
        let (reports, bytes) = self.queue.size();
        html! {
            h2 id="collect" { "Usage of this node" }
            @match &lasts.scrape {
                None => p.dim { "The kubelet has not been asked yet." },
                Some((at, Ok(pods))) => p { "The kubelet told of " (pods) " pods " (ago(*at, now)) " ago." },
                Some((at, Err(error))) => p.bad { "The kubelet was asked in vain " (ago(*at, now)) " ago: " (error) },
            }
            @match &lasts.send {
                None => p.dim { "Nothing has been sent yet." },
                Some((at, Ok(()))) => p { "A report was accepted " (ago(*at, now)) " ago." },
                Some((at, Err(error))) => p.bad { "A report was not accepted " (ago(*at, now)) " ago: " (error) },
            }
            p { (reports) " reports (" (humanize(u64::try_from(bytes).unwrap_or(u64::MAX))) ") wait to be sent." }
        }
    }
}

fn told<T>(last: &Last<T>) -> Value {
    last.as_ref().map_or(Value::Null, |(at, result)| json!({ "at": at.to_string(), "error": result.as_ref().err() }))
}

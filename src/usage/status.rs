//! `usage` for people: its section of the status page, and its part of `/health`.

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::Service;
use crate::server::Health;
use crate::size::humanize as humanize_bytes;
use crate::time::ago;

/// Names of nodes that are told.
const MOST_NAMES: usize = 20;

/// Ready once the journal is open, which it is from the start, and while it can be written: watches may be late, reports wait for them.
pub(super) fn readiness(service: &Service) -> Result<(), String> {
    service.journal().failure().map_or(Ok(()), Err)
}

/// Unhealthy until everything has been listed, while the API does not answer, and while reports are refused. A bucket that is away is told, but is
/// no reason: reports are safe.
pub(super) fn health(service: &Service) -> Health {
    let index = &service.pipeline.sealer.index;
    let (journal, watches) = (service.journal(), index.watches());
    let troubles = service.pipeline.progress.troubles();
    let (waiting, oldest) = journal.unsealed();
    let seals = journal.seals();
    let (reporting, _) = service.ingest.board.reporting(service.clock.now());
    let synced = index.synced();
    let ready = watches.iter().all(|watch| watch.synced && !watch.stale);
    let healthy = ready && !journal.is_full() && journal.failure().is_none();
    let details = json!({
        "state": state(service),
        "watches": watches.iter().map(|watch| (watch.resource.trim_start_matches("usage/").to_owned(), json!({
            "synced": watch.synced, "stale": watch.stale, "last_contact": watch.last_contact.map(|at| at.to_string()),
        }))).collect::<Map<String, Value>>(),
        "journal": {
            "folder": journal.folder(),
            "id": journal.id(),
            "live_bytes": journal.live_bytes(),
            "budget_bytes": service.journal_budget,
            "unsealed_reports": waiting.entries,
            "unsealed_since": oldest.and_then(|at| Timestamp::from_millisecond(at).ok()).map(|at| at.to_string()),
            "seals": seals.len(),
            "error": journal.failure(),
        },
        "bucket": service.pipeline.uploader.store.location(),
        "last_upload": troubles.last_upload.map(|at| at.to_string()),
        "seal_error": troubles.seal,
        "upload_errors": troubles.uploads,
        "nodes_reporting": reporting,
    });
    let top = [
        ("debug_k8s_api", json!(service.debug_k8s_api)),
        ("watchers_initialized", json!({ "nodes": synced.nodes, "pods": synced.pods, "pvcs": synced.pvcs, "pvs": synced.pvs })),
        ("all_watchers_ready", json!(ready)),
    ];
    Health { top: top.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(), ..Health::new(healthy, details) }
}

fn state(service: &Service) -> String {
    let journal = service.journal();
    if let Some(reason) = journal.failure() {
        return reason;
    }
    if journal.is_full() {
        return "the journal is full, reports are refused; what is in it is not in the bucket yet".to_owned();
    }
    if let Some(problem) = service.pipeline.sealer.index.problem() {
        return format!("reports are taken and wait in the journal; {problem}");
    }
    let troubles = service.pipeline.progress.troubles();
    match (troubles.seal, troubles.uploads.first()) {
        (Some(reason), _) => format!("reports are taken and wait in the journal; they cannot be sealed: {reason}"),
        (None, Some(reason)) => format!("reports are taken and wait in the journal; files cannot be sent: {reason}"),
        (None, None) => "healthy".to_owned(),
    }
}

pub(super) fn section(service: &Service, now: Timestamp) -> Markup {
    let (journal, troubles) = (service.journal(), service.pipeline.progress.troubles());
    let (waiting, oldest) = journal.unsealed();
    let oldest = oldest.and_then(|at| Timestamp::from_millisecond(at).ok());
    let (reporting, latest) = service.ingest.board.reporting(now);
    let silent = service.pipeline.silent_nodes(&service.ingest.board);
    let (state, seals) = (state(service), journal.seals().len());
    html! {
        h2 id="usage" { "Usage of nodes" }
        p.bad[state != "healthy"] { (state) }
        table {
            tr { th { "Nodes that report" } td { (reporting) @if let Some((node, at)) = latest { ", last " (node) " " (ago(at, now)) " ago" } } }
            tr { th { "Reports that wait to be sealed" } td { (waiting.entries) @if let Some(at) = oldest { ", since " (ago(at, now)) } } }
            tr { th { "Seals that wait to be sent" } td { (seals) } }
            tr { th { "Journal" } td { (humanize_bytes(journal.live_bytes())) " of " (humanize_bytes(service.journal_budget)) " in " code { (journal.folder().display()) } } }
            tr { th { "Last file" } td {
                @match troubles.last_upload { Some(at) => { (ago(at, now)) " ago" }, None => span.dim { "none since the start" } }
                " to " code { (service.pipeline.uploader.store.location()) }
            } }
        }
        @if !silent.is_empty() {
            h3 { "Nodes that have not reported for ten minutes" }
            p { (silent.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ")) @if silent.len() > MOST_NAMES { " and " (silent.len() - MOST_NAMES) " more" } }
        }
    }
}

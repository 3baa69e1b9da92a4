//! The export for people: its section of the status page, and its part of `/health`.

use std::sync::Arc;

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::Export;
use super::board::{Cell, View, WindowState};
use super::manifest::at;
use super::plan::sealed_until;
use crate::server::Health;
use crate::time::{UtcHour, ago};

/// Cells in a row of the status page.
const CELLS: i64 = 24;
/// Reasons told on the status page and in health, per endpoint.
const MOST_REASONS: usize = 10;

/// Ready once the bucket could be read for every endpoint.
pub(super) fn readiness(exports: &[Arc<Export>]) -> Result<(), String> {
    let waiting: Vec<String> =
        exports.iter().filter(|export| !export.board.view().was_read).map(|export| alias(export)).collect();
    if waiting.is_empty() { Ok(()) } else { Err(format!("the bucket could not be read yet for {}", waiting.join(", "))) }
}

/// `{"endpoints": {ALIAS: {...}}}`; unhealthy while a bucket cannot be read, or an hour has failed or lacks an object.
pub(super) fn health(exports: &[Arc<Export>]) -> Health {
    let mut healthy = true;
    let mut details = Map::new();
    for export in exports {
        let view = export.board.view();
        let count = |state| view.cells.values().filter(|cell| cell.state == state).count();
        let incomplete = view.cells.values().any(|cell| cell.incomplete && cell.state != WindowState::Running);
        let failing = view.unread.is_some() || incomplete || count(WindowState::Failed) > 0;
        healthy &= !failing;
        let told = json!({
            "state": if failing { "failing" } else if view.was_read { "healthy" } else { "waiting for the first run" },
            "source": export.endpoint.prometheus.location(),
            "bucket": export.endpoint.store.location(),
            "running": view.running,
            "last_completion": view.last_run.map(|at| at.to_string()),
            "last_success": view.last_success.map(|at| at.to_string()),
            "sealed_until": sealed(&view).map(|at| at.to_string()),
            "windows": {
                "pending": count(WindowState::Pending),
                "running": count(WindowState::Running),
                "sealed": count(WindowState::Sealed),
                "suspect": count(WindowState::Suspect),
                "failed": count(WindowState::Failed),
                "empty": count(WindowState::Empty),
            },
            "error": view.unread,
            "reasons": troubles(&view).take(MOST_REASONS).map(|(hour, why)| format!("{hour}: {why}")).collect::<Vec<_>>(),
        });
        details.insert(alias(export), told);
    }
    Health::new(healthy, json!({ "endpoints": Value::Object(details) }))
}

pub(super) fn section(exports: &[Arc<Export>], now: Timestamp) -> Markup {
    html! {
        h2 id="export" { "Export of Prometheus" }
        p.dim {
            "The last " (CELLS) " hours, the newest on the right: "
            @for state in [WindowState::Sealed, WindowState::Empty, WindowState::Suspect, WindowState::Failed, WindowState::Running, WindowState::Pending] {
                (mark(state)) " " (name(state)) " "
            }
        }
        table {
            tr { th { "Endpoint" } th { "Last hours (UTC)" } th { "Sealed until" } th { "Last run" } th { "State" } }
            @for export in exports { (row(export, now)) }
        }
        @for export in exports { (details(export)) }
    }
}

fn row(export: &Export, now: Timestamp) -> Markup {
    let view = export.board.view();
    let newest = view.plan.as_ref().map_or_else(|| UtcHour::containing(now).plus(-1), |plan| plan.until);
    let count = |state| view.cells.values().filter(|cell| cell.state == state).count();
    html! {
        tr {
            td { (alias(export)) }
            td {
                code {
                    @for back in (0..CELLS).rev() {
                        @let hour = newest.plus(-back);
                        @match view.cells.get(&hour) {
                            Some(cell) => span title=(title(hour, cell)) { (mark(cell.state)) }
                            None => span.dim title={ (hour) ": not asked for" } { "·" }
                        }
                    }
                }
            }
            td { @match sealed(&view) { Some(at) => (at), None => "–" } }
            td { @match view.last_run { Some(at) => { (ago(at, now)) " ago" }, None => "–" } }
            td {
                @if view.unread.is_some() { span.bad { "the bucket cannot be read" } }
                @else if count(WindowState::Failed) > 0 { span.bad { (count(WindowState::Failed)) " failed" } }
                @else if count(WindowState::Suspect) > 0 { span.warn { (count(WindowState::Suspect)) " suspect" } }
                @else if view.running { "running, " (count(WindowState::Pending)) " to go" }
                @else if view.was_read { span.good { "complete" } }
                @else { "waiting for the first run" }
            }
        }
    }
}

fn details(export: &Export) -> Markup {
    let view = export.board.view();
    let source = export.endpoint.prometheus.location();
    html! {
        p.dim { (alias(export)) ": " code { (source) } " → " code { (export.endpoint.store.location()) } }
        @if !view.never_seen.is_empty() { p.dim { (alias(export)) ": no series in any hour: " (view.never_seen.join(", ")) } }
        @if let Some(why) = &view.unread { p.bad { (alias(export)) ": " (why) } }
        @if troubles(&view).next().is_some() {
            ul { @for (hour, why) in troubles(&view).take(MOST_REASONS) { li { code { (hour) } " " (why) } } }
        }
    }
}

/// What went wrong, the newest first.
fn troubles(view: &View) -> impl Iterator<Item = (UtcHour, &String)> {
    let bad = |cell: &Cell| matches!(cell.state, WindowState::Failed | WindowState::Suspect);
    let cells = view.cells.iter().rev().filter(move |(_, cell)| bad(cell));
    cells.flat_map(|(hour, cell)| cell.reasons.iter().map(|why| (*hour, why)))
}

fn sealed(view: &View) -> Option<Timestamp> {
    let is_sealed = |hour| view.cells.get(&hour).is_some_and(|cell: &Cell| cell.state.is_sealed());
    view.plan.as_ref().map(|plan| at(sealed_until(plan, is_sealed)))
}

fn title(hour: UtcHour, cell: &Cell) -> String {
    let reasons = if cell.reasons.is_empty() { String::new() } else { format!(": {}", cell.reasons.join("; ")) };
    format!("{hour} {}{reasons}", name(cell.state))
}

fn mark(state: WindowState) -> Markup {
    let (class, text) = match state {
        WindowState::Pending => ("dim", "□"),
        WindowState::Running => ("", "▶"),
        WindowState::Sealed => ("good", "■"),
        WindowState::Empty => ("good", "▢"),
        WindowState::Suspect => ("warn", "▲"),
        WindowState::Failed => ("bad", "✗"),
    };
    html! { span class=(class) { (text) } }
}

pub(super) fn name(state: WindowState) -> &'static str {
    super::metrics::STATES[state as usize]
}

fn alias(export: &Export) -> String {
    export.endpoint.config.alias.clone()
}

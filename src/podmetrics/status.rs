//! `podmetrics` for people: its section of the status page, and its part of `/health`.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::json;

use super::Service;
use crate::server::Health;
use crate::time::{ago, humanize};

/// Jobs on the status page.
const MOST_JOBS: usize = 200;
/// A watch is answered every minute; after so many of them the pods may be others.
const STALE: Duration = Duration::from_secs(300);

pub(super) fn readiness(service: &Service) -> Result<(), String> {
    if service.discovery.synced() { Ok(()) } else { Err("the pods have not been listed yet".to_owned()) }
}

/// Unhealthy until the pods are listed, and while the Kubernetes API has not answered for minutes.
pub(super) fn health(service: &Service) -> Health {
    let (now, contact) = (service.clock.now(), service.discovery.last_contact());
    let stale = contact.is_none_or(|at| Duration::try_from(now.duration_since(at)).is_ok_and(|age| age > STALE));
    let healthy = service.discovery.synced() && !stale;
    let counts = service.discovery.counts();
    let details = json!({
        "state": match (service.discovery.synced(), stale) {
            (false, _) => "waiting for the first list of pods",
            (true, true) => "the Kubernetes API does not answer; the last known pods are scraped",
            (true, false) => "healthy",
        },
        "last_contact": contact.map(|at| at.to_string()),
        "jobs": service.discovery.jobs().len(),
        "pods": { "scrapable": counts.scrapable, "waiting": counts.waiting, "malformed": counts.all_malformed() },
    });
    Health::new(healthy, details)
}

pub(super) fn section(service: &Service, now: Timestamp) -> Markup {
    let jobs = service.discovery.jobs();
    html! {
        h2 id="podmetrics" { "Metrics of pods" }
        @match service.discovery.last_contact() {
            Some(at) => p.dim { "The Kubernetes API answered " (ago(at, now)) " ago." },
            None => p.bad { "The Kubernetes API has not answered yet." },
        }
        @if !service.discovery.synced() {
            p { "The pods have not been listed yet; the log says why if it takes long." }
        } @else if jobs.is_empty() {
            p { "No pod has the label " code { (service.config.rules.selector()) } "." }
        } @else {
            table {
                thead { tr { th { "job" } th.n { "pods" } th.n { "waiting" } th.n { "malformed" } th { "last request" } th.n { "up" } th.n { "samples" } } }
                tbody {
                    @for (name, counts) in jobs.iter().take(MOST_JOBS) {
                        @let last = service.board.last(name);
                        tr {
                            td { a href={ "/metrics?job=" (encoded(name)) } { (name) } }
                            td.n { (counts.scrapable) }
                            td.n { (counts.waiting) }
                            td.n.bad[counts.all_malformed() > 0] { (counts.all_malformed()) }
                            @if let Some((at, why)) = service.board.refusal(name) {
                                td.bad colspan="3" { "refused " (ago(at, now)) " ago: " (why) }
                            } @else if let Some(last) = last {
                                td { (ago(last.at, now)) " ago, in " (humanize(last.took)) }
                                td.n.bad[last.up < last.targets] { (last.up) " of " (last.targets) }
                                td.n { (last.samples) }
                            } @else {
                                td.dim { "not since the start" } td.n {} td.n {}
                            }
                        }
                    }
                }
            }
            @if jobs.len() > MOST_JOBS { p.dim { "and " (jobs.len() - MOST_JOBS) " more jobs" } }
            (failures(service, &jobs.iter().take(MOST_JOBS).map(|(name, _)| &**name).collect::<Vec<_>>()))
        }
    }
}

fn failures(service: &Service, jobs: &[&str]) -> Markup {
    let down: Vec<_> = jobs.iter().filter_map(|job| service.board.last(job)).filter(|last| !last.failures.is_empty()).collect();
    html! {
        @if !down.is_empty() {
            h3 { "Pods that were down when they were last asked" }
            table {
                thead { tr { th { "pod, job, namespace, address" } th { "reason" } th { "what happened" } } }
                tbody {
                    @for last in &down {
                        @for (target, reason, detail) in &last.failures { tr { td { (target) } td.bad { (reason) } td { code { (detail) } } } }
                        @if last.targets - last.up > last.failures.len() {
                            tr { td.dim colspan="3" { "and " (last.targets - last.up - last.failures.len()) " more" } }
                        }
                    }
                }
            }
        }
    }
}

fn encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

//! The export as a single run: with progress while it works, and a table at its end.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use prometheus::Registry;

use super::board::{Board, Cell, View, WindowState};
use super::config::ExportConfig;
use super::fetch;
use super::plan::Plan;
use super::run::Memory;
use super::status::name;
use super::{Opened, open};
use crate::time::{Clock, UtcHour};

/// Reasons in a row of the table.
const MOST_REASONS: usize = 5;

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The endpoint.
    pub alias: String,
    /// The hour, as people write it.
    pub hour: String,
    /// `running`, `sealed`, `suspect`, `failed`, `empty` or `pending`.
    pub state: &'static str,
    /// Why it is suspect or has failed.
    pub reasons: Vec<String>,
    /// Hours of this endpoint that are not done.
    pub left: usize,
}

/// How a run ended.
#[derive(Debug)]
pub struct Summary {
    /// What failed or is suspect, in a line; `None` if every hour that is due is sealed.
    pub missing: Option<String>,
    /// A table for people.
    pub table: String,
}

/// Exports everything that is due, of all endpoints side by side.
///
/// # Errors
/// When an endpoint or the bucket cannot be set up as configured.
pub async fn once(
    config: ExportConfig,
    clock: &Clock,
    watch: impl Fn(Progress) + Send + Sync + Clone + 'static,
) -> anyhow::Result<Summary> {
    let opened = open(config, &Registry::new(), clock)?;
    let runs = opened.into_iter().map(|Opened { endpoint, .. }| {
        let (watch, alias) = (watch.clone(), endpoint.config.alias.clone());
        let watcher = Box::new(move |hour: UtcHour, cell: &Cell, left| {
            watch(Progress {
                alias: alias.clone(),
                hour: hour.to_string(),
                state: name(cell.state),
                reasons: cell.reasons.clone(),
                left,
            });
        });
        // On all cores.
        tokio::spawn(async move {
            let board = Board::new(endpoint.metrics.clone(), Some(watcher));
            endpoint.run(&Mutex::new(Memory::default()), &board, false).await;
            (endpoint.config.alias.clone(), board.view())
        })
    });
    Ok(summary(&futures::future::try_join_all(runs).await?))
}

/// Says what a run would do, and does nothing; the buckets are read.
///
/// # Errors
/// When an endpoint or the bucket cannot be set up as configured, or the bucket cannot be read.
pub async fn preview(config: ExportConfig, clock: &Clock) -> anyhow::Result<String> {
    let mut text = String::new();
    for Opened { endpoint, .. } in open(config, &Registry::new(), clock)? {
        let (plan, bucket) = endpoint.preview().await?;
        let location = (endpoint.prometheus.location(), endpoint.store.location());
        let unreadable = bucket.windows.iter().filter_map(|(hour, found)| Some((hour, found.unreadable.as_ref()?)));
        describe(&mut text, &endpoint.config.alias, (&location.0, location.1), &plan, endpoint.config.metrics.len());
        for (hour, why) in unreadable {
            let _ = writeln!(text, "  {hour}  left alone: {why}");
        }
    }
    Ok(text)
}

/// Tries the bucket and every endpoint: a line each, and whether it works.
///
/// # Errors
/// When an endpoint or the bucket cannot be set up as configured.
pub async fn check(config: ExportConfig, clock: &Clock) -> anyhow::Result<Vec<Result<String, String>>> {
    let opened = open(config, &Registry::new(), clock)?;
    let mut lines = Vec::new();
    if let Some(Opened { endpoint, .. }) = opened.first() {
        let location = endpoint.store.location();
        lines.push(match endpoint.preview().await {
            Ok(_) => Ok(format!("export bucket: it can be listed at {location}; whether it can be written was not tried")),
            Err(error) => Err(format!("export bucket: {error}")),
        });
    }
    for Opened { endpoint, .. } in opened {
        let (alias, location) = (&endpoint.config.alias, endpoint.prometheus.location());
        let tried = tokio::time::timeout(endpoint.rules.timeout.max(Duration::from_secs(1)), endpoint.prometheus.probe()).await;
        lines.push(match tried {
            Ok(Ok(date)) => match fetch::check_skew(date, endpoint.clock.now()) {
                Ok(()) => Ok(format!("export endpoint `{alias}`: {location} answers queries")),
                Err(why) => Err(format!("export endpoint `{alias}`: {location}: {why}")),
            },
            Ok(Err(error)) => Err(format!("export endpoint `{alias}`: {error}")),
            Err(_) => Err(format!("export endpoint `{alias}`: {location}: no answer in time")),
        });
    }
    Ok(lines)
}

fn describe(text: &mut String, alias: &str, (source, bucket): (&str, &str), plan: &Plan, metrics: usize) {
    let queries: usize = plan.due.iter().map(|due| due.metrics.len()).sum();
    let range = format!("{} to {}", plan.since, plan.until);
    let (hours, queries) = (counted(plan.due.len(), "hour", "hours"), counted(queries, "query", "queries"));
    let _ = writeln!(text, "{alias}: {hours} due of {range}, {queries} to {source}, into {bucket}");
    for due in &plan.due {
        let what = match due.metrics.len() {
            0 => "the manifest".to_owned(),
            count if count == metrics => format!("all {metrics} metrics"),
            _ => due.metrics.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        let _ = writeln!(text, "  {}  {what}", due.hour);
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn summary(views: &[(String, View)]) -> Summary {
    let width = views.iter().map(|(alias, _)| alias.chars().count()).max().unwrap_or(0).max(8);
    let mut table = format!("{:width$}  {:>7}  {:>7}  {:>7}  why\n", "endpoint", "sealed", "suspect", "failed");
    let mut missing = Vec::new();
    for (alias, view) in views {
        let count = |wanted: &[WindowState]| view.cells.values().filter(|cell| wanted.contains(&cell.state)).count();
        let sealed = count(&[WindowState::Sealed, WindowState::Empty]);
        let suspect = count(&[WindowState::Suspect]);
        let failed = count(&[WindowState::Failed, WindowState::Pending, WindowState::Running]);
        match (&view.unread, failed, suspect) {
            (Some(_), ..) => missing.push(format!("`{alias}` has no bucket to read")),
            (None, 0, 0) => {}
            (None, failed, suspect) => missing.push(format!("`{alias}` has {failed} failed and {suspect} suspect")),
        }
        let mut reasons = view.unread.iter().cloned().chain(told(view)).collect::<Vec<_>>();
        if !view.never_seen.is_empty() {
            reasons.push(format!("no series in any hour: {}", view.never_seen.join(", ")));
        }
        let first = reasons.first().map_or("", String::as_str);
        let _ = writeln!(table, "{alias:width$}  {sealed:>7}  {suspect:>7}  {failed:>7}  {first}");
        for reason in reasons.iter().skip(1) {
            let _ = writeln!(table, "{:width$}  {reason}", "", width = width + 27);
        }
    }
    Summary { missing: (!missing.is_empty()).then(|| missing.join(", ")), table: trimmed(&table) }
}

/// The same reason of many hours is told once.
fn told(view: &View) -> Vec<String> {
    let mut grouped: Vec<(&String, UtcHour, usize)> = Vec::new();
    // What was sealed with a mark comes last.
    let (sealed, others): (Vec<_>, Vec<_>) = view.cells.iter().rev().partition(|(_, cell)| cell.state.is_sealed());
    for (hour, cell) in others.into_iter().chain(sealed) {
        for reason in &cell.reasons {
            match grouped.iter_mut().find(|(other, ..)| *other == reason) {
                Some((.., count)) => *count += 1,
                None => grouped.push((reason, *hour, 1)),
            }
        }
    }
    let more = grouped.len().saturating_sub(MOST_REASONS);
    let mut lines: Vec<String> = grouped
        .into_iter()
        .take(MOST_REASONS)
        .map(|(reason, hour, count)| match count {
            1 => format!("{hour} {reason}"),
            _ => format!("{hour} and {} more: {reason}", count - 1),
        })
        .collect();
    if more > 0 {
        lines.push(format!("and {more} other reasons"));
    }
    lines
}

/// Columns without a word leave no spaces at the end of a line.
fn trimmed(table: &str) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

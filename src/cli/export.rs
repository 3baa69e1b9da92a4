//! `export`: everything that is due, once, with progress and a table at the end.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use super::args::{ProgramArgs, S3Args};
use super::environment::Environment;
use super::export_args::ExportArgs;
use super::say;
use crate::app::Failure;
use crate::config::Settings;
use crate::export::{self, ExportConfig, ExportConfigError, Progress};
use crate::telemetry::{self, LogFormat};
use crate::time::Clock;

/// Flags of the single run.
#[derive(Debug, Args)]
pub(super) struct ExportCommand {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    s3: S3Args,
    #[command(flatten)]
    export: ExportArgs,
    #[command(flatten)]
    program: ProgramArgs,
}

/// Runs once. Fails if anything is missing at the end.
pub(super) async fn export(command: ExportCommand) -> Result<(), Failure> {
    let plan = command.plan;
    let terminal = std::io::stderr().is_terminal();
    let config = load(command, &Environment::of_process(), terminal)?;
    let clock = Clock::system();
    if plan {
        let text = export::preview(config, &clock).await.map_err(sort)?;
        text.lines().for_each(say);
        return Ok(());
    }
    let watch = watcher(terminal);
    let summary = tokio::select! {
        summary = export::once(config, &clock, watch) => summary.map_err(sort)?,
        name = stopped() => return Err(Failure::Runtime(anyhow!("stopped by {name}; what is sealed stays, the rest is due in the next run"))),
    };
    summary.table.lines().for_each(say);
    match summary.missing {
        None => Ok(()),
        Some(missing) => Err(Failure::Runtime(anyhow!("the export is not complete: {missing}"))),
    }
}

fn load(command: ExportCommand, env: &Environment<'_>, terminal: bool) -> Result<ExportConfig, Failure> {
    let flags = Settings { s3: command.s3.options(), export: command.export.section()?, ..Default::default() };
    let mut settings = command.program.complete(flags, env)?;
    // Who asks for it wants it.
    settings.export.enabled = None;
    let log = settings.log.clone();
    let config = settings.export.resolve(&settings.s3).map_err(Failure::usage)?;
    let config = config.ok_or_else(|| Failure::usage(ExportConfigError::NoEndpoints))?;
    let quiet = (terminal && log.debug != Some(true)).then(|| "off".to_owned());
    let filter = env.text("RUST_LOG").or(quiet);
    telemetry::init_logging(log.format.unwrap_or(LogFormat::Console), log.level(), filter.as_deref()).map_err(Failure::Usage)?;
    Ok(config)
}

/// What cannot be set up as configured is for the user to change.
fn sort(error: anyhow::Error) -> Failure {
    if error.is::<ExportConfigError>() { Failure::Usage(error) } else { Failure::Runtime(error) }
}

/// A bar on a terminal; elsewhere the log has a line per hour.
fn watcher(terminal: bool) -> impl Fn(Progress) + Send + Sync + Clone + 'static {
    let bar = terminal.then(|| {
        let style = ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {pos}/{len} hours  {msg}");
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
    });
    let hours: Arc<Mutex<BTreeMap<String, (u64, u64)>>> = Arc::default();
    move |Progress { alias, hour, state, reasons, left }: Progress| {
        let Some(bar) = &bar else { return };
        let mut hours = hours.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, all) = hours.entry(alias.clone()).or_insert((0, left as u64));
        *done += u64::from(state != "running");
        *all = (*all).max(*done);
        let (done, all) = hours.values().fold((0, 0), |(done, all), of| (done + of.0, all + of.1));
        bar.set_length(all);
        bar.set_position(done);
        bar.set_message(format!("{alias} {hour} {state}"));
        if !reasons.is_empty() {
            bar.println(format!("{alias} {hour} {state}: {}", reasons.join("; ")));
        }
    }
}

/// Waits for the signals that end a process.
async fn stopped() -> &'static str {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

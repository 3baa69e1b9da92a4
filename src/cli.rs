//! The command line. Without a subcommand it is `serve`, with the flags of Kubermatic's `s3-exporter`.

mod args;
mod check;
mod collect;
mod demo;
mod environment;
mod export;
mod export_args;
mod go_flags;
mod podmetrics_args;
mod serve;
mod usage_args;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::check::check;
use self::collect::CollectArgs;
use self::demo::DemoArgs;
use self::export::{ExportCommand, export};
use self::serve::ServeArgs;
use crate::app::Failure;

/// Watches Kubernetes backups in S3 and tells Prometheus, per cluster, how many there are, how large, and how old the newest is. Keeps in S3 what
/// Prometheus knows, and answers on request with the metrics of all pods of a job.
#[derive(Debug, Parser)]
#[command(
    name = "kube-s3-exporter",
    version,
    args_conflicts_with_subcommands = true,
    args_override_self = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Scan the buckets and serve the metrics until stopped. The default.
    Serve(Box<ServeArgs>),
    /// Read the configuration, try every connection once, and say what works.
    Check(Box<ServeArgs>),
    /// Export what Prometheus knows to S3 once, and end. Exits with 1 if anything is missing.
    Export(Box<ExportCommand>),
    /// Ask the kubelet of this node what its pods use, and send reports until stopped.
    Collect(Box<CollectArgs>),
    /// Run on a sample bucket in a local folder, without any account.
    Demo(DemoArgs),
}

/// Reads the command line `args` (the program's name first), does what it says, and gives the exit code.
pub async fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match parse(args) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let result = match cli.command.unwrap_or(Command::Serve(Box::new(cli.serve))) {
        Command::Serve(args) => serve::serve(*args).await,
        Command::Check(args) => check(*args).await,
        Command::Export(command) => export(*command).await,
        Command::Collect(args) => collect::collect(*args).await,
        Command::Demo(args) => demo::demo(args).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => complain(&error, 2),
        Err(Failure::Runtime(error)) => complain(&error, 1),
    }
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    command.build();
    let matches = command.clone().try_get_matches_from(go_flags::normalise(args, &command))?;
    Cli::from_arg_matches(&matches)
}

fn complain(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("error: {}", one_line(&format!("{error:#}")));
    ExitCode::from(code)
}

/// Help and version are answers; anything else is one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let told = text.split("\n\n").enumerate().filter(|(at, part)| *at == 0 || part.trim_start().starts_with("tip:"));
    let told: Vec<String> = told.map(|(_, part)| one_line(part)).collect();
    eprintln!("{} (see --help)", told.join("; "));
    ExitCode::from(2)
}

/// A line for whoever reads standard output.
fn say(line: &str) {
    // Whoever closes the pipe does not want the rest.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Some libraries draw their errors over several lines.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_is_reached() {
        let command = |args: &[&str]| parse(args.iter().map(OsString::from)).unwrap().command;
        assert!(command(&["x", "-bucket", "b"]).is_none());
        assert!(matches!(command(&["x", "serve", "-bucket=b"]), Some(Command::Serve(_))));
        assert!(matches!(command(&["x", "check", "--cluster", "a"]), Some(Command::Check(_))));
        assert!(matches!(command(&["x", "export", "--plan"]), Some(Command::Export(_))));
        assert!(matches!(command(&["x", "collect", "--once"]), Some(Command::Collect(_))));
        assert!(matches!(command(&["x", "demo"]), Some(Command::Demo(_))));
    }

    #[test]
    fn a_repeated_flag_counts_as_its_last_and_clusters_add_up() {
        let args = ["x", "-bucket=a", "--cluster=a", "-bucket", "b", "-cluster", "b"];
        let shown = format!("{:?}", parse(args.map(OsString::from)).unwrap().serve);
        assert!(shown.contains(r#"bucket: Some("b")"#) && shown.contains(r#"clusters: ["a", "b"]"#), "{shown}");
    }
}

//! `collect`: the node collector, until stopped or once.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use prometheus::Registry;

use super::environment::{Environment, VariableError, number, seconds};
use super::go_flags::parse_bool;
use super::say;
use crate::app::Failure;
use crate::lifecycle::Lifecycle;
use crate::server::{self, Routes};
use crate::size::parse_bytes;
use crate::telemetry::{self, LogFormat, LogLevel};
use crate::time::{Clock, parse_duration};
use crate::usage::collect::{self, CollectConfig, CollectSection};

/// Flags of the collector. The variables without a prefix are those of the script that it replaces.
#[derive(Debug, Args)]
pub(super) struct CollectArgs {
    /// Print one report and end; send it too if there is a push endpoint.
    #[arg(long)]
    once: bool,

    /// Where reports go, such as `https://usage.example.com/metrics`; /metrics where no path is given [env: PUSH_ENDPOINT].
    #[arg(long, value_name = "URL", help_heading = "Reports")]
    push_endpoint: Option<String>,
    /// File of PEM certificates to trust there beside the system's [env: PUSH_CA].
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    push_ca: Option<PathBuf>,
    /// File with a bearer token that is sent there, read anew each time [env: PUSH_TOKEN_FILE].
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    push_token_file: Option<PathBuf>,
    /// Seconds from one report to the next, or a duration such as 1m [env: SCRAPE_INTERVAL] [default: 30].
    #[arg(long, value_name = "SECONDS", value_parser = interval, help_heading = "Reports")]
    scrape_interval: Option<Duration>,
    /// By how much an interval may be longer or shorter, so that nodes do not come all at once [env: JITTER_PERCENT] [default: 20].
    #[arg(long, value_name = "PERCENT", help_heading = "Reports")]
    jitter_percent: Option<u8>,
    /// Reports that wait for a receiver that is away; then the oldest is dropped [env: S3EXPORTER_COLLECT_QUEUE] [default: 120].
    #[arg(long, value_name = "NUMBER", help_heading = "Reports")]
    queue: Option<usize>,
    /// Bytes of these reports [env: S3EXPORTER_COLLECT_QUEUE_BYTES] [default: 64MiB].
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, help_heading = "Reports")]
    queue_bytes: Option<usize>,

    /// The kubelet: base URL, or that of /stats/summary [env: KUBELET_ENDPOINT] [default: https://NODE_IP:10250].
    #[arg(long, value_name = "URL", help_heading = "Kubelet")]
    kubelet_endpoint: Option<String>,
    /// File of PEM certificates to trust there beside the system's [env: KUBELET_CA] [default: the service account's].
    #[arg(long, value_name = "FILE", help_heading = "Kubelet")]
    kubelet_ca: Option<PathBuf>,
    /// Do not verify the kubelet's certificate [env: KUBELET_INSECURE_TLS].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool, help_heading = "Kubelet")]
    kubelet_insecure_tls: Option<bool>,
    /// File with the token for the kubelet, read anew each time [env: KUBELET_TOKEN_FILE] [default: the service account's].
    #[arg(long, value_name = "FILE", help_heading = "Kubelet")]
    kubelet_token_file: Option<PathBuf>,
    /// End with an error after so many failed scrapes in a row [env: MAX_CONSECUTIVE_FAILURES] [default: 5].
    #[arg(long, value_name = "NUMBER", help_heading = "Kubelet")]
    max_consecutive_failures: Option<u32>,

    /// Address of the node [env: NODE_IP, HOST_IP].
    #[arg(long, value_name = "IP", help_heading = "Node")]
    node_ip: Option<String>,
    /// Name of the node, where the kubelet does not tell it [env: NODE_NAME].
    #[arg(long, value_name = "NAME", help_heading = "Node")]
    node_name: Option<String>,
    /// `hostname` of reports [env: HOSTNAME] [default: what the kernel says].
    #[arg(long, value_name = "NAME", help_heading = "Node")]
    hostname: Option<String>,
    /// Ask the EC2 metadata service for the instance's id [env: ENABLE_EC2_INSTANCE_ID].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool, help_heading = "Node")]
    enable_ec2_instance_id: Option<bool>,
    /// Seconds that its session token lives, 1 to 21600 [env: EC2_METADATA_TOKEN_TTL] [default: 21600].
    #[arg(long, value_name = "SECONDS", help_heading = "Node")]
    ec2_metadata_token_ttl: Option<u32>,
    /// Ask it in version 1 alone [env: FORCE_IMDSV1].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool, help_heading = "Node")]
    force_imdsv1: Option<bool>,

    /// Address to serve /metrics, /livez and /readyz on; nothing is served without [env: S3EXPORTER_COLLECT_ADDRESS].
    #[arg(long, value_name = "ADDRESS", help_heading = "Program")]
    address: Option<String>,
    /// More detail in the log [env: LOG_LEVEL=debug; RUST_LOG stands over it].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool, help_heading = "Program")]
    log_debug: Option<bool>,
    /// Form of the log [env: LOG_FORMAT] [default: JSON].
    #[arg(long, value_name = "FORMAT", ignore_case = true, help_heading = "Program")]
    log_format: Option<LogFormat>,
}

/// Collects until stopped, or once.
pub(super) async fn collect(args: CollectArgs) -> Result<(), Failure> {
    let (once, clock) = (args.once, Clock::system());
    let config = args.load(&Environment::of_process())?;
    if once {
        say(&collect::once(config, &clock).await.map_err(sort)?);
        return Ok(());
    }
    run(config, &clock).await
}

async fn run(config: CollectConfig, clock: &Clock) -> Result<(), Failure> {
    let (registry, mut lifecycle) = (Registry::new(), Lifecycle::default());
    let stop = lifecycle.stop_token();
    let broken = |error: prometheus::Error| Failure::Runtime(error.into());
    telemetry::register(&registry).map_err(broken)?;
    let address = config.address.clone();
    let parts = collect::build(config, &registry, clock, &stop).map_err(Failure::Usage)?;
    if let Some(address) = address {
        let routes = Routes::new(&registry, vec![parts.panel], parts.handlers, stop.clone()).map_err(broken)?;
        let listener = server::bind(&address).await.map_err(Failure::Runtime)?;
        tracing::info!(address = %listener.local_addr().map_err(|error| Failure::Runtime(error.into()))?, "listening");
        lifecycle.spawn("the server", server::serve(listener, routes.main(), server::CONNECTIONS, stop));
    }
    for (name, task) in parts.tasks {
        lifecycle.spawn(name, task);
    }
    lifecycle.run().await.map_err(Failure::Runtime)
}

/// A CA bundle that cannot be used is for the user to change.
fn sort(error: anyhow::Error) -> Failure {
    if error.is::<crate::http::ClientError>() { Failure::Usage(error) } else { Failure::Runtime(error) }
}

impl CollectArgs {
    /// Completes the flags by the environment and the defaults, and starts logging.
    fn load(self, env: &Environment<'_>) -> Result<CollectConfig, Failure> {
        let (once, log_debug, log_format) = (self.once, self.log_debug, self.log_format);
        let variables = variables(env).map_err(Failure::usage)?;
        let config = self.section().or(variables).resolve(once).map_err(Failure::usage)?;
        let format = log_format.or(env.choice("LOG_FORMAT").map_err(Failure::usage)?);
        let format = format.unwrap_or(if once { LogFormat::Console } else { LogFormat::Json });
        let level = log_debug.map(|debug| if debug { LogLevel::Debug } else { LogLevel::Info });
        let level = level.or(env.choice("LOG_LEVEL").map_err(Failure::usage)?).unwrap_or_default();
        telemetry::init_logging(format, level, env.text("RUST_LOG").as_deref()).map_err(Failure::Usage)?;
        Ok(config)
    }

    fn section(self) -> CollectSection {
        CollectSection {
            push_endpoint: self.push_endpoint,
            push_ca: self.push_ca,
            push_token_file: self.push_token_file,
            interval: self.scrape_interval,
            jitter_percent: self.jitter_percent,
            max_consecutive_failures: self.max_consecutive_failures,
            queue: self.queue,
            queue_bytes: self.queue_bytes,
            kubelet_endpoint: self.kubelet_endpoint,
            kubelet_ca: self.kubelet_ca,
            kubelet_insecure_tls: self.kubelet_insecure_tls,
            kubelet_token_file: self.kubelet_token_file,
            node_ip: self.node_ip,
            node_name: self.node_name,
            hostname: self.hostname,
            ec2_instance_id: self.enable_ec2_instance_id,
            ec2_token_ttl: self.ec2_metadata_token_ttl,
            force_imdsv1: self.force_imdsv1,
            ec2_endpoint: None,
            address: self.address,
        }
    }
}

fn variables(env: &Environment<'_>) -> Result<CollectSection, VariableError> {
    Ok(CollectSection {
        push_endpoint: env.text("PUSH_ENDPOINT"),
        push_ca: env.path("PUSH_CA"),
        push_token_file: env.path("PUSH_TOKEN_FILE"),
        interval: env.parsed("SCRAPE_INTERVAL", interval)?,
        jitter_percent: env.parsed("JITTER_PERCENT", number)?,
        max_consecutive_failures: env.parsed("MAX_CONSECUTIVE_FAILURES", number)?,
        queue: env.parsed("S3EXPORTER_COLLECT_QUEUE", number)?,
        queue_bytes: env.parsed("S3EXPORTER_COLLECT_QUEUE_BYTES", parse_bytes)?,
        kubelet_endpoint: env.text("KUBELET_ENDPOINT"),
        kubelet_ca: env.path("KUBELET_CA"),
        kubelet_insecure_tls: env.parsed("KUBELET_INSECURE_TLS", parse_bool)?,
        kubelet_token_file: env.path("KUBELET_TOKEN_FILE"),
        node_ip: env.first(&["NODE_IP", "HOST_IP"]),
        node_name: env.text("NODE_NAME"),
        hostname: env.text("HOSTNAME"),
        ec2_instance_id: env.parsed("ENABLE_EC2_INSTANCE_ID", parse_bool)?,
        ec2_token_ttl: env.parsed("EC2_METADATA_TOKEN_TTL", number)?,
        force_imdsv1: env.parsed("FORCE_IMDSV1", parse_bool)?,
        // As the SDKs of AWS call it.
        ec2_endpoint: env.text("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
        address: env.text("S3EXPORTER_COLLECT_ADDRESS"),
    })
}

/// Seconds without a unit, as the script had them, or a duration with one.
fn interval(text: &str) -> Result<Duration, String> {
    seconds(text)
        .or_else(|_| parse_duration(text))
        .map_err(|_| format!("`{text}` is neither a number of seconds above zero nor a duration such as 30s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_with_and_without_a_unit() {
        for (text, seconds) in [("30", 30.0), ("30s", 30.0), ("1m", 60.0), ("0.5", 0.5), (" 5 ", 5.0)] {
            assert_eq!(interval(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        for wrong in ["0", "-1", "0s", "soon", "", "inf", "NaN", "1e300"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_told() {
        for (name, value) in [
            ("SCRAPE_INTERVAL", "soon"),
            ("JITTER_PERCENT", "20%"),
            ("MAX_CONSECUTIVE_FAILURES", "-1"),
            ("ENABLE_EC2_INSTANCE_ID", "perhaps"),
            ("EC2_METADATA_TOKEN_TTL", "1h"),
        ] {
            let env = Environment::new(|asked: &str| (asked == name).then(|| value.to_owned()));
            let error = variables(&env).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value) || name.starts_with("ENABLE"), "{error}");
        }
    }
}

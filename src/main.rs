//! The program: a runtime, a TLS provider, and the command line.

use std::process::ExitCode;

use kube_s3_exporter::cli;

#[tokio::main]
async fn main() -> ExitCode {
    // Fails only if a provider is installed already, and nothing has run before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cli::run(std::env::args_os()).await
}

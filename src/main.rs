//! The program: a runtime, a TLS provider, and the command line.

use std::process::ExitCode;
use std::time::Duration;

use kube_s3_exporter::cli;

/// For threads that sit in a system call, such as a walk on a dead mount. They end with the process.
const LEFT_BEHIND: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    // Fails only if a provider is installed already, and nothing has run before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli::run(std::env::args_os()));
    runtime.shutdown_timeout(LEFT_BEHIND);
    code
}

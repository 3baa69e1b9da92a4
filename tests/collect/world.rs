//! A kubelet, a receiver, and the collector between them.

use std::process::Command;
use std::time::{Duration, Instant};

use fakes::kubelet::Kubelet;

use crate::receiver::{Post, Receiver};
use crate::support::{self, Exporter};

/// Longer than anything here takes on a busy machine; nobody waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(120);
pub const TOKEN: &str = "token-of-the-service-account";

/// A node whose kubelet speaks TLS and wants a token.
pub struct World {
    pub kubelet: Kubelet,
    pub receiver: Receiver,
    pub folder: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        let kubelet = Kubelet::builder().tls(&["127.0.0.1"]).token(TOKEN).start().await.unwrap();
        let world = Self { kubelet, receiver: Receiver::start().await, folder: tempfile::tempdir().unwrap() };
        world.file("ca.pem", world.kubelet.ca_pem());
        world.file("token", &format!("{TOKEN}\n"));
        world
    }

    /// Flags that say where the kubelet is, and what it wants.
    pub fn kubelet_flags(&self) -> Vec<String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        vec![
            format!("--kubelet-endpoint={}", self.kubelet.endpoint()),
            format!("--kubelet-ca={}", path("ca.pem")),
            format!("--kubelet-token-file={}", path("token")),
        ]
    }

    /// The collector as every test wants it: five reports a second.
    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = support::command(&["collect", "--address=127.0.0.1:0", "--scrape-interval=200ms"]);
        command.args(self.kubelet_flags()).arg(format!("--push-endpoint={}", self.receiver.endpoint())).args(more);
        command
    }

    /// Starts it.
    pub async fn collector(&self, more: &[&str]) -> Exporter {
        Exporter::start_command(self.command(more)).await
    }

    /// Writes a file into the folder, as a whole.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &path).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Waits until the receiver has had so many POSTs, and gives them.
    pub async fn posts(&self, many: usize) -> Vec<Post> {
        until("the POSTs have come", || Some(self.receiver.posts()).filter(|posts| posts.len() >= many)).await
    }

    /// Waits until the receiver has taken so many reports.
    pub async fn taken(&self, many: usize) -> Vec<Post> {
        until("the reports were taken", || Some(self.receiver.taken()).filter(|posts| posts.len() >= many)).await
    }
}

/// Polls until `condition` gives something.
pub async fn until<T>(what: &str, condition: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Exit code, standard output and standard error of a command that ends by itself. The fakes go on meanwhile.
pub async fn run(mut command: Command) -> (Option<i32>, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The one line of an error.
pub async fn refusal(command: Command) -> String {
    let (code, out, error) = run(command).await;
    assert_eq!((code, out.as_str(), error.lines().count()), (Some(2), "", 1), "{error}");
    error
}

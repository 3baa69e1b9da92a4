//! A real Prometheus on a free port.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::Value;
use tempfile::TempDir;

/// Killed when dropped, and its folder is gone then.
pub struct RealPrometheus {
    child: Child,
    address: String,
    client: reqwest::Client,
    _folder: TempDir,
}

impl RealPrometheus {
    /// Starts it with this configuration. `folder` may hold `data`.
    pub fn start(folder: TempDir, config: &str, args: &[&str]) -> Self {
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        // Free now; nobody else takes it in the moment before Prometheus does, or Prometheus says so and the test fails.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new("prometheus")
            .current_dir(folder.path())
            .arg(format!("--web.listen-address={address}"))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address, client: reqwest::Client::new(), _folder: folder }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until it answers queries.
    pub async fn ready(self) -> Self {
        let start = Instant::now();
        while self.get("-/ready", &[]).await.is_none_or(|(status, _)| status != 200) {
            assert!(start.elapsed() < Duration::from_secs(60), "Prometheus does not get ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self
    }

    /// Status and body; `None` while it is not there yet.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Option<(u16, Vec<u8>)> {
        let mut url = Url::parse(&format!("{}/{path}", self.endpoint())).unwrap();
        url.query_pairs_mut().extend_pairs(query);
        let response = self.client.get(url).send().await.ok()?;
        Some((response.status().as_u16(), response.bytes().await.ok()?.into()))
    }

    /// The `data` of an answer; `None` while Prometheus is not there yet.
    pub async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Option<Result<Value, String>> {
        let (_, body) = self.get(&format!("api/v1/{path}"), query).await?;
        let answer: Value = serde_json::from_slice(&body).ok()?;
        Some(if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(answer["error"].to_string()) })
    }

    pub async fn query(&self, query: &str) -> Option<Result<Value, String>> {
        self.ask("query", &[("query", query)]).await
    }
}

impl Drop for RealPrometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

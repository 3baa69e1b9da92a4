//! `demo`: the main job on a sample bucket in a local folder, with a cluster for each thing that goes wrong with backups.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use clap::Args;
use jiff::Timestamp;
use url::Url;

use crate::app::{App, Failure};
use crate::aws::S3Options;
use crate::config::Settings;
use crate::inventory::{FlagBucket, InventorySection};
use crate::telemetry::{self, LogFormat, LogLevel};
use crate::time::Clock;

const BUCKET: &str = "kubermatic-etcd-backups";
const CLUSTERS: [&str; 6] = ["berlin", "berlin-edge", "london", "oslo", "paris", "tokyo"];
const MINUTE: u64 = 60;
/// A backup is expected this often, and the healthy clusters get one.
const BACKUP_INTERVAL: Duration = Duration::from_secs(20 * MINUTE);
const MIB: u64 = 1 << 20;

/// Flags of the demo.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9340")]
    address: String,
    /// Where to put the sample bucket [default: a temporary folder, removed at the end].
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Makes the bucket, serves it, and keeps the healthy clusters healthy.
pub(super) async fn demo(args: DemoArgs) -> Result<(), Failure> {
    telemetry::init_logging(LogFormat::Console, LogLevel::Info, std::env::var("RUST_LOG").ok().as_deref())
        .map_err(Failure::Usage)?;
    if let Some(folder) = args.folder {
        return run(&args.address, &folder).await;
    }
    let temporary = tempfile::Builder::new().prefix("kube-s3-exporter-demo-").tempdir();
    let temporary = temporary.context("cannot make a temporary folder").map_err(Failure::Runtime)?;
    run(&args.address, temporary.path()).await
}

async fn run(address: &str, folder: &Path) -> Result<(), Failure> {
    let folder = std::path::absolute(folder).map_err(Failure::usage)?;
    let bucket = folder.join(BUCKET);
    let endpoint =
        Url::from_directory_path(&folder).map_err(|()| Failure::usage(anyhow!("{} is no folder", folder.display())))?;
    claim(&folder, &bucket)?;
    fill(&bucket).with_context(|| format!("cannot make the sample bucket {}", bucket.display())).map_err(Failure::Runtime)?;
    let settings = Settings {
        address: Some(address.to_owned()),
        s3: S3Options { endpoint: Some(endpoint.to_string()), ..Default::default() },
        inventory: InventorySection {
            clusters: Some(CLUSTERS.map(str::to_owned).to_vec()),
            scan_interval: Some(Duration::from_secs(10)),
            backup_interval: Some(BACKUP_INTERVAL),
            ..Default::default()
        },
        ..Default::default()
    };
    let config = settings.resolve(FlagBucket::default()).map_err(Failure::usage)?;
    let mut app = App::build(config, Clock::system()).await?;
    app.spawn("the sample backups", keep_fresh(bucket));
    app.run().await.map_err(Failure::Runtime)
}

/// The demo replaces what is in its bucket, so a bucket that no demo has made is left alone.
fn claim(folder: &Path, bucket: &Path) -> Result<(), Failure> {
    let marker = folder.join(".kube-s3-exporter-demo");
    if bucket.exists() && !marker.exists() {
        return Err(Failure::usage(anyhow!("{} exists and was not made by a demo; choose another --folder", bucket.display())));
    }
    let mark =
        || fs::create_dir_all(folder).and_then(|()| fs::write(&marker, "Folders beside this file are replaced by the demo.\n"));
    mark().with_context(|| format!("cannot write {}", marker.display())).map_err(Failure::Runtime)
}

/// Fills `bucket` with backups that look back from now. Files of an earlier demo are replaced.
fn fill(bucket: &Path) -> io::Result<()> {
    if bucket.exists() {
        fs::remove_dir_all(bucket)?;
    }
    fs::create_dir_all(bucket)?;
    let backups = |cluster: &str, first_age: u64, sizes: &[u64]| {
        let ages = (0..).map(|number| first_age + number * BACKUP_INTERVAL.as_secs());
        ages.zip(sizes).try_for_each(|(age, size)| write_backup(bucket, cluster, Duration::from_secs(age), *size))
    };
    // Sizes from the newest backward.
    backups("berlin", 4 * MINUTE, &[41 * MIB, 41 * MIB, 40 * MIB, 40 * MIB, 39 * MIB])?;
    backups("berlin-edge", 7 * MINUTE, &[12 * MIB, 12 * MIB, 12 * MIB])?;
    backups("london", 26 * 60 * MINUTE, &[55 * MIB, 54 * MIB, 54 * MIB])?;
    backups("paris", 3 * MINUTE, &[0, 38 * MIB, 38 * MIB])?;
    backups("tokyo", 5 * MINUTE, &[9 * MIB, 60 * MIB, 59 * MIB])?;
    // A cluster that was deleted long ago; nobody has removed its backups. `oslo` has none at all.
    backups("lisbon", 90 * 24 * 60 * MINUTE, &[33 * MIB, 33 * MIB])
}

/// A file of `size` bytes that take no room on disk, written `age` ago.
fn write_backup(bucket: &Path, cluster: &str, age: Duration, size: u64) -> io::Result<()> {
    let modified = SystemTime::now() - age;
    let stamp = Timestamp::try_from(modified).map_err(io::Error::other)?.strftime("%Y-%m-%dT%H-%M-%S").to_string();
    let file = File::create(bucket.join(format!("{cluster}-{stamp}.db.gz")))?;
    file.set_len(size)?;
    file.set_modified(modified)
}

/// New backups of the healthy clusters, as long as the demo runs.
async fn keep_fresh(bucket: PathBuf) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(BACKUP_INTERVAL).await;
        for (cluster, size) in [("berlin", 41 * MIB), ("berlin-edge", 12 * MIB)] {
            write_backup(&bucket, cluster, Duration::ZERO, size)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_bucket_can_be_made_twice() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = folder.path().join(BUCKET);
        fill(&bucket).unwrap();
        fs::write(bucket.join("left over"), "x").unwrap();
        fill(&bucket).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&bucket).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names.len(), 19);
        assert!(!names.iter().any(|name| name.starts_with("oslo") || name.starts_with("left")));
    }

    #[test]
    fn somebody_elses_bucket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = folder.path().join(BUCKET);
        fs::create_dir(&bucket).unwrap();
        assert!(matches!(claim(folder.path(), &bucket), Err(Failure::Usage(_))));
        fs::remove_dir(&bucket).unwrap();
        claim(folder.path(), &bucket).unwrap();
        fs::create_dir(&bucket).unwrap();
        claim(folder.path(), &bucket).unwrap();
    }
}

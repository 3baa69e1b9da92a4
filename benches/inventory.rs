//! `make bench`: what a page and a scrape cost. CPU time, since that is what a shared machine leaves alone; medians of several rounds.
//!
//! Page reading is measured alone, in this process. Scrapes are those of the real binary.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;

use fakes::s3_pages::{ClusterTimestamp, KeySpace};
use kube_s3_exporter::inventory::{Count, NameOwners, Owners, PrefixMatch};
use kube_s3_exporter::listing::{Page, Tally};

use crate::program::{Exporter, Fake, headline, named_clusters};

mod program;

const CLUSTERS: u64 = 10_000;
const ROUNDS: usize = 5;

fn main() {
    headline(&format!("cargo bench --locked --bench inventory (release), median of {ROUNDS} rounds"));
    println!("| what | CPU time |");
    println!("|---|---|");
    page_reading();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(scrapes());
}

/// Pages of 1,000 objects as S3 writes them: read alone, and read with every object matched against 10,000 names and counted.
fn page_reading() {
    const PAGES: u64 = 1_000;
    let space = ClusterTimestamp::new(CLUSTERS, PAGES * 1_000 / CLUSTERS);
    let bodies: Vec<Vec<u8>> = (0..PAGES).map(|page| body(&space, page * 1_000)).collect();
    let objects = (PAGES * 1_000) as f64;
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    let names: Vec<String> = (0..CLUSTERS).map(|number| space.cluster(number)).collect();

    let alone = median(|| {
        for body in &bodies {
            black_box(Page::read(body.clone()).expect("a page"));
        }
    });
    let counted = |names: &[String]| {
        median(|| {
            let mut count = Count::new(Owners::Names(NameOwners::new(names, PrefixMatch::Longest)), 0);
            for body in &bodies {
                let page = Page::read(body.clone()).expect("a page");
                page.objects().for_each(|object| count.add(&object));
            }
            black_box(count.finish());
        })
    };
    let few = counted(&names[..10]);
    let many = counted(&names);
    row(&format!("read a page, per object ({:.0} bytes of XML each)", bytes as f64 / objects), alone / objects * 1e6, "µs");
    row("the same, matched against 10 names and counted", few / objects * 1e6, "µs");
    row("the same, matched against 10,000 names and counted (target 0.4 µs)", many / objects * 1e6, "µs");
}

fn body(space: &ClusterTimestamp, start: u64) -> Vec<u8> {
    let mut body = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix></Prefix>\
         <KeyCount>1000</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
         <NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken>",
    );
    for number in start..start + 1_000 {
        let mut key = Vec::new();
        space.key(number, &mut key);
        let key = String::from_utf8(key).expect("UTF-8").replace(':', "%3A");
        let _ = write!(
            body,
            "<Contents><Key>{key}</Key><LastModified>2026-11-21T05:20:00.000Z</LastModified><ETag>&quot;70ee1738b6b21e2c8a43f3a5ab0eee71&quot;</ETag>\
             <Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
            space.size(number)
        );
    }
    body.push_str("</ListBucketResult>");
    body.into_bytes()
}

/// The real binary: scrapes of 10,000 clusters.
async fn scrapes() {
    const SCRAPES: u32 = 50;
    let server = Fake::list_server(&["--objects=1000000", "--clusters=10000"]);
    let file = named_clusters(10_000);
    let config = format!("--config={}", file.path().display());
    let mut exporter = Exporter::start(&server.endpoint, &[&config, "--scan-interval=1h"]);
    exporter.scanned();
    let url = format!("http://{}/metrics", exporter.address);
    let client = reqwest::Client::new();
    for (encoding, name) in [("identity", "plain"), ("gzip", "gzip")] {
        let mut length = 0;
        let before = exporter.cpu();
        for _ in 0..SCRAPES {
            let request = client.get(&url).header("accept-encoding", encoding);
            length = request.send().await.expect("an answer").bytes().await.expect("a body").len();
        }
        let cost = (exporter.cpu() - before) / f64::from(SCRAPES);
        row(&format!("a {name} scrape of 10,000 clusters ({:.1} MB)", length as f64 / 1e6), cost * 1e3, "ms");
    }
    println!("\nresident memory of the exporter at the end: {:.1} MiB", exporter.memory("VmRSS"));
}

/// CPU seconds of `work` on this thread, the median of several rounds after one to warm up.
fn median(mut work: impl FnMut()) -> f64 {
    work();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let before = thread_cpu();
            work();
            thread_cpu() - before
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn thread_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split_ascii_whitespace().next().and_then(|field| field.parse::<f64>().ok()).expect("a number") / 1e9
}

fn row(what: &str, value: f64, unit: &str) {
    println!("| {what} | {value:.3} {unit} |");
}

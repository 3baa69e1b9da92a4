//! What a table of usage costs: CPU, bytes and memory, for a file of 1,000 nodes with 110 pods each, reported every 30 seconds.
//!
//! `make bench`, or `cargo bench --bench usage_table`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by it, and prints")]
#![expect(clippy::cast_possible_truncation, reason = "numbers that are made up")]

mod fleet;
#[path = "program/mod.rs"]
mod program;

use std::fs::{self, File};
use std::io::BufWriter;

use fleet::Fleet;
use kube_s3_exporter::usage::table;
use parquet::file::reader::FileReader as _;
use parquet::file::serialized_reader::SerializedFileReader;

const RUNS: usize = 5;
/// Of each node in a file: those of five minutes, and those of a file that was full before.
const REPORTS: [u32; 2] = [10, 5];
/// Columns that are printed: the largest.
const COLUMNS: usize = 16;

fn main() {
    program::headline("cargo bench --bench usage_table");
    let file = tempfile::NamedTempFile::new().unwrap();
    println!("{:<34} {:>10} {:>12} {:>12} {:>14}", "1,000 nodes, 110 pods each", "rows", "rows/s", "bytes a row", "memory, MiB");
    println!("{:<34} {:>10} {:>12} {:>12} {:>14}", "target", "", "500,000", "30", "");
    for reports in REPORTS {
        let (mut rates, mut memory) = (Vec::new(), 0.0_f64);
        let mut rows = 0;
        for _ in 0..RUNS {
            let batch = fleet::batch(Fleet { nodes: 1_000, pods: 110, reports });
            rows = batch.rows.len();
            // From here on the peak is counted anew.
            fs::write("/proc/self/clear_refs", "5").unwrap();
            let (held, before) = (mebibytes("VmRSS"), cpu());
            table::write(batch, BufWriter::new(File::create(file.path()).unwrap())).unwrap();
            rates.push(rows as f64 / (cpu() - before));
            // The first run tells: later ones also use what those before have freed.
            memory = memory.max(mebibytes("VmHWM") - held);
        }
        let bytes = fs::metadata(file.path()).unwrap().len() as f64 / rows as f64;
        let rate = program::percentile(&mut rates, 0.5);
        let memory = if reports == REPORTS[0] { format!("{memory:.0}") } else { String::new() };
        println!("{:<34} {rows:>10} {rate:>12.0} {bytes:>12.2} {memory:>14}", format!("{reports} reports a file"));
        if reports == REPORTS[0] {
            columns(&file, rows);
        }
    }
    println!("\nrows/s: of CPU time, on one core, sorting and the file included; median of {RUNS}");
    println!("memory: at most, beside the batch itself");
}

/// Prints what the largest columns take.
fn columns(file: &tempfile::NamedTempFile, rows: usize) {
    let reader = SerializedFileReader::new(file.reopen().unwrap()).unwrap();
    let groups = reader.metadata().row_groups();
    let leaves = 0..groups[0].num_columns();
    let bytes = |at: usize| groups.iter().map(|group| group.column(at).compressed_size()).sum::<i64>() as f64 / rows as f64;
    let mut columns: Vec<(f64, String)> = leaves.map(|at| (bytes(at), groups[0].column(at).column_path().string())).collect();
    columns.sort_by(|one, other| other.0.total_cmp(&one.0));
    let rest: f64 = columns.drain(COLUMNS..).map(|(bytes, _)| bytes).sum();
    columns.push((rest, "all others".to_owned()));
    columns.iter().for_each(|(bytes, name)| println!("  {name:<55} {bytes:>24.2}"));
}

/// Seconds of CPU of this thread.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn mebibytes(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_matches([':', ' ', '\t']).trim_end_matches(" kB").parse::<f64>().unwrap() / 1_024.0
}

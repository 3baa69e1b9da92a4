//! Wrong input is one clear line and exit code 2, in both forms, and never a secret; `--plan` and the table.

use std::process::Command;

use serde_json::json;

use crate::world::{ALIAS, Hours, Run, World, run};

/// Stands in every address here, and may stand in no output.
const PASSWORD: &str = "hunter2";

/// A variable, what is wrong with it, and what the complaint must have.
const WRONG: [(&str, &str, &str); 38] = [
    ("PROM_ENDPOINTS", "http://me:hunter2@prometheus:9090", "PROM_ENDPOINTS"),
    ("PROM_ENDPOINTS", r#"{"prod": "http://me:hunter2@prometheus:9090""#, "PROM_ENDPOINTS"),
    ("PROM_ENDPOINTS", r#"["http://me:hunter2@prometheus:9090"]"#, "PROM_ENDPOINTS"),
    ("PROM_ENDPOINTS", r#"{"prod": {"password": "hunter2"}}"#, "PROM_ENDPOINTS"),
    ("PROM_ENDPOINTS", r#"{"prod": "http://me:hunter2@a"} "x""#, "PROM_ENDPOINTS"),
    ("PROM_ENDPOINTS", r#"{"prod": "http://me:hunter2@a", "prod": "http://me:hunter2@b"}"#, "`prod` is given twice"),
    ("PROM_ENDPOINTS", r#"{"eu/prod": "http://me:hunter2@a"}"#, "`eu/prod`"),
    ("PROM_ENDPOINTS", r#"{"..": "http://me:hunter2@a"}"#, "`..`"),
    ("PROM_ENDPOINTS", r#"{"": "http://me:hunter2@a"}"#, "alias"),
    ("PROM_ENDPOINTS", r#"{"a\nb": "http://me:hunter2@a"}"#, "alias"),
    ("PROM_ENDPOINTS", r#"{"prod": "me:hunter2@prometheus"}"#, "`prod`"),
    ("PROM_ENDPOINTS", r#"{"prod": "ftp://me:hunter2@prometheus"}"#, "`prod`"),
    ("PROM_ENDPOINTS", r#"{"prod": "http://me:hunter2@"}"#, "`prod`"),
    ("S3EXPORTER_EXPORT_METRICS", "up,rate(up[5m])", "`rate(up[5m])`"),
    ("S3EXPORTER_EXPORT_METRICS", "up{job=\"a\"}", "`up{job=\"a\"}`"),
    ("S3EXPORTER_EXPORT_METRICS", "up,,down", "metric"),
    ("S3EXPORTER_EXPORT_METRICS", "../up", "`../up`"),
    ("S3EXPORTER_EXPORT_METRICS", "up,_manifest", "`_manifest`"),
    ("HOURS_TO_BACKFILL", "many", "HOURS_TO_BACKFILL"),
    ("HOURS_TO_BACKFILL", "0", "HOURS_TO_BACKFILL"),
    ("HOURS_TO_BACKFILL", "-1", "HOURS_TO_BACKFILL"),
    ("HOURS_TO_BACKFILL", "1000000", "HOURS_TO_BACKFILL"),
    ("STEP_SECONDS", "0", "STEP_SECONDS"),
    ("STEP_SECONDS", "0.5", "STEP_SECONDS"),
    ("STEP_SECONDS", "1h", "STEP_SECONDS"),
    ("TIMEOUT_SECONDS", "-30", "TIMEOUT_SECONDS"),
    ("TIMEOUT_SECONDS", "1e300", "TIMEOUT_SECONDS"),
    ("MAX_RETRIES", "x", "MAX_RETRIES"),
    ("MAX_RETRIES", "1000", "MAX_RETRIES"),
    ("RETRY_BACKOFF_SECONDS", "nan", "RETRY_BACKOFF_SECONDS"),
    ("S3EXPORTER_SETTLE", "120", "S3EXPORTER_SETTLE"),
    ("S3EXPORTER_MAX_BACKFILL", "10m", "max_backfill"),
    ("S3EXPORTER_RECHECK", "-1", "S3EXPORTER_RECHECK"),
    ("S3EXPORTER_EXPORT_CONCURRENCY", "0", "concurrency"),
    ("S3EXPORTER_COMPRESS", "lz4", "S3EXPORTER_COMPRESS"),
    ("S3EXPORTER_EXPORT_MODE", "all", "S3EXPORTER_EXPORT_MODE"),
    ("S3_BUCKET", "Not/A/Bucket", "Not/A/Bucket"),
    ("BASE_S3_PATH", "a/../b", "`a/../b`"),
];

/// One line that has `words`, and nothing else.
fn refused(run: &Run, words: &str, what: &str) {
    assert_eq!(run.code, Some(2), "{what}: {run:?}");
    assert_eq!((run.stdout.as_str(), run.stderr.lines().count()), ("", 1), "{what}: {run:?}");
    assert!(run.stderr.contains(words), "{what}: {run:?}");
    secret(run);
}

fn secret(run: &Run) {
    assert!(!run.stdout.contains(PASSWORD) && !run.stderr.contains(PASSWORD), "{run:?}");
}

#[tokio::test]
async fn wrong_settings_are_refused_in_both_forms() {
    let world = World::start(&[("a", 3)]).await;
    for form in [&["export"][..], &["serve", "--no-inventory", "-address=127.0.0.1:0"]] {
        for (variable, value, words) in WRONG {
            let mut command = world.command(form);
            command.env(variable, value);
            refused(&run(command).await, words, &format!("{form:?} with {variable}={value}"));
        }
    }
    assert_eq!((world.requests(), world.s3.requests().len()), (0, 0));
}

#[tokio::test]
async fn wrong_flags_are_refused_too() {
    let world = World::start(&[("a", 3)]).await;
    for (flag, words) in [
        (r#"--prom-endpoints={"a": "http://me:hunter2@a", "a": "http://b"}"#, "`a` is given twice"),
        ("--prom-endpoints=http://me:hunter2@a", "--prom-endpoints"),
        ("--export-metrics=a b", "`a b`"),
        ("--hours-to-backfill=x", "--hours-to-backfill"),
        ("--step-seconds=0", "--step-seconds"),
        ("--settle=2", "--settle"),
        ("--compress=lz4", "--compress"),
        ("--nonsense", "--nonsense"),
    ] {
        refused(&world.export(&[flag]).await, words, flag);
        let serve = run(world.command(&["serve", "--no-inventory", "-address=127.0.0.1:0", flag])).await;
        refused(&serve, words, flag);
    }
}

#[tokio::test]
async fn without_an_endpoint_there_is_nothing_to_export() {
    let world = World::start(&[("a", 3)]).await;
    for endpoints in ["", "{}"] {
        let mut command = world.command(&["export"]);
        command.env("PROM_ENDPOINTS", endpoints);
        refused(&run(command).await, "PROM_ENDPOINTS", endpoints);
    }
}

#[tokio::test]
async fn a_bucket_that_cannot_be_reached_is_told() {
    let world = World::start(&[("a", 3)]).await;
    world.s3.stop_listening().await;
    let (export, plan) = futures::join!(world.export(&[]), world.export(&["--plan"]));
    assert_eq!((export.code, plan.code), (Some(1), Some(1)), "{export:?} {plan:?}");
    let row: Vec<&str> = export.stdout.lines().nth(1).unwrap().split_whitespace().take(4).collect();
    assert_eq!(row, [ALIAS, "0", "0", "0"]);
    assert!(export.stdout.contains("refused"), "{export:?}");
    assert!(plan.stderr.lines().last().unwrap().contains("refused"), "{plan:?}");
    // It is not known what is due.
    assert_eq!(world.requests(), 0);
    world.s3.resume().await;
    world.export_all(&[]).await;
    world.verify_sealed(3);
}

/// The command of a world whose Prometheus wants a password.
fn with_password(world: &World, password: &str) -> Command {
    world.prometheus.require_basic("me", PASSWORD);
    let url = world.prometheus.endpoint().replace("http://", &format!("http://me:{password}@"));
    let mut command = world.command(&["export"]);
    command.env("PROM_ENDPOINTS", json!({ ALIAS: url }).to_string()).env("RUST_LOG", "trace");
    command
}

#[tokio::test]
async fn a_password_is_used_and_never_shown() {
    let world = World::start(&[("a", 3)]).await;
    let taken = run(with_password(&world, PASSWORD)).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    secret(&taken);
    world.verify_sealed(3);
    let manifest = world.manifest(0).unwrap().to_string();
    assert!(
        manifest.contains(&world.prometheus.endpoint()) && !manifest.contains(PASSWORD) && !manifest.contains("me:"),
        "{manifest}"
    );

    let world = World::start(&[("a", 3)]).await;
    let refused = run(with_password(&world, "hunter2-no-more")).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stdout.contains("check the authentication"), "{refused:?}");
    secret(&refused);
    world.prometheus.stop_listening().await;
    secret(&run(with_password(&world, PASSWORD)).await);
}

#[tokio::test]
async fn a_plan_says_what_would_be_done_and_does_nothing() {
    let world = World::start(&[("a", 3), ("b", 2)]).await;
    let plan = world.export_all(&["--plan"]).await;
    let lines: Vec<&str> = plan.stdout.lines().collect();
    assert!(
        lines[0].contains("3 hours due") && lines[0].contains("6 queries") && lines[0].contains(&world.prometheus.endpoint()),
        "{plan:?}"
    );
    assert!(lines.len() == 4 && lines[1..].iter().all(|line| line.contains("all 2 metrics")), "{plan:?}");
    assert_eq!((world.requests(), world.objects().len(), plan.stderr.as_str()), (0, 0, ""));
    assert!(world.s3.requests().iter().all(|request| matches!(request.method.as_str(), "GET" | "HEAD")));

    // Of what is there, only what is missing.
    world.export_all(&["--export-metrics=a"]).await;
    let (asked, objects) = (world.requests(), world.objects());
    let plan = world.export_all(&["--plan"]).await;
    assert!(plan.stdout.contains("3 hours due") && plan.stdout.contains("3 queries"), "{plan:?}");
    assert_eq!(plan.stdout.lines().filter(|line| line.trim_end().ends_with("  b")).count(), 3, "{plan:?}");
    world.export_all(&[]).await;
    let done = world.requests();
    let plan = world.export_all(&["--plan"]).await;
    assert!(plan.stdout.contains("0 hours due") && plan.stdout.lines().count() == 1, "{plan:?}");
    assert_eq!((asked, done, world.requests()), (3, 6, 6));
    assert!(objects.len() == 6 && world.objects().len() == 9);
}

#[tokio::test]
async fn a_run_ends_with_a_table() {
    let world = World::start(&[("a", 3)]).await;
    let first = world.export_all(&[]).await;
    assert_eq!(first.stdout, "endpoint   sealed  suspect   failed  why\nprod            3        0        0\n");
    // A line for each hour, where there is no terminal.
    assert_eq!(first.stderr.lines().filter(|line| line.contains("exported") && line.contains("sealed")).count(), 3, "{first:?}");
    let second = world.export_all(&[]).await;
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(world.verify(), Hours { sealed: (0..3).collect(), ..Hours::default() });
}

//! What is wrong on the command line or in the file is told in one line, with exit code 2.

use std::fs;
use std::process::Output;

use crate::support::{command, run};

fn refusal(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "more than one line: {text}");
    assert!(output.stdout.is_empty());
    text
}

fn assert_refused(args: &[&str], expected: &[&str]) {
    let text = refusal(&run(args));
    for part in expected {
        assert!(text.contains(part), "{args:?} gave {text}");
    }
}

#[test]
fn bad_flags() {
    assert_refused(&["-buckte", "b"], &["--buckte", "'--bucket'", "--help"]);
    assert_refused(&["-bucket"], &["--bucket"]);
    assert_refused(&["--scan-interval", "60"], &["--scan-interval", "30s"]);
    assert_refused(&["--prefix-match=some"], &["--prefix-match", "longest", "all"]);
    assert_refused(&["-log-format=xml"], &["--log-format", "JSON", "Console"]);
    assert_refused(&["-log-debug=maybe"], &["--log-debug"]);
    assert_refused(&["--cluster=a", "--cluster-pattern=b"], &["--cluster", "--cluster-pattern"]);
    assert_refused(&["--cluster=a", "-endpoint", "ftp://x"], &["ftp://x", "https://"]);
    assert_refused(&["--cluster=a", "-endpoint", "http://127.0.0.1:1", "--addressing=virtual"], &["host name", "127.0.0.1"]);
    assert_refused(&["--cluster=a", "--region", "us-east-1\n"], &["us-east-1", "region"]);
    assert_refused(&["--cluster=a", "-bucket", "a/b"], &["a/b", "bucket"]);
    assert_refused(&["--cluster=a", "-address", "9340"], &["9340", "HOST:PORT"]);
    assert_refused(&["--cluster=a", "-access-key-id=half"], &["secret access key", "not"]);
    assert_refused(&["--cluster=a", "-access-key-id=a", "-secret-access-key=a\nb"], &["character"]);
    assert_refused(&["--cluster-pattern", "(.*"], &["regular expression"]);
    assert_refused(&["--cluster-pattern", ".*"], &["cluster", "group"]);
    assert_refused(&["unknown-command"], &["unknown-command"]);
}

#[test]
fn without_cluster_names_and_without_a_kubernetes() {
    assert_refused(&["-endpoint=http://127.0.0.1:1"], &["--cluster", "--cluster-pattern", "kubeconfig"]);
}

#[test]
fn unreadable_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    assert_refused(&["--config", &missing], &[&missing, "No such file"]);
    assert_refused(&["-kubeconfig", &missing], &[&missing]);
    assert_refused(&["-kubeconfig", &file("kubeconfig", "{not: [yaml")], &["kubeconfig"]);
    assert_refused(&["--cluster=a", "-ca-bundle", &missing], &[&missing, "CA bundle"]);
    assert_refused(&["--cluster=a", "-ca-bundle", &file("ca", "no pem")], &["PEM"]);
    let bad = file("bad.yaml", "inventory:\n  buckets:\n    - bucket: a\n    - bucket: b\n      backup_interval: often\n");
    assert_refused(&["--config", &bad], &["bad.yaml", "inventory.buckets[1].backup_interval", "often"]);
    let broken = file("broken.yaml", "inventory: [\n");
    assert_refused(&["--config", &broken], &["broken.yaml"]);
}

#[test]
fn rust_log_and_variables_are_checked_too() {
    let output = command(&["--cluster=a"]).env("RUST_LOG", "=loud=").output().unwrap();
    assert!(refusal(&output).contains("RUST_LOG"));
    let output = command(&["--cluster=a"]).env("LOG_FORMAT", "xml").output().unwrap();
    assert!(refusal(&output).contains("LOG_FORMAT"));
    let output = command(&["--cluster=a"]).env("AWS_REGION", "us-east-1\n").output().unwrap();
    assert!(refusal(&output).contains("region"));
}

#[test]
fn no_secret_is_ever_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, "users:\n- user:\n    token: hunter2\n    bad: [\n").unwrap();
    let cases: [&[&str]; 3] = [
        &["--cluster=a", "-endpoint=http://:hunter2@host"],
        &["--cluster=a", "-endpoint=ftp://user:hunter2@host"],
        &["-kubeconfig", kubeconfig.to_str().unwrap()],
    ];
    for case in cases {
        let text = refusal(&run(case));
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_demo_leaves_a_bucket_alone_that_it_has_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("kubermatic-etcd-backups/prod-backup");
    fs::create_dir_all(backup.parent().unwrap()).unwrap();
    fs::write(&backup, "precious").unwrap();
    assert_refused(&["demo", "--folder", folder.path().to_str().unwrap()], &["not made by a demo", "--folder"]);
    assert_eq!(fs::read_to_string(&backup).unwrap(), "precious");
}

#[test]
fn help_and_version_are_answers() {
    for flag in ["-help", "--help", "-h", "--version"] {
        let output = run(&[flag]);
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty());
    }
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let output = command(&["--help"]).env("SECRET_ACCESS_KEY", "hunter2").output().unwrap();
    assert!(help.contains("kubermatic-etcd-backups") && !String::from_utf8(output.stdout).unwrap().contains("hunter2"));
}

#[test]
fn a_taken_port_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--cluster=a", "-endpoint=file:///", "-address", &address]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&address) && text.contains("in use"), "{text}");
}

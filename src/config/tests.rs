use std::time::Duration;

use super::*;

fn resolve(yaml: &str) -> Result<Config, String> {
    let settings = Settings::from_yaml(yaml).map_err(|(path, reason)| format!("{path}: {reason}"))?;
    settings.resolve(FlagBucket::default()).map_err(|error| error.to_string())
}

#[test]
fn a_file_names_several_buckets_that_inherit() {
    let config = resolve(
        "address: 127.0.0.1:0
s3: {endpoint: https://minio:9000, region: eu}
inventory:
  scan_interval: 2m
  backup_interval: 1h
  cluster_pattern: '^(?P<cluster>[a-z]+)-'
  buckets:
    - bucket: etcd
    - bucket: etcd
      name: velero
      prefix: velero/
      backup_interval: 24h
      clusters: [prod]
      s3: {endpoint: 'https://s3.eu-west-1.amazonaws.com'}
",
    )
    .unwrap();
    let inventory = config.inventory.unwrap();
    assert_eq!(inventory.scan_interval, Duration::from_secs(120));
    let [etcd, velero] = inventory.targets.try_into().unwrap();
    assert_eq!((etcd.name.as_str(), etcd.backup_interval, etcd.kubermatic_metrics), ("etcd", Duration::from_secs(3_600), false));
    assert!(matches!(etcd.clusters, ClusterSource::Pattern(..)));
    assert_eq!((velero.name.as_str(), velero.bucket.as_str(), velero.prefix.as_str()), ("velero", "etcd", "velero/"));
    assert!(matches!(velero.clusters, ClusterSource::Names(names, _) if names == ["prod"]));
    assert_eq!(velero.s3.region.as_deref(), Some("eu"));
    assert_eq!(velero.s3.endpoint.as_deref(), Some("https://s3.eu-west-1.amazonaws.com"));
}

#[test]
fn without_a_file_the_bucket_is_kubermatics() {
    let config = resolve("# nothing yet\n").unwrap();
    assert!(config.needs_cluster_names());
    let targets = config.inventory.unwrap().targets;
    assert_eq!((targets[0].bucket.as_str(), targets[0].kubermatic_metrics), ("kubermatic-etcd-backups", true));
    assert_eq!(config.address, ":9340");
}

#[test]
fn list_requests_side_by_side_are_bounded() {
    let targets = |yaml: &str| resolve(yaml).map(|config| config.inventory.unwrap().targets);
    assert_eq!(targets("{}").unwrap()[0].list_concurrency, 32);
    let own =
        targets("inventory: {list_concurrency: 8, buckets: [{bucket: a}, {bucket: b, list_concurrency: 1, list_price: 0}]}")
            .unwrap();
    assert_eq!((own[0].list_concurrency, own[1].list_concurrency), (8, 1));
    assert_eq!((own[0].list_price, own[1].list_price), (0.005, 0.0));
    for wrong in ["list_concurrency: 0", "list_concurrency: 1025", "list_price: -1", "list_price: .nan"] {
        let error = targets(&format!("inventory: {{{wrong}}}")).unwrap_err();
        assert!(error.contains(wrong.split(':').next().unwrap()), "{wrong}: {error}");
    }
}

#[test]
fn the_example_that_is_shipped_is_valid_and_names_every_key() {
    let text = include_str!("../../deploy/examples/config.yaml");
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "EXAMPLE").unwrap();
    let here = text.replace("/var/run/secrets/s3/secret-access-key", secret.path().to_str().unwrap());
    let config = resolve(&here).unwrap();
    assert_eq!(config.export.unwrap().endpoints.len(), 3);
    assert!(config.podmetrics.is_some() && config.usage.is_some());
    let targets = config.inventory.unwrap().targets;
    assert_eq!(targets.len(), 2);
    assert!(targets[0].kubermatic_metrics && targets[1].prefix == "backups/");
    for key in [
        "secret_access_key:",
        "session_token:",
        "anonymous:",
        "ca_bundle:",
        "clusters:",
        "kubeconfig:",
        "max_clusters:",
        "list_concurrency:",
        "list_price:",
        "compress:",
        "bearer_token_file:",
        "client_certificate:",
        "sigv4:",
        "retry_backoff:",
        "level:",
        "namespaces:",
        "label_prefix:",
        "ip_family:",
        "label_style:",
        "honor_labels:",
        "allow_cidr:",
        "allow_host_network:",
        "concurrency_per_node:",
        "requests:",
        "timeout_margin:",
        "max_age:",
        "body:",
        "samples:",
        "families:",
        " labels:",
        "name_length:",
        "value_length:",
        "targets:",
        "held:",
        "audience:",
        "cluster_name:",
        "journal_dir:",
        "journal_budget:",
        "roll_bytes:",
        "roll_age:",
        "body_limit:",
        "debug_k8s_api:",
        "token_file:",
        "token_review:",
        "service_accounts:",
        "last_applied:",
        "long_values:",
    ] {
        assert!(text.contains(key) || key == "secret_access_key:" && text.contains("or secret_access_key"), "{key}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_path() {
    let cases = [
        ("inventory: {buckets: [{bucket: a}, {bucket: b, perfix: c}]}", "inventory.buckets[1].perfix: unknown field `perfix`"),
        ("inventory: {scan_interval: 60}", "inventory.scan_interval: `60` is not a duration"),
        ("inventory: {scan_interval: -1s}", "inventory.scan_interval: `-1s` is not a duration"),
        ("inventory: {max_clusters: many}", "inventory.max_clusters: "),
        ("s3: {addressing: sideways}", "s3.addressing: "),
        ("adress: ':1'", "adress: unknown field"),
        ("inventory: [", "inventory: "),
        ("- a\n- b\n", "the file: "),
        ("address: nowhere", "`nowhere` is no address"),
        ("address: ':70000'", "`:70000` is no address"),
        ("address: '::1:9340'", "`::1:9340` is no address"),
        ("address: '[::1:9340'", "`[::1:9340` is no address"),
        ("address: ' :9340'", "` :9340` is no address"),
        (
            "inventory: {clusters: [a], cluster_pattern: b}",
            "bucket `kubermatic-etcd-backups`: cluster names are given and a cluster pattern too",
        ),
        ("inventory: {clusters: []}", "bucket `kubermatic-etcd-backups`: the list of clusters is empty"),
        (
            "inventory: {cluster_pattern: '(?P<cluster>.)', max_clusters: 0}",
            "bucket `kubermatic-etcd-backups`: max_clusters is 0",
        ),
        ("address: a\naddress: b", "the file: duplicate mapping key: address"),
        ("inventory: {clusters: ['']}", "bucket `kubermatic-etcd-backups`: an empty cluster name"),
        ("inventory: {cluster_pattern: '('}", "bucket `kubermatic-etcd-backups`: the cluster pattern is no regular expression: "),
        ("inventory: {cluster_pattern: '(.*)'}", "bucket `kubermatic-etcd-backups`: the cluster pattern has no group"),
        ("inventory: {buckets: [{bucket: a}, {bucket: a}]}", "two buckets are named `a`"),
        (
            "inventory: {buckets: [{bucket: a, kubermatic_metrics: true}, {bucket: b, kubermatic_metrics: true}]}",
            "several buckets have the kubermatic_s3_* metrics",
        ),
    ];
    for (yaml, expected) in cases {
        let error = resolve(yaml).map(|_| ()).expect_err(yaml);
        assert!(error.starts_with(expected) && !error.contains('\n'), "{yaml}\n  gave {error}\n  not  {expected}");
    }
}

#[test]
fn a_secret_in_a_wrong_place_is_not_repeated() {
    let error = resolve("s3: {secret_access_key: {nested: hunter2}}").unwrap_err();
    assert!(error.starts_with("s3.secret_access_key: ") && !error.contains("hunter2"), "{error}");
    let error = resolve("s3: {secret_access_key hunter2}").unwrap_err();
    assert!(error.contains("unknown field `secret_access_key`") && !error.contains("hunter2"), "{error}");
}

#[test]
fn flags_stand_over_the_file() {
    let file =
        Settings::from_yaml("address: ':1'\ninventory: {clusters: [a], scan_interval: 5m, buckets: [{bucket: b}]}").unwrap();
    let inventory = InventorySection { cluster_pattern: Some("(?P<cluster>x)".into()), ..Default::default() };
    let flags = Settings { address: Some(":2".into()), inventory, ..Default::default() };
    let named = FlagBucket { bucket: Some("f".into()), prefix: Some("p/".into()) };
    let config = flags.clone().or(file.clone()).resolve(named).unwrap();
    assert_eq!(config.address, ":2");
    let inventory = config.inventory.unwrap();
    assert_eq!(inventory.scan_interval, Duration::from_secs(300));
    let described: Vec<_> = inventory
        .targets
        .iter()
        .map(|target| (target.name.as_str(), target.prefix.as_str(), target.kubermatic_metrics))
        .collect();
    assert_eq!(described, [("f", "p/", true), ("b", "", false)]);
    assert!(inventory.targets.iter().all(|target| matches!(target.clusters, ClusterSource::Pattern(..))));
    let lost = FlagBucket { prefix: Some("p/".into()), ..Default::default() };
    assert!(matches!(flags.or(file).resolve(lost), Err(ConfigError::Inventory(InventoryConfigError::PrefixWithoutBucket))));
}

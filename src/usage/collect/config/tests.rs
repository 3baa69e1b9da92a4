use super::*;

fn section() -> CollectSection {
    CollectSection { push_endpoint: Some("http://usage:8888".into()), node_ip: Some("10.0.0.1".into()), ..Default::default() }
}

fn asked(endpoint: &str, node_ip: &str, node_name: &str) -> (String, Option<(String, IpAddr)>) {
    let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let section =
        CollectSection { kubelet_endpoint: set(endpoint), node_ip: set(node_ip), node_name: set(node_name), ..section() };
    let kubelet = section.resolve(false).unwrap().kubelet;
    (kubelet.endpoint.to_string(), kubelet.resolve)
}

#[test]
fn the_kubelet_is_found_by_what_a_pod_knows() {
    for (endpoint, ip, url) in [
        ("", "10.0.0.1", "https://10.0.0.1:10250/stats/summary"),
        ("", "fd00::1", "https://[fd00::1]:10250/stats/summary"),
        ("https://10.0.0.2:10250", "", "https://10.0.0.2:10250/stats/summary"),
        ("https://10.0.0.2:10250/", "10.0.0.1", "https://10.0.0.2:10250/stats/summary"),
        ("https://10.0.0.2:10250/stats/summary", "", "https://10.0.0.2:10250/stats/summary"),
        ("http://127.0.0.1:10255/stats/summary/", "", "http://127.0.0.1:10255/stats/summary"),
        ("https://api/nodes/n/proxy/", "", "https://api/nodes/n/proxy/stats/summary"),
    ] {
        assert_eq!(asked(endpoint, ip, "n"), (url.to_owned(), None));
    }
}

#[test]
fn the_name_of_the_node_needs_no_dns() {
    let address = Some(("node-1".to_owned(), IpAddr::from([10, 0, 0, 1])));
    assert_eq!(asked("https://node-1:10250", "10.0.0.1", "node-1").1, address);
    assert_eq!(asked("https://node-1:10250", "10.0.0.1", "node-2").1, None);
    assert_eq!(asked("https://node-1:10250", "", "node-1").1, None);
}

#[test]
fn reports_go_to_metrics_unless_somebody_says_otherwise() {
    for (given, url) in [
        ("http://usage:8888", "http://usage:8888/metrics"),
        ("http://usage:8888/", "http://usage:8888/metrics"),
        ("https://usage/in/metrics", "https://usage/in/metrics"),
    ] {
        let config = CollectSection { push_endpoint: Some(given.into()), ..section() }.resolve(false).unwrap();
        assert_eq!(config.push.unwrap().endpoint.as_str(), url);
    }
}

#[test]
fn nothing_else_needs_to_be_said() {
    let config = section().resolve(false).unwrap();
    assert_eq!((config.interval, config.jitter, config.max_consecutive_failures), (Duration::from_secs(30), 0.2, 5));
    assert_eq!((config.queue.reports, config.queue.bytes), (120, 64 << 20));
    assert!(config.imds.is_none() && config.address.is_none() && !config.kubelet.insecure_tls);
    assert!(CollectSection { push_endpoint: None, ..section() }.resolve(true).unwrap().push.is_none());
    let imds = CollectSection { ec2_instance_id: Some(true), ..section() }.resolve(false).unwrap().imds.unwrap();
    assert_eq!((imds.endpoint.as_str(), imds.token_ttl, imds.force_v1), ("http://169.254.169.254/", 21_600, false));
}

#[test]
fn what_cannot_be_used_is_told() {
    let none = CollectSection::default;
    let text = |text: &str| Some(text.to_owned());
    for (wrong, said) in [
        (none(), "--push-endpoint"),
        (CollectSection { node_ip: None, ..section() }, "NODE_IP"),
        (CollectSection { node_ip: text("node-1"), ..section() }, "`node-1`"),
        (CollectSection { push_endpoint: text("usage:8888"), ..section() }, "push endpoint `usage:8888`"),
        (CollectSection { push_endpoint: text("usage"), ..section() }, "no URL"),
        (
            CollectSection { push_endpoint: text("http://u:p@usage"), ..section() },
            "`usage` cannot be used: it has a user or a password",
        ),
        (CollectSection { kubelet_endpoint: text("ftp://x"), ..section() }, "kubelet endpoint `ftp://x`"),
        (CollectSection { jitter_percent: Some(101), ..section() }, "101 percent"),
        (CollectSection { interval: Some(Duration::from_secs(86_401)), ..section() }, "longer than a day"),
        (CollectSection { max_consecutive_failures: Some(0), ..section() }, "failures"),
        (CollectSection { queue: Some(0), ..section() }, "queue"),
        (CollectSection { ec2_token_ttl: Some(21_601), ..section() }, "21601"),
        (CollectSection { ec2_token_ttl: Some(0), ..section() }, "not 0"),
        (CollectSection { ec2_endpoint: text("169.254.169.254"), ..section() }, "metadata endpoint"),
        (CollectSection { address: text("9340"), ..section() }, "`9340`"),
    ] {
        let error = wrong.resolve(false).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn flags_stand_over_variables() {
    let flags = CollectSection { queue: Some(1), ..Default::default() };
    let config = flags.or(CollectSection { queue: Some(2), jitter_percent: Some(0), ..section() }).resolve(false).unwrap();
    assert_eq!((config.queue.reports, config.jitter), (1, 0.0));
}

//! What labels and annotations may say.

use serde_json::{Value, json};

use super::*;

fn pod(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> PodObject {
    let keys = |pairs: &[(&str, &str)]| -> Value {
        pairs
            .iter()
            .map(|(key, value)| (format!("{DEFAULT_PREFIX}{key}"), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    serde_json::from_value(json!({
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "u", "labels": keys(labels), "annotations": keys(annotations)},
        "spec": {"nodeName": "node"},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
    }))
    .unwrap()
}

fn rules() -> Rules {
    Rules::new(DEFAULT_PREFIX, IpFamily::Any).unwrap()
}

fn annotated(key: &str, value: &str) -> Result<Settings, Malformed> {
    rules().read(&pod(&[("job-name", "web")], &[(key, value)])).unwrap().settings
}

fn refused(key: &str, values: &[&str], reason: MalformedReason) {
    for value in values {
        let malformed = annotated(key, value).expect_err(value);
        assert_eq!(malformed.reason, reason, "{value:?}");
        assert!(malformed.message.len() < 300 && !malformed.message.contains(char::is_control), "{malformed}");
    }
}

#[test]
fn a_job_name_is_enough() {
    let pod = pod(&[("job-name", "web")], &[]);
    let reading = rules().read(&pod).unwrap();
    assert_eq!((reading.job, reading.address), ("web", "10.0.0.1".parse().ok()));
    let defaults = Settings { path: "/metrics".into(), ports: [80].into(), timeout: Duration::from_secs(5), tls: None };
    assert_eq!(reading.settings, Ok(defaults));
}

#[test]
fn annotations_override_labels_one_by_one() {
    let labels = [
        ("job-name", "web"),
        ("endpoint", "stats"),
        ("port", "8080"),
        ("scrape-timeout-seconds", "2.5"),
        ("tls-enabled", "True"),
        ("tls-verify", "no"),
        ("a-later-invention", "?"),
    ];
    let of = |annotations: &[(&str, &str)]| {
        let pod = pod(&labels, annotations);
        let reading = rules().read(&pod).unwrap();
        (reading.job.to_owned(), reading.settings.unwrap())
    };
    let (job, settings) = of(&[]);
    let tls = Some(Tls { verify: false, server_name: None });
    let by_labels = Settings { path: "/stats".into(), ports: [8080].into(), timeout: Duration::from_millis(2_500), tls };
    assert_eq!((job.as_str(), &settings), ("web", &by_labels));
    let (job, settings) = of(&[("endpoint", "/actuator/prometheus"), ("port", "8081, 8080"), ("job-name", "shop/web")]);
    assert_eq!(job, "shop/web");
    assert_eq!(settings, Settings { path: "/actuator/prometheus".into(), ports: [8081, 8080].into(), ..by_labels });
    let (_, settings) = of(&[("tls-server-name", "web.shop.svc"), ("tls-verify", "1")]);
    assert_eq!(settings.tls, Some(Tls { verify: true, server_name: Some("web.shop.svc".into()) }));
    assert_eq!(of(&[("tls-enabled", "0")]).1.tls, None);
}

#[test]
fn endpoints_are_paths_and_nothing_else() {
    let paths = [
        ("metrics", "/metrics"),
        ("/metrics", "/metrics"),
        ("", "/"),
        ("/", "/"),
        ("a/b?format=prometheus&match[]=up", "/a/b?format=prometheus&match[]=up"),
        ("?x", "/?x"),
        ("/probe?target=http://a", "/probe?target=http://a"),
        ("/a%20b", "/a%20b"),
    ];
    for (value, path) in paths {
        assert_eq!(annotated("endpoint", value).unwrap().path.as_ref(), path);
    }
    let long = "a".repeat(LONGEST + 1);
    let bad = [
        "a b",
        " metrics",
        "metrics\n",
        "a\r\nHost: b",
        "a\u{0}",
        "a\u{85}",
        "a#b",
        "http://10.0.0.1/",
        "HTTPS://a",
        "//a/b",
        "/a\\b",
        "größe",
        "a<b",
        &long,
    ];
    refused("endpoint", &bad, MalformedReason::Endpoint);
}

const LONGEST: usize = crate::k8s::LONGEST_VALUE;

#[test]
fn ports_are_numbers_that_stand_once() {
    assert_eq!(annotated("port", " 8080 ,9090").unwrap().ports.as_ref(), [8080, 9090]);
    let many = (1..=65).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
    let bad = ["", "x", "0", "65536", "-1", "+80", "8080,", ",", "80 81", "80,80", "8o", "٨٠", "1e3", &many];
    refused("port", &bad, MalformedReason::Port);
}

#[test]
fn timeouts_are_seconds_up_to_an_hour() {
    for (value, millis) in [("5", 5_000), ("0.25", 250), (" 3600 ", 3_600_000), (".5", 500)] {
        assert_eq!(annotated("scrape-timeout-seconds", value).unwrap().timeout, Duration::from_millis(millis));
    }
    let bad = ["", "0", "0.0", "-1", "+1", "3600.1", "1e400", "inf", "NaN", "5s", "1,5", ".", "0.00000000001"];
    refused("scrape-timeout-seconds", &bad, MalformedReason::ScrapeTimeoutSeconds);
}

#[test]
fn switches_are_true_or_false() {
    for (value, truth) in
        [("true", true), ("TRUE", true), ("1", true), ("Yes", true), ("false", false), ("0", false), ("no", false)]
    {
        assert_eq!(annotated("tls-enabled", value).unwrap().tls.is_some(), truth);
    }
    refused("tls-enabled", &["", "on", "2", "truee"], MalformedReason::TlsEnabled);
    refused("tls-verify", &["", "off", "\u{1b}[31m"], MalformedReason::TlsVerify);
}

#[test]
fn server_names_are_names_or_addresses() {
    for value in ["web.shop.svc", "a_b", "10.0.0.1", "fd00::1"] {
        annotated("tls-server-name", value).unwrap();
    }
    refused(
        "tls-server-name",
        &["", "a b", "https://a", "a:443", "-a", "a\n", "[fd00::1]", "*.a"],
        MalformedReason::TlsServerName,
    );
}

#[test]
fn a_bare_prefix_is_malformed_and_told_first() {
    refused("", &["", "x"], MalformedReason::EmptySuffix);
    let both = pod(&[("job-name", "web"), ("port", "x")], &[("", "")]);
    assert_eq!(rules().read(&both).unwrap().settings.unwrap_err().reason, MalformedReason::EmptySuffix);
}

#[test]
fn messages_say_what_stands_there() {
    assert_eq!(
        annotated("port", "80\u{1b}").unwrap_err().to_string(),
        "port \"80\\u{1b}\" must be a port from 1 to 65535, or several with commas between them"
    );
    let long = annotated("scrape-timeout-seconds", &"5".repeat(99)).unwrap_err();
    assert!(long.message.contains("5555...\" must"), "{long}");
}

#[test]
fn a_pod_belongs_to_the_job_whose_name_can_be_read() {
    let job_of = |labels: &[(&str, &str)], annotations: &[(&str, &str)]| {
        let pod = pod(labels, annotations);
        let reading = rules().read(&pod)?;
        Some((reading.job.to_owned(), reading.settings.map_err(|malformed| malformed.reason)))
    };
    assert_eq!(job_of(&[], &[]), None);
    assert_eq!(job_of(&[("port", "1")], &[]), None);
    assert_eq!(job_of(&[("job-name", "")], &[]), Some((String::new(), Err(MalformedReason::JobName))));
    let fallback = Some(("web".to_owned(), Err(MalformedReason::JobName)));
    for bad in ["", "a\nb", "j".repeat(LONGEST + 1).as_str()] {
        assert_eq!(job_of(&[("job-name", "web")], &[("job-name", bad)]), fallback);
    }
}

#[test]
fn only_running_pods_with_an_address_of_the_family_are_scraped() {
    let running = pod(&[("job-name", "web")], &[]);
    let address = |pod: &PodObject, family| {
        let rules = Rules::new(DEFAULT_PREFIX, family).unwrap();
        rules.read(pod).unwrap().address.map(|address| address.to_string())
    };
    assert_eq!(address(&running, IpFamily::Any).as_deref(), Some("10.0.0.1"));
    assert_eq!(address(&running, IpFamily::Ipv4).as_deref(), Some("10.0.0.1"));
    assert_eq!(address(&running, IpFamily::Ipv6).as_deref(), Some("fd00::1"));
    let with =
        |addresses: &[&str]| PodObject { addresses: addresses.iter().map(|&ip| ip.to_owned()).collect(), ..running.clone() };
    assert_eq!(address(&with(&["fd00::1", "10.0.0.1"]), IpFamily::Any).as_deref(), Some("fd00::1"));
    assert_eq!(address(&with(&["fd00::1"]), IpFamily::Ipv4), None);
    assert_eq!(address(&with(&["::ffff:10.0.0.1"]), IpFamily::Ipv4).as_deref(), Some("10.0.0.1"));
    assert_eq!(address(&with(&[]), IpFamily::Any), None);
    assert_eq!(address(&with(&["", "host.name"]), IpFamily::Any), None);
    assert_eq!(address(&PodObject { running: false, ..running.clone() }, IpFamily::Any), None);
    assert_eq!(address(&PodObject { deleting: true, ..running.clone() }, IpFamily::Any), None);
}

#[test]
fn instances() {
    let pod = |address: &str, ports: &[u16]| Pod {
        namespace: "shop".into(),
        name: "web-0".into(),
        node: None,
        address: address.parse().unwrap(),
        host_network: false,
        settings: Ok(Arc::new(Settings { path: "/".into(), ports: ports.into(), timeout: Duration::from_secs(5), tls: None })),
    };
    let one = pod("10.0.0.1", &[80]);
    assert_eq!(one.instance(80), "web-0");
    let two = pod("fd00::1", &[80, 9_090]);
    assert_eq!(two.instance(9_090), "web-0:9090");
    let malformed = Malformed { reason: MalformedReason::Port, message: "port".into() };
    assert_eq!(Pod { settings: Err(malformed), ..two }.instance(80), "web-0");
}

#[test]
fn prefixes_are_those_of_labels() {
    for prefix in [DEFAULT_PREFIX, "a/", "a.b-c/d.", "scrape-", "x"] {
        let rules = Rules::new(prefix, IpFamily::Any).unwrap();
        assert_eq!(rules.selector(), format!("{prefix}job-name"));
    }
    let long = format!("a/{}", "b".repeat(42));
    for prefix in ["", "/", "A/", "a..b/", "-a/", "a-/", "a/b/", "a b/", "a/-b", "ä/", "a,b", "!a", long.as_str()] {
        assert!(Rules::new(prefix, IpFamily::Any).is_err(), "{prefix:?} was taken");
    }
}

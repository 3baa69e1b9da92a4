//! What labels and annotations say about one pod, and what becomes of those that cannot be read.

use fakes::pods::{Behaviour, Pod};

use crate::support::Exporter;
use crate::world::{JOB, World, ask, failures, key, metric, ours, path_of, spec, until};

#[tokio::test]
async fn every_sample_says_where_it_comes_from() {
    let (world, pod) = World::with_pod(Behaviour::text("# TYPE hits counter\nhits{cmd=\"get\"} 7\nhits{cmd=\"set\"} 8\n")).await;
    let exporter = world.exporter(&[]).await;
    let answer = ask(&exporter, JOB).await;
    let samples = answer.samples("hits");
    assert_eq!(samples.iter().map(|sample| sample.value.as_str()).collect::<Vec<_>>(), ["7", "8"]);
    for name in ["hits", "up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_body_size_bytes"] {
        for sample in answer.samples(name) {
            let told = ["instance", "job", "pod_namespace", "pod_ip"].map(|label| sample.label(label));
            assert_eq!(told, ["a", JOB, "default", &pod.ip().to_string()], "{name}");
        }
    }
    assert_eq!(samples[0].label("cmd"), "get");
    assert_eq!(answer.up("a"), Some(1.0));
    assert_eq!(pod.requests()[0].path_and_query, "/metrics");
    assert_eq!(pod.requests()[0].method, "GET");
}

#[tokio::test]
async fn an_endpoint_is_a_path_with_or_without_its_slash() {
    let world = World::start().await;
    let mut pods = Vec::new();
    for (name, endpoint) in [("a", "/actuator/prometheus"), ("b", "actuator/prometheus"), ("c", "/probe?target=x&module=y")] {
        let pod = Pod::start(Behaviour::text("a 1\n")).await;
        world.api.apply_pod(&spec(name, &pod).label(&key("endpoint"), "ignored").annotation(&key("endpoint"), endpoint));
        pods.push(pod);
    }
    let labelled = Pod::start(Behaviour::text("a 1\n")).await;
    world.api.apply_pod(&spec("d", &labelled).label(&key("endpoint"), "stats"));
    let exporter = world.exporter(&[]).await;
    assert_eq!(ask(&exporter, JOB).await.healthy(), ["a", "b", "c", "d"]);
    pods.push(labelled);
    let asked: Vec<String> = pods.iter().map(|pod| pod.requests()[0].path_and_query.clone()).collect();
    assert_eq!(asked, ["/actuator/prometheus", "/actuator/prometheus", "/probe?target=x&module=y", "/stats"]);
}

#[tokio::test]
async fn several_ports_are_several_targets() {
    let (world, one) = World::with_pod(Behaviour::text("one 1\n")).await;
    let other = Pod::builder(Behaviour::text("other 2\n")).ip(one.ip()).start().await.unwrap();
    let gone = Pod::builder(Behaviour::text("gone 3\n")).ip(one.ip()).start().await.unwrap();
    gone.stop().await;
    let ports = format!("{}, {},{}", other.port(), one.port(), gone.port());
    world.api.apply_pod(&spec("a", &one).annotation(&key("port"), &ports));
    let exporter = world.exporter(&[]).await;
    let answer = ask(&exporter, JOB).await;
    let named = |port: u16| format!("a:{port}");
    let expected = [(named(other.port()), true), (named(one.port()), true), (named(gone.port()), false)];
    assert_eq!(answer.targets(), expected);
    assert_eq!(answer.value("one", &named(one.port())), Some(1.0));
    assert_eq!(answer.value("other", &named(other.port())), Some(2.0));
    assert_eq!(answer.reason(&named(gone.port())).as_deref(), Some("connect"));
    // A single port in an annotation is no addition to the name.
    world.api.apply_pod(&spec("a", &one).annotation(&key("port"), &one.port().to_string()));
    until(&exporter, "there is one target", |answer| answer.targets() == [("a".to_owned(), true)]).await;
}

#[tokio::test]
async fn without_a_port_it_is_80() {
    let (world, pod) = World::with_pod(Behaviour::Hang).await;
    world.api.apply_pod(&spec("a", &pod).without_label(&key("port")));
    let exporter = world.exporter(&[]).await;
    ask(&exporter, JOB).await;
    assert!(pod.requests().is_empty());
    let (_, page) = exporter.get("/").await;
    assert!(page.contains(&format!("cannot connect to {}:80:", pod.ip())), "{page}");
}

/// Each of these pods is down, alone and with a reason; a pod beside it is well, and so is the watch.
#[tokio::test]
async fn a_malformed_label_concerns_its_pod_alone() {
    let malformed = [
        ("", "x", "empty_suffix"),
        ("port", "x", "port"),
        ("port", "0", "port"),
        ("port", "65536", "port"),
        ("port", "80,", "port"),
        ("port", "80,80", "port"),
        ("scrape-timeout-seconds", "0", "scrape_timeout_seconds"),
        ("scrape-timeout-seconds", "-1", "scrape_timeout_seconds"),
        ("scrape-timeout-seconds", "5s", "scrape_timeout_seconds"),
        ("scrape-timeout-seconds", "inf", "scrape_timeout_seconds"),
        ("endpoint", "a b", "endpoint"),
        ("endpoint", "http://169.254.169.254/latest", "endpoint"),
        ("endpoint", "//example.com/", "endpoint"),
        ("endpoint", "/a\r\nX-Header: 1", "endpoint"),
        ("tls-enabled", "maybe", "tls_enabled"),
        ("tls-verify", "", "tls_verify"),
        ("tls-server-name", "a b", "tls_server_name"),
        ("job-name", "", "job_name"),
    ];
    let world = World::start().await;
    let _healthy = world.healthy("healthy").await;
    let pod = Pod::start(Behaviour::text("a 1\n")).await;
    for (at, (suffix, value, _)) in malformed.iter().enumerate() {
        world.api.apply_pod(&spec(&format!("m-{at:02}"), &pod).annotation(&key(suffix), value));
    }
    let exporter = world.exporter(&[]).await;
    let answer = ask(&exporter, JOB).await;
    assert_eq!(answer.healthy(), ["healthy"]);
    for (at, (suffix, value, _)) in malformed.iter().enumerate() {
        let name = format!("m-{at:02}");
        assert_eq!((answer.up(&name), answer.reason(&name).as_deref()), (Some(0.0), Some("bad_label")), "{suffix}: {value:?}");
    }
    assert!(pod.requests().is_empty());
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let count = |reason: &str| malformed.iter().filter(|(_, _, other)| *other == reason).count() as f64;
    for reason in ["empty_suffix", "port", "scrape_timeout_seconds", "endpoint", "tls_enabled", "tls_verify", "tls_server_name"] {
        assert_eq!(metric(&exporter, &ours(&format!("malformed_pods{{label=\"{reason}\"}}"))).await, count(reason), "{reason}");
    }
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let all = malformed.len() as f64;
    assert_eq!(failures(&exporter, "bad_label").await, all);
    assert_eq!(metric(&exporter, &ours("pods{state=\"malformed\"}")).await, all);
    let (_, page) = exporter.get("/").await;
    assert!(page.contains("port &quot;x&quot; must be a port from 1 to 65535"), "{page}");
    // It is read again when it changes.
    world.api.apply_pod(&spec("m-01", &pod));
    until(&exporter, "the pod is repaired", |answer| answer.up("m-01") == Some(1.0)).await;
}

#[tokio::test]
async fn labels_may_begin_with_something_else() {
    let (world, _old) = World::with_pod(Behaviour::text("old 1\n")).await;
    let pod = Pod::start(Behaviour::text("fresh 1\n")).await;
    let address = pod.port().to_string();
    let labels = [("scrape.example/job-name", "shop"), ("scrape.example/port", address.as_str())];
    world.api.apply_pod(&fakes::kube_api::PodSpec::new("shop", "b").labels(labels).ip(pod.ip()));
    let exporter = world.exporter(&["--podmetrics-label-prefix=scrape.example/"]).await;
    assert_eq!(ask(&exporter, "shop").await.healthy(), ["b"]);
    assert_eq!(exporter.get(&path_of(JOB)).await.0, 404);
    assert!(world.api.requests().iter().all(|request| request.path_and_query.contains("scrape.example%2Fjob-name")));
}

#[tokio::test]
async fn one_address_of_a_pod_is_scraped_and_its_family_can_be_chosen() {
    let (world, four) = World::with_pod(Behaviour::text("family 4\n")).await;
    let six = Pod::builder(Behaviour::text("family 6\n")).ip("::1".parse().unwrap()).port(four.port()).start().await;
    let Ok(six) = six else {
        return eprintln!("SKIPPED: this machine has no IPv6");
    };
    world.api.apply_pod(&spec("a", &four).ip(six.ip()));
    world.api.apply_pod(&spec("b", &six).ip(four.ip()));
    world.api.apply_pod(&spec("c", &four));
    let start = async |family: &str| world.exporter(&["--podmetrics-allow-cidr=::1/128", family]).await;
    let families = async |exporter: &Exporter| {
        let answer = ask(exporter, JOB).await;
        answer
            .samples("family")
            .iter()
            .map(|sample| (sample.label("pod_ip").to_owned(), sample.value.clone()))
            .collect::<Vec<_>>()
    };
    let (v4, v6) = ((four.ip().to_string(), "4".to_owned()), ("::1".to_owned(), "6".to_owned()));
    assert_eq!(families(&start("--ip-family=any").await).await, [v4.clone(), v6.clone(), v4.clone()]);
    assert_eq!(families(&start("--ip-family=ipv4").await).await, [v4.clone(), v4.clone(), v4]);
    assert_eq!(families(&start("--ip-family=ipv6").await).await, [v6.clone(), v6]);
    assert_eq!(six.requests()[0].header("host"), format!("[::1]:{}", six.port()));
}

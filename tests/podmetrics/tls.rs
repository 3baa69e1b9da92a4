//! TLS with pods: certificates are verified, for the pod's address or the name that a label gives.

use fakes::kube_api::PodSpec;
use fakes::pods::{Authority, Behaviour, Pod};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::world::{JOB, World, ask, failures, key, spec, spec_at, until};

/// Pods with certificates of one authority, and what they are labelled with.
async fn pods(world: &World, authority: &Authority) -> Vec<Pod> {
    let mut pods = Vec::new();
    for (name, names, labels) in [
        ("address", &["ADDRESS"][..], &[][..]),
        ("name", &["metrics.example.com"], &[("tls-server-name", "metrics.example.com")]),
        ("name-missing", &["metrics.example.com"], &[]),
        ("name-wrong", &["metrics.example.com"], &[("tls-server-name", "other.example.com")]),
        ("address-wrong", &["127.0.0.77"], &[]),
        ("address-named", &["127.0.0.77"], &[("tls-server-name", "127.0.0.77")]),
        ("unverified", &["anything.example.com"], &[("tls-verify", "false")]),
    ] {
        let ip = fakes::pods::loopback();
        let own = ip.to_string();
        let names: Vec<&str> = names.iter().map(|name| if *name == "ADDRESS" { own.as_str() } else { name }).collect();
        let pod = Pod::builder(Behaviour::text("secret 1\n")).ip(ip).tls_by(authority, &names).start().await.unwrap();
        let labelled = spec(name, &pod).label(&key("tls-enabled"), "true");
        world.api.apply_pod(&labels.iter().fold(labelled, |spec, (suffix, value)| spec.label(&key(suffix), value)));
        pods.push(pod);
    }
    pods
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_be_for_the_pod() {
    let (world, authority) = (World::start().await, Authority::new("authority of the pods"));
    let _pods = pods(&world, &authority).await;
    let bundle = world.file("ca.pem", &format!("{}{}", Authority::new("another").pem(), authority.pem()));
    let exporter = world.exporter(&["--podmetrics-ca-bundle", &bundle]).await;
    let answer = ask(&exporter, JOB).await;
    assert_eq!(answer.healthy(), ["address", "address-named", "name", "unverified"]);
    for name in ["name-missing", "name-wrong", "address-wrong"] {
        assert_eq!(answer.reason(name).as_deref(), Some("tls"), "{name}");
    }
    assert_eq!(failures(&exporter, "tls").await, 3.0);

    let exporter = world.exporter(&[]).await;
    let answer = ask(&exporter, JOB).await;
    assert_eq!(answer.healthy(), ["unverified"]);
    assert_eq!(failures(&exporter, "tls").await, 6.0);
    let (_, page) = exporter.get("/").await;
    assert!(page.contains("UnknownIssuer"), "{page}");
}

#[tokio::test]
async fn who_speaks_no_tls_is_down_and_so_is_who_wants_it() {
    let world = World::start().await;
    let plain = TcpListener::bind((fakes::pods::loopback(), 0)).await.unwrap();
    let address = plain.local_addr().unwrap();
    let answering = tokio::spawn(bad_request(plain));
    let silent = Pod::start(Behaviour::Silent).await;
    let secret = Pod::start_tls(Behaviour::text("secret 1\n"), &["localhost"]).await;
    let tls = |spec: PodSpec| spec.label(&key("tls-enabled"), "true").label(&key("tls-verify"), "false");
    world.api.apply_pod(&tls(spec_at("plain", address)));
    world.api.apply_pod(&tls(spec("silent", &silent)).label(&key("scrape-timeout-seconds"), "0.3"));
    world.api.apply_pod(&spec("secret", &secret));
    let exporter = world.exporter(&[]).await;
    let answer = ask(&exporter, JOB).await;
    let reasons = ["plain", "silent", "secret"].map(|name| answer.reason(name).unwrap());
    assert_eq!(reasons, ["tls", "timeout", "transport"]);
    let (_, page) = exporter.get("/").await;
    assert!(page.contains("no TLS handshake in time"), "{page}");
    world.api.apply_pod(&tls(spec("secret", &secret)));
    until(&exporter, "it is labelled as it is", |answer| answer.healthy() == ["secret"]).await;
    answering.abort();
}

/// What a web server without TLS says to whoever greets it with TLS.
async fn bad_request(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let _ = stream.read(&mut [0; 64]).await;
        let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request\n").await;
    }
}

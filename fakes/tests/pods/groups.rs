//! Pods together: addresses and ports, authorities, and how many requests are in progress at once.

use std::io;
use std::time::Duration;

use fakes::pods::{Authority, Behaviour, Concurrency, Fleet, FleetOptions, Pod, exposition, loopback};
use reqwest::{Certificate, Client, redirect};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{PATIENCE, SHORT, asked, rest};

#[tokio::test]
async fn addresses_ports_and_stops() {
    let first = Pod::start(Behaviour::text("a 1\n")).await;
    let second = Pod::builder(Behaviour::text("a 2\n")).port(first.port()).start().await.unwrap();
    assert_eq!(first.port(), second.port());
    assert_ne!(first.ip(), second.ip());
    let ip = loopback();
    assert_eq!(Pod::start_on((ip, 0).into(), Behaviour::Hang).await.unwrap().ip(), ip);
    assert!(Pod::start_on(first.address(), Behaviour::Hang).await.is_err());

    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    first.stop().await;
    assert!(TcpStream::connect(first.address()).await.is_err_and(refused));
    first.resume().await;
    assert!(rest(&mut asked(&first, "Connection: close\r\n").await).await.0.ends_with(b"a 1\n"));
}

#[tokio::test]
async fn tls() {
    let authority = Authority::new("cluster authority");
    let named = Pod::start_tls(Behaviour::text("up 1\n"), &["web.example"]).await;
    let ip = loopback();
    let addressed = Pod::builder(Behaviour::text("up 2\n")).ip(ip).tls_by(&authority, &[&ip.to_string()]).start().await.unwrap();
    let client = |pem: &str| {
        let trusted = Certificate::from_pem(pem.as_bytes()).unwrap();
        let client = Client::builder().tls_built_in_root_certs(false).add_root_certificate(trusted);
        client.resolve("web.example", named.address()).redirect(redirect::Policy::none()).build().unwrap()
    };
    let get = async |client: Client, url: String| client.get(url).send().await.ok()?.text().await.ok();
    let port = named.port();
    assert_eq!(get(client(named.ca_pem()), format!("https://web.example:{port}/")).await.as_deref(), Some("up 1\n"));
    assert_eq!(get(client(named.ca_pem()), format!("https://{}/", named.address())).await, None);
    assert_eq!(get(client(&authority.pem()), format!("https://web.example:{port}/")).await, None);
    assert_eq!(get(client(addressed.ca_pem()), format!("https://{}/", addressed.address())).await.as_deref(), Some("up 2\n"));
}

#[tokio::test]
async fn concurrency() {
    let concurrency = Concurrency::new();
    let hanging = Pod::start_counted(Behaviour::Hang, &concurrency).await;
    let silent = Pod::start_counted(Behaviour::Silent, &concurrency).await;
    let quick = Pod::start_counted(Behaviour::text("up 1\n"), &concurrency).await;
    let reached = async |count| {
        let until = async {
            while concurrency.now() != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, until).await.expect("the count in time");
    };
    let _hanging = asked(&hanging, "").await;
    let gone = asked(&silent, "").await;
    reached(2).await;
    drop(gone);
    for _ in 0..50 {
        rest(&mut asked(&quick, "Connection: close\r\n").await).await.1.unwrap();
    }
    assert_eq!((concurrency.now(), concurrency.peak()), (1, 2));
    concurrency.reset_peak();
    assert_eq!(concurrency.peak(), 1);
}

#[tokio::test]
async fn fleets() {
    let options = FleetOptions { count: 4, samples: 30, hang_percent: 25, ..FleetOptions::default() };
    let fleet = Fleet::start(&options).await.unwrap();
    let label = "labelSelector=metrics-aggregator.apawel.me%2Fjob-name%3Dmemcached";
    let url = format!("{}/api/v1/pods?{label}", fleet.api.endpoint());
    let client = Client::builder().tls_built_in_root_certs(false).build().unwrap();
    let list = client.get(url).send().await.unwrap().bytes().await.unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    for (pod, item) in fleet.pods.iter().zip(list["items"].as_array().unwrap()) {
        assert_eq!(item["status"]["podIP"], pod.ip().to_string());
        assert_eq!(item["metadata"]["labels"]["metrics-aggregator.apawel.me/port"], pod.port().to_string());
    }
    let (bytes, _) = rest(&mut asked(&fleet.pods[2], "Connection: close\r\n").await).await;
    assert!(bytes.ends_with(exposition::body(2, 30).as_bytes()));
    assert!(timeout(SHORT, rest(&mut asked(&fleet.pods[3], "").await)).await.is_err());
}

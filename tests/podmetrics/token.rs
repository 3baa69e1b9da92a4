//! The token that pods are sent if the operator says so: its audience, whose pods get it, and over what.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fakes::pods::{Authority, Behaviour, Pod, loopback};

use crate::support::Exporter;
use crate::world::{JOB, World, ask, key, spec, write};

const AUDIENCE: &str = "pod-metrics";

/// A JSON Web Token that nobody has signed.
fn token(audiences: &[&str], number: u32) -> String {
    let claims = serde_json::json!({ "aud": audiences, "sub": "system:serviceaccount:a:b", "n": number });
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// Pods with and without TLS, in namespaces that get the token and that do not.
struct Pods {
    world: World,
    trusted: Pod,
    elsewhere: Pod,
    unverified: Pod,
    plain: Pod,
    file: String,
    bundle: String,
}

impl Pods {
    async fn start() -> Self {
        let (world, authority) = (World::start().await, Authority::new("authority of the pods"));
        let behaviour = Behaviour::text("a 1\n");
        let secure = async || {
            let ip = loopback();
            Pod::builder(behaviour.clone()).ip(ip).tls_by(&authority, &[&ip.to_string()]).start().await.unwrap()
        };
        let (trusted, elsewhere, unverified) = (secure().await, secure().await, secure().await);
        let plain = Pod::start(behaviour.clone()).await;
        let tls = |name: &str, pod: &Pod| spec(name, pod).label(&key("tls-enabled"), "true");
        world.api.apply_pod(&tls("trusted", &trusted));
        world.api.apply_pod(&tls("unverified", &unverified).label(&key("tls-verify"), "false"));
        world.api.apply_pod(&spec("plain", &plain));
        let port = elsewhere.port().to_string();
        let labels = [(key("job-name"), JOB), (key("port"), port.as_str()), (key("tls-enabled"), "true")];
        let labels = labels.iter().map(|(key, value)| (key.as_str(), *value));
        world.api.apply_pod(&fakes::kube_api::PodSpec::new("shop", "elsewhere").labels(labels).ip(elsewhere.ip()));
        let file = world.file("token", &token(&[AUDIENCE], 1));
        let bundle = world.file("ca.pem", &authority.pem());
        Self { world, trusted, elsewhere, unverified, plain, file, bundle }
    }

    async fn exporter(&self) -> Exporter {
        let audience = format!("--podmetrics-token-audience={AUDIENCE}");
        let files = ["--podmetrics-token-file", &self.file, "--podmetrics-ca-bundle", &self.bundle];
        let rules = [audience.as_str(), "--podmetrics-token-namespace=default,attic"];
        self.world.exporter(&[&files[..], &rules].concat()).await
    }

    /// What was in the last request to a pod.
    fn sent(pod: &Pod) -> String {
        pod.requests().last().map(|request| request.header("authorization").to_owned()).unwrap()
    }
}

#[tokio::test]
async fn a_token_is_sent_over_verified_tls_to_listed_namespaces_alone() {
    let pods = Pods::start().await;
    let exporter = pods.exporter().await;
    assert_eq!(ask(&exporter, JOB).await.healthy(), ["plain", "trusted", "unverified", "elsewhere"]);
    assert_eq!(Pods::sent(&pods.trusted), format!("Bearer {}", token(&[AUDIENCE], 1)));
    for pod in [&pods.elsewhere, &pods.unverified, &pods.plain] {
        assert_eq!(Pods::sent(pod), "");
    }
    // Nor is it told to anybody else.
    let (_, page) = exporter.get("/").await;
    let (_, health) = exporter.get("/health").await;
    let log = exporter.log_lines().concat();
    assert!(![page, health, log].iter().any(|text| text.contains("e30.")));
}

#[tokio::test]
async fn a_token_is_read_again_when_it_was_renewed() {
    let pods = Pods::start().await;
    let exporter = pods.exporter().await;
    for number in 1..4 {
        write(Path::new(&pods.file), &format!("{}\n", token(&[AUDIENCE], number)));
        ask(&exporter, JOB).await;
        assert_eq!(Pods::sent(&pods.trusted), format!("Bearer {}", token(&[AUDIENCE], number)));
    }
}

#[tokio::test]
async fn a_token_that_is_for_anybody_else_is_not_sent() {
    let pods = Pods::start().await;
    let exporter = pods.exporter().await;
    let both = token(&[AUDIENCE, "https://kubernetes.default.svc"], 1);
    for wrong in [token(&["https://kubernetes.default.svc"], 1), both, token(&[], 1), "opaque".to_owned(), String::new()] {
        write(Path::new(&pods.file), &wrong);
        let answer = ask(&exporter, JOB).await;
        assert_eq!(answer.reason("trusted").as_deref(), Some("token"), "{wrong}");
        // Those that get none anyway are none the worse.
        assert_eq!(answer.healthy(), ["plain", "unverified", "elsewhere"]);
    }
    std::fs::remove_file(&pods.file).unwrap();
    assert_eq!(ask(&exporter, JOB).await.reason("trusted").as_deref(), Some("token"));
    let (_, page) = exporter.get("/").await;
    assert!(page.contains("cannot read the token"), "{page}");
    assert_eq!(pods.trusted.connections(), 0);
    write(Path::new(&pods.file), &token(&[AUDIENCE], 2));
    assert_eq!(ask(&exporter, JOB).await.up("trusted"), Some(1.0));
}

/// Not even after the pod was trusted once: what its label says now counts.
#[tokio::test]
async fn a_certificate_that_is_not_trusted_gets_no_token() {
    let pods = Pods::start().await;
    let impostor = Pod::builder(Behaviour::text("a 1\n"))
        .tls_by(&Authority::new("authority of nobody"), &["localhost", &pods.trusted.ip().to_string()])
        .start()
        .await
        .unwrap();
    pods.world.api.apply_pod(&spec("trusted", &impostor).label(&key("tls-enabled"), "true"));
    let exporter = pods.exporter().await;
    assert_eq!(ask(&exporter, JOB).await.reason("trusted").as_deref(), Some("tls"));
    assert!(impostor.requests().is_empty() && impostor.connections() == 1);
}

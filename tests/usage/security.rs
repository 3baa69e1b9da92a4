//! Who may send: anybody, who has the token, or whom Kubernetes knows, and then only for its own node.

use fakes::kube_api::{KnownToken, TOKEN_REVIEWS};
use reqwest::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use crate::report::{Sender, answered, post, report, some};
use crate::support::Exporter;
use crate::world::{World, drained, ended, get, metric, usage_address};

/// Tokens have three parts.
const GOOD: &str = "e30.good.x";
const USER: &str = "system:serviceaccount:monitoring:collect";

fn warns(exporter: &Exporter) -> bool {
    let lines = exporter.log_lines();
    lines.iter().any(|line| (line.contains("\"WARN\"") || line.contains(" WARN ")) && line.contains("--usage-token"))
}

#[tokio::test]
async fn an_open_port_is_a_warning() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    assert!(warns(&exporter), "{:?}", exporter.log_lines());
    let token = world.file("token", "secret\n");
    let world = World::start().await;
    let exporter = world.ready(&[&format!("--usage-token-file={token}")]).await;
    assert!(!warns(&exporter), "{:?}", exporter.log_lines());
}

#[tokio::test]
async fn who_has_the_token_may_send() {
    let world = World::start().await;
    let file = world.file("token", "first-secret\n");
    let exporter = world.ready(&[&format!("--usage-token-file={file}"), "--usage-address=127.0.0.1:0"]).await;
    let extra = usage_address(&exporter);
    for address in [exporter.address, extra] {
        let sent = report("node-1", &[some("a")]);
        let answer = post(address, &sent).await;
        assert!(answer.headers.contains_key(WWW_AUTHENTICATE), "{answer:?}");
        answer.refused(401);
        for wrong in ["first", "first-secret-", "other"] {
            Sender::with_token(wrong).post(address, &sent).await.refused(401);
        }
        let basic = Sender::new().request(address).header(AUTHORIZATION, "Basic Zmlyc3Q6c2VjcmV0").body(sent.to_string());
        answered(basic).await.unwrap().refused(401);
        // Whoever may not send learns nothing about what would be taken.
        Sender::with_token("other").try_post(address, "no report").await.unwrap().refused(401);
        // The rest stays open.
        assert_eq!(get(address, "/health").await.status, 200);
    }
    Sender::with_token("first-secret").post(extra, &report("node-1", &[some("b")])).await.taken();
    assert!(metric(&exporter, "reports_total{outcome=\"unauthorized\"}").await >= 12.0);
    drained(&exporter).await;
    assert_eq!(world.rows_by_pod().into_keys().collect::<Vec<_>>(), ["b"]);
    let said = exporter.log_lines().join("\n");
    assert!(!said.contains("first-secret"), "the token is in the log");

    // A token that is replaced in place, as Kubernetes does with Secrets.
    world.file("token", "second-secret");
    exporter
        .until("the new token is known", async |exporter: &Exporter| {
            let answer = Sender::with_token("second-secret").post(exporter.address, &report("node-1", &[some("c")])).await;
            (answer.status == 200).then_some(())
        })
        .await;
    Sender::with_token("first-secret").post(exporter.address, &report("node-1", &[some("d")])).await.refused(401);
}

#[tokio::test]
async fn a_token_that_is_no_token_is_refused_at_the_start() {
    let world = World::start().await;
    let missing = world.folder.path().join("nothing").display().to_string();
    for file in [missing, world.file("empty", "  \n")] {
        let (code, said) = ended(world.command(&[&format!("--usage-token-file={file}")])).await;
        assert!(code.is_some_and(|code| code != 0) && said.contains(&file) && !said.contains("panicked"), "{code:?} {said}");
    }
}

#[tokio::test]
async fn kubernetes_says_who_may_send_and_for_which_node() {
    let world = World::start().await;
    let known = || KnownToken::of(USER).audiences(&["usage"]);
    world.api.know_token(GOOD, known().node("node-1"));
    world.api.know_token("e30.bound-to.nothing", known());
    world.api.know_token("e30.for-the.api", KnownToken::of(USER).node("node-1"));
    let exporter = world.ready(&["--usage-token-review", "--usage-token-audience=usage"]).await;
    assert!(!warns(&exporter));
    let sent = |node: &str, id: &str| report(node, &[some(id)]);

    post(exporter.address, &sent("node-1", "a")).await.refused(401);
    assert_eq!(world.api.token_reviews(), 0);
    for token in ["e30.unknown.x", "e30.for-the.api"] {
        Sender::with_token(token).post(exporter.address, &sent("node-1", "a")).await.refused(401);
    }
    let refusal = Sender::with_token(GOOD).post(exporter.address, &sent("node-2", "a")).await.refused(403);
    assert!(refusal["error"].as_str().unwrap().contains("node-1"), "{refusal}");
    Sender::with_token("e30.bound-to.nothing").post(exporter.address, &sent("node-1", "a")).await.refused(403);
    let good = Sender::with_token(GOOD);
    let before = world.api.token_reviews();
    for number in 0..20 {
        good.post(exporter.address, &sent("node-1", &format!("good-{number}"))).await.taken();
    }
    // Not one for each report, and no more for a token that is known to be bad.
    assert!(world.api.token_reviews() <= before + 2, "{} reviews", world.api.token_reviews() - before);
    drained(&exporter).await;
    assert_eq!(world.rows_by_pod().len(), 20);
    assert!(world.rows().iter().all(|row| row["node_name"] == "node-1"));
    assert!(!exporter.log_lines().iter().any(|line| line.contains(GOOD)));
}

/// It is the server's trouble and not the sender's: who tries again may be let in.
#[tokio::test]
async fn without_an_answer_of_kubernetes_senders_wait() {
    let world = World::start().await;
    world.api.know_token(GOOD, KnownToken::of(USER).audiences(&["usage"]).node("node-1"));
    let exporter = world.ready(&["--usage-token-review", "--usage-token-audience=usage"]).await;
    world.api.forbid(TOKEN_REVIEWS, true);
    let answer = Sender::with_token(GOOD).post(exporter.address, &report("node-1", &[some("a")])).await;
    assert!(answer.retry_after().is_some(), "{answer:?}");
    answer.refused(503);
    world.api.forbid(TOKEN_REVIEWS, false);
    exporter
        .until("it is let in", async |exporter: &Exporter| {
            let answer = Sender::with_token(GOOD).post(exporter.address, &report("node-1", &[some("b")])).await;
            (answer.status == 200).then_some(())
        })
        .await;
}

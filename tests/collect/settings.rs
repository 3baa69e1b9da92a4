//! Settings: by flag, by the variables of the script that it replaces, and wrong.

use crate::support::command;
use crate::world::{World, refusal, until};

#[tokio::test]
async fn the_variables_of_the_script_work() {
    let world = World::start().await;
    let file = |name: &str| world.folder.path().join(name);
    let mut collect = command(&["collect"]);
    collect
        .env("PUSH_ENDPOINT", world.receiver.endpoint())
        .env("KUBELET_ENDPOINT", format!("{}/stats/summary", world.kubelet.endpoint()))
        .env("KUBELET_CA", file("ca.pem"))
        .env("KUBELET_TOKEN_FILE", file("token"))
        .env("SCRAPE_INTERVAL", "0.2")
        .env("JITTER_PERCENT", "0")
        .env("MAX_CONSECUTIVE_FAILURES", "3")
        .env("NODE_NAME", "somewhere")
        .env("HOSTNAME", "host-9")
        .env("ENABLE_EC2_INSTANCE_ID", "false")
        .env("EC2_METADATA_TOKEN_TTL", "")
        .stderr(std::process::Stdio::null());
    let mut running = tokio::task::spawn_blocking(move || collect.spawn().unwrap()).await.unwrap();
    let posts = world.taken(3).await;
    running.kill().unwrap();
    running.wait().unwrap();
    // The kubelet knows the node's name best.
    assert!(posts.iter().all(|post| post.json["node_name"] == "node-1" && post.json["hostname"] == "host-9"));
    let told = posts[2].json["interval_seconds"].as_f64().unwrap();
    assert!(told >= 0.19, "{told}");
}

#[tokio::test]
async fn a_flag_stands_over_its_variable() {
    let world = World::start().await;
    let mut collect = world.command(&["--hostname=flag"]);
    collect.env("PUSH_ENDPOINT", "http://127.0.0.1:9").env("SCRAPE_INTERVAL", "3600").env("HOSTNAME", "variable");
    let _collector = crate::support::Exporter::start_command(collect).await;
    until("reports come", || world.receiver.posts().get(1).map(|post| assert_eq!(post.json["hostname"], "flag"))).await;
}

#[tokio::test]
async fn what_cannot_be_used_is_told_in_a_line() {
    let world = World::start().await;
    let not_pem = world.file("not.pem", "nothing");
    let not_pem_flags = [format!("--kubelet-ca={not_pem}"), format!("--push-ca={not_pem}")];
    for (flags, said) in [
        (&["--push-endpoint=usage:8888"][..], "push endpoint"),
        (&["--push-endpoint=http://u:secret@usage"], "password"),
        (&["--kubelet-endpoint=nowhere"], "kubelet endpoint"),
        (&["--scrape-interval=soon"], "soon"),
        (&["--scrape-interval=0"], "0"),
        (&["--scrape-interval=2d"], "longer than a day"),
        (&["--jitter-percent=101"], "101"),
        (&["--max-consecutive-failures=0"], "failures"),
        (&["--queue=0"], "queue"),
        (&["--queue-bytes=many"], "many"),
        (&["--ec2-metadata-token-ttl=0"], "21600"),
        (&["--address=nowhere"], "nowhere"),
        (&[not_pem_flags[0].as_str()], "not.pem"),
        (&[not_pem_flags[1].as_str()], "not.pem"),
        (&["--kubelet-ca=/nowhere/ca.crt"], "/nowhere/ca.crt"),
        (&["--push-endpiont=x"], "--push-endpoint"),
        (&["--log-format=xml"], "xml"),
    ] {
        let error = refusal(world.command(flags)).await;
        assert!(error.starts_with("error: ") && error.contains(said) && !error.contains("secret"), "{error}");
    }
    for (name, value) in
        [("SCRAPE_INTERVAL", "soon"), ("ENABLE_EC2_INSTANCE_ID", "perhaps"), ("JITTER_PERCENT", "20%"), ("NODE_IP", "node")]
    {
        let mut collect = command(&["collect", "--push-endpoint=http://usage"]);
        collect.env(name, value);
        let error = refusal(collect).await;
        assert!(error.contains(name), "{error}");
    }
}

#[tokio::test]
async fn what_is_missing_is_told_in_a_line() {
    assert!(refusal(command(&["collect"])).await.contains("PUSH_ENDPOINT"));
    assert!(refusal(command(&["collect", "--once"])).await.contains("NODE_IP"));
    assert!(refusal(command(&["collect", "--push-endpoint=http://usage"])).await.contains("NODE_IP"));
}

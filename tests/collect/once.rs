//! One report, to look at.

use fakes::imds::{Imds, ImdsMode};
use fakes::kubelet::KubeletFault;
use serde_json::Value;

use crate::receiver::Answer;
use crate::support::command;
use crate::world::{World, run};

#[tokio::test]
async fn a_stranger_sees_what_would_be_sent() {
    let (world, imds) = (World::start().await, Imds::start("i-0a1b", ImdsMode::Both).await);
    let mut once = command(&["collect", "--once", "--enable-ec2-instance-id"]);
    once.args(world.kubelet_flags()).env("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.endpoint());
    let (code, out, error) = run(once).await;
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((report["pods"].as_array().unwrap().len(), &report["ec2_instance_id"]), (10, &Value::from("i-0a1b")));
    assert_eq!(report["interval_seconds"], Value::Null);
    assert!(world.receiver.posts().is_empty() && world.kubelet.requests().len() == 1);
}

#[tokio::test]
async fn with_an_endpoint_it_is_sent_too() {
    let world = World::start().await;
    let (code, out, error) = run(world.command(&["--once"])).await;
    assert_eq!(code, Some(0), "{error}");
    let posts = world.receiver.posts();
    assert_eq!((posts.len(), &posts[0].json), (1, &serde_json::from_str::<Value>(&out).unwrap()));
    world.receiver.always(Answer::Refuse(422, None));
    let (code, out, error) = run(world.command(&["--once"])).await;
    assert!(code == Some(1) && out.is_empty() && error.contains("422") && error.contains("not this one"), "{error}");
}

#[tokio::test]
async fn no_report_is_an_error() {
    let world = World::start().await;
    world.kubelet.set_fault(Some(KubeletFault::Garbage));
    let (code, out, error) = run(world.command(&["--once"])).await;
    assert!(code == Some(1) && out.is_empty() && error.lines().last().unwrap().starts_with("error: "), "{error}");
    assert!(world.receiver.posts().is_empty());
}

//! The id of the EC2 instance: version 2 of the metadata service, version 1, and neither.

use fakes::imds::{Imds, ImdsMode};
use serde_json::{Value, json};

use crate::support::Exporter;
use crate::world::World;

const ID: &str = "i-0123456789abcdef0";

async fn start(world: &World, imds: &Imds, more: &[(&str, &str)]) -> Exporter {
    let mut command = world.command(&[]);
    command.env("ENABLE_EC2_INSTANCE_ID", "true").env("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.endpoint());
    command.envs(more.iter().copied());
    Exporter::start_command(command).await
}

fn lines(imds: &Imds) -> Vec<String> {
    imds.requests().into_iter().map(|request| request.line).collect()
}

const PUT: &str = "PUT /latest/api/token";
const GET: &str = "GET /latest/meta-data/instance-id";

#[tokio::test]
async fn version_2_is_asked_first_and_once() {
    for mode in [ImdsMode::Both, ImdsMode::V2] {
        let (world, imds) = (World::start().await, Imds::start(ID, mode).await);
        let _collector = start(&world, &imds, &[("EC2_METADATA_TOKEN_TTL", "60")]).await;
        // The first report has it already.
        assert!(world.taken(3).await.iter().all(|post| post.json["ec2_instance_id"] == ID));
        assert_eq!(lines(&imds), [PUT, GET]);
        let requests = imds.requests();
        assert!(requests[0].ttl == "60" && requests[1].token);
    }
}

#[tokio::test]
async fn version_1_is_asked_where_there_is_no_other() {
    for mode in [ImdsMode::V1, ImdsMode::SilentV2] {
        let (world, imds) = (World::start().await, Imds::start(ID, mode).await);
        let _collector = start(&world, &imds, &[]).await;
        assert_eq!(world.taken(1).await[0].json["ec2_instance_id"], ID, "{mode:?}");
        assert_eq!(lines(&imds), [PUT, GET]);
        assert!(imds.requests()[0].ttl == "21600" && !imds.requests()[1].token);
    }
}

#[tokio::test]
async fn version_1_alone_if_somebody_says_so() {
    let (world, imds) = (World::start().await, Imds::start(ID, ImdsMode::Both).await);
    let _collector = start(&world, &imds, &[("FORCE_IMDSV1", "true")]).await;
    assert_eq!(world.taken(1).await[0].json["ec2_instance_id"], ID);
    assert_eq!(lines(&imds), [GET]);
}

#[tokio::test]
async fn reports_go_without_where_there_is_no_id() {
    for (mode, id) in [(ImdsMode::Off, ID), (ImdsMode::Silent, ID), (ImdsMode::Both, "<html>login</html>"), (ImdsMode::Both, "")]
    {
        let (world, imds) = (World::start().await, Imds::start(id, mode).await);
        let collector = start(&world, &imds, &[]).await;
        assert!(world.taken(2).await.iter().all(|post| post.json["ec2_instance_id"] == Value::Null));
        let warnings = collector.log_lines().iter().filter(|line| line.contains("EC2 instance is not known")).count();
        assert_eq!(warnings, 1, "{mode:?}");
    }
}

#[tokio::test]
async fn nobody_is_asked_unless_somebody_says_so() {
    let (world, imds) = (World::start().await, Imds::start(ID, ImdsMode::Both).await);
    let mut command = world.command(&[]);
    command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.endpoint());
    let _collector = Exporter::start_command(command).await;
    assert_eq!(world.taken(1).await[0].json["ec2_instance_id"], json!(null));
    assert!(imds.requests().is_empty());
}

//! Creating, finding, describing and deleting queues.

use aws_sdk_sqs::{error::ProvideErrorMetadata, types::QueueAttributeName};

use super::loopback::Loopback;
use crate::sqs::{QueueSettings, Sqs, queue_url};

#[tokio::test]
async fn queues_are_created_found_and_deleted() {
    let loopback = Loopback::start(Sqs::new(None).unwrap()).await;
    let client = &loopback.client;
    let create = |name: &str, timeout: &str| {
        let create = client.create_queue().queue_name(name);
        create
            .attributes(QueueAttributeName::VisibilityTimeout, timeout)
            .send()
    };
    let created = create("runs", "5400").await.unwrap();
    let url = queue_url(&loopback.base_url, "runs");
    assert_eq!(created.queue_url(), Some(url.as_str()));
    assert_eq!(
        create("runs", "5400").await.unwrap().queue_url(),
        created.queue_url()
    );
    let other = create("runs", "30").await.unwrap_err();
    assert!(other.into_service_error().is_queue_name_exists());
    let name = create("no spaces", "30").await.unwrap_err();
    assert_eq!(name.code(), Some("InvalidParameterValue"));

    let found = client
        .get_queue_url()
        .queue_name("runs")
        .send()
        .await
        .unwrap();
    assert_eq!(found.queue_url(), created.queue_url());
    create("other", "30").await.unwrap();
    let page = client.list_queues().max_results(1).send().await.unwrap();
    assert_eq!(page.queue_urls(), [queue_url(&loopback.base_url, "other")]);
    let next = client
        .list_queues()
        .max_results(1)
        .set_next_token(page.next_token);
    let next = next.send().await.unwrap();
    assert_eq!(next.queue_urls(), std::slice::from_ref(&url));

    client.delete_queue().queue_url(&url).send().await.unwrap();
    let gone = client
        .get_queue_url()
        .queue_name("runs")
        .send()
        .await
        .unwrap_err();
    let gone = gone.into_service_error();
    assert!(gone.is_queue_does_not_exist());
    assert_eq!(gone.code(), Some("AWS.SimpleQueueService.NonExistentQueue"));
}

#[tokio::test]
async fn attributes_are_described_and_changed() {
    let loopback = Loopback::start(Sqs::new(None).unwrap()).await;
    let client = &loopback.client;
    loopback
        .sqs
        .create_queue(QueueSettings::new("dead"))
        .unwrap();
    loopback
        .sqs
        .create_queue(QueueSettings::new("runs"))
        .unwrap();
    let url = queue_url(&loopback.base_url, "runs");
    loopback.sqs.send("runs", "x", Default::default()).unwrap();

    let policy = |target: &str| {
        format!(
            r#"{{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:{target}","maxReceiveCount":"5"}}"#
        )
    };
    let set = |target: &str| {
        let set = client.set_queue_attributes().queue_url(&url);
        set.attributes(QueueAttributeName::RedrivePolicy, policy(target))
            .send()
    };
    assert_eq!(
        set("missing").await.unwrap_err().code(),
        Some("InvalidParameterValue")
    );
    set("dead").await.unwrap();

    let all = client.get_queue_attributes().queue_url(&url);
    let all = all
        .attribute_names(QueueAttributeName::All)
        .send()
        .await
        .unwrap();
    let attributes = all.attributes().unwrap();
    assert_eq!(
        attributes[&QueueAttributeName::ApproximateNumberOfMessages],
        "1"
    );
    assert_eq!(attributes[&QueueAttributeName::VisibilityTimeout], "30");
    assert_eq!(
        attributes[&QueueAttributeName::QueueArn],
        "arn:aws:sqs:us-east-1:000000000000:runs"
    );
    assert!(attributes[&QueueAttributeName::RedrivePolicy].contains(":dead"));

    let sources = client.list_dead_letter_source_queues();
    let sources = sources
        .queue_url(queue_url(&loopback.base_url, "dead"))
        .send()
        .await
        .unwrap();
    assert_eq!(sources.queue_urls(), std::slice::from_ref(&url));

    client.purge_queue().queue_url(&url).send().await.unwrap();
    assert_eq!(loopback.sqs.depth("runs").visible, 0);
}

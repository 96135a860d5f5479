//! Batches, requests that are refused, and failures on demand.

use aws_sdk_sqs::{
    error::{ProvideErrorMetadata, SdkError},
    types::{
        ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
        QueueAttributeName, SendMessageBatchRequestEntry,
    },
};
use serde_json::json;

use super::loopback::{PATIENCE, one_queue};
use crate::sqs::{MAXIMUM_MESSAGE_BYTES, queue_url};

#[tokio::test]
async fn batches_do_each_entry_by_itself() {
    let (loopback, url) = one_queue().await;
    let client = &loopback.client;
    let entry = |id: &str, body: &str| {
        SendMessageBatchRequestEntry::builder()
            .id(id)
            .message_body(body)
            .build()
            .unwrap()
    };
    let sent = client
        .send_message_batch()
        .queue_url(&url)
        .entries(entry("a", "one"))
        .entries(entry("b", "\u{1}"))
        .entries(entry("c", "three"))
        .send()
        .await
        .unwrap();
    assert_eq!(sent.successful().len(), 2);
    assert_eq!(sent.failed()[0].id(), "b");
    assert_eq!(sent.failed()[0].code(), "InvalidMessageContents");
    assert!(sent.failed()[0].sender_fault());

    let held = loopback.sqs.receive("runs", 10, PATIENCE, None).await;
    let changed = client
        .change_message_visibility_batch()
        .queue_url(&url)
        .set_entries(Some(
            held.iter()
                .enumerate()
                .map(|(index, message)| {
                    ChangeMessageVisibilityBatchRequestEntry::builder()
                        .id(index.to_string())
                        .receipt_handle(&message.receipt_handle)
                        .visibility_timeout(100)
                        .build()
                        .unwrap()
                })
                .collect(),
        ))
        .send()
        .await
        .unwrap();
    assert_eq!(changed.successful().len(), 2);
    let gone = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder()
            .id(id)
            .receipt_handle(handle)
            .build()
            .unwrap()
    };
    let deleted = client
        .delete_message_batch()
        .queue_url(&url)
        .entries(gone("first", &held[0].receipt_handle))
        .entries(gone("second", "nonsense"))
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.successful()[0].id(), "first");
    assert_eq!(deleted.failed()[0].code(), "ReceiptHandleIsInvalid");

    let twice = client.send_message_batch().queue_url(&url);
    let error = twice
        .entries(entry("a", "x"))
        .entries(entry("a", "y"))
        .send()
        .await
        .unwrap_err();
    assert!(error.into_service_error().is_batch_entry_ids_not_distinct());
    let long = "x".repeat(MAXIMUM_MESSAGE_BYTES / 2 + 1);
    let two = client.send_message_batch().queue_url(&url);
    let error = two
        .entries(entry("a", &long))
        .entries(entry("b", &long))
        .send()
        .await
        .unwrap_err();
    assert!(error.into_service_error().is_batch_request_too_long());
}

#[tokio::test]
async fn bad_requests_are_named() {
    let (loopback, url) = one_queue().await;
    let send = |body: String| {
        loopback
            .client
            .send_message()
            .queue_url(&url)
            .message_body(body)
    };
    send("x".repeat(MAXIMUM_MESSAGE_BYTES))
        .send()
        .await
        .unwrap();
    let long = send("x".repeat(MAXIMUM_MESSAGE_BYTES + 1))
        .send()
        .await
        .unwrap_err();
    assert_eq!(long.code(), Some("InvalidParameterValue"));
    let control = send("\u{0}".to_owned()).send().await.unwrap_err();
    assert!(control.into_service_error().is_invalid_message_contents());
    let receive = loopback.client.receive_message().queue_url(&url);
    let many = receive.max_number_of_messages(11).send().await.unwrap_err();
    assert_eq!(many.code(), Some("InvalidParameterValue"));
    let elsewhere = queue_url(&loopback.base_url, "other");
    let missing = loopback
        .client
        .receive_message()
        .queue_url(elsewhere)
        .send()
        .await
        .unwrap_err();
    assert!(missing.into_service_error().is_queue_does_not_exist());
    let names = loopback.client.get_queue_attributes().queue_url(&url);
    let names = names
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await
        .unwrap();
    assert_eq!(names.attributes().unwrap().len(), 1);
}

#[tokio::test]
async fn a_script_makes_sending_fail() {
    let (loopback, url) = one_queue().await;
    let send = || {
        loopback
            .client
            .send_message()
            .queue_url(&url)
            .message_body("x")
            .send()
    };
    let only_sends = json!({"path": "SendMessage"});
    loopback
        .control(json!({"script": [
            {"status": 503, "match": only_sends},
            {"drop": "before_headers", "match": only_sends},
        ]}))
        .await;
    loopback.client.list_queues().send().await.unwrap();
    let down = send().await.unwrap_err();
    assert_eq!(down.raw_response().unwrap().status().as_u16(), 503);
    assert_eq!(loopback.sqs.depth("runs").visible, 0);
    // The message is in the queue, and its sender cannot know.
    let lost = send().await.unwrap_err();
    assert!(matches!(lost, SdkError::DispatchFailure(_)), "{lost:?}");
    assert_eq!(loopback.sqs.depth("runs").visible, 1);
    send().await.unwrap();

    let calls = loopback.calls().await;
    let paths: Vec<_> = calls
        .as_array()
        .unwrap()
        .iter()
        .map(|call| &call["path"])
        .collect();
    assert_eq!(
        json!(paths),
        json!([
            "/ListQueues",
            "/SendMessage",
            "/SendMessage",
            "/SendMessage"
        ])
    );
    assert_eq!(calls[1]["status"], 503);
    assert_eq!(calls[3]["fields"]["MessageBody"], "x");
}

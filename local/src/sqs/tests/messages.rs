//! Sending, receiving, deleting, visibility, delay and redrive.

use std::time::{Duration, Instant};

use aws_sdk_sqs::{
    error::ProvideErrorMetadata,
    primitives::Blob,
    types::{MessageAttributeValue, MessageSystemAttributeName},
};

use super::loopback::{Loopback, PATIENCE, one_queue};
use crate::sqs::{QueueDepth, QueueSettings, Redrive, Sqs};

#[tokio::test]
async fn a_message_goes_through_whole() {
    let (loopback, url) = one_queue().await;
    let client = &loopback.client;
    let text = |value: &str| {
        let value = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value);
        value.build().unwrap()
    };
    let binary = MessageAttributeValue::builder()
        .data_type("Binary")
        .binary_value(Blob::new(vec![0, 159, 146, 150]))
        .build()
        .unwrap();
    let sent = client
        .send_message()
        .queue_url(&url)
        .message_body("schöne Grüße")
        .message_attributes("trace.id", text("1-2-3"))
        .message_attributes("kind", text("run"))
        .message_attributes("raw", binary.clone())
        .send()
        .await
        .unwrap();
    // md5sum of the same bytes.
    assert_eq!(
        sent.md5_of_message_body(),
        Some("ca3a4eccdf0176b658adfeaa10e15fbf")
    );

    let received = client
        .receive_message()
        .queue_url(&url)
        .max_number_of_messages(10)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .message_attribute_names("All")
        .send()
        .await
        .unwrap();
    let [message] = received.messages() else {
        panic!("{received:?}");
    };
    assert_eq!(message.message_id(), sent.message_id());
    assert_eq!(message.body(), Some("schöne Grüße"));
    assert_eq!(message.md5_of_body(), sent.md5_of_message_body());
    assert_eq!(
        message.md5_of_message_attributes(),
        sent.md5_of_message_attributes()
    );
    let attributes = message.message_attributes().unwrap();
    assert_eq!(attributes["raw"], binary);
    assert_eq!(attributes.len(), 3);
    let system = message.attributes().unwrap();
    assert_eq!(
        system[&MessageSystemAttributeName::ApproximateReceiveCount],
        "1"
    );
    let sent_at = &system[&MessageSystemAttributeName::SentTimestamp];
    let first = &system[&MessageSystemAttributeName::ApproximateFirstReceiveTimestamp];
    assert!(sent_at.parse::<i64>().unwrap() <= first.parse::<i64>().unwrap());

    client
        .delete_message()
        .queue_url(&url)
        .receipt_handle(message.receipt_handle().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(loopback.sqs.depth("runs"), QueueDepth::default());
}

#[tokio::test]
async fn only_the_attributes_asked_for_come() {
    let (loopback, url) = one_queue().await;
    let value = MessageAttributeValue::builder()
        .data_type("Number")
        .string_value("1")
        .build();
    let send = loopback
        .client
        .send_message()
        .queue_url(&url)
        .message_body("x");
    send.message_attributes("a.b", value.unwrap())
        .send()
        .await
        .unwrap();
    for (wanted, count) in [("a.*", 1), ("b", 0), ("a.b", 1)] {
        let receive = loopback
            .client
            .receive_message()
            .queue_url(&url)
            .visibility_timeout(0);
        let received = receive
            .message_attribute_names(wanted)
            .send()
            .await
            .unwrap();
        let message = &received.messages()[0];
        let attributes = message
            .message_attributes()
            .map_or(0, |attributes| attributes.len());
        assert_eq!(attributes, count, "{wanted}");
        assert_eq!(message.attributes(), None);
    }
}

#[tokio::test]
async fn a_long_poll_ends_when_a_message_comes() {
    let (loopback, url) = one_queue().await;
    let receive = loopback
        .client
        .receive_message()
        .queue_url(&url)
        .wait_time_seconds(20);
    let waiting = tokio::spawn(receive.send());
    // The poll is under way when the server has logged it.
    while loopback.calls().await.as_array().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    loopback
        .sqs
        .send("runs", "late", Default::default())
        .unwrap();
    let received = waiting.await.unwrap().unwrap();
    assert_eq!(received.messages()[0].body(), Some("late"));
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test]
async fn what_is_not_deleted_comes_back_and_ends_as_a_dead_letter() {
    let loopback = Loopback::start(Sqs::new(None).unwrap()).await;
    let sqs = &loopback.sqs;
    sqs.create_queue(QueueSettings::new("dead")).unwrap();
    sqs.create_queue(QueueSettings {
        visibility_timeout: Duration::from_millis(50),
        redrive: Some(Redrive {
            dead_letter_queue: "dead".to_owned(),
            max_receive_count: 2,
        }),
        ..QueueSettings::new("runs")
    })
    .unwrap();
    let id = sqs.send("runs", "poison", Default::default()).unwrap();

    for count in ["1", "2"] {
        let messages = sqs.receive("runs", 10, PATIENCE, None).await;
        assert_eq!(messages[0].attributes["ApproximateReceiveCount"], count);
    }
    // A receiver of the source queue is what notices that the message has come up once too often.
    let source = tokio::spawn({
        let sqs = sqs.clone();
        async move { sqs.receive("runs", 10, PATIENCE, None).await }
    });
    let dead = sqs.receive("dead", 10, PATIENCE, None).await;
    source.abort();
    assert_eq!(dead[0].message_id, id);
    assert_eq!(
        dead[0].attributes["DeadLetterQueueSourceArn"],
        "arn:aws:sqs:us-east-1:000000000000:runs"
    );
    sqs.change_visibility("dead", &dead[0].receipt_handle, Duration::ZERO)
        .unwrap();

    loopback
        .client
        .start_message_move_task()
        .source_arn("arn:aws:sqs:us-east-1:000000000000:dead")
        .send()
        .await
        .unwrap();
    assert_eq!(sqs.depth("dead"), QueueDepth::default());
    let back = sqs.receive("runs", 10, PATIENCE, None).await;
    assert_eq!(back[0].body, "poison");
    assert_eq!(back[0].attributes["ApproximateReceiveCount"], "1");
}

#[tokio::test]
async fn visibility_is_prolonged_and_ended() {
    let (loopback, url) = one_queue().await;
    let sqs = &loopback.sqs;
    sqs.send("runs", "held", Default::default()).unwrap();
    let first = sqs
        .receive("runs", 1, PATIENCE, Some(Duration::from_millis(30)))
        .await;
    let change = |seconds| {
        let change = loopback.client.change_message_visibility().queue_url(&url);
        change
            .receipt_handle(&first[0].receipt_handle)
            .visibility_timeout(seconds)
            .send()
    };
    change(600).await.unwrap();
    assert!(
        sqs.receive("runs", 1, Duration::from_millis(80), None)
            .await
            .is_empty()
    );
    assert_eq!(sqs.depth("runs").in_flight, 1);
    change(0).await.unwrap();
    assert_eq!(sqs.depth("runs").visible, 1);
    let again = change(600).await.unwrap_err();
    assert_eq!(
        again.code(),
        Some("AWS.SimpleQueueService.MessageNotInflight")
    );

    // The message's new receipt replaces the old one, which then deletes nothing.
    let second = sqs.receive("runs", 1, PATIENCE, None).await;
    sqs.delete("runs", &first[0].receipt_handle).unwrap();
    assert_eq!(sqs.depth("runs").in_flight, 1);
    sqs.delete("runs", &second[0].receipt_handle).unwrap();
    assert_eq!(sqs.depth("runs"), QueueDepth::default());
}

#[tokio::test]
async fn a_delay_hides_a_message_first() {
    let (loopback, url) = one_queue().await;
    let send = loopback
        .client
        .send_message()
        .queue_url(&url)
        .message_body("later");
    send.delay_seconds(1).send().await.unwrap();
    assert_eq!(loopback.sqs.depth("runs").delayed, 1);
    assert!(
        loopback
            .sqs
            .receive("runs", 1, Duration::ZERO, None)
            .await
            .is_empty()
    );
    assert_eq!(
        loopback.sqs.receive("runs", 1, PATIENCE, None).await.len(),
        1
    );
}

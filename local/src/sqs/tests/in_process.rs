//! The handle itself: the data file, retention, and receivers that wait together.

use std::{collections::BTreeSet, io::Write, time::Duration};

use super::loopback::PATIENCE;
use crate::sqs::{MessageAttribute, QueueDepth, QueueSettings, Redrive, Sqs};

#[tokio::test]
async fn messages_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("data").join("queues.jsonl");
    let open = || Sqs::new(Some(file.clone())).unwrap();
    let settings = QueueSettings {
        visibility_timeout: Duration::from_secs(5400),
        redrive: Some(Redrive {
            dead_letter_queue: "dead".to_owned(),
            max_receive_count: 5,
        }),
        ..QueueSettings::new("runs")
    };
    let held = {
        let sqs = open();
        sqs.create_queue(QueueSettings::new("dead")).unwrap();
        sqs.create_queue(settings.clone()).unwrap();
        let attributes = [("kind".to_owned(), MessageAttribute::string("run"))].into();
        sqs.send("runs", "held", attributes).unwrap();
        let held = sqs.receive("runs", 1, PATIENCE, None).await;
        sqs.send("runs", "waiting", Default::default()).unwrap();
        sqs.send("dead", "done", Default::default()).unwrap();
        let done = sqs.receive("dead", 1, PATIENCE, None).await;
        sqs.delete("dead", &done[0].receipt_handle).unwrap();
        held
    };
    // Twice, since opening rewrites the file; and what was torn off at the end does not matter.
    drop(open());
    let mut torn = std::fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .unwrap();
    torn.write_all(b"{\"entry\":\"message\",\"queue\":\"ru")
        .unwrap();
    let sqs = open();
    sqs.create_queue(settings).unwrap();
    assert_eq!(
        sqs.depth("runs"),
        QueueDepth {
            visible: 1,
            in_flight: 1,
            delayed: 0
        }
    );
    assert_eq!(sqs.depth("dead"), QueueDepth::default());
    sqs.change_visibility("runs", &held[0].receipt_handle, Duration::ZERO)
        .unwrap();
    let messages = sqs.receive("runs", 10, PATIENCE, None).await;
    assert_eq!(messages[0].body, "held");
    assert_eq!(messages[0].attributes["ApproximateReceiveCount"], "2");
    assert_eq!(
        messages[0].message_attributes["kind"],
        MessageAttribute::string("run")
    );
    assert_eq!(messages[1].body, "waiting");
}

#[tokio::test]
async fn a_file_of_something_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("queues.jsonl");
    std::fs::write(&file, "no\nentries\n").unwrap();
    let error = Sqs::new(Some(file)).unwrap_err();
    assert!(error.to_string().contains("queues.jsonl line 1"), "{error}");
}

#[tokio::test]
async fn messages_past_their_retention_are_gone() {
    let sqs = Sqs::new(None).unwrap();
    sqs.create_queue(QueueSettings {
        retention: Duration::from_millis(40),
        ..QueueSettings::new("short")
    })
    .unwrap();
    sqs.send("short", "x", Default::default()).unwrap();
    assert_eq!(sqs.depth("short").visible, 1);
    while sqs.depth("short").visible > 0 {
        tokio::task::yield_now().await;
    }
    assert!(
        sqs.receive("short", 1, Duration::ZERO, None)
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn many_receivers_get_every_message_once() {
    let sqs = Sqs::new(None).unwrap();
    sqs.create_queue(QueueSettings::new("runs")).unwrap();
    let receivers: Vec<_> = (0..8)
        .map(|_| {
            let sqs = sqs.clone();
            tokio::spawn(async move {
                let mut bodies = Vec::new();
                loop {
                    let wait = Duration::from_millis(300);
                    let messages = sqs.receive("runs", 3, wait, None).await;
                    if messages.is_empty() {
                        return bodies;
                    }
                    for message in messages {
                        sqs.delete("runs", &message.receipt_handle).unwrap();
                        bodies.push(message.body);
                    }
                }
            })
        })
        .collect();
    for number in 0..200 {
        sqs.send("runs", number.to_string(), Default::default())
            .unwrap();
        tokio::task::yield_now().await;
    }
    let mut bodies = Vec::new();
    for receiver in receivers {
        bodies.extend(receiver.await.unwrap());
    }
    assert_eq!(bodies.len(), 200);
    assert_eq!(bodies.iter().collect::<BTreeSet<_>>().len(), 200);
}

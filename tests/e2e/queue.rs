//! The queue between acceptance and work: messages fail one by one, and what a dead worker had in hand comes back.

use std::{collections::BTreeMap, path::Path};

use local::template::Template;
use serde_json::{Value, json};

use crate::harness::World;

/// The names of the queue of runs and of the queue for what it cannot use.
fn queues() -> (String, String) {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let template = Template::read(&template).unwrap();
    let with_redrive = template.queues.iter().find_map(|queue| {
        let (dead_letters, _) = queue.redrive.as_ref()?;
        Some((
            queue.name.clone(),
            template.queue(dead_letters)?.name.clone(),
        ))
    });
    with_redrive.unwrap()
}

fn cheap() -> Value {
    json!({"prompt": "a red bicycle", "quality": "low", "resolution": "1K", "retry_unknown": true})
}

#[tokio::test(flavor = "multi_thread")]
async fn two_malformed_messages_of_ten_keep_none_of_the_others() {
    let world = World::start(&[("VISIBILITY_TIMEOUT_S", "1")]).await;
    let sqs = world.stack.sqs();
    let (queue, dead_letters) = queues();
    let malformed = [
        "{\"v\": 1, \"type\": \"generate\"",
        "{\"v\": 7, \"type\": \"dance\"}",
    ];
    let mut runs = Vec::new();
    for number in 0..8 {
        if number % 4 == 1 {
            sqs.send(&queue, malformed[number / 4], BTreeMap::new())
                .unwrap();
        }
        runs.push(world.begin(cheap()).await);
    }
    for run_id in &runs {
        let run = world.ended(run_id).await;
        assert_eq!(run["status"], "succeeded", "{run:#}");
        assert_eq!(run["attempts"].as_array().unwrap().len(), 1);
    }
    world
        .until("two dead letters", || async {
            let depth = sqs.depth(&dead_letters);
            (depth.visible == 2).then_some(())
        })
        .await;
    let left = sqs.depth(&queue);
    assert_eq!((left.visible, left.in_flight), (0, 0));
    // Letters that name no run change none.
    world.sweep().await;
    let ended = "select count(*) from ai_image_runs where status = 'succeeded'";
    assert_eq!(world.value(ended).await.as_deref(), Some("8"));

    // The worker's own answer for ten messages at once names the two that failed, and none else.
    let messages = runs
        .iter()
        .map(|run_id| json!({"v": 1, "type": "generate", "run_id": run_id}).to_string());
    let records = messages
        .chain(malformed.map(str::to_owned))
        .enumerate()
        .map(|(number, body)| json!({"messageId": format!("m{number}"), "body": body, "eventSource": "aws:sqs"}));
    let event = json!({"Records": records.collect::<Vec<_>>()});
    let answer = world.invoke("worker", event).await;
    let failures = json!([{"itemIdentifier": "m8"}, {"itemIdentifier": "m9"}]);
    assert_eq!(answer["batchItemFailures"], failures, "{answer:#}");
    assert_eq!(world.openai_calls().await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_replaced_and_its_message_comes_back() {
    let settings = [
        ("LEASE_S", "1"),
        ("VISIBILITY_TIMEOUT_S", "2"),
        ("RETRY_DELAYS_MS", "0,0"),
    ];
    let world = World::start(&settings).await;
    world
        .openai(json!({"script": [{"delay_ms": 60_000}]}))
        .await;
    let run_id = world.begin(cheap()).await;
    world
        .until("the call", || async {
            (world.openai_calls().await.len() == 1).then_some(())
        })
        .await;
    let workers = world.instances("worker").await;
    let [killed] = workers[..] else {
        panic!("one worker has the message: {workers:?}")
    };
    let kill = std::process::Command::new("kill")
        .args(["-9", &killed.to_string()])
        .status();
    assert!(kill.unwrap().success());

    let run = world.ended(&run_id).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let attempts = run["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{run:#}");
    assert_eq!(
        (&attempts[0]["errorCode"], &attempts[0]["billed"]),
        (&json!("answer_lost"), &json!("unknown"))
    );
    let workers = world.instances("worker").await;
    assert!(
        !workers.is_empty() && !workers.contains(&killed),
        "{killed} {workers:?}"
    );
    let (queue, dead_letters) = queues();
    let left = world.stack.sqs().depth(&queue);
    assert_eq!((left.visible, left.in_flight), (0, 0));
    assert_eq!(world.stack.sqs().depth(&dead_letters).visible, 0);
}

//! Against a server that notes what it is sent and answers as SQS does.

use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::*;

#[derive(Default)]
struct Script {
    /// Answers to give before the usual ones.
    answers: Mutex<Vec<(u16, Value)>>,
    seen: Mutex<Vec<(String, HeaderMap, Value)>>,
}

struct Server {
    url: String,
    script: Arc<Script>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(answers: Vec<(u16, Value)>) -> Self {
        let script = Arc::new(Script::default());
        *script.answers.lock().unwrap() = answers.into_iter().rev().collect();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = axum::Router::new()
            .fallback(answer)
            .with_state(script.clone());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, script, task }
    }

    fn queue(&self) -> Queue {
        Queue::new(QueueOptions {
            queue_url: format!("{}/000000000000/generation", self.url),
            region: "eu-central-1".to_owned(),
            endpoint_url: Some(self.url.clone()),
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "sesame".into(),
            session_token: Some("a-session".into()),
            timeout: Duration::from_secs(5),
        })
    }

    fn seen(&self) -> Vec<(String, HeaderMap, Value)> {
        self.script.seen.lock().unwrap().clone()
    }
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> (StatusCode, String) {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let target = parts.headers["x-amz-target"].to_str().unwrap().to_owned();
    let action = target.strip_prefix("AmazonSQS.").unwrap().to_owned();
    let usual = match action.as_str() {
        "SendMessageBatch" => {
            let entries = body["Entries"].as_array().unwrap();
            let sent: Vec<Value> = entries
                .iter()
                .map(|entry| json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": ANY_DIGEST}))
                .collect();
            json!({"Successful": sent, "Failed": []})
        }
        "SendMessage" => json!({"MessageId": "m", "MD5OfMessageBody": ANY_DIGEST}),
        "ReceiveMessage" => json!({"Messages": [{
            "MessageId": "m1", "ReceiptHandle": "r1", "Body": "{}", "Attributes": {"ApproximateReceiveCount": "3"},
        }]}),
        "GetQueueAttributes" => json!({"Attributes": {"ApproximateNumberOfMessages": "7"}}),
        _ => json!({}),
    };
    script
        .seen
        .lock()
        .unwrap()
        .push((action, parts.headers, body));
    let next = script.answers.lock().unwrap().pop();
    let (status, answer) = next.unwrap_or((200, usual));
    (StatusCode::from_u16(status).unwrap(), answer.to_string())
}

/// The SDK compares no digests.
const ANY_DIGEST: &str = "d41d8cd98f00b204e9800998ecf8427e";

#[tokio::test]
async fn a_message_is_sent_signed_with_its_trace() {
    let server = Server::start(Vec::new()).await;
    let queue = server.queue();
    assert!(!format!("{queue:?}").contains("sesame"));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    queue.send(r#"{"v":1}"#, Some(trace)).await.unwrap();
    let (action, headers, body) = server.seen().remove(0);
    assert_eq!(action, "SendMessage");
    assert_eq!(body["MessageBody"], r#"{"v":1}"#);
    assert_eq!(
        body["QueueUrl"],
        server.url.clone() + "/000000000000/generation"
    );
    assert_eq!(
        body["MessageAttributes"]["traceparent"],
        json!({"DataType": "String", "StringValue": trace})
    );
    assert_eq!(headers["x-amz-security-token"], "a-session");
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"));
    assert!(authorization.contains("/eu-central-1/sqs/aws4_request"));
}

/// 23 messages, the last of them with a trace.
fn messages() -> Vec<Outgoing> {
    let message = |number: u32| Outgoing {
        body: format!("message {number}"),
        trace_parent: (number == 22).then(|| "00-trace".to_owned()),
    };
    (0..23).map(message).collect()
}

#[tokio::test]
async fn many_are_sent_ten_a_call() {
    let messages = messages();
    let server = Server::start(Vec::new()).await;
    let outcome = server.queue().send_many(&messages).await;
    assert!(outcome.failed.is_empty() && outcome.error.is_none());
    let seen = server.seen();
    let sizes: Vec<usize> = seen
        .iter()
        .map(|(_, _, body)| body["Entries"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [10, 10, 3]);
    let last = &seen[2].2["Entries"][2];
    assert_eq!(last["MessageBody"], "message 22");
    let trace = &last["MessageAttributes"]["traceparent"]["StringValue"];
    assert_eq!(trace, "00-trace");
    assert_eq!(
        seen[0].2["Entries"][0]["MessageAttributes"],
        serde_json::Value::Null
    );
}

#[tokio::test]
async fn those_that_were_not_sent_are_named() {
    let messages = messages();
    let partly = json!({"Successful": [], "Failed": [
        {"Id": "7", "Code": "InternalError", "SenderFault": false},
        {"Id": "2", "Code": "InvalidMessageContents", "SenderFault": true, "Message": "no"},
    ]});
    let refused = json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"});
    let server = Server::start(vec![(200, partly), (400, refused)]).await;
    let outcome = server.queue().send_many(&messages).await;
    let expected: Vec<usize> = [2, 7].into_iter().chain(10..23).collect();
    assert_eq!(outcome.failed, expected);
    assert!(matches!(outcome.error, Some(QueueError::Rejected { .. })));
}

#[tokio::test]
async fn receiving_deleting_counting() {
    let server = Server::start(Vec::new()).await;
    let queue = server.queue();
    let dead = format!("{}/000000000000/dead", server.url);
    let messages = queue
        .receive(&dead, 99, Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(
        messages,
        [ReceivedMessage {
            id: "m1".to_owned(),
            body: "{}".to_owned(),
            receipt: "r1".to_owned(),
            receive_count: 3,
        }]
    );
    queue.delete(&dead, &messages[0].receipt).await.unwrap();
    assert_eq!(queue.depth(&dead).await.unwrap(), 7);
    let seen = server.seen();
    assert_eq!(seen[0].2["MaxNumberOfMessages"], 10);
    assert_eq!(seen[0].2["WaitTimeSeconds"], 1);
    assert_eq!(seen[1].2["ReceiptHandle"], "r1");
    for (_, _, body) in seen {
        assert_eq!(body["QueueUrl"], *dead);
    }
}

#[tokio::test]
async fn failures_are_named_by_what_the_caller_can_do() {
    let broken = (500, json!({"__type": "InternalFailure"}));
    let server = Server::start(vec![broken.clone()]).await;
    server.queue().send("x", None).await.unwrap();
    assert_eq!(server.seen().len(), 2, "tried again");

    let server = Server::start(vec![broken.clone(), broken]).await;
    let error = server.queue().send("x", None).await.unwrap_err();
    assert!(matches!(error, QueueError::Unavailable(_)), "{error:?}");

    let missing = json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"});
    let server = Server::start(vec![(400, missing)]).await;
    let error = server.queue().send("x", None).await.unwrap_err();
    assert!(
        matches!(error, QueueError::Misconfigured { .. }),
        "{error:?}"
    );

    let mut queue = server.queue();
    queue.options.endpoint_url = Some("http://127.0.0.1:1".to_owned());
    let error = queue.send("x", None).await.unwrap_err();
    assert!(matches!(error, QueueError::Unavailable(_)), "{error:?}");
}

//! Lambda's runtime API for one process, with a stopwatch in it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use uuid::Uuid;

/// A runtime API on a port of its own.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    jobs: mpsc::UnboundedSender<Job>,
    server: JoinHandle<()>,
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What a function answered, and when.
#[derive(Debug)]
pub struct Invocation {
    /// From handing the event over until the answer begins.
    pub begun_after: Duration,
    /// From handing the event over to the whole answer.
    pub elapsed: Duration,
    /// The answer's body as the runtime posted it.
    pub answer: Bytes,
}

#[derive(Debug)]
struct Job {
    event: Bytes,
    answer: oneshot::Sender<anyhow::Result<Invocation>>,
}

#[derive(Debug)]
struct InHand {
    handed_at: Instant,
    answer: oneshot::Sender<anyhow::Result<Invocation>>,
}

#[derive(Debug)]
struct Shared {
    jobs: tokio::sync::Mutex<mpsc::UnboundedReceiver<Job>>,
    in_hand: Mutex<HashMap<String, InHand>>,
}

/// An answer must come within this time; a benchmark has no slower function.
const PATIENCE: Duration = Duration::from_secs(120);

impl RuntimeApi {
    /// Listens; the function may come later.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (jobs, waiting) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            jobs: tokio::sync::Mutex::new(waiting),
            in_hand: Mutex::default(),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                post(response),
            )
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(shared);
        let server = tokio::spawn(async move {
            use axum::serve::ListenerExt;
            let listener = listener.tap_io(|stream| {
                let _ = stream.set_nodelay(true);
            });
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            jobs,
            server,
        })
    }

    /// `AWS_LAMBDA_RUNTIME_API`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hands an event to the function's next poll and waits for the answer.
    ///
    /// # Errors
    /// The function reports an error, or does not answer.
    pub async fn invoke(&self, event: &Value) -> anyhow::Result<Invocation> {
        let (answer, answered) = oneshot::channel();
        let event = Bytes::from(serde_json::to_vec(event)?);
        self.jobs
            .send(Job { event, answer })
            .ok()
            .context("the runtime API has ended")?;
        tokio::time::timeout(PATIENCE, answered)
            .await
            .context("the function did not answer in time")?
            .context("the runtime API has ended")?
    }
}

impl Invocation {
    /// The HTTP status and body in the answer, whether it was streamed or not.
    ///
    /// # Errors
    /// It is neither form of an HTTP answer.
    pub fn http(&self) -> anyhow::Result<(u64, Bytes)> {
        let separator = [0; 8];
        let at = self
            .answer
            .windows(8)
            .position(|window| window == separator);
        let head = &self.answer[..at.unwrap_or(self.answer.len())];
        let head: Value = serde_json::from_slice(head).context("the answer is not JSON")?;
        let status = head["statusCode"]
            .as_u64()
            .context("the answer has no statusCode")?;
        let body = match at {
            Some(at) => self.answer.slice(at + separator.len()..),
            None => Bytes::from(head["body"].as_str().unwrap_or_default().to_owned()),
        };
        Ok((status, body))
    }

    /// As [`http`](Self::http), for an answer that must be of this status.
    ///
    /// # Errors
    /// It has another status; the message holds the answer's body.
    pub fn expect_status(&self, expected: u64) -> anyhow::Result<Bytes> {
        let (status, body) = self.http()?;
        if status != expected {
            bail!(
                "answered {status}, not {expected}: {}",
                String::from_utf8_lossy(&body)
            );
        }
        Ok(body)
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    let job = shared.jobs.lock().await.recv().await;
    let Some(Job { event, answer }) = job else {
        return StatusCode::GONE.into_response();
    };
    let id = Uuid::new_v4().to_string();
    let deadline = jiff::Timestamp::now().as_millisecond() + 900_000;
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", id.clone()),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:bench".to_owned(),
        ),
    ];
    let in_hand = InHand {
        handed_at: Instant::now(),
        answer,
    };
    shared.in_hand().insert(id, in_hand);
    (headers, event).into_response()
}

async fn response(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: Body,
) -> StatusCode {
    let begun_at = Instant::now();
    let mut pieces = body.into_data_stream();
    let mut answer = Vec::new();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => answer.extend_from_slice(&piece),
            Err(error) => {
                let error = anyhow::Error::new(error).context("the answer broke off");
                return shared.finish(&id, |_| Err(error));
            }
        }
    }
    shared.finish(&id, |handed_at| {
        Ok(Invocation {
            begun_after: begun_at.duration_since(handed_at),
            elapsed: handed_at.elapsed(),
            answer: answer.into(),
        })
    })
}

async fn error(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: Bytes,
) -> StatusCode {
    let message = String::from_utf8_lossy(&body).into_owned();
    shared.finish(&id, |_| {
        Err(anyhow::anyhow!("the function failed: {message}"))
    })
}

impl Shared {
    fn in_hand(&self) -> std::sync::MutexGuard<'_, HashMap<String, InHand>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(
        &self,
        id: &str,
        result: impl FnOnce(Instant) -> anyhow::Result<Invocation>,
    ) -> StatusCode {
        let Some(in_hand) = self.in_hand().remove(id) else {
            return StatusCode::NOT_FOUND;
        };
        // Whoever asked may have given up.
        let _ = in_hand.answer.send(result(in_hand.handed_at));
        StatusCode::ACCEPTED
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::tls::{HttpClientOptions, http_client};

    use super::*;

    /// Polls once, answers the event itself to `path`, as a function's runtime would.
    async fn echo(api: &RuntimeApi, path: &str) {
        let client = http_client(HttpClientOptions::default()).unwrap();
        let base = format!("http://{}/2018-06-01/runtime/invocation", api.address());
        let event = client.get(format!("{base}/next")).send().await.unwrap();
        let id = event.headers()["lambda-runtime-aws-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let event = event.bytes().await.unwrap();
        let answer = client
            .post(format!("{base}/{id}/{path}"))
            .body(event)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 202);
    }

    #[tokio::test]
    async fn events_are_handed_over_and_answers_come_back() {
        let api = RuntimeApi::start().await.unwrap();
        let event = json!({"statusCode": 200, "body": "hello"});
        let (answer, ()) = tokio::join!(api.invoke(&event), echo(&api, "response"));
        assert_eq!(answer.unwrap().expect_status(200).unwrap(), "hello");
        let (failure, ()) = tokio::join!(api.invoke(&event), echo(&api, "error"));
        assert!(failure.unwrap_err().to_string().contains("hello"));
    }

    #[test]
    fn both_forms_of_an_http_answer_are_read() {
        let invocation = |answer: &'static [u8]| Invocation {
            begun_after: Duration::ZERO,
            elapsed: Duration::ZERO,
            answer: Bytes::from_static(answer),
        };
        let buffered = invocation(br#"{"statusCode":200,"headers":{},"body":"{}"}"#);
        assert_eq!(buffered.http().unwrap(), (200, Bytes::from_static(b"{}")));
        let streamed = invocation(b"{\"statusCode\":202}\0\0\0\0\0\0\0\0{}\n");
        assert_eq!(streamed.http().unwrap(), (202, Bytes::from_static(b"{}\n")));
        assert_eq!(streamed.expect_status(202).unwrap(), "{}\n");
        assert!(
            streamed
                .expect_status(200)
                .unwrap_err()
                .to_string()
                .contains("202")
        );
        assert!(invocation(b"<html>").http().is_err());
    }
}

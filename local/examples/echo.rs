//! A function for the tests of the local Lambda and API Gateway. `?do=` says how it behaves.
//!
//! With `ECHO=events` it takes any event and answers by the event's `do`; with `ECHO=stream` it streams.

use std::time::Duration;

use lambda_http::{
    Body, Error, Request, RequestExt, RequestPayloadExt, Response, run,
    run_with_streaming_response, service_fn,
};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    match std::env::var("ECHO").as_deref() {
        Ok("broken") => {
            let complaint = "DATABASE_URL is missing";
            return Err(complaint.into());
        }
        Ok("events") => lambda_runtime::run(service_fn(on_event)).await,
        Ok("stream") => run_with_streaming_response(service_fn(on_request)).await,
        _ => run(service_fn(on_request)).await,
    }
}

async fn on_request(request: Request) -> Result<Response<Body>, Error> {
    let query = request.query_string_parameters();
    act(query.first("do").unwrap_or_default()).await?;
    let parameters: Vec<_> = request
        .path_parameters()
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let context = request.lambda_context();
    let body = match request.payload::<Value>() {
        Ok(Some(body)) => body,
        _ => json!(String::from_utf8_lossy(request.body())),
    };
    let answer = json!({
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "raw_path": request.raw_http_path(),
        "authority": request.uri().authority().map(ToString::to_string),
        "query": query.all("a"),
        "parameters": parameters,
        "header": request.headers().get("x-test").and_then(|value| value.to_str().ok()),
        "forwarded_for": request.headers().get("x-forwarded-for").and_then(|value| value.to_str().ok()),
        "body": body,
        "deadline": context.deadline,
        "arn": context.invoked_function_arn,
        "setting": std::env::var("SETTING").ok(),
        "home_setting": std::env::var("CARGO_MANIFEST_DIR").ok(),
        "pid": std::process::id(),
    });
    Ok(Response::builder()
        .status(201)
        .header("content-type", "application/json")
        .header("x-twice", "one")
        .header("x-twice", "two")
        .header("set-cookie", "a=b")
        .body(answer.to_string().into())?)
}

async fn on_event(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let payload = event.payload;
    if let Some(behaviour) = payload["do"].as_str() {
        act(behaviour).await?;
    }
    let Some(records) = payload["Records"].as_array() else {
        return Ok(json!({"event": payload, "request_id": event.context.request_id}));
    };
    let mut failures = Vec::new();
    for record in records {
        let body = record["body"].as_str().unwrap_or_default();
        if let Some(behaviour) = body.strip_prefix("do ") {
            act(behaviour).await?;
        }
        if body == "fail" {
            failures.push(json!({"itemIdentifier": record["messageId"]}));
        }
        if body == "nonsense" {
            return Ok(json!({"batchItemFailures": [{"itemIdentifier": "nobody"}]}));
        }
    }
    Ok(json!({"batchItemFailures": failures}))
}

async fn act(behaviour: &str) -> Result<(), Error> {
    match behaviour.split_once(':').unwrap_or((behaviour, "")) {
        ("sleep", milliseconds) => {
            tokio::time::sleep(Duration::from_millis(milliseconds.parse()?)).await;
        }
        ("exit", code) => std::process::exit(code.parse()?),
        ("error", message) => return Err(message.into()),
        _ => {}
    }
    Ok(())
}

//! Lambda's Invoke API, as the AWS CLI and the SDKs call it, and the list of instances.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use super::{Failure, InstanceReport, Lambda, NoSuchFunction, Outcome};

/// The longest event: 6 MB.
const MAXIMUM_EVENT_BYTES: usize = 6 * 1024 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");

pub(super) fn router(lambda: Lambda) -> Router {
    Router::new()
        .route("/2015-03-31/functions/{function}/invocations", post(invoke))
        .route("/_instances", get(instances))
        .layer(DefaultBodyLimit::max(MAXIMUM_EVENT_BYTES))
        .with_state(lambda)
}

async fn instances(State(lambda): State<Lambda>) -> Json<Vec<InstanceReport>> {
    Json(lambda.instances())
}

async fn invoke(
    State(lambda): State<Lambda>,
    Path(function): Path<String>,
    headers: HeaderMap,
    event: Bytes,
) -> Response {
    let mut response = answer(lambda, &function, &headers, event).await;
    let request_id = Uuid::new_v4().to_string();
    if let Ok(request_id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, request_id);
    }
    response
}

async fn answer(lambda: Lambda, function: &str, headers: &HeaderMap, event: Bytes) -> Response {
    let function = name_of(function).to_owned();
    if !lambda.has(&function) {
        let message = NoSuchFunction(function).to_string();
        return refusal(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
    }
    // `aws lambda invoke` without a payload sends an empty body.
    let event = match event.is_empty() {
        true => Bytes::from_static(b"{}"),
        false => event,
    };
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&event) {
        let message = format!("Could not parse request body into json: {error}");
        return refusal(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            &message,
        );
    }
    let kind = headers.get("x-amz-invocation-type");
    match kind.map_or("RequestResponse", |kind| kind.to_str().unwrap_or_default()) {
        "RequestResponse" => {}
        "DryRun" => return StatusCode::NO_CONTENT.into_response(),
        "Event" => {
            // AWS repeats a failed one twice, after minutes; here it is left at that.
            tokio::spawn(async move {
                if let Ok(Outcome::Failure(failure)) = lambda.invoke(&function, event).await {
                    let error = failure.message();
                    tracing::warn!(function, error, "an asynchronous invocation failed");
                }
            });
            return StatusCode::ACCEPTED.into_response();
        }
        other => {
            let message = format!("{other} is no InvocationType");
            return refusal(
                StatusCode::BAD_REQUEST,
                "InvalidParameterValueException",
                &message,
            );
        }
    }
    match lambda.invoke(&function, event).await {
        Err(error) => refusal(
            StatusCode::NOT_FOUND,
            "ResourceNotFoundException",
            &error.to_string(),
        ),
        Ok(Outcome::Payload(payload)) => answered(payload),
        Ok(Outcome::Failure(failure)) => failed(&failure),
        Ok(Outcome::Stream(stream)) => match stream.collect().await {
            Ok(payload) => answered(payload),
            Err(broken) => failed(&Failure::broke_off(&broken.to_string())),
        },
    }
}

fn answered(payload: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (EXECUTED_VERSION, "$LATEST"),
    ];
    (headers, payload).into_response()
}

fn failed(failure: &Failure) -> Response {
    let mut response = answered(failure.payload());
    let headers = response.headers_mut();
    headers.insert(FUNCTION_ERROR, HeaderValue::from_static("Unhandled"));
    response
}

fn refusal(status: StatusCode, kind: &'static str, message: &str) -> Response {
    let body = json!({"Type": "User", "Message": message});
    (status, [(ERROR_TYPE, kind)], Json(body)).into_response()
}

/// The name in `name`, `name:qualifier`, `account:function:name` or an ARN.
fn name_of(function: &str) -> &str {
    let after_kind = match function.rsplit_once("function:") {
        Some((_, rest)) => rest,
        None => function,
    };
    after_kind.split(':').next().unwrap_or(after_kind)
}

//! The events that Lambda hands to functions, as API Gateway and SQS make them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::sqs::{ReceivedMessage, queue_arn};

/// A request as a caller sends it.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, without the stage.
    pub path: String,
    /// The path as the route has it, such as `/ai/runs/{run_id}`.
    pub resource: &'a str,
    /// The value of the one parameter in the path, by name.
    pub parameter: Option<(&'a str, &'a str)>,
    /// The access token.
    pub token: &'a str,
    /// More headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; null for none.
    pub body: Value,
}

/// The event of a REST API's proxy integration.
#[must_use]
pub fn http(request: &HttpRequest<'_>) -> Value {
    let mut headers = json!({
        "Authorization": format!("Bearer {}", request.token),
        "Content-Type": "application/json",
        "Host": "bench.execute-api.us-east-1.amazonaws.com",
        "X-Forwarded-Proto": "https",
    });
    for (name, value) in request.headers {
        headers[*name] = json!(value);
    }
    let mut multiple = json!({});
    if let Some(headers) = headers.as_object() {
        for (name, value) in headers {
            multiple[name] = json!([value]);
        }
    }
    let parameters = request
        .parameter
        .map(|(name, value)| json!({ name: value }));
    let body = (!request.body.is_null()).then(|| request.body.to_string());
    json!({
        "resource": request.resource,
        "path": request.path,
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": multiple,
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": parameters,
        "stageVariables": null,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "bench",
            "httpMethod": request.method,
            "identity": { "sourceIp": "127.0.0.1", "userAgent": "bench" },
            "path": format!("/prod{}", request.path),
            "protocol": "HTTP/1.1",
            "requestId": Uuid::new_v4().to_string(),
            "requestTimeEpoch": jiff::Timestamp::now().as_millisecond(),
            "resourceId": "bench",
            "resourcePath": request.resource,
            "stage": "prod",
        },
        "body": body,
        "isBase64Encoded": false,
    })
}

/// The event of messages of `queue`.
#[must_use]
pub fn queue(queue: &str, messages: &[ReceivedMessage]) -> Value {
    let records: Vec<Value> = messages
        .iter()
        .map(|message| {
            json!({
                "messageId": message.message_id,
                "receiptHandle": message.receipt_handle,
                "body": message.body,
                "attributes": message.attributes,
                "messageAttributes": {},
                "md5OfBody": message.md5,
                "eventSource": "aws:sqs",
                "eventSourceARN": queue_arn(queue),
                "awsRegion": "us-east-1",
            })
        })
        .collect();
    json!({ "Records": records })
}

//! The event that a function gets for a request: payload format 1.0 of a REST API's proxy integration.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderValue, request::Parts};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use super::routing::Matched;
use crate::lambda::ACCOUNT;

/// The id of the API in events.
const API_ID: &str = "local";

/// Everybody who can reach this server is on the same machine.
const SOURCE_IP: &str = "127.0.0.1";

/// The stage of which the runtime crates know that it is not part of the path.
const STAGE: &str = "$default";

/// A request with what was found for it.
pub(super) struct Received<'a> {
    pub(super) parts: &'a Parts,
    pub(super) body: &'a Bytes,
    pub(super) matched: &'a Matched<'a>,
    pub(super) request_id: &'a str,
    /// Where this server listens.
    pub(super) host: &'a str,
}

pub(super) fn proxy_event(received: &Received<'_>) -> Value {
    let Received {
        parts,
        body,
        matched,
        request_id,
        host,
    } = received;
    let headers = with_forwarding(&parts.headers, host);
    let (single_headers, multi_headers) = both_forms(headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    }));
    let query = parts.uri.query().unwrap_or_default();
    let (single_query, multi_query) =
        both_forms(form_urlencoded::parse(query.as_bytes()).into_owned());
    let (text, is_encoded) = match std::str::from_utf8(body) {
        Ok("") => (Value::Null, false),
        Ok(text) => (text.into(), false),
        Err(_) => (BASE64_STANDARD.encode(body).into(), true),
    };
    let now = Timestamp::now();
    let path = parts.uri.path();
    let user_agent = headers.get("user-agent").map(HeaderValue::as_bytes);
    let domain_name = headers.get("host").map(HeaderValue::as_bytes);
    json!({
        "resource": matched.route.path,
        "path": path,
        "httpMethod": parts.method.as_str(),
        "headers": single_headers,
        "multiValueHeaders": multi_headers,
        "queryStringParameters": or_null(single_query),
        "multiValueQueryStringParameters": or_null(multi_query),
        "pathParameters": or_null(matched.parameters.clone()),
        "stageVariables": null,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": API_ID,
            "deploymentId": API_ID,
            "domainName": domain_name.map(String::from_utf8_lossy),
            "domainPrefix": API_ID,
            "extendedRequestId": request_id,
            "httpMethod": parts.method.as_str(),
            "identity": {
                "accessKey": null,
                "accountId": null,
                "caller": null,
                "cognitoAuthenticationProvider": null,
                "cognitoAuthenticationType": null,
                "cognitoIdentityId": null,
                "cognitoIdentityPoolId": null,
                "principalOrgId": null,
                "sourceIp": SOURCE_IP,
                "user": null,
                "userAgent": user_agent.map(String::from_utf8_lossy),
                "userArn": null,
            },
            "path": path,
            "protocol": "HTTP/1.1",
            "requestId": request_id,
            "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "requestTimeEpoch": now.as_millisecond(),
            "resourceId": matched.route.path,
            "resourcePath": matched.route.path,
            "stage": STAGE,
        },
        "body": text,
        "isBase64Encoded": is_encoded,
    })
}

/// The headers with what API Gateway adds to them.
fn with_forwarding(headers: &HeaderMap, host: &str) -> HeaderMap {
    let mut headers = headers.clone();
    let before = headers.get("x-forwarded-for").cloned();
    let forwarded_for = match before.as_ref().and_then(|value| value.to_str().ok()) {
        Some(before) => format!("{before}, {SOURCE_IP}"),
        None => SOURCE_IP.to_owned(),
    };
    let port = host.rsplit(':').next().unwrap_or_default().to_owned();
    let seconds = Timestamp::now().as_second();
    let random = Uuid::new_v4().simple().to_string();
    let trace_id = format!("Root=1-{seconds:08x}-{}", &random[..24]);
    for (name, value) in [
        ("x-forwarded-for", forwarded_for),
        ("x-forwarded-port", port),
        ("x-forwarded-proto", "http".to_owned()),
        ("x-amzn-trace-id", trace_id),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Values by name: the last of each, and all of each.
fn both_forms(
    pairs: impl Iterator<Item = (String, String)>,
) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
    let mut last = BTreeMap::new();
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        last.insert(name.clone(), value.clone());
        all.entry(name).or_default().push(value);
    }
    (last, all)
}

/// API Gateway writes null in place of an empty map.
fn or_null<V: Into<Value>>(map: BTreeMap<String, V>) -> Value {
    if map.is_empty() {
        return Value::Null;
    }
    let object: Map<_, _> = map
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    Value::Object(object)
}

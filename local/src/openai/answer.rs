//! The answer: pictures or an error, as JSON or as an event stream, with the headers that OpenAI sends.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::pictures::Pictures;
use super::refusal::Refusal;
use super::request::{Endpoint, Order, Sources};
use crate::script::{BodyFault, Entry, Payload, deliver};

/// What a proxy in between answers when it cannot reach the vendor.
const HTML: &str = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n\
                    <body><center><h1>502 Bad Gateway</h1></center><hr><center>cloudflare</center></body></html>\n";

/// What is sent in place of a picture that is none.
const NOT_A_PICTURE: &str = "This was to be a picture, but something went wrong on the way to it.";

/// One request being answered.
#[derive(Debug)]
pub struct Exchange<'a> {
    entry: &'a Entry,
    request_id: String,
    started: Instant,
}

impl<'a> Exchange<'a> {
    /// Begins an answer to a request that came at `started`.
    pub fn new(entry: &'a Entry, started: Instant) -> Exchange<'a> {
        Exchange {
            entry,
            request_id: format!("req_{}", Uuid::new_v4().simple()),
            started,
        }
    }

    /// Answers with an error.
    pub fn refuse(&self, refusal: &Refusal) -> Response {
        self.send(
            refusal.status,
            "application/json",
            refusal.to_json(&self.request_id).to_string().into(),
        )
    }

    /// Answers with pictures.
    pub fn fulfil(
        &self,
        endpoint: Endpoint,
        order: &Order,
        sources: &Sources,
        pictures: Pictures,
    ) -> Response {
        let status = self
            .entry
            .status
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::OK);
        let pictures = self.garble(pictures);
        let usage = usage(order, sources);
        if order.stream {
            return self.send(
                status,
                "text/event-stream; charset=utf-8",
                events(endpoint, order, usage, pictures),
            );
        }
        self.send(status, "application/json", whole(order, usage, pictures))
    }

    fn garble(&self, mut pictures: Pictures) -> Pictures {
        match self.entry.body {
            Some(BodyFault::EmptyData) => pictures.finished.clear(),
            Some(BodyFault::NotAnImage) => {
                for file in pictures.finished.iter_mut().chain(&mut pictures.partial) {
                    *file = NOT_A_PICTURE.into();
                }
            }
            Some(BodyFault::Truncated | BodyFault::Html) | None => {}
        }
        pictures
    }

    fn send(
        &self,
        status: StatusCode,
        content_type: &'static str,
        mut payload: Payload,
    ) -> Response {
        let mut headers = self.headers();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        match self.entry.body {
            Some(BodyFault::Truncated) => payload.truncate(payload.len() / 2),
            Some(BodyFault::Html) => {
                payload = HTML.into();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
            }
            Some(BodyFault::EmptyData | BodyFault::NotAnImage) | None => {}
        }
        deliver(self.entry, status, headers, payload)
    }

    fn headers(&self) -> HeaderMap {
        let processing_ms = self.started.elapsed().as_millis().to_string();
        let pairs = [
            ("x-request-id", self.request_id.as_str()),
            ("openai-processing-ms", processing_ms.as_str()),
            ("openai-version", "2020-10-01"),
            ("openai-organization", "org-stand-in"),
            ("x-ratelimit-limit-requests", "20"),
            ("x-ratelimit-remaining-requests", "19"),
            ("x-ratelimit-reset-requests", "3s"),
        ];
        let pair = |(name, value): (&'static str, &str)| {
            Some((
                HeaderName::from_static(name),
                HeaderValue::from_str(value).ok()?,
            ))
        };
        pairs.into_iter().filter_map(pair).collect()
    }
}

/// `{"created":…,"background":…,"data":[{"b64_json":"…"}],"output_format":…}`, in the real one's order.
fn whole(order: &Order, usage: Value, pictures: Pictures) -> Payload {
    let mut payload = Payload::default();
    let created = Timestamp::now().as_second();
    payload.push(format!(
        r#"{{"created":{created},"background":"{}","data":["#,
        background(order)
    ));
    for (index, file) in pictures.finished.into_iter().enumerate() {
        payload.push(if index == 0 {
            r#"{"b64_json":""#
        } else {
            r#",{"b64_json":""#
        });
        payload.push_base64(file);
        payload.push(r#""}"#);
    }
    let mut rest = json!({
        "output_format": order.format.as_str(),
        "quality": order.quality,
        "size": format!("{}x{}", order.width, order.height),
        "usage": usage,
    });
    if let Some(name) = &order.safety_identifier {
        rest["safety_identifier"] = name.as_str().into();
    }
    // The rest goes on where the list ends: without its own opening brace.
    payload.push(format!("],{}", &rest.to_string()[1..]));
    payload
}

/// Server-sent events: the unfinished pictures, then one event for each finished one.
fn events(endpoint: Endpoint, order: &Order, usage: Value, pictures: Pictures) -> Payload {
    let prefix = if endpoint == Endpoint::Generations {
        "image_generation"
    } else {
        "image_edit"
    };
    let mut payload = Payload::default();
    let mut push = |name: &str, more: Value, file: Vec<u8>| {
        let mut event = json!({
            "type": format!("{prefix}.{name}"),
            "created_at": Timestamp::now().as_second(),
            "size": format!("{}x{}", order.width, order.height),
            "quality": order.quality,
            "background": background(order),
            "output_format": order.format.as_str(),
        });
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        payload.push(format!("event: {prefix}.{name}\ndata: {{\"b64_json\":\""));
        payload.push_base64(file);
        payload.push(format!("\",{}\n\n", &event.to_string()[1..]));
    };
    for (index, file) in pictures.partial.into_iter().enumerate() {
        push("partial_image", json!({"partial_image_index": index}), file);
    }
    for file in pictures.finished {
        push("completed", json!({"usage": usage}), file);
    }
    payload.push("data: [DONE]\n\n");
    payload
}

fn background(order: &Order) -> &'static str {
    if order.transparent {
        "transparent"
    } else {
        "opaque"
    }
}

/// What the vendor would charge for. Text: a token for four characters. A source picture: 65 tokens, and 129 for each
/// square of 512 pixels once its short edge is brought down to 512. Output: OpenAI's formula, for each picture.
fn usage(order: &Order, sources: &Sources) -> Value {
    let text_tokens = order.prompt.chars().count().div_ceil(4).max(1) as u64;
    let image_tokens = sources
        .dimensions
        .iter()
        .map(|dimensions| source_tokens(*dimensions))
        .sum::<u64>();
    let one = order
        .family
        .output_tokens(&order.quality, order.width, order.height);
    let output_tokens = one * u64::from(order.n);
    json!({
        "input_tokens": text_tokens + image_tokens,
        "input_tokens_details": {"text_tokens": text_tokens, "image_tokens": image_tokens},
        "output_tokens": output_tokens,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": output_tokens},
        "total_tokens": text_tokens + image_tokens + output_tokens,
    })
}

fn source_tokens((width, height): (u32, u32)) -> u64 {
    let short = u64::from(width.min(height)).max(1);
    let squares = |edge: u32| {
        let edge = u64::from(edge);
        let scaled = if short > 512 {
            (edge * 512).div_ceil(short)
        } else {
            edge
        };
        scaled.div_ceil(512)
    };
    65 + 129 * squares(width) * squares(height)
}

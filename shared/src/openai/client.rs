//! The client: sends one request and reads its answer while it arrives.

use std::time::Duration;

use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};

use crate::domain::fault::{Fault, Flaw};
use crate::domain::sniff;
use crate::openai::answer::{
    AnswerHeaders, Echo, ImageAnswer, complete_text_only, read_body, read_error, read_usage_of_part,
};
use crate::openai::decode::{AnswerScanner, Limits, Scanned};
use crate::openai::error::{CallError, body_lost, not_answered};
use crate::openai::request::{EditRequest, ImageRequest};
use crate::tls::{HttpClientOptions, LazyHttpClient};

/// How to reach `OpenAI`.
#[derive(Debug, Clone)]
pub struct OpenAiOptions {
    /// The API's address with its version: `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key, sent as a bearer token and shown nowhere.
    pub api_key: SecretString,
    /// The longest that any call may take, from connecting to the last byte.
    pub timeout: Duration,
}

/// `OpenAI`'s images API. Nothing is connected or built before the first call.
#[derive(Debug)]
pub struct OpenAiClient {
    options: OpenAiOptions,
    http: LazyHttpClient,
}

impl OpenAiClient {
    /// Only notes the options.
    #[must_use]
    pub fn new(options: OpenAiOptions) -> Self {
        let http = LazyHttpClient::new(HttpClientOptions {
            // Every call sets its own.
            timeout: None,
            // A kept connection that turns out to be dead leaves in doubt whether the request was sent, and a handshake is
            // nothing beside a call of a minute.
            max_idle_per_host: 0,
            ..HttpClientOptions::default()
        });
        Self { options, http }
    }

    /// Makes an image.
    ///
    /// # Errors
    /// When no whole image came; the failure says why, whether it was billed and what may be done next.
    pub async fn generate(&self, request: &ImageRequest<'_>) -> Result<ImageAnswer, CallError> {
        let fields = request
            .fields()
            .map_err(|reason| CallError::new(reason.into()))?;
        let body = serde_json::to_vec(&fields).map_err(|_| {
            CallError::new(Fault::Misconfigured {
                message: "The request could not be written as JSON.",
            })
        })?;
        let call = self
            .post("images/generations", request.timeout)?
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body);
        match run(call, request.expected_bytes()).await {
            Ok(mut answer) => {
                answer.usage = answer.usage.map(complete_text_only);
                Ok(answer)
            }
            Err(mut error) => {
                error.failure.usage = error.failure.usage.map(complete_text_only);
                Err(error)
            }
        }
    }

    /// Makes an image of others.
    ///
    /// # Errors
    /// When no whole image came; the failure says why, whether it was billed and what may be done next.
    pub async fn edit(&self, request: &EditRequest<'_>) -> Result<ImageAnswer, CallError> {
        let form = request
            .form()
            .map_err(|reason| CallError::new(reason.into()))?;
        let call = self
            .post("images/edits", request.image.timeout)?
            .multipart(form);
        run(call, request.image.expected_bytes()).await
    }

    fn post(&self, path: &str, timeout: Option<Duration>) -> Result<RequestBuilder, CallError> {
        let misconfigured = |message| Fault::Misconfigured { message };
        let http = self.http.get().map_err(|error| {
            CallError::with_source(
                misconfigured("The image model's client could not be built."),
                error,
            )
        })?;
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", self.options.api_key.expose_secret()))
                .map_err(|_| {
                    CallError::new(misconfigured(
                        "The image model's key cannot be sent in a header.",
                    ))
                })?;
        bearer.set_sensitive(true);
        let longest = self.options.timeout;
        let url = format!("{}/{path}", self.options.base_url.trim_end_matches('/'));
        Ok(http
            .post(url)
            .timeout(timeout.map_or(longest, |timeout| timeout.min(longest)))
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, HeaderValue::from_static("application/json")))
    }
}

async fn run(call: RequestBuilder, expected_bytes: usize) -> Result<ImageAnswer, CallError> {
    let response = call
        .send()
        .await
        .map_err(|error| CallError::with_source(not_answered(&error), error))?;
    let headers = AnswerHeaders::read(response.headers());
    let outcome = if response.status().is_success() {
        read_image(response, &headers, expected_bytes).await
    } else {
        Err(read_refusal(response, &headers).await)
    };
    outcome.map_err(|error| error.with_headers(&headers))
}

/// Reads an answer that says no. Its status alone says enough if the body is lost.
async fn read_refusal(mut response: Response, headers: &AnswerHeaders) -> CallError {
    let limit = Limits::default().json;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        if body.len() + piece.len() > limit {
            break;
        }
        body.extend_from_slice(&piece);
    }
    CallError::new(Fault::Answered(read_error(status, headers, &body)))
}

async fn read_image(
    mut response: Response,
    headers: &AnswerHeaders,
    expected_bytes: usize,
) -> Result<ImageAnswer, CallError> {
    let status = response.status().as_u16();
    // Base64 has four characters for three bytes, so the whole answer bounds the image.
    let from_length = response
        .content_length()
        .map(|length| usize::try_from(length / 4 * 3).unwrap_or(usize::MAX));
    let mut scanner = AnswerScanner::new(Limits::default(), from_length.unwrap_or(expected_bytes));
    let ended = loop {
        match response.chunk().await {
            Ok(Some(piece)) => {
                if let Err(flaw) = scanner.push(&piece) {
                    break Ended::Flawed(flaw);
                }
            }
            Ok(None) => break Ended::Whole,
            Err(error) => break Ended::Lost(error),
        }
    };
    drop(response);
    conclude(scanner.finish(), ended, status, headers)
}

enum Ended {
    Whole,
    Lost(reqwest::Error),
    Flawed(Flaw),
}

/// Says what came of an answer. An image that is whole is one, whatever became of the text after it: it has been paid for.
fn conclude(
    scanned: Scanned,
    ended: Ended,
    status: u16,
    headers: &AnswerHeaders,
) -> Result<ImageAnswer, CallError> {
    let body = read_body(&scanned.json);
    let is_json = body.is_some();
    let (echo, usage) =
        body.unwrap_or_else(|| (Echo::default(), read_usage_of_part(&scanned.json)));
    let too_large = matches!(ended, Ended::Flawed(Flaw::TooLarge)) && !scanned.image_ended_well;
    let image = scanned
        .image
        .filter(|image| !image.is_empty() || !scanned.image_ended_well);
    let inspected = image.as_deref().map(sniff::inspect);
    let flaw = match (image, inspected) {
        (Some(image), Some(Ok(inspected))) if !too_large => {
            let (image, sha256) = (image.into(), scanned.sha256);
            return Ok(ImageAnswer {
                image,
                sha256,
                inspected,
                usage,
                status,
                headers: headers.clone(),
                echo,
            });
        }
        (Some(_), Some(Err(_))) if scanned.closed => Flaw::NotAnImage,
        (None, _) if is_json || scanned.json.is_empty() => Flaw::Empty,
        (None, _) if scanned.closed => Flaw::NotJson,
        _ => Flaw::Truncated,
    };
    let bad_answer = |flaw| {
        let request_id = headers.request_id.clone();
        CallError::new(Fault::BadAnswer {
            flaw,
            status,
            request_id,
            usage,
        })
    };
    Err(match ended {
        Ended::Whole => bad_answer(flaw),
        Ended::Flawed(flaw) => bad_answer(flaw),
        Ended::Lost(error) => CallError::with_source(body_lost(&error, status, headers), error),
    })
}

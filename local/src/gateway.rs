//! API Gateway on one machine: a regional REST API whose routes are functions behind proxy integrations.
//!
//! There is no stage in the URL. Requests become events of payload format 1.0, answers are buffered or streamed as the
//! route says, preflights are answered without any function.

mod answer;
mod cors;
mod event;
mod problem;
mod routing;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method},
    response::Response,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use tokio::{net::TcpListener, time::Instant};
use uuid::Uuid;

pub use self::cors::CorsOptions;
use self::{event::Received, problem::Problem, routing::Match};
use crate::{
    lambda::{Lambda, Outcome},
    script,
    template::Route,
};

/// The longest request: 10 MB.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html>
const MAXIMUM_REQUEST_BYTES: usize = 10 * 1024 * 1024;

/// The longest event that Lambda takes: 6 MB.
const MAXIMUM_EVENT_BYTES: usize = 6 * 1024 * 1024;

/// Time for a buffered answer.
const BUFFERED_LIMIT: Duration = Duration::from_secs(29);

/// Time for a streamed answer.
const STREAMED_LIMIT: Duration = Duration::from_secs(15 * 60);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// What is served, and how.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// The routes; each `function` is the name that [`Lambda`] knows.
    pub routes: Vec<Route>,
    /// What preflights, and the gateway's own failures, say about other origins.
    pub cors: CorsOptions,
    /// Time for a buffered answer; 29 s when there is none.
    pub buffered_limit: Option<Duration>,
}

/// A running gateway. It ends when it is dropped.
#[derive(Debug)]
pub struct Gateway {
    url: String,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    lambda: Lambda,
    options: GatewayOptions,
    host: String,
}

impl Gateway {
    /// Serves the routes on `listener`.
    ///
    /// # Errors
    /// The listener has no address.
    pub async fn start(
        listener: TcpListener,
        lambda: Lambda,
        options: GatewayOptions,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr().context("a listener has an address")?;
        let shared = Arc::new(Shared {
            lambda,
            options,
            host: address.to_string(),
        });
        let router = Router::new().fallback(serve).with_state(shared);
        Ok(Self {
            url: format!("http://{address}"),
            serving: tokio::spawn(script::serve(listener, router)),
        })
    }

    /// Where the API is, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let request_id = Uuid::new_v4().to_string();
    let origin = request.headers().get("origin").cloned();
    let mut response = match answer_to(&shared, request, &request_id).await {
        Ok(response) => response,
        Err(problem) => {
            let mut response = problem.into_response(&request_id);
            let cors = &shared.options.cors;
            cors::allow_origin(cors, origin.as_ref(), response.headers_mut());
            response
        }
    };
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        let headers = response.headers_mut();
        headers.insert(AMZN_REQUEST_ID, value.clone());
        headers.entry(REQUEST_ID).or_insert(value);
    }
    response
}

async fn answer_to(
    shared: &Shared,
    request: Request,
    request_id: &str,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let options = &shared.options;
    let found = routing::find(&options.routes, &parts.method, parts.uri.path());
    let matched = match found {
        Match::Route(matched) => matched,
        Match::NoPath => return Err(Problem::NoSuchPath),
        Match::NoMethod(allowed) if parts.method == Method::OPTIONS => {
            return Ok(cors::preflight(&options.cors, &allowed, &parts.headers));
        }
        Match::NoMethod(_) => return Err(Problem::NoSuchMethod),
    };

    let body = whole(body).await?;
    let route = matched.route;
    let received = Received {
        parts: &parts,
        body: &body,
        matched: &matched,
        request_id,
        host: &shared.host,
    };
    let event = Bytes::from(event::proxy_event(&received).to_string());
    if event.len() > MAXIMUM_EVENT_BYTES {
        return Err(Problem::TooLarge(MAXIMUM_EVENT_BYTES));
    }

    let limit = match route.streaming {
        true => STREAMED_LIMIT,
        false => options.buffered_limit.unwrap_or(BUFFERED_LIMIT),
    };
    let deadline = Instant::now() + limit;
    // A task of its own: the invocation goes on when the caller goes away, or the time is over.
    let (lambda, function) = (shared.lambda.clone(), route.function.clone());
    let invocation = tokio::spawn(async move { lambda.invoke(&function, event).await });
    let invoked = tokio::time::timeout_at(deadline, invocation).await;
    let outcome = match invoked.map_err(|_| Problem::TimedOut)? {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => return Err(Problem::Integration(error.to_string())),
        Err(error) => return Err(Problem::Integration(error.to_string())),
    };
    match outcome {
        Outcome::Payload(payload) => answer::of_payload(&payload),
        Outcome::Failure(failure) => Err(Problem::Integration(format!(
            "{}: {}",
            failure.kind(),
            failure.message()
        ))),
        Outcome::Stream(stream) if route.streaming => answer::of_stream(stream, deadline).await,
        Outcome::Stream(_) => Err(Problem::Integration(format!(
            "{} streams its answer, but its route in the template has no ResponseTransferMode: RESPONSE_STREAM",
            route.function
        ))),
    }
}

async fn whole(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, MAXIMUM_REQUEST_BYTES).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::TooLarge(MAXIMUM_REQUEST_BYTES))
        }
        Err(_) => Err(Problem::UnreadableBody),
    }
}

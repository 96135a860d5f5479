//! A server on a port of its own, and an SDK client whose transport is plain HTTP.

use std::time::Duration;

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use serde_json::Value;
use shared::tls::{HttpClientOptions, http_client};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::sqs::{QueueSettings, Sqs, queue_url, serve};

pub(super) struct Loopback {
    pub(super) sqs: Sqs,
    pub(super) base_url: String,
    pub(super) client: Client,
    http: reqwest::Client,
    server: JoinHandle<std::io::Result<()>>,
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Loopback {
    pub(super) async fn start(sqs: Sqs) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let http = http_client(HttpClientOptions::default()).unwrap();
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("any", "thing", None, None, "test"))
            .endpoint_url(&base_url)
            .retry_config(RetryConfig::standard().with_max_attempts(1))
            .http_client(Transport { http: http.clone() })
            .build();
        Self {
            server: tokio::spawn(serve(listener, sqs.clone())),
            client: Client::from_conf(config),
            http,
            base_url,
            sqs,
        }
    }

    pub(super) async fn control(&self, control: Value) {
        let url = format!("{}/_control", self.base_url);
        let answer = self.http.post(url).json(&control).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    pub(super) async fn calls(&self) -> Value {
        let url = format!("{}/_calls", self.base_url);
        self.http
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }
}

/// A server with the queue `runs`, and its URL.
pub(super) async fn one_queue() -> (Loopback, String) {
    let loopback = Loopback::start(Sqs::new(None).unwrap()).await;
    loopback
        .sqs
        .create_queue(QueueSettings::new("runs"))
        .unwrap();
    let url = queue_url(&loopback.base_url, "runs");
    (loopback, url)
}

#[derive(Clone, Debug)]
struct Transport {
    http: reqwest::Client,
}

impl HttpClient for Transport {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let http = self.http.clone();
        HttpConnectorFuture::new(async move { exchange(&http, request).await })
    }
}

async fn exchange(
    http: &reqwest::Client,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?
        .map(|body| body.bytes().unwrap_or_default().to_vec());
    let request =
        reqwest::Request::try_from(request).map_err(|error| ConnectorError::user(error.into()))?;
    let io = |error: reqwest::Error| ConnectorError::io(error.into());
    let answer = http.execute(request).await.map_err(io)?;
    let mut response = http::Response::new(SdkBody::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    *response.body_mut() = SdkBody::from(answer.bytes().await.map_err(io)?);
    HttpResponse::try_from(response).map_err(|error| ConnectorError::user(error.into()))
}

/// Long enough for a busy machine; nothing waits for it when all is well.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

//! The SDK's requests over the HTTP client that everything else uses.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::config::http::{HttpRequest, HttpResponse};
use aws_sdk_sqs::config::{HttpClient, RuntimeComponents};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

use crate::tls::{HttpClientOptions, LazyHttpClient};

/// One client, whatever the SDK's settings: it sets its own time limits around a call.
#[derive(Debug, Clone)]
pub(super) struct Connector(Arc<LazyHttpClient>);

impl Default for Connector {
    fn default() -> Self {
        Self(Arc::new(LazyHttpClient::new(HttpClientOptions {
            timeout: None,
            connect_timeout: Duration::from_secs(3),
            ..HttpClientOptions::default()
        })))
    }
}

impl HttpClient for Connector {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move { send(&client, request).await })
    }
}

async fn send(
    client: &LazyHttpClient,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    // No call of SQS streams: every body is in memory.
    let body = body
        .bytes()
        .ok_or_else(|| ConnectorError::user("a body that is not in memory".into()))?
        .to_vec();
    let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))
        .map_err(|error| ConnectorError::user(error.into()))?;

    let client = client.get().map_err(from_reqwest)?;
    let response = client.execute(request).await.map_err(from_reqwest)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(from_reqwest)?;
    let mut answer = http::Response::new(SdkBody::from(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
}

fn from_reqwest(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}

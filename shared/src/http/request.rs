//! What is read off every request before a function looks at it.

use http::{HeaderMap, header};
use lambda_http::{Request, RequestExt, request::RequestContext};

use super::problem::Problem;

/// The largest body that is read, in bytes. The longest request is a prompt of 32,000 characters and 4 KiB of metadata.
pub const BODY_LIMIT: usize = 256 * 1024;

/// Where a request came from and how it wants its answer.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The front's id of the request; `x-request-id` and `instance` of the answer.
    pub request_id: String,
    /// Network address of the caller.
    pub address: String,
    /// The page's origin, for CORS.
    pub origin: Option<String>,
    /// The version that the caller has.
    pub if_none_match: Option<String>,
    /// W3C `traceparent`: the caller's, else one made from the front's own trace.
    pub trace_parent: Option<String>,
    /// Scheme, host and stage that the request was sent to, without a slash at the end.
    base_url: String,
}

impl Facts {
    /// Reads them off a request.
    pub fn of(request: &Request) -> Self {
        let (request_id, address, stage, domain) = match request.request_context_ref() {
            Some(RequestContext::ApiGatewayV1(context)) => (
                context.request_id.clone(),
                context.identity.source_ip.clone(),
                context.stage.clone(),
                context.domain_name.clone(),
            ),
            Some(RequestContext::ApiGatewayV2(context)) => (
                context.request_id.clone(),
                context.http.source_ip.clone(),
                context.stage.clone(),
                context.domain_name.clone(),
            ),
            _ => (None, None, None, None),
        };
        let headers = request.headers();
        let host = text(headers, header::HOST.as_str())
            .or(domain)
            .unwrap_or_else(|| "localhost".to_owned());
        let scheme = text(headers, "x-forwarded-proto").unwrap_or_else(|| "https".to_owned());
        // AWS's own host name needs the stage in the path; a custom domain maps it away.
        let stage = stage
            .filter(|stage| stage != "$default" && host.ends_with(".amazonaws.com"))
            .map(|stage| format!("/{stage}"));
        Self {
            request_id: request_id.unwrap_or_else(|| {
                request
                    .lambda_context_ref()
                    .map(|context| context.request_id.clone())
                    .unwrap_or_default()
            }),
            address: address.unwrap_or_default(),
            origin: text(headers, header::ORIGIN.as_str()),
            if_none_match: text(headers, header::IF_NONE_MATCH.as_str()),
            trace_parent: text(headers, "traceparent")
                .filter(|value| is_trace_parent(value))
                .or_else(|| text(headers, "x-amzn-trace-id").and_then(|value| of_x_ray(&value))),
            base_url: format!("{scheme}://{host}{}", stage.unwrap_or_default()),
        }
    }

    /// The absolute URL of a path of the API: under the setting `PUBLIC_URL` where there is one, else where the request was sent to.
    pub fn url(&self, public_url: Option<&str>, path: &str) -> String {
        format!("{}{path}", public_url.unwrap_or(&self.base_url))
    }
}

/// A header's text, where it is there and is text.
pub fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

/// The bytes of a request's body.
///
/// # Errors
/// 413 where it is larger than [`BODY_LIMIT`].
pub fn body(request: &Request) -> Result<&[u8], Problem> {
    let bytes: &[u8] = request.body().as_ref();
    if bytes.len() > BODY_LIMIT {
        Err(Problem::body_too_large(BODY_LIMIT))
    } else {
        Ok(bytes)
    }
}

/// An id in the path.
///
/// # Errors
/// 400 naming the parameter where it is no id.
pub fn path_id<T: std::str::FromStr>(request: &Request, name: &str) -> Result<T, Problem> {
    let parameters = request.path_parameters();
    let text = parameters.first(name).unwrap_or_default();
    text.parse().map_err(|_| {
        Problem::invalid_field(
            name,
            "is not a UUID.",
            "a UUID such as 5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e",
        )
    })
}

/// Whether a text has the form of a W3C `traceparent`, version 00.
fn is_trace_parent(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let hex = |part: &str, length| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
    };
    matches!(parts.as_slice(), [version, trace, span, flags] if hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2))
}

/// A `traceparent` of what API Gateway says: `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`. Without a
/// parent the request itself is the first span, whose id is the end of the trace's.
fn of_x_ray(value: &str) -> Option<String> {
    let field = |name| {
        let mut fields = value
            .split(';')
            .filter_map(|field| field.trim().split_once('='));
        fields.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let trace: String = field("Root")?.split('-').skip(1).collect();
    let span = field("Parent").or_else(|| trace.get(16..))?.to_owned();
    let sampled = if field("Sampled") == Some("1") {
        "01"
    } else {
        "00"
    };
    Some(format!("00-{trace}-{span}-{sampled}")).filter(|value| is_trace_parent(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_gateways_trace_becomes_w3cs() {
        let cases = [
            (
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
                Some("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"),
            ),
            (
                "Root=1-5759e988-bd862e3fe1be46a994272793",
                Some("00-5759e988bd862e3fe1be46a994272793-e1be46a994272793-00"),
            ),
            ("Self=1-67891234-12456789abcdef012345678", None),
            ("Root=nonsense", None),
            ("", None),
        ];
        for (given, expected) in cases {
            assert_eq!(of_x_ray(given).as_deref(), expected, "{given}");
        }
    }
}

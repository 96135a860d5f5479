//! The storage server's failures: the HTTP status says little, the body says what it was.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::script::Entry;

/// What a call to the storage server can fail with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StorageError {
    NoSuchBucket,
    NoSuchKey,
    BucketAlreadyExists,
    KeyAlreadyExists,
    BucketNotEmpty,
    InvalidKey(String),
    InvalidBucketName,
    InvalidMimeType(String),
    EntityTooLarge,
    InvalidRange,
    /// The key or token is not good, or not good for this.
    AccessDenied(&'static str),
    InvalidJwt(&'static str),
    InvalidSignature,
    InvalidRequest(String),
    /// A secret key came from a browser: the gateway in front refuses that itself.
    SecretKeyInBrowser,
    Internal(String),
    /// As the script has it.
    Scripted(Box<Body>),
}

/// Status and fields of an error's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    http_status: u16,
    status_code: u16,
    error: String,
    message: String,
    code: String,
}

/// `code`, HTTP status, `statusCode`, `error` and `message` of what a script can ask for by code or by status. Of two
/// with one `statusCode` the first is meant by the status alone.
const TABLE: [(&str, u16, u16, &str, &str); 14] = [
    (
        "InvalidRequest",
        400,
        400,
        "InvalidRequest",
        "The request is not valid",
    ),
    ("InvalidKey", 400, 400, "InvalidKey", "Invalid key"),
    ("InvalidJWT", 400, 401, "InvalidJWT", "jwt malformed"),
    (
        "AccessDenied",
        400,
        403,
        "Unauthorized",
        "signature verification failed",
    ),
    ("NoSuchKey", 400, 404, "not_found", "Object not found"),
    (
        "NoSuchBucket",
        400,
        404,
        "Bucket not found",
        "Bucket not found",
    ),
    (
        "KeyAlreadyExists",
        400,
        409,
        "Duplicate",
        "The resource already exists",
    ),
    (
        "BucketAlreadyExists",
        400,
        409,
        "Duplicate",
        "The resource already exists",
    ),
    (
        "EntityTooLarge",
        400,
        413,
        "Payload too large",
        "The object exceeded the maximum allowed size",
    ),
    (
        "InvalidMimeType",
        400,
        415,
        "invalid_mime_type",
        "mime type is not supported",
    ),
    (
        "SlowDown",
        429,
        429,
        "SlowDown",
        "Please reduce your request rate",
    ),
    (
        "InternalError",
        500,
        500,
        "Internal",
        "Internal Server Error",
    ),
    (
        "S3Error",
        503,
        503,
        "S3Error",
        "The storage backend is unavailable",
    ),
    (
        "DatabaseTimeout",
        544,
        544,
        "DatabaseTimeout",
        "The connection to the database timed out",
    ),
];

impl StorageError {
    /// The failure that an entry of the script asks for, if it asks for one.
    pub(super) fn scripted(entry: &Entry) -> Option<StorageError> {
        let by_code = |code: &str| TABLE.iter().find(|row| row.0 == code);
        let by_status = |status: u16| TABLE.iter().find(|row| row.2 == status);
        let row = match (&entry.code, entry.status) {
            (Some(code), _) if by_code(code).is_some() => by_code(code),
            (_, Some(status)) if status >= 400 => by_status(status).or_else(|| {
                by_code(if status < 500 {
                    "InvalidRequest"
                } else {
                    "InternalError"
                })
            }),
            (Some(_), None) => by_code("InvalidRequest"),
            _ => None,
        };
        let (code, http_status, status_code, error, message) = *row?;
        let known = entry.code.as_deref().is_none_or(|asked| asked == code);
        Some(StorageError::Scripted(Box::new(Body {
            http_status: entry.status.unwrap_or(http_status),
            status_code: if known && entry.status.is_none_or(|status| status == 400) {
                status_code
            } else {
                entry.status.unwrap_or(status_code)
            },
            error: error.to_owned(),
            message: entry.message.clone().unwrap_or_else(|| message.to_owned()),
            code: entry.code.clone().unwrap_or_else(|| code.to_owned()),
        })))
    }

    fn body(&self) -> Body {
        let (code, message) = match self {
            StorageError::Scripted(body) => return (**body).clone(),
            StorageError::NoSuchBucket => ("NoSuchBucket", None),
            StorageError::NoSuchKey => ("NoSuchKey", None),
            StorageError::BucketAlreadyExists => ("BucketAlreadyExists", None),
            StorageError::KeyAlreadyExists => ("KeyAlreadyExists", None),
            StorageError::InvalidKey(key) => ("InvalidKey", Some(format!("Invalid key: {key}"))),
            StorageError::InvalidMimeType(mime) => (
                "InvalidMimeType",
                Some(format!("mime type {mime} is not supported")),
            ),
            StorageError::EntityTooLarge => ("EntityTooLarge", None),
            StorageError::AccessDenied(message) => ("AccessDenied", Some((*message).to_owned())),
            StorageError::InvalidRequest(message) => ("InvalidRequest", Some(message.clone())),
            StorageError::Internal(message) => ("InternalError", Some(message.clone())),
            StorageError::InvalidJwt(message) => return Body::of(400, "InvalidJWT", message),
            StorageError::InvalidSignature => {
                return Body::of(400, "InvalidSignature", "Invalid signature");
            }
            StorageError::InvalidBucketName => {
                return Body::of(400, "InvalidBucketName", "Bucket name invalid");
            }
            StorageError::InvalidRange => {
                return Body::of(
                    416,
                    "InvalidRange",
                    "The requested range is not satisfiable",
                );
            }
            StorageError::BucketNotEmpty => {
                return Body::of(
                    409,
                    "InvalidRequest",
                    "The bucket you tried to delete is not empty",
                );
            }
            StorageError::SecretKeyInBrowser => {
                return Body {
                    http_status: 401,
                    ..Body::of(
                        401,
                        "Unauthorized",
                        "Forbidden use of secret API key in browser",
                    )
                };
            }
        };
        let mut body = TABLE.iter().find(|row| row.0 == code).map_or_else(
            || Body::of(400, code, code),
            |row| Body {
                http_status: row.1,
                status_code: row.2,
                error: row.3.to_owned(),
                message: row.4.to_owned(),
                code: row.0.to_owned(),
            },
        );
        if let Some(message) = message {
            body.message = message;
        }
        body
    }
}

impl Body {
    /// A failure that the HTTP status calls 400, whatever the body says.
    fn of(status_code: u16, code: &str, message: &str) -> Body {
        Body {
            http_status: 400,
            status_code,
            error: code.to_owned(),
            message: message.to_owned(),
            code: code.to_owned(),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "statusCode": self.status_code.to_string(),
            "error": self.error,
            "message": self.message,
            "code": self.code,
        })
    }
}

impl From<std::io::Error> for StorageError {
    fn from(error: std::io::Error) -> StorageError {
        StorageError::Internal(error.to_string())
    }
}

impl IntoResponse for StorageError {
    fn into_response(self) -> Response {
        let body = self.body();
        let status =
            StatusCode::from_u16(body.http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(body.to_json())).into_response()
    }
}

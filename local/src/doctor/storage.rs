//! The bucket: there, public, and taking the images that Darkroom makes.

use serde_json::Value;
use shared::config::groups;

use super::{Case, Finding, Findings, ask, right, wrong};

const SUBJECT: &str = "storage";

/// The largest image that a model makes, 4K as PNG, is well below.
const LARGEST_IMAGE_BYTES: u64 = 50 * 1024 * 1024;

pub(super) async fn examine(case: &Case<'_>) -> Findings {
    if let Err(findings) = case.read(SUBJECT, |reader| Some(groups::storage(reader))) {
        return findings;
    }
    let (Some(url), Some(key)) = (case.get("SUPABASE_URL"), case.get("SUPABASE_SECRET_KEY")) else {
        return Vec::new();
    };
    let bucket = case.get("STORAGE_BUCKET").unwrap_or("generated-images");
    let url = format!("{}/storage/v1/bucket/{bucket}", url.trim_end_matches('/'));
    let request = case.http.get(url).bearer_auth(key).header("apikey", key);
    vec![match ask(request).await {
        Ok((200, answer)) => judge(bucket, &answer),
        Ok((status, answer)) => refused(bucket, status, &answer),
        Err(error) => wrong(SUBJECT, format!("SUPABASE_URL {error}")),
    }]
}

fn judge(bucket: &str, answer: &Value) -> Finding {
    if answer["public"] != true {
        return wrong(
            SUBJECT,
            format!("the bucket {bucket} is not public: nobody could open an image_url"),
        );
    }
    if let Some(limit) = answer["file_size_limit"].as_u64()
        && limit < LARGEST_IMAGE_BYTES
    {
        return wrong(
            SUBJECT,
            format!(
                "the bucket {bucket} takes files up to {limit} bytes only; allow {LARGEST_IMAGE_BYTES}"
            ),
        );
    }
    let allowed = answer["allowed_mime_types"].as_array();
    for needed in ["image/png", "image/jpeg", "image/webp"] {
        let is_allowed = allowed.is_none_or(|allowed| {
            allowed.is_empty() || allowed.iter().any(|one| one == needed || one == "image/*")
        });
        if !is_allowed {
            return wrong(
                SUBJECT,
                format!("the bucket {bucket} does not take {needed}"),
            );
        }
    }
    right(SUBJECT, format!("the bucket {bucket} is there and public"))
}

/// Storage says what is wrong in the body; the status says little.
fn refused(bucket: &str, status: u16, answer: &Value) -> Finding {
    let code = answer["code"].as_str().or(answer["statusCode"].as_str());
    wrong(
        SUBJECT,
        match code {
            Some("NoSuchBucket" | "404") => {
                format!("there is no bucket {bucket}; make it, public, in the project's dashboard")
            }
            Some("AccessDenied" | "403" | "InvalidJWT") => {
                "SUPABASE_SECRET_KEY is not this project's secret key".to_owned()
            }
            _ => format!(
                "SUPABASE_URL answered with status {status}: {}",
                answer["message"].as_str().unwrap_or("no message")
            ),
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_what_a_bucket_lacks() {
        let cases = [
            (json!({"public": true}), true),
            (
                json!({"public": true, "file_size_limit": null, "allowed_mime_types": null}),
                true,
            ),
            (
                json!({"public": true, "allowed_mime_types": ["image/*"]}),
                true,
            ),
            (json!({"public": false}), false),
            (json!({"public": true, "file_size_limit": 1_000_000}), false),
            (
                json!({"public": true, "allowed_mime_types": ["image/png"]}),
                false,
            ),
        ];
        for (answer, is_right) in cases {
            assert_eq!(judge("b", &answer).outcome.is_ok(), is_right, "{answer}");
        }
    }
}

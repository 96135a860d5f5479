//! What a reference image may be: one that lies somewhere, or one that is about to be uploaded.

use shared::{
    domain::image::ImageFormat,
    fetching::{FETCH_LIMIT, LONGEST_URL, Reach, Target},
    http::{FieldError, Problem, fields::Fields},
};

const FIELDS: [&str; 3] = ["image_url", "content_type", "bytes"];
const EITHER: &str = "either image_url, or content_type for an upload";

/// An image to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// One that lies at a public URL.
    Url(String),
    /// One that will be uploaded.
    Upload {
        /// What it will be.
        format: ImageFormat,
        /// Its size, where the caller knows it.
        bytes: Option<u64>,
    },
}

/// Reads it.
pub(crate) fn read(body: &[u8], reach: Reach) -> Result<Given, Problem> {
    let mut fields = Fields::parse(body, &FIELDS)?;
    let is_upload = fields.has("content_type") || fields.has("bytes");
    match (fields.has("image_url"), is_upload) {
        (false, false) => fields.error(FieldError::new(
            "image_url",
            "is required, or content_type.",
            EITHER,
        )),
        (true, true) => fields.error(FieldError::new(
            "image_url",
            "is given beside an upload.",
            EITHER,
        )),
        (false, true) if !fields.has("content_type") => {
            fields.error(FieldError::new("content_type", "is required.", types()))
        }
        _ => {}
    }
    let url = fields.text("image_url", 1..=LONGEST_URL);
    if let Some(Err(refused)) = url.as_ref().map(|url| Target::parse(url, reach)) {
        fields.error(FieldError::new(
            "image_url",
            format!("cannot be used: {refused}."),
            format!("a public https URL of at most {LONGEST_URL} characters"),
        ));
    }
    let content_type = fields.text("content_type", 1..=100);
    let format = content_type.as_deref().map(ImageFormat::from_content_type);
    if format == Some(None) {
        fields.error(FieldError::new(
            "content_type",
            format!("is none of {}.", types().join(", ")),
            types(),
        ));
    }
    let bytes = fields.number("bytes", 1..=FETCH_LIMIT as u64);
    fields.finish()?;
    match (url, format.flatten()) {
        (Some(url), _) => Ok(Given::Url(url)),
        (None, Some(format)) => Ok(Given::Upload { format, bytes }),
        // One of them is there, or a mistake was noted.
        (None, None) => Err(Problem::internal()),
    }
}

fn types() -> Vec<&'static str> {
    ImageFormat::ALL
        .iter()
        .map(|format| format.content_type())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_url_or_an_upload() {
        let upload = |bytes| Given::Upload {
            format: ImageFormat::Jpg,
            bytes,
        };
        let table = [
            (
                r#"{"image_url": "https://example.com/a.png"}"#,
                Given::Url("https://example.com/a.png".to_owned()),
            ),
            (r#"{"content_type": "image/jpeg"}"#, upload(None)),
            (
                r#"{"content_type": "image/jpeg", "bytes": 5}"#,
                upload(Some(5)),
            ),
        ];
        for (body, given) in table {
            assert_eq!(
                read(body.as_bytes(), Reach::Public).unwrap(),
                given,
                "{body}"
            );
        }
    }

    #[test]
    fn each_mistake_names_its_field() {
        let table: [(&str, &[&str]); 10] = [
            ("{}", &["image_url"]),
            (r#"{"image_url": "http://example.com/"}"#, &["image_url"]),
            (r#"{"image_url": "https://10.0.0.1/"}"#, &["image_url"]),
            (
                r#"{"image_url": "data:image/png;base64,AA=="}"#,
                &["image_url"],
            ),
            (r#"{"image_url": 7}"#, &["image_url"]),
            (
                r#"{"image_url": "https://example.com/", "content_type": "image/png"}"#,
                &["image_url"],
            ),
            (r#"{"content_type": "image/gif"}"#, &["content_type"]),
            (r#"{"bytes": 5}"#, &["content_type"]),
            (
                r#"{"content_type": "image/png", "bytes": 20000001}"#,
                &["bytes"],
            ),
            (
                r#"{"content_type": "image/png", "bytes": 0, "image": "x"}"#,
                &["image", "bytes"],
            ),
        ];
        for (body, named) in table {
            let problem = read(body.as_bytes(), Reach::Public).unwrap_err();
            let found: Vec<&str> = problem
                .errors()
                .iter()
                .map(|error| error.field.as_str())
                .collect();
            assert_eq!(found, named, "{body}");
        }
    }
}

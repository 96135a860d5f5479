//! What is sent, and what is not.

use super::*;

#[tokio::test]
async fn requests_that_would_be_refused_are_not_sent() {
    let client = client_of("http://127.0.0.1:9/v1".to_owned());
    let model: Model = "gpt-image-2".parse().unwrap();
    let impossible = [
        ImageRequest {
            quality: Quality::Max,
            ..request(&model)
        },
        ImageRequest {
            background: Background::Transparent,
            ..request(&model)
        },
    ];
    for request in impossible {
        let failure = client.generate(&request).await.unwrap_err().failure;
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (FailureClass::Refused, "invalid_value")
        );
    }
    let source = |bytes: Vec<u8>| SourceImage {
        bytes: bytes.into(),
        format: ImageFormat::Png,
    };
    type Case = (Vec<SourceImage>, Option<Vec<u8>>, &'static str);
    let edits: [Case; 6] = [
        (vec![], None, "an edit needs an image"),
        (
            vec![source(png(1, 1)); 17],
            None,
            "an edit takes at most 16 images",
        ),
        (
            vec![source(png(8, 8))],
            Some(png(8, 9)),
            "a mask must have the dimensions of the image",
        ),
        (
            vec![source(png(8, 8))],
            Some(b"x".to_vec()),
            "the mask is not a whole PNG",
        ),
        (
            vec![source(png(8, 8))],
            Some(vec![0; 4_000_000]),
            "a mask must be smaller than 4 MB",
        ),
        (
            vec![source(vec![0; 50_000_000])],
            None,
            "an image to edit must be smaller than 50 MB",
        ),
    ];
    for (sources, mask, message) in edits {
        let edit = EditRequest {
            image: request(&model),
            sources,
            mask: mask.map(Into::into),
        };
        let failure = client.edit(&edit).await.unwrap_err().failure;
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (FailureClass::Refused, "invalid_image_file")
        );
        assert_eq!(failure.message, message);
    }
}

#[tokio::test]
async fn edits_name_their_parts_as_the_api_wants_them() {
    type Parts = Vec<(String, Option<String>, Option<String>, Bytes)>;
    async fn take(log: Arc<Mutex<Parts>>, length: Option<String>, mut form: Multipart) -> Response {
        assert!(length.is_some(), "the form's length is known");
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await.unwrap() {
            let name = field.name().unwrap().to_owned();
            let file_name = field.file_name().map(str::to_owned);
            let content_type = field.content_type().map(str::to_owned);
            parts.push((name, file_name, content_type, field.bytes().await.unwrap()));
        }
        *log.lock().unwrap() = parts;
        (StatusCode::OK, good_answer()).into_response()
    }
    let seen = Arc::new(Mutex::new(Parts::new()));
    let log = Arc::clone(&seen);
    let client = serve(Router::new().route(
        "/v1/images/edits",
        post(move |request: Request| async move {
            let length = request
                .headers()
                .get("content-length")
                .map(|l| l.to_str().unwrap().to_owned());
            let form = <Multipart as axum::extract::FromRequest<()>>::from_request(request, &())
                .await
                .unwrap();
            take(log, length, form).await
        }),
    ))
    .await;
    let model: Model = "gpt-image-2".parse().unwrap();
    let large: Bytes = vec![7; 300_000].into();
    let source = SourceImage {
        bytes: png(8, 8).into(),
        format: ImageFormat::Png,
    };
    let second = SourceImage {
        bytes: large.clone(),
        format: ImageFormat::Webp,
    };
    for (sources, name) in [
        (vec![source.clone()], "image"),
        (vec![source, second], "image[]"),
    ] {
        let count = sources.len();
        let edit = EditRequest {
            image: ImageRequest {
                format: ImageFormat::Png,
                background: Background::Transparent,
                ..request(&model)
            },
            sources,
            mask: Some(png(8, 8).into()),
        };
        assert_eq!(client.edit(&edit).await.unwrap().image, png(64, 32));
        let parts = std::mem::take(&mut *seen.lock().unwrap());
        let fields: Vec<(&str, &str)> = parts
            .iter()
            .filter(|part| part.1.is_none())
            .map(|part| (part.0.as_str(), std::str::from_utf8(&part.3).unwrap()))
            .collect();
        let expected = [
            ("model", "gpt-image-2"),
            ("prompt", "a cat"),
            ("size", "1024x1024"),
            ("quality", "medium"),
            ("output_format", "png"),
            ("background", "transparent"),
            ("safety_identifier", "hash"),
        ];
        assert_eq!(fields, expected);
        let files: Vec<_> = parts.iter().filter(|part| part.1.is_some()).collect();
        assert_eq!(files.len(), count + 1);
        assert!(files[..count].iter().all(|file| file.0 == name));
        assert_eq!(files[0].1.as_deref(), Some("image-1.png"));
        assert_eq!(files[0].2.as_deref(), Some("image/png"));
        assert_eq!(files[0].3, png(8, 8));
        if count == 2 {
            assert_eq!(
                (files[1].2.as_deref(), &files[1].3),
                (Some("image/webp"), &large)
            );
        }
        assert_eq!(
            (files[count].0.as_str(), files[count].2.as_deref()),
            ("mask", Some("image/png"))
        );
    }
}

//! The pictures of an edit: loaded, and checked as the real API checks them.

use anyhow::Context as _;
use axum::body::Bytes;
use image::{DynamicImage, ImageFormat};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::{Host, Url};

use super::reading::decode_data_url;
use super::refusal::Refusal;
use super::request::{Sources, wrong_type};

/// A picture must be smaller than this.
const MAX_IMAGE_BYTES: usize = 50 * 1024 * 1024;

/// A mask must be smaller than this.
const MAX_MASK_BYTES: usize = 4 * 1024 * 1024;

/// A file as it was sent.
#[derive(Debug)]
pub struct File {
    /// The parameter it came in.
    pub name: String,
    /// The name that the sender gave it.
    pub filename: Option<String>,
    /// What the sender says that it is.
    pub content_type: Option<String>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Decodes all pictures off the event loop.
pub async fn decode(files: Vec<File>, mask: Option<File>) -> Result<Sources, Refusal> {
    let decoded = tokio::task::spawn_blocking(move || decode_now(&files, mask.as_ref())).await;
    decoded.unwrap_or_else(|_| Err(Refusal::of_code("server_error")))
}

fn decode_now(files: &[File], mask: Option<&File>) -> Result<Sources, Refusal> {
    let mut sources = Sources::default();
    for (index, file) in files.iter().enumerate() {
        let picture = decode_picture(file, index + 1)?;
        sources.dimensions.push((picture.width(), picture.height()));
        sources.first.get_or_insert(picture);
    }
    if let (Some(mask), Some(first)) = (mask, sources.dimensions.first()) {
        sources.mask = Some(decode_mask(mask, *first)?);
    }
    Ok(sources)
}

fn decode_picture(file: &File, number: usize) -> Result<DynamicImage, Refusal> {
    let param = file.name.trim_end_matches("[]");
    let refuse = |message: String| Refusal::of_parameter("invalid_image_file", param, message);
    let content_type = file
        .content_type
        .as_deref()
        .unwrap_or("application/octet-stream");
    if !["image/png", "image/jpeg", "image/webp"].contains(&content_type) {
        return Err(refuse(format!(
            "Invalid file '{param}': unsupported mimetype ('{content_type}'). Supported file formats are 'image/jpeg', \
             'image/png', and 'image/webp'."
        )));
    }
    if file.bytes.len() >= MAX_IMAGE_BYTES {
        return Err(refuse(format!(
            "Invalid file '{param}': image {number} is too large, it must be less than 50MB."
        )));
    }
    let format = image::guess_format(&file.bytes).ok();
    let format = format.filter(|format| {
        matches!(
            format,
            ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP
        )
    });
    let picture =
        format.and_then(|format| image::load_from_memory_with_format(&file.bytes, format).ok());
    picture.ok_or_else(|| {
        refuse(format!(
            "Invalid image file or mode for image {number}, please check your image file."
        ))
    })
}

fn decode_mask(file: &File, first: (u32, u32)) -> Result<DynamicImage, Refusal> {
    let refuse = |message: &str| Err(Refusal::of_parameter("invalid_image_file", "mask", message));
    if file.bytes.len() >= MAX_MASK_BYTES {
        return refuse("Invalid mask image: it must be less than 4MB.");
    }
    let is_png = file.content_type.as_deref() == Some("image/png");
    let mask = image::load_from_memory_with_format(&file.bytes, ImageFormat::Png)
        .ok()
        .filter(|_| is_png);
    let Some(mask) = mask else {
        return refuse("Invalid mask image: it must be a PNG file.");
    };
    if !mask.color().has_alpha() {
        return refuse("Invalid mask image format - mask image missing alpha channel");
    }
    if (mask.width(), mask.height()) != first {
        return refuse("Invalid mask image size - mask size does not match image size");
    }
    Ok(mask)
}

/// Loads `{image_url}` of a JSON edit: a data URL, or a URL on this machine. The stand-in asks nobody else for anything,
/// and keeps no uploaded files.
pub async fn load_reference(place: &str, reference: &Value) -> Result<File, Refusal> {
    let Some(fields) = reference.as_object() else {
        return Err(wrong_type(place, "an object", reference));
    };
    if let Some(unknown) = fields
        .keys()
        .find(|name| !["image_url", "file_id"].contains(&name.as_str()))
    {
        let param = format!("{place}.{unknown}");
        return Err(Refusal::of_parameter(
            "unknown_parameter",
            &param,
            format!("Unknown parameter: '{param}'."),
        ));
    }
    let (image_url, file_id) = (fields.get("image_url"), fields.get("file_id"));
    let (Some(image_url), None) = (image_url, file_id) else {
        let message = match file_id {
            Some(Value::String(id)) if image_url.is_none() => format!("No such File object: {id}"),
            _ => format!("Invalid '{place}': provide exactly one of image_url and file_id."),
        };
        return Err(Refusal::of_parameter("invalid_value", place, message));
    };
    let param = format!("{place}.image_url");
    let Some(image_url) = image_url.as_str() else {
        return Err(wrong_type(&param, "a string", image_url));
    };
    let name = place.split('[').next().unwrap_or(place).to_owned();
    if let Some((content_type, bytes)) = decode_data_url(image_url) {
        return Ok(File {
            name,
            filename: None,
            content_type: Some(content_type),
            bytes,
        });
    }
    let loaded = load_from_this_machine(image_url).await;
    let (content_type, bytes) = loaded.map_err(|_| {
        Refusal::of_parameter(
            "invalid_value",
            &param,
            format!("Error while downloading {image_url}."),
        )
    })?;
    Ok(File {
        name,
        filename: None,
        content_type: Some(content_type),
        bytes,
    })
}

/// A plain GET by HTTP/1.0: the other stand-ins understand it, and it needs no client.
async fn load_from_this_machine(url: &str) -> anyhow::Result<(String, Bytes)> {
    let url = Url::parse(url)?;
    let address = match url.host() {
        Some(Host::Ipv4(address)) if address.is_loopback() && url.scheme() == "http" => address,
        _ => anyhow::bail!("only http URLs of 127.0.0.1 are loaded"),
    };
    let port = url.port().unwrap_or(80);
    let mut stream = TcpStream::connect((address, port)).await?;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let request =
        format!("GET {path} HTTP/1.0\r\nhost: {address}:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(MAX_IMAGE_BYTES as u64 + 4096)
        .read_to_end(&mut answer)
        .await?;

    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .context("no end of the headers")?;
    let body = Bytes::from(answer.split_off(end + 4));
    let head = String::from_utf8(answer)?.to_ascii_lowercase();
    anyhow::ensure!(head.split(' ').nth(1) == Some("200"), "not found");
    let content_type = head
        .lines()
        .find_map(|line| line.strip_prefix("content-type:"))
        .context("no content type")?;
    Ok((content_type.trim().to_owned(), body))
}

//! A web site on this machine, for images that lie elsewhere.

use std::{io::Cursor, sync::Arc};

use image::{ImageFormat, Rgba, RgbaImage};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// An answer of a site.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Where to go instead.
    pub(crate) location: Option<String>,
    /// What it holds; said to be HTML, whatever it is.
    pub(crate) body: Vec<u8>,
}

impl Page {
    pub(crate) fn of(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            location: None,
            body: body.into(),
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::of("")
        }
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self {
            location: Some(location.to_owned()),
            ..Self::status(302)
        }
    }
}

/// Serves pages by their path for as long as the test runs; its URL.
pub(crate) async fn site<const N: usize>(pages: [(&'static str, Page); N]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let pages = Arc::new(pages);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let pages = Arc::clone(&pages);
            tokio::spawn(async move { answer(stream, pages.as_slice()).await });
        }
    });
    url
}

async fn answer(mut stream: TcpStream, pages: &[(&str, Page)]) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&request);
    let path = text.split(' ').nth(1).unwrap_or_default();
    let missing = Page::status(404);
    let page = pages
        .iter()
        .find(|(known, _)| *known == path)
        .map_or(&missing, |(_, page)| page);
    let location = page
        .location
        .as_ref()
        .map(|location| format!("location: {location}\r\n"))
        .unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} -\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n{location}\r\n",
        page.status,
        page.body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&page.body).await
}

/// A picture whose left half is transparent.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    let picture = RgbaImage::from_fn(width, height, |x, y| {
        let byte = |number: u32| u8::try_from(number % 256).unwrap();
        let alpha = if x < width / 2 { 0 } else { 255 };
        Rgba([byte(x), byte(y), byte(x + y), alpha])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

//! The stand-in over real loopback HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, ImageFormat};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Running, start};

mod client;
mod contract;
mod edits;
mod faults;
mod generations;
mod tables;

async fn stand_in() -> (Running, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (start(listener).unwrap(), address)
}

/// What came back, as far as it came.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    /// Code and parameter of an error.
    fn error(&self) -> (u16, Option<String>, Option<String>) {
        let error = &self.json()["error"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        (self.status, text(&error["code"]), text(&error["param"]))
    }

    fn file(&self, index: usize) -> Vec<u8> {
        let json = self.json();
        STANDARD
            .decode(
                json["data"][index]["b64_json"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{json}")),
            )
            .unwrap()
    }

    fn picture(&self, index: usize) -> (ImageFormat, DynamicImage) {
        let file = self.file(index);
        (
            image::guess_format(&file).unwrap(),
            image::load_from_memory(&file).unwrap(),
        )
    }
}

/// Sends one request, and reads until the connection is closed. Nothing but that: a client that hides what really came
/// over the wire would be of no use here. `None` where not a byte came.
async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: stand-in\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).unwrap();
    let headers = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    Some(Answer {
        status: head[9..12].parse().unwrap(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body,
    })
}

async fn generate(address: SocketAddr, body: &Value) -> Answer {
    try_generate(address, body).await.unwrap()
}

async fn try_generate(address: SocketAddr, body: &Value) -> Option<Answer> {
    let headers = [
        ("authorization", "Bearer sk-test"),
        ("content-type", "application/json"),
    ];
    send(
        address,
        "POST",
        "/v1/images/generations",
        &headers,
        body.to_string().as_bytes(),
    )
    .await
}

async fn control(address: SocketAddr, body: &Value) {
    let answer = send(
        address,
        "POST",
        "/_control",
        &[],
        body.to_string().as_bytes(),
    )
    .await
    .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
}

/// A small valid order.
fn order() -> Value {
    json!({"model": "gpt-image-2", "prompt": "a red fox", "size": "1024x640"})
}

fn with(name: &str, value: Value) -> Value {
    let mut order = order();
    order[name] = value;
    order
}

fn png(width: u32, height: u32, colour: [u8; 4]) -> Vec<u8> {
    let picture = image::RgbaImage::from_pixel(width, height, image::Rgba(colour));
    let mut file = Vec::new();
    picture
        .write_to(&mut std::io::Cursor::new(&mut file), ImageFormat::Png)
        .unwrap();
    file
}

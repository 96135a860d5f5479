//! How much memory one image takes while it arrives. Alone in its binary: the figure is the whole process's.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "all of this binary is a test; the setting for tests sees only functions marked as such"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use shared::domain::image::{Background, ImageFormat, PixelSize, Quality};
use shared::domain::model::Model;
use shared::openai::client::{OpenAiClient, OpenAiOptions};
use shared::openai::request::ImageRequest;

/// Bytes of pixels, all zero: a multiple of three, so that their base64 is a row of `A`s that the server need not hold.
const PIXELS: usize = 8 * 1024 * 1024 / 3 * 3;
const SIZE: PixelSize = PixelSize::new(2048, 2048);

/// The image before and after its pixels, the first part a multiple of three bytes long.
fn around_the_pixels() -> (Vec<u8>, Vec<u8>) {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let mut bytes = u32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(&crc32fast::hash(&bytes[4..]).to_be_bytes());
        bytes
    };
    let mut header = SIZE.width.to_be_bytes().to_vec();
    header.extend(SIZE.height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut before = b"\x89PNG\r\n\x1a\n".to_vec();
    before.extend(chunk(b"IHDR", &header));
    let padding = 3 - (before.len() + 12 + 8) % 3;
    before.extend(chunk(b"tEXt", &vec![b'x'; padding]));
    before.extend(u32::try_from(PIXELS).unwrap().to_be_bytes());
    before.extend(b"IDAT");
    assert_eq!(before.len() % 3, 0);

    let mut crc = crc32fast::Hasher::new();
    crc.update(b"IDAT");
    let zeros = [0; 3 * 1024];
    let mut left = PIXELS;
    while left > 0 {
        let now = left.min(zeros.len());
        crc.update(&zeros[..now]);
        left -= now;
    }
    let mut after = crc.finalize().to_be_bytes().to_vec();
    after.extend(chunk(b"IEND", &[]));
    (before, after)
}

fn answer(mut stream: TcpStream, with_length: bool) {
    let (before, after) = around_the_pixels();
    let start = format!(
        r#"{{"created":1,"data":[{{"b64_json":"{}"#,
        STANDARD.encode(before)
    );
    let end = format!(
        r#"{}"}}],"usage":{{"input_tokens":1,"output_tokens":2}}}}"#,
        STANDARD.encode(after)
    );
    let middle = PIXELS / 3 * 4;
    // The end of the request's head, then its JSON.
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).unwrap();
        request.extend_from_slice(&piece[..read]);
    }
    let framing = if with_length {
        format!("content-length: {}", start.len() + middle + end.len())
    } else {
        "connection: close".to_owned()
    };
    write!(stream, "HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{start}").unwrap();
    let piece = [b'A'; 32 * 1024];
    let mut left = middle;
    while left > 0 {
        let now = left.min(piece.len());
        stream.write_all(&piece[..now]).unwrap();
        left -= now;
    }
    stream.write_all(end.as_bytes()).unwrap();
}

/// A figure of `/proc/self/status`, in bytes.
fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    let kilobytes: usize = line
        .trim_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .unwrap();
    kilobytes * 1024
}

#[tokio::test]
async fn the_peak_grows_by_less_than_one_and_a_half_images() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    thread::spawn(move || {
        for with_length in [true, true, false] {
            let (stream, _) = listener.accept().unwrap();
            answer(stream, with_length);
        }
    });
    let options = OpenAiOptions {
        base_url,
        api_key: "sk-test".into(),
        timeout: Duration::from_secs(60),
    };
    let client = OpenAiClient::new(options);
    let model: Model = "gpt-image-2".parse().unwrap();
    for framing in ["first call", "with its length", "without its length"] {
        // Sets the high-water mark back to what is in use now.
        if fs::write("/proc/self/clear_refs", "5").is_err() {
            println!("skipped: this system does not let a process reset its own high-water mark");
            return;
        }
        let before = status("VmRSS:");
        let request = ImageRequest {
            model: &model,
            prompt: "a cat",
            size: Some(SIZE),
            quality: Quality::Standard,
            format: ImageFormat::Png,
            background: Background::Auto,
            safety_identifier: None,
            timeout: None,
        };
        let answer = client.generate(&request).await.unwrap();
        let grown = status("VmHWM:").saturating_sub(before);
        let image = answer.image.len();
        println!("{framing}: image {image} bytes, peak grew by {grown} bytes");
        assert!(image > PIXELS);
        // The first call also pays for what the process needs once: the client, the allocator's arenas.
        assert!(
            framing == "first call" || grown * 2 < image * 3,
            "{framing}: {grown} bytes for an image of {image}"
        );
    }
}

//! How much memory one image takes while it arrives, and what goes with an edit while it is sent. Alone in its binary: the figure is the
//! whole process's.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "all of this binary is a test; the setting for tests sees only functions marked as such"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use shared::domain::image::{Background, ImageFormat, PixelSize, Quality};
use shared::domain::model::Model;
use shared::openai::client::{OpenAiClient, OpenAiOptions};
use shared::openai::request::{EditRequest, ImageRequest, SourceImage};

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
    pass_over_request(&stream);
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

/// Reads a request and keeps nothing of its body.
fn pass_over_request(stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).unwrap();
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

fn request(model: &Model) -> ImageRequest<'_> {
    ImageRequest {
        model,
        prompt: "a cat",
        size: Some(SIZE),
        quality: Quality::Standard,
        format: ImageFormat::Png,
        background: Background::Auto,
        safety_identifier: None,
        timeout: None,
    }
}

#[tokio::test]
async fn the_peak_grows_by_less_than_one_and_a_half_images() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    thread::spawn(move || {
        for with_length in [true, true, false, true] {
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
    // Not all zero: pages that were never written to are not resident.
    let source = SourceImage {
        bytes: vec![7; 2 * PIXELS].into(),
        format: ImageFormat::Png,
    };
    let edit = EditRequest {
        image: request(&model),
        sources: vec![source; 4],
        mask: None,
    };
    let sent = 4 * 2 * PIXELS;
    for what in [
        "first call",
        "with its length",
        "without its length",
        "an edit of four images",
    ] {
        // Sets the high-water mark back to what is in use now.
        if fs::write("/proc/self/clear_refs", "5").is_err() {
            println!("skipped: this system does not let a process reset its own high-water mark");
            return;
        }
        let before = status("VmRSS:");
        let answer = if what == "an edit of four images" {
            client.edit(&edit).await.unwrap()
        } else {
            client.generate(&request(&model)).await.unwrap()
        };
        let grown = status("VmHWM:").saturating_sub(before);
        let image = answer.image.len();
        println!("{what}: image {image} bytes, peak grew by {grown} bytes");
        assert!(image > PIXELS);
        // The first call also pays for what the process needs once: the client, the allocator's arenas. Of the images that an edit
        // sends, eight times the one that comes back, nothing is held twice.
        assert!(
            what == "first call" || grown * 2 < image * 3,
            "{what}: {grown} bytes for an image of {image}, {sent} sent at most"
        );
    }
}

//! URLs that are not followed, and servers that do not behave.

use std::io::Cursor;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Redirect;
use axum::routing::get;
use image::{DynamicImage, RgbImage};
use tokio::net::TcpListener;

use super::*;
use crate::domain::image::ImageFormat;

/// What becomes of a URL whose host's name stands for these addresses.
fn outcome(url: &str, resolved: &[&str], reach: Reach) -> &'static str {
    let checked = Target::parse(url, reach).and_then(|target| {
        for address in resolved {
            target.check_address(address.parse().unwrap(), reach)?;
        }
        Ok(())
    });
    match checked {
        Ok(()) => "followed",
        Err(Refused::NotAUrl) => "no url",
        Err(Refused::TooLong) => "too long",
        Err(Refused::Scheme) => "scheme",
        Err(Refused::Credentials) => "credentials",
        Err(Refused::Address(_)) => "address",
        Err(Refused::Redirects) => "redirects",
    }
}

#[test]
fn hostile_urls_are_not_followed() {
    let table: &[(&str, &[&str], &str)] = &[
        // Not https.
        ("http://example.com/a.png", &["93.184.216.34"], "scheme"),
        ("http://127.0.0.1/a.png", &[], "scheme"),
        ("ftp://example.com/a.png", &[], "scheme"),
        ("file:///etc/passwd", &[], "scheme"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", &[], "scheme"),
        ("dict://127.0.0.1:11211/stat", &[], "scheme"),
        ("data:image/png;base64,iVBORw0KGgo=", &[], "scheme"),
        ("javascript:alert(1)", &[], "scheme"),
        ("blob:https://example.com/1", &[], "scheme"),
        ("ws://example.com/", &[], "scheme"),
        ("s3://bucket/key", &[], "scheme"),
        // No URL.
        ("", &[], "no url"),
        ("//example.com/a.png", &[], "no url"),
        ("/etc/passwd", &[], "no url"),
        ("https://", &[], "no url"),
        ("https://[::1", &[], "no url"),
        ("https://exa mple.com/", &[], "no url"),
        ("https://999.999.999.999/", &[], "no url"),
        ("https://example.com:99999/", &[], "no url"),
        ("https://%00/", &[], "no url"),
        // Names and passwords, which also hide the host from a hasty reader.
        ("https://user:password@example.com/", &[], "credentials"),
        ("https://example.com@127.0.0.1/", &[], "credentials"),
        ("https://example.com%2f@127.0.0.1/", &[], "credentials"),
        ("https://:password@example.com/", &[], "credentials"),
        // This machine, spelled in many ways.
        ("https://127.0.0.1/", &[], "address"),
        ("https://127.0.0.1:9200/_search", &[], "address"),
        ("https://127.1/", &[], "address"),
        ("https://127.255.255.254/", &[], "address"),
        ("https://2130706433/", &[], "address"),
        ("https://0x7f000001/", &[], "address"),
        ("https://0x7f.0x0.0x0.0x1/", &[], "address"),
        ("https://017700000001/", &[], "address"),
        ("https://0177.0.0.1/", &[], "address"),
        ("https://0/", &[], "address"),
        ("https://0.0.0.0/", &[], "address"),
        ("https://127.0.0.1./", &[], "address"),
        ("https://１２７.0.0.1/", &[], "address"),
        ("https://127。0。0。1/", &[], "address"),
        ("https://%31%32%37.0.0.1/", &[], "address"),
        ("https:\\\\127.0.0.1\\", &[], "address"),
        ("https:127.0.0.1/", &[], "address"),
        ("  https://127.0.0.1/  ", &[], "address"),
        ("ht\ntps://127.0.0.1/", &[], "address"),
        ("HTTPS://127.0.0.1/", &[], "address"),
        ("https://[::1]/", &[], "address"),
        ("https://[::]/", &[], "address"),
        ("https://[0:0:0:0:0:0:0:1]/", &[], "address"),
        ("https://localhost/", &["127.0.0.1"], "address"),
        ("https://localhost/", &["::1"], "address"),
        ("https://localhost./", &["127.0.0.1"], "address"),
        ("https://anything.localhost/", &["127.0.0.1"], "address"),
        ("https://localtest.me/", &["127.0.0.1"], "address"),
        ("https://127.0.0.1.nip.io/", &["127.0.0.1"], "address"),
        // Private networks.
        ("https://10.0.0.5/", &[], "address"),
        ("https://172.16.0.1/", &[], "address"),
        ("https://192.168.1.1/admin", &[], "address"),
        ("https://100.64.0.1/", &[], "address"),
        ("https://[fd12:3456:789a::1]/", &[], "address"),
        ("https://[fe80::1]/", &[], "address"),
        ("https://[fec0::1]/", &[], "address"),
        ("https://intranet/", &["10.1.2.3"], "address"),
        ("https://printer.local/", &["192.168.0.9"], "address"),
        ("https://db.internal/", &["fd00::5"], "address"),
        // Metadata and credentials of clouds.
        ("https://169.254.169.254/latest/meta-data/", &[], "address"),
        ("https://169.254.170.2/v2/credentials", &[], "address"),
        ("https://2852039166/latest/meta-data/", &[], "address"),
        ("https://0xa9fea9fe/", &[], "address"),
        ("https://[fd00:ec2::254]/latest/", &[], "address"),
        ("https://100.100.100.200/latest/meta-data/", &[], "address"),
        ("https://192.0.0.192/opc/v2/instance/", &[], "address"),
        ("https://168.63.129.16/machine", &[], "address"),
        (
            "https://metadata.google.internal/",
            &["169.254.169.254"],
            "address",
        ),
        // IPv4 inside IPv6.
        ("https://[::ffff:127.0.0.1]/", &[], "address"),
        ("https://[::ffff:a9fe:a9fe]/", &[], "address"),
        ("https://[::127.0.0.1]/", &[], "address"),
        ("https://[::ffff:0:127.0.0.1]/", &[], "address"),
        ("https://[64:ff9b::169.254.169.254]/", &[], "address"),
        ("https://[64:ff9b:1::10.0.0.1]/", &[], "address"),
        ("https://[2002:7f00:1::]/", &[], "address"),
        ("https://[2001:0:7f00:1::]/", &[], "address"),
        ("https://mapped.example/", &["::ffff:10.0.0.1"], "address"),
        ("https://nat64.example/", &["64:ff9b::7f00:1"], "address"),
        // Multicast, reserved, documentation.
        ("https://224.0.0.251/", &[], "address"),
        ("https://255.255.255.255/", &[], "address"),
        ("https://240.0.0.1/", &[], "address"),
        ("https://[ff02::1]/", &[], "address"),
        ("https://198.18.0.1/", &[], "address"),
        ("https://203.0.113.1/", &[], "address"),
        ("https://[2001:db8::1]/", &[], "address"),
        // One wrong address among right ones.
        (
            "https://mixed.example/",
            &["93.184.216.34", "127.0.0.1"],
            "address",
        ),
        (
            "https://mixed.example/",
            &["2606:2800:220:1::1", "fe80::1"],
            "address",
        ),
    ];
    assert!(table.len() > 40);
    for (url, resolved, expected) in table {
        assert_eq!(outcome(url, resolved, Reach::Public), *expected, "{url}");
    }
    let long = format!("https://example.com/{}", "a".repeat(LONGEST_URL));
    assert_eq!(outcome(&long, &[], Reach::Public), "too long");
}

#[test]
fn a_public_url_is_followed_and_this_machine_only_by_setting() {
    use Reach::{Public, PublicAndLoopback};
    let table: &[(&str, &[&str], Reach, &str)] = &[
        (
            "https://example.com/a.png?b=c#d",
            &["93.184.216.34"],
            Public,
            "followed",
        ),
        (
            "https://example.com:8443/",
            &["2606:2800:220:1::1"],
            Public,
            "followed",
        ),
        ("https://93.184.216.34/", &[], Public, "followed"),
        ("https://[2606:2800:220:1::1]/", &[], Public, "followed"),
        (
            "http://127.0.0.1:9000/a.png",
            &[],
            PublicAndLoopback,
            "followed",
        ),
        (
            "http://localhost:9000/",
            &["::1", "127.0.0.1"],
            PublicAndLoopback,
            "followed",
        ),
        ("https://127.0.0.1/", &[], PublicAndLoopback, "followed"),
        ("http://93.184.216.34/", &[], PublicAndLoopback, "scheme"),
        (
            "http://example.com/",
            &["93.184.216.34"],
            PublicAndLoopback,
            "scheme",
        ),
        ("http://10.0.0.1/", &[], PublicAndLoopback, "address"),
        ("http://0.0.0.0/", &[], PublicAndLoopback, "address"),
        (
            "http://[::ffff:127.0.0.1]/",
            &[],
            PublicAndLoopback,
            "address",
        ),
        ("http://169.254.169.254/", &[], PublicAndLoopback, "address"),
        (
            "http://mixed.example/",
            &["127.0.0.1", "10.0.0.1"],
            PublicAndLoopback,
            "address",
        ),
        ("file:///etc/passwd", &[], PublicAndLoopback, "scheme"),
    ];
    for (url, resolved, reach, expected) in table {
        assert_eq!(outcome(url, resolved, *reach), *expected, "{url} {reach:?}");
    }
}

fn picture() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(RgbImage::new(30, 20))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// A server on this machine; its address ends with its port.
async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Whoever follows the redirect to it gets an image that was not to be had.
    let secret = || async { picture() };
    let announced = || async {
        // The length is refused before the first byte, which never comes.
        let nothing = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let length = [(header::CONTENT_LENGTH, "20000001")];
        (length, Body::from_stream(nothing))
    };
    let endless = || async {
        let piece = Bytes::from_static(&[0; 65_536]);
        let pieces = std::iter::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
        Body::from_stream(futures_util::stream::iter(pieces))
    };
    let router = Router::new()
        .route(
            "/picture.png",
            get(|| async { ([(header::CONTENT_TYPE, "text/html")], picture()) }),
        )
        .route(
            "/page",
            get(|| async { ([(header::CONTENT_TYPE, "image/png")], "<html></html>") }),
        )
        .route("/half", get(|| async { picture().split_off(20) }))
        .route("/gone", get(|| async { StatusCode::GONE }))
        .route("/broken", get(|| async { StatusCode::BAD_GATEWAY }))
        .route("/endless", get(endless))
        .route("/announced", get(announced))
        .route("/silent", get(std::future::pending::<()>))
        .route("/1", get(|| async { Redirect::temporary("/picture.png") }))
        .route("/2", get(|| async { Redirect::permanent("1") }))
        .route("/3", get(|| async { Redirect::to("./2") }))
        .route("/4", get(|| async { Redirect::to("/3") }))
        .route("/round", get(|| async { Redirect::to("/round") }))
        .route(
            "/to-metadata",
            get(|| async { Redirect::to("http://169.254.169.254/latest/") }),
        )
        .route(
            "/to-private",
            get(|| async { Redirect::to("https://10.0.0.1/") }),
        )
        .route(
            "/to-file",
            get(|| async { Redirect::to("file:///etc/passwd") }),
        )
        .route(
            "/to-credentials",
            get(move || async move { Redirect::to(&format!("http://a:b@{address}/secret")) }),
        )
        .route(
            "/nowhere",
            get(|| async { (StatusCode::FOUND, HeaderMap::new()) }),
        )
        .route("/secret", get(secret));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn what_servers_answer() {
    let server = server().await;
    let table = [
        ("/picture.png", "30x20"),
        ("/1", "30x20"),
        ("/2", "30x20"),
        ("/3", "30x20"),
        ("/4", "Refused(Redirects)"),
        ("/round", "Refused(Redirects)"),
        ("/to-metadata", "Refused(Address(169.254.169.254))"),
        ("/to-private", "Refused(Address(10.0.0.1))"),
        ("/to-file", "Refused(Scheme)"),
        ("/to-credentials", "Refused(Credentials)"),
        ("/nowhere", "Answered { status: 302 }"),
        ("/gone", "Answered { status: 410 }"),
        ("/broken", "Answered { status: 502 }"),
        ("/endless", "TooLarge"),
        ("/announced", "TooLarge"),
        ("/page", "NotAnImage(UnknownFormat)"),
        ("/half", "NotAnImage(UnknownFormat)"),
    ];
    for (path, expected) in table {
        let fetched = fetch(Reach::PublicAndLoopback, &format!("{server}{path}")).await;
        let outcome = match fetched {
            Ok(fetched) => {
                assert_eq!(fetched.inspected.format, ImageFormat::Png);
                fetched.inspected.size().to_string()
            }
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(outcome, expected, "{path}");
    }
}

#[tokio::test]
async fn a_name_that_stands_for_this_machine_is_followed_only_by_setting() {
    let server = server().await;
    let url = format!("{}/picture.png", server.replace("127.0.0.1", "localhost"));
    assert!(fetch(Reach::PublicAndLoopback, &url).await.is_ok());
    let url = url.replace("http:", "https:");
    let error = fetch(Reach::Public, &url).await.err().unwrap();
    assert!(
        matches!(error, FetchError::Refused(Refused::Address(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for() {
    let url = format!("{}/silent", server().await);
    let time = Duration::from_millis(100);
    let outcome = fetch_within(time, Reach::PublicAndLoopback, &url).await;
    let error = outcome.err().unwrap();
    assert!(matches!(error, FetchError::TooSlow) && error.may_pass());
}

#[tokio::test]
async fn nobody_there() {
    let begun = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = fetch(
        Reach::PublicAndLoopback,
        &format!("http://{address}/?token=s3cret"),
    )
    .await
    .err()
    .unwrap();
    assert!(matches!(&error, FetchError::NoAnswer(_)) && error.may_pass());
    assert!(!crate::telemetry::chain(&error).contains("s3cret"));
    assert!(begun.elapsed() < FETCH_TIME);
}

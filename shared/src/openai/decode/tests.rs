use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;

fn scan_in(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Scanned, Flaw> {
    let mut scanner = AnswerScanner::new(Limits::default(), 0);
    for piece in pieces {
        scanner.push(piece.as_ref())?;
    }
    Ok(scanner.finish())
}

fn scan(answer: &str) -> Result<Scanned, Flaw> {
    scan_in([answer])
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[test]
fn the_image_is_found_wherever_it_stands() {
    let image = b"any bytes \x00\xff\xfe will do";
    let text = STANDARD.encode(image);
    let escaped = text.replace('/', "\\/").replace('+', "\\u002b");
    let all_escaped: String = text.bytes().map(|b| format!("\\u{b:04X}")).collect();
    let broken_lines = format!("{}\\r\\n{}", &text[..9], &text[9..]);
    let answers = [
        format!(r#"{{"created":1,"data":[{{"b64_json":"{text}"}}],"usage":{{"input_tokens":1}}}}"#),
        format!(r#"{{"usage":{{"input_tokens":1}},"created":1,"data":[{{"b64_json":"{text}"}}]}}"#),
        format!("\n {{ \"data\" : [ {{ \"a\" : [1,{{}}] , \"b64_json\" : \"{text}\" }} ] }} \n"),
        format!(r#"{{"data":[{{"b64_json":"{escaped}"}}]}}"#),
        format!(r#"{{"data":[{{"b64_json":"{all_escaped}"}}]}}"#),
        format!(r#"{{"data":[{{"b64_json":"{broken_lines}"}}]}}"#),
        format!(r#"{{"d\u0061ta":[{{"b64\u005fjson":"{text}"}}]}}"#),
        format!(r#"{{"data":[{{"b64_json":"{text}"}},{{"b64_json":"AAAA"}}]}}"#),
        format!(r#"{{"data":[{{"b64_json":"{text}","b64_json":"AAAA"}}]}}"#),
        format!(
            r#"{{"b64_json":"AAAA","x":{{"data":[{{"b64_json":"AAAA"}}]}},"data":[{{"b64_json":"{text}"}}]}}"#
        ),
        format!(
            r#"{{"note":"\"data\":[{{\"b64_json\":\"AAAA\"}}]\\","data":[{{"b64_json":"{text}"}}]}}"#
        ),
        format!(
            r#"{{"data":[{{"b64_json":"{}"}}]}}"#,
            text.trim_end_matches('=')
        ),
    ];
    for answer in answers {
        let scanned = scan(&answer).unwrap();
        assert_eq!(scanned.image.as_deref(), Some(image.as_slice()), "{answer}");
        assert!(scanned.image_ended_well && scanned.closed, "{answer}");
        assert_eq!(scanned.sha256, sha256(image));
        let mut whole: Value = serde_json::from_str(&answer).unwrap();
        for entry in whole["data"].as_array_mut().unwrap() {
            if entry.get("b64_json").is_some() {
                entry["b64_json"] = json!("");
            }
        }
        assert_eq!(
            serde_json::from_slice::<Value>(&scanned.json).unwrap(),
            whole,
            "{answer}"
        );
    }
}

#[test]
fn answers_without_an_image() {
    let answers = [
        r#"{}"#,
        r#"{"data":[]}"#,
        r#"{"data":[{}]}"#,
        r#"{"data":[{"b64_json":null}]}"#,
        r#"{"data":[{"url":"x"}]}"#,
        r#"{"data":[{"url":"x"},{"b64_json":"AAAA"}]}"#,
        r#"{"data":{"b64_json":"AAAA"}}"#,
        r#"{"data":[[{"b64_json":"AAAA"}]]}"#,
    ];
    for answer in answers {
        let scanned = scan(answer).unwrap();
        assert!(scanned.image.is_none(), "{answer}");
        assert!(scanned.closed);
    }
}

#[test]
fn base64_that_is_none_is_noticed_and_the_rest_is_still_read() {
    for text in [
        "AA!A",
        "AA=A",
        "AAA=AAAA",
        "A",
        "AAAAA",
        "ÄÄÄÄ",
        "\\u00e4AAA",
        "\\uzzzzAAA",
    ] {
        let answer = format!(r#"{{"data":[{{"b64_json":"{text}"}}],"usage":7}}"#);
        for size in 1..5 {
            let scanned = scan_in(answer.as_bytes().chunks(size)).unwrap();
            assert!(!scanned.image_ended_well, "{text}");
            assert_eq!(
                serde_json::from_slice::<Value>(&scanned.json).unwrap()["usage"],
                7,
                "{text}"
            );
        }
    }
}

#[test]
fn what_is_no_json_object_is_refused_at_once() {
    for answer in [
        "<html></html>",
        "[1]",
        "\"data\"",
        "null",
        "}",
        "{} {}",
        "data: {}",
    ] {
        assert_eq!(scan(answer).err(), Some(Flaw::NotJson), "{answer}");
    }
    let deep = format!("{{\"a\":{}", "[".repeat(1000));
    assert_eq!(scan(&deep).err(), Some(Flaw::NotJson));
}

#[test]
fn a_cut_answer_is_not_closed() {
    let answer = r#"{"usage":{"input_tokens":1},"data":[{"b64_json":"QUJD"}]}"#;
    for end in 0..answer.len() {
        let scanned = scan(&answer[..end]).unwrap();
        assert!(!scanned.closed, "{end}");
        let image_ended = end > answer.rfind('"').unwrap();
        assert_eq!(scanned.image_ended_well, image_ended, "{end}");
    }
}

#[test]
fn sizes_are_limited() {
    let limits = Limits {
        image: 30,
        json: 100,
    };
    let run = |answer: String| AnswerScanner::new(limits, 1 << 40).push(answer.as_bytes());
    assert_eq!(
        run(format!(
            r#"{{"data":[{{"b64_json":"{}"}}]}}"#,
            "A".repeat(40)
        )),
        Ok(())
    );
    assert_eq!(
        run(format!(
            r#"{{"data":[{{"b64_json":"{}"}}]}}"#,
            "A".repeat(44)
        )),
        Err(Flaw::TooLarge)
    );
    assert_eq!(
        run(format!(r#"{{"note":"{}"}}"#, "A".repeat(100))),
        Err(Flaw::TooLarge)
    );
    // What is dropped is not counted.
    assert_eq!(
        run(format!(
            r#"{{"data":[{{}},{{"b64_json":"{}"}}]}}"#,
            "A".repeat(1000)
        )),
        Ok(())
    );
}

#[test]
fn memory_is_set_aside_once_when_the_size_is_known() {
    let image = vec![7_u8; 100_000];
    let answer = json!({"data": [{"b64_json": STANDARD.encode(&image)}]}).to_string();
    let mut scanner = AnswerScanner::new(Limits::default(), image.len() + 3);
    for piece in answer.as_bytes().chunks(1_001) {
        scanner.push(piece).unwrap();
    }
    let scanned = scanner.finish().image.unwrap();
    assert_eq!(scanned, image);
    assert_eq!(scanned.capacity(), image.len() + 3);
}

proptest! {
    #[test]
    fn how_the_answer_is_cut_makes_no_difference(
        image in prop::collection::vec(any::<u8>(), 0..300),
        escape_every in 1_usize..50,
        usage_first: bool,
        cuts in prop::collection::vec(1_usize..40, 1..30),
    ) {
        let text: String = STANDARD
            .encode(&image)
            .chars()
            .enumerate()
            .map(|(i, c)| if i % escape_every == 0 { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() })
            .collect();
        let data = format!(r#""data":[{{"b64_json":"{text}"}}]"#);
        let usage = r#""usage":{"input_tokens":1,"note":"a\\\"b"}"#;
        let answer =
            if usage_first { format!("{{{usage}, {data}}}") } else { format!("{{{data} ,{usage}}}") };
        let whole = scan(&answer).unwrap();
        let mut rest = answer.as_bytes();
        let mut sizes = cuts.iter().cycle();
        let pieces = std::iter::from_fn(|| {
            let size = (*sizes.next()?).min(rest.len());
            let (piece, after) = rest.split_at(size);
            rest = after;
            (!piece.is_empty()).then_some(piece)
        });
        let cut = scan_in(pieces).unwrap();
        prop_assert_eq!(whole.image.as_deref(), Some(image.as_slice()));
        prop_assert_eq!(cut.image, whole.image);
        prop_assert_eq!(cut.sha256, sha256(&image));
        prop_assert_eq!(cut.json, whole.json);
        prop_assert!(cut.closed && cut.image_ended_well);
    }

    #[test]
    fn nothing_makes_it_panic(pieces in prop::collection::vec("[\\[\\]{}:,\"\\\\a-z4_=]{0,20}", 0..30)) {
        let _ = scan_in(pieces);
    }

    #[test]
    fn no_bytes_in_the_image_make_it_panic(bytes: Vec<u8>, size in 1_usize..9) {
        let mut answer = br#"{"data":[{"b64_json":""#.to_vec();
        answer.extend(bytes);
        let _ = scan_in(answer.chunks(size));
    }
}

use super::*;
use crate::domain::fault::{Flaw, RetryHints};

const NOW: &str = "2026-11-20T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn answered(status: u16, code: &str) -> Fault {
    let code = (!code.is_empty()).then(|| code.to_owned());
    Fault::Answered(ErrorAnswer {
        status,
        code,
        ..Default::default()
    })
}

fn lost(at: LostAt) -> Fault {
    Fault::AnswerLost {
        at,
        cause: "reset",
        status: None,
        request_id: None,
    }
}

fn bad(flaw: Flaw, usage: Option<Usage>) -> Fault {
    Fault::BadAnswer {
        flaw,
        status: 200,
        request_id: None,
        usage,
    }
}

/// The rule for every failure: its class, what follows, what follows if the caller accepts to pay twice, and who pays.
#[test]
fn what_a_failure_means() {
    use FailureClass::{BadAnswer, Config, NotAccepted, Quota, Refused, Unknown};
    const REPEAT: Next = Next::Repeat { wait: None };
    let cases = [
        (
            Fault::NotConnected { cause: "refused" },
            NotAccepted,
            REPEAT,
            REPEAT,
            Billed::No,
        ),
        (answered(408, ""), NotAccepted, REPEAT, REPEAT, Billed::No),
        (answered(409, ""), NotAccepted, REPEAT, REPEAT, Billed::No),
        (
            answered(429, "rate_limit_exceeded"),
            NotAccepted,
            REPEAT,
            REPEAT,
            Billed::No,
        ),
        (
            answered(429, "slow_down"),
            NotAccepted,
            REPEAT,
            REPEAT,
            Billed::No,
        ),
        (answered(429, ""), NotAccepted, REPEAT, REPEAT, Billed::No),
        (
            answered(500, "server_error"),
            NotAccepted,
            REPEAT,
            REPEAT,
            Billed::No,
        ),
        (answered(502, ""), NotAccepted, REPEAT, REPEAT, Billed::No),
        (
            answered(503, "server_is_overloaded"),
            NotAccepted,
            REPEAT,
            REPEAT,
            Billed::No,
        ),
        (answered(504, ""), NotAccepted, REPEAT, REPEAT, Billed::No),
        (answered(529, ""), NotAccepted, REPEAT, REPEAT, Billed::No),
        (
            answered(400, "moderation_blocked"),
            Refused,
            Next::End,
            Next::End,
            Billed::No,
        ),
        (
            answered(400, "invalid_value"),
            Refused,
            Next::End,
            Next::End,
            Billed::No,
        ),
        (
            answered(400, "invalid_type"),
            Refused,
            Next::End,
            Next::End,
            Billed::No,
        ),
        (
            answered(400, "duplicate_parameter"),
            Refused,
            Next::End,
            Next::End,
            Billed::No,
        ),
        (
            answered(400, "invalid_image_file"),
            Refused,
            Next::End,
            Next::End,
            Billed::No,
        ),
        (answered(413, ""), Refused, Next::End, Next::End, Billed::No),
        (answered(422, ""), Refused, Next::End, Next::End, Billed::No),
        (
            Fault::NotSent {
                code: "invalid_value",
                message: "no".to_owned(),
            },
            Refused,
            Next::End,
            Next::End,
            Billed::No,
        ),
        (
            answered(400, "billing_hard_limit_reached"),
            Quota,
            Next::NextModel,
            Next::NextModel,
            Billed::No,
        ),
        (
            answered(429, "credit_balance_exhausted"),
            Quota,
            Next::NextModel,
            Next::NextModel,
            Billed::No,
        ),
        (
            answered(429, "project_spend_limit_exceeded"),
            Quota,
            Next::NextModel,
            Next::NextModel,
            Billed::No,
        ),
        (
            answered(429, "insufficient_quota"),
            Quota,
            Next::NextModel,
            Next::NextModel,
            Billed::No,
        ),
        (
            answered(429, "organization_usage_limit_exceeded"),
            Quota,
            Next::NextModel,
            Next::NextModel,
            Billed::No,
        ),
        (
            answered(402, ""),
            Quota,
            Next::NextModel,
            Next::NextModel,
            Billed::No,
        ),
        (
            answered(401, "invalid_api_key"),
            Config,
            Next::NextModel,
            Next::NextModel,
            Billed::No,
        ),
        (
            answered(403, ""),
            Config,
            Next::NextModel,
            Next::NextModel,
            Billed::No,
        ),
        (
            answered(404, "model_not_found"),
            Config,
            Next::NextModel,
            Next::NextModel,
            Billed::No,
        ),
        (
            answered(400, "model_not_found"),
            Config,
            Next::NextModel,
            Next::NextModel,
            Billed::No,
        ),
        (
            Fault::Misconfigured { message: "no" },
            Config,
            Next::NextModel,
            Next::NextModel,
            Billed::No,
        ),
        (
            answered(302, ""),
            Config,
            Next::NextModel,
            Next::NextModel,
            Billed::No,
        ),
        (
            lost(LostAt::BeforeHeaders),
            Unknown,
            Next::End,
            REPEAT,
            Billed::Unknown,
        ),
        (
            lost(LostAt::InBody),
            Unknown,
            Next::End,
            REPEAT,
            Billed::Unknown,
        ),
        (
            bad(Flaw::Truncated, None),
            BadAnswer,
            Next::End,
            REPEAT,
            Billed::Unknown,
        ),
        (
            bad(Flaw::NotJson, None),
            BadAnswer,
            Next::End,
            REPEAT,
            Billed::Unknown,
        ),
        (
            bad(Flaw::Empty, Some(Usage::default())),
            BadAnswer,
            Next::End,
            REPEAT,
            Billed::Yes,
        ),
        (
            bad(Flaw::NotAnImage, Some(Usage::default())),
            BadAnswer,
            Next::End,
            REPEAT,
            Billed::Yes,
        ),
        (
            bad(Flaw::TooLarge, None),
            BadAnswer,
            Next::End,
            REPEAT,
            Billed::Unknown,
        ),
    ];
    for (fault, class, next, next_if_unknown_is_fine, billed) in cases {
        let failure = classify(fault.clone(), now());
        assert_eq!(failure.class, class, "{fault:?}");
        assert_eq!(failure.next(false), next, "{fault:?}");
        assert_eq!(failure.next(true), next_if_unknown_is_fine, "{fault:?}");
        assert_eq!(failure.billed, billed, "{fault:?}");
        assert_eq!(failure.own_fault(), class == Refused, "{fault:?}");
        assert_eq!(failure.retryable, class == NotAccepted, "{fault:?}");
        assert!(
            !failure.code.is_empty() && !failure.message.is_empty(),
            "{fault:?}"
        );
    }
}

#[test]
fn when_to_try_again() {
    // x-should-retry, retry-after-ms, retry-after, expected wait in ms, whether the run repeats
    let cases = [
        (None, None, None, None, true),
        (None, None, Some("7"), Some(7_000), true),
        (None, None, Some("1.5"), Some(1_500), true),
        (None, Some("250"), Some("7"), Some(250), true),
        (None, Some("soon"), Some("7"), Some(7_000), true),
        (
            None,
            None,
            Some("Fri, 20 Nov 2026 12:00:30 GMT"),
            Some(30_000),
            true,
        ),
        (
            None,
            None,
            Some("Fri, 20 Nov 2026 11:00:00 GMT"),
            Some(0),
            true,
        ),
        (None, None, Some("120"), Some(120_000), true),
        (None, None, Some("121"), Some(121_000), false),
        (None, Some("120001"), None, Some(120_001), false),
        (
            None,
            None,
            Some("Fri, 20 Nov 2026 13:00:00 GMT"),
            Some(3_600_000),
            false,
        ),
        (None, None, Some("-1"), None, true),
        (None, None, Some("NaN"), None, true),
        (None, None, Some("1e300"), None, true),
        (None, None, Some("tomorrow"), None, true),
        (Some("false"), None, Some("1"), Some(1_000), false),
        (Some("true"), None, None, None, true),
        (Some("true"), None, Some("600"), Some(600_000), false),
        (Some("maybe"), None, None, None, true),
    ];
    for (should_retry, retry_after_ms, retry_after, wait_ms, repeats) in cases {
        let hints = RetryHints {
            should_retry: should_retry.map(str::to_owned),
            retry_after_ms: retry_after_ms.map(str::to_owned),
            retry_after: retry_after.map(str::to_owned),
        };
        let fault = Fault::Answered(ErrorAnswer {
            status: 429,
            hints: hints.clone(),
            ..Default::default()
        });
        let failure = classify(fault, now());
        let wait = wait_ms.map(Duration::from_millis);
        assert_eq!(failure.retry_after, wait, "{hints:?}");
        let expected = if repeats {
            Next::Repeat { wait }
        } else {
            Next::NextModel
        };
        assert_eq!(failure.next(false), expected, "{hints:?}");
    }
}

#[test]
fn should_retry_does_not_overrule_a_known_refusal() {
    let told_to_retry = |status, code: Option<&str>| {
        let hints = RetryHints {
            should_retry: Some("true".to_owned()),
            ..Default::default()
        };
        let answer = ErrorAnswer {
            status,
            code: code.map(str::to_owned),
            hints,
            ..Default::default()
        };
        classify(Fault::Answered(answer), now()).next(false)
    };
    assert_eq!(told_to_retry(400, Some("moderation_blocked")), Next::End);
    assert_eq!(
        told_to_retry(429, Some("insufficient_quota")),
        Next::NextModel
    );
    assert_eq!(told_to_retry(401, None), Next::NextModel);
    assert_eq!(told_to_retry(425, None), Next::Repeat { wait: None });
}

#[test]
fn messages_are_safe_to_show() {
    let cases = [
        (
            400,
            "Your request was rejected by the safety system.",
            "Your request was rejected by the safety system.",
        ),
        (
            400,
            "Bad key \"sk-proj-abc123\" of org-Xy12, project proj_9.",
            "Bad key […] of […] project […]",
        ),
        (400, "", "The image model refused the request."),
        (
            401,
            "Incorrect API key provided: sk-abc",
            "The image model's vendor does not accept the configured key.",
        ),
        (
            429,
            "Rate limit reached in organization org-x",
            "The image model's vendor has too many requests from us at the moment.",
        ),
        (500, "stack trace", "The image model's vendor had an error."),
    ];
    for (status, message, shown) in cases {
        let answer = ErrorAnswer {
            status,
            message: Some(message.to_owned()),
            ..Default::default()
        };
        assert_eq!(classify(Fault::Answered(answer), now()).message, shown);
    }
    let long = ErrorAnswer {
        status: 400,
        message: Some("ä".repeat(2_000)),
        ..Default::default()
    };
    assert_eq!(
        classify(Fault::Answered(long), now())
            .message
            .chars()
            .count(),
        501
    );
}

#[test]
fn a_refusal_by_moderation_keeps_stage_and_categories() {
    let details = json!({"moderation_stage": "output", "categories": ["violence"]});
    let failure = classify(
        Fault::Answered(ErrorAnswer {
            status: 400,
            code: Some("moderation_blocked".to_owned()),
            kind: Some("image_generation_user_error".to_owned()),
            moderation_details: Some(details.clone()),
            request_id: Some("req_1".to_owned()),
            ..Default::default()
        }),
        now(),
    );
    assert_eq!(failure.code, "moderation_blocked");
    assert_eq!(failure.request_id.as_deref(), Some("req_1"));
    assert_eq!(
        failure.meta,
        Some(json!({"type": "image_generation_user_error", "moderation_details": details}))
    );
}

#[test]
fn codes_where_the_vendor_gives_none_or_a_strange_one() {
    let cases = [
        (401, None, "", "invalid_api_key"),
        (
            403,
            None,
            "Your organization must be verified to use the model",
            "organization_not_verified",
        ),
        (403, None, "", "forbidden"),
        (429, None, "", "rate_limit_exceeded"),
        (500, Some("<b>oh</b>"), "", "server_error"),
        (400, None, "", "invalid_request"),
        (301, None, "", "unexpected_status"),
    ];
    for (status, code, message, expected) in cases {
        let answer = ErrorAnswer {
            status,
            code: code.map(str::to_owned),
            message: Some(message.to_owned()),
            ..Default::default()
        };
        assert_eq!(classify(Fault::Answered(answer), now()).code, expected);
    }
}

#[test]
fn billed_is_one_word() {
    let words = [
        (Billed::Yes, "yes"),
        (Billed::No, "no"),
        (Billed::Unknown, "unknown"),
    ];
    for (billed, word) in words {
        assert_eq!(serde_json::to_value(billed).unwrap(), json!(word));
    }
}

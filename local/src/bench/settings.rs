//! The settings that functions are measured with.

use std::collections::BTreeMap;

/// Every setting that has no default, with nothing behind it: for start-ups, in which nothing may be connected.
#[must_use]
pub fn unreachable() -> BTreeMap<String, String> {
    // Port 9 is `discard`: nothing listens there.
    let nowhere = "http://127.0.0.1:9";
    let settings = [
        ("ABLY_API_KEY", "bench.key:secret".to_owned()),
        ("ABLY_BASE_URL", nowhere.to_owned()),
        ("ANONYMOUS_GENERATION", "on".to_owned()),
        ("AWS_ENDPOINT_URL_SQS", nowhere.to_owned()),
        (
            "DATABASE_URL",
            "postgres://bench:bench@127.0.0.1:9/bench".to_owned(),
        ),
        (
            "GENERATION_QUEUE_URL",
            format!("{nowhere}/000000000000/runs"),
        ),
        ("OPENAI_API_KEY", "sk-bench".to_owned()),
        ("OPENAI_BASE_URL", format!("{nowhere}/v1")),
        ("PUBLIC_URL", "http://127.0.0.1:9000".to_owned()),
        ("SUPABASE_SECRET_KEY", "sb_secret_bench".to_owned()),
        ("SUPABASE_URL", nowhere.to_owned()),
    ];
    let owned = settings.map(|(name, value)| (name.to_owned(), value));
    owned.into()
}

//! The queues, as whoever's credentials are in the settings.

use shared::{config::groups, telemetry::chain};

use super::{Case, Finding, Findings, right, wrong};

const SUBJECT: &str = "queue";

pub(super) async fn examine(case: &Case<'_>) -> Findings {
    let queue = match case.read(SUBJECT, |reader| Some(groups::queue(reader))) {
        Ok(queue) => queue,
        Err(findings) => return findings,
    };
    let mut findings = Vec::new();
    for (name, what) in [
        ("GENERATION_QUEUE_URL", "runs wait"),
        ("GENERATION_DEAD_LETTER_QUEUE_URL", "dead letters"),
    ] {
        let Some(url) = case.get(name) else { continue };
        findings.push(judge(
            name,
            what,
            queue.depth(url).await.map_err(|error| chain(&error)),
        ));
    }
    findings
}

fn judge(name: &str, what: &str, depth: Result<u64, String>) -> Finding {
    match depth {
        Ok(depth) => right(SUBJECT, format!("{name}: {depth} {what}")),
        Err(error) => wrong(SUBJECT, format!("{name}: {error}")),
    }
}

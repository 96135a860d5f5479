//! A run as a page sees it live, with Ably's own client.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, World, send},
    javascript::{Script, can_run},
};

/// The client of a page whose user has this token; none for a page where nobody is signed in.
fn page(world: &World, token: Option<&str>, settings: &[(&str, &str)]) -> Script {
    let ready = world.stack.ready();
    let auth_url = format!("{}/api/realtime/token", ready.api_url);
    let mut all = vec![
        ("ABLY_URL", ready.ably_url.as_str()),
        ("AUTH_URL", &auth_url),
    ];
    if let Some(token) = token {
        all.push(("AUTH_HEADER", token));
    }
    all.extend(settings);
    Script::start("subscribe.mjs", &all)
}

/// What the messages of one run are: name, attempt's number and status.
fn story(lines: &[Value], run_id: &str) -> Vec<String> {
    let messages = lines
        .iter()
        .filter(|line| line["event"] == "message" && line["data"]["runId"] == run_id);
    messages
        .map(|message| {
            let data = &message["data"];
            assert_eq!(message["name"], data["type"], "{message}");
            assert_eq!(
                message["id"],
                format!("{run_id}-{}", data["sequence"]),
                "{message}"
            );
            let name = data["type"].as_str().unwrap();
            let words = [&data["attempt"], &data["status"]];
            let words = words.iter().filter(|word| !word.is_null());
            words.fold(name.to_owned(), |text, word| {
                format!("{text} {}", word.to_string().trim_matches('"'))
            })
        })
        .collect()
}

const WHOLE_STORY: [&str; 4] = [
    "ai.image.run.started",
    "ai.image.run.attempt 1 started",
    "ai.image.run.attempt 1 succeeded",
    "ai.image.run.completed succeeded",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_sees_a_run_in_order_and_nobody_elses() {
    if !can_run(Some("ably")) {
        return;
    }
    let world = World::start(&[]).await;
    let ready = world.stack.ready();
    let channel = format!("ai:image:{}", ready.user.id);

    // Live, on the channel that the token endpoint names.
    let mut live = page(&world, Some(&ready.user.token), &[("EXPECT", "4")]);
    live.until(|line| line["event"] == "channel" && line["state"] == "attached")
        .await;
    let made = world
        .generate(json!({"prompt": "a red bicycle", "resolution": "1K", "asset_kind": "avatar", "style": "sketch"}))
        .await;
    assert_eq!(made.status, 200, "{made:#?}");
    let run_id = made.body["run_id"].as_str().unwrap();
    let (lines, status) = live.rest().await;
    assert_eq!(story(&lines, run_id), WHOLE_STORY, "{lines:#?}");
    assert_eq!(status, Some(0));
    check_fields(&lines, &made);

    // Late, with the past; the other way to ask for tokens.
    let settings = [
        ("EXPECT", "4"),
        ("REWIND", "2m"),
        ("AUTH_METHOD", "GET"),
        ("CHANNEL", channel.as_str()),
    ];
    let (lines, status) = page(&world, Some(&ready.user.token), &settings)
        .rest()
        .await;
    assert_eq!(story(&lines, run_id), WHOLE_STORY, "{lines:#?}");
    assert_eq!(status, Some(0));

    // Another user's token does not open the channel, and nobody's token publishes.
    let (lines, status) = page(&world, Some(&ready.other_user.token), &settings)
        .rest()
        .await;
    assert_eq!(status, Some(1));
    let refused = |line: &Value| line["where"] == "channel" && line["code"] == 40160;
    assert!(lines.iter().any(refused), "{lines:#?}");
    assert!(lines.iter().all(|line| line["event"] != "message"));
    let settings = [("EXPECT", "0"), ("PUBLISH", "ai.image.run.completed")];
    let (lines, _) = page(&world, Some(&ready.user.token), &settings)
        .rest()
        .await;
    let refused = |line: &Value| line["where"] == "publish" && line["code"] == 40160;
    assert!(lines.iter().any(refused), "{lines:#?}");

    // The log tells the same story as the channel.
    let log = world.get(&format!("/ai/runs/{run_id}/events")).await.body;
    let logged: Vec<_> = log["events"].as_array().unwrap().iter().collect();
    assert_eq!(logged.len(), 4);
    let published = "select count(*) from ai_image_run_events where published_at is not null";
    assert_eq!(world.value(published).await.as_deref(), Some("4"));
}

/// The fields that pages read, nulls among them.
fn check_fields(lines: &[Value], made: &Answer) {
    let data = |name: &str, status: Option<&str>| {
        let is_it = |data: &&Value| {
            data["type"] == name && status.is_none_or(|status| data["status"] == status)
        };
        let mut all = lines.iter().map(|line| &line["data"]);
        all.rfind(is_it).unwrap().clone()
    };
    let keys = |data: &Value| {
        let mut keys: Vec<_> = data.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys.join(" ")
    };
    let started = data("ai.image.run.started", None);
    assert_eq!(
        keys(&started),
        "assetKind at mode options resolvedPrompt runId sequence stylePreset type userPrompt"
    );
    assert_eq!(started["userPrompt"], "a red bicycle");
    assert_eq!(started["resolvedPrompt"], made.body["prompt_used"]);
    assert_eq!(started["assetKind"], "avatar");
    assert_eq!(started["mode"], "generate");
    assert_eq!(started["stylePreset"], "sketch");
    assert_eq!(started["options"]["resolution"], "1K");
    let attempt = data("ai.image.run.attempt", Some("succeeded"));
    assert_eq!(
        keys(&attempt),
        "at attempt errorCode errorMessage model runId sequence status type"
    );
    assert_eq!(attempt["errorCode"], Value::Null);
    let completed = data("ai.image.run.completed", None);
    assert_eq!(
        keys(&completed),
        "at errorCode errorMessage imageId imageUrl runId sequence status type"
    );
    assert_eq!(completed["imageUrl"], made.body["image_url"]);
    assert_eq!(completed["imageId"], made.body["id"]);
    assert_eq!(completed["errorMessage"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_where_nobody_is_signed_in_sees_its_own_run() {
    let world = World::start(&[]).await;
    let make = || {
        let body = json!({"prompt": "a red bicycle", "resolution": "1K"}).to_string();
        send(world.anonymous(Method::POST, "/ai/generate").body(body))
    };
    let (made, other) = (make().await, make().await);
    let run_id = made.body["run_id"].as_str().unwrap();
    let channel = format!("ai:image:run:{run_id}");
    let form =
        format!("clientId=somebody&run_id={run_id}&capability=%7B%22*%22%3A%5B%22*%22%5D%7D");
    check_grants(&world, run_id, &channel, &form).await;

    if !can_run(Some("ably")) {
        return;
    }
    let ready = world.stack.ready();
    let url = format!("{}/api/realtime/token", ready.api_url);
    let with_query = format!("{url}?run_id={run_id}");
    let parameter = format!("run_id={run_id}");
    let common = [
        ("EXPECT", "4"),
        ("REWIND", "2m"),
        ("CHANNEL", channel.as_str()),
    ];
    for settings in [
        // As authUrl's own query, and as authParams that the client sends as a query or as a form.
        vec![("AUTH_URL", with_query.as_str()), ("AUTH_METHOD", "GET")],
        vec![("AUTH_PARAMS", parameter.as_str()), ("AUTH_METHOD", "GET")],
        vec![("AUTH_PARAMS", parameter.as_str()), ("AUTH_METHOD", "POST")],
    ] {
        let settings = [&common[..], &settings].concat();
        let (lines, status) = page(&world, None, &settings).rest().await;
        assert_eq!(
            story(&lines, run_id),
            WHOLE_STORY,
            "{settings:?} {lines:#?}"
        );
        assert_eq!(status, Some(0));
    }
    let others = format!("ai:image:run:{}", other.body["run_id"].as_str().unwrap());
    let settings = [
        ("AUTH_URL", with_query.as_str()),
        ("AUTH_METHOD", "GET"),
        ("CHANNEL", &others),
    ];
    let (lines, status) = page(&world, None, &settings).rest().await;
    assert_eq!(status, Some(1), "{lines:#?}");
}

/// Who gets a token for which channel, and for which none.
async fn check_grants(world: &World, run_id: &str, channel: &str, form: &str) {
    let ready = world.stack.ready();
    let token = "/api/realtime/token";
    let user_channel = format!("ai:image:{}", ready.user.id);
    let by_form = world
        .anonymous(Method::POST, token)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.to_owned());
    let by_form = Answer::of(by_form.send().await.unwrap()).await;
    let query = format!("{token}?run_id={run_id}");
    for (what, answer, channel, client) in [
        (
            "GET",
            world.get(token).await,
            user_channel.as_str(),
            ready.user.id.as_str(),
        ),
        (
            "POST",
            send(world.user(Method::POST, token)).await,
            &user_channel,
            &ready.user.id,
        ),
        (
            "a user's run_id",
            world.get(&query).await,
            &user_channel,
            &ready.user.id,
        ),
        (
            "run_id",
            send(world.anonymous(Method::GET, &query)).await,
            channel,
            &format!("run:{run_id}"),
        ),
        ("a form", by_form, channel, &format!("run:{run_id}")),
    ] {
        assert_eq!(answer.status, 200, "{what} {answer:#?}");
        assert_eq!(answer.header("cache-control"), "no-store", "{what}");
        let body = &answer.body;
        let capability = json!({channel: ["subscribe"]});
        let as_json = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
        assert_eq!(as_json(&body["capability"]), capability, "{what}");
        let hour = body["expires"].as_i64().unwrap() - body["issued"].as_i64().unwrap();
        let expected = json!({
            "provider": "ably", "token": body["token"], "issued": body["issued"], "expires": body["expires"],
            "capability": body["capability"], "clientId": client, "channel": channel, "environment": null,
        });
        assert_eq!((body, hour), (&expected, 3_600_000), "{what}");
        let claims = body["token"].as_str().unwrap().split('.').nth(1).unwrap();
        let claims: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(as_json(&claims["x-ably-capability"]), capability, "{what}");
        assert_eq!(claims["x-ably-clientId"], client, "{what}");
    }

    let unknown = "5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e";
    let of_user = world
        .begin(json!({"prompt": "a", "resolution": "1K"}))
        .await;
    let two = format!("?run_id={run_id}&run_id={unknown}");
    for (run_id, status) in [
        ("", 401),
        ("?run_id=", 401),
        ("?run_id=7", 400),
        (&two, 400),
    ] {
        let answer = send(world.anonymous(Method::POST, &format!("{token}{run_id}"))).await;
        answer.problem_fields(status);
    }
    for run_id in [unknown, &of_user] {
        let path = format!("{token}?run_id={run_id}");
        let answer = send(world.anonymous(Method::GET, &path)).await;
        assert_eq!(answer.problem_fields(404), ["run_id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_realtime_runs_end_all_the_same() {
    let world = World::start(&[("REALTIME", "off"), ("ABLY_API_KEY", "")]).await;
    let body = json!({"prompt": "a", "resolution": "1K", "quality": "low"});
    let made = world.generate(body).await;
    assert_eq!(made.status, 200, "{made:#?}");
    let answer = world.get("/api/realtime/token").await;
    answer.problem_fields(404);
    assert_eq!(answer.body["code"], "realtime-off");
    let run_id = made.body["run_id"].as_str().unwrap();
    let log = world.get(&format!("/ai/runs/{run_id}/events")).await.body;
    assert_eq!(log["events"].as_array().unwrap().len(), 4);
}

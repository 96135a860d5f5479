//! `cargo dev` itself: what it prints and writes, and that it leaves its data and nothing else.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use local::stack::Ready;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::harness::{Answer, functions, http_client};

/// Building what is not built yet takes its time.
const START_LIMIT: Duration = Duration::from_secs(300);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A running `cargo dev`.
struct Dev {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    ready: Ready,
    took: Duration,
}

fn command(directory: &Path, more: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["dev", "--port", "0", "--data-dir"])
        .arg(directory.join("data"))
        .args(more)
        // A database of somebody else is none of this test's.
        .env_remove("DATABASE_URL")
        .env("ANONYMOUS_HISTORY", "none")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Dev {
    async fn start(directory: &Path) -> Self {
        let (ready_file, env_file) = (directory.join("ready.json"), directory.join("env"));
        let begun = Instant::now();
        let mut process = command(directory, &["--ready-file"])
            .arg(&ready_file)
            .arg("--write-env")
            .arg(&env_file)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        while !ready_file.exists() {
            assert!(begun.elapsed() < START_LIMIT, "no ready file");
            assert_eq!(process.try_wait().unwrap(), None);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = begun.elapsed();
        let ready = std::fs::read(&ready_file).unwrap();
        Self {
            process,
            lines,
            ready: serde_json::from_slice(&ready).unwrap(),
            took,
        }
    }

    /// The first line that begins like this.
    async fn line(&mut self, beginning: &str) -> String {
        loop {
            let line = self.lines.next_line().await.unwrap().unwrap();
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    /// Stops it as a supervisor does (TERM), or somebody at the keyboard (INT).
    async fn stop(mut self, signal: &str) {
        let pid = self.process.id().unwrap().to_string();
        let kill = Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .await;
        assert!(kill.unwrap().success());
        let ended = tokio::time::timeout(STOP_LIMIT, self.process.wait()).await;
        assert!(ended.expect("it stops").unwrap().success());
    }
}

async fn get(url: &str, token: &str) -> Answer {
    let request = http_client().get(url).bearer_auth(token);
    Answer::of(request.send().await.unwrap()).await
}

fn answers(url: &str) -> bool {
    let (_, address) = url.split_once("://").unwrap();
    let address = address.split_once('@').map_or(address, |(_, host)| host);
    let address = address.split('/').next().unwrap();
    std::net::TcpStream::connect(address).is_ok()
}

fn is_alive(pid: &Value) -> bool {
    Path::new(&format!("/proc/{pid}/exe")).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_serves_everything_and_a_second_start_finds_the_data() {
    // Together with the other tests' build, not beside it.
    functions().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(directory.path()).await;
    let ready = dev.ready.clone();
    let greeting = dev.line("Darkroom is ready").await;
    assert!(greeting.ends_with(&ready.api_url), "{greeting}");

    // The ready file, to the letter.
    let file = std::fs::read(directory.path().join("ready.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let mut fields: Vec<_> = file
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields.join(" "),
        "ably_url api_url database_url lambda_url openai_url other_user queue_url storage_url supabase_url user"
    );
    for user in [&file["user"], &file["other_user"]] {
        assert!(user["id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
        assert_eq!(user["token"].as_str().unwrap().split('.').count(), 3);
    }

    dev.line("A test user's token").await;
    assert_eq!(dev.line("ey").await, ready.user.token);

    // The line that it prints is for a shell.
    let curl = dev.line("curl ").await;
    let output = Command::new("sh")
        .args(["-c", &curl])
        .output()
        .await
        .unwrap();
    let image = made(&curl, &output, &ready).await;
    assert_eq!(
        (&image["width"], &image["height"]),
        (&json!(2048), &json!(2048))
    );
    let picture = http_client().get(image["image_url"].as_str().unwrap());
    let picture = picture.send().await.unwrap().bytes().await.unwrap();
    let picture = image::load_from_memory(&picture).unwrap();
    assert_eq!((picture.width(), picture.height()), (2048, 2048));

    // Settings of its own environment reach the functions, and the file for other fronts.
    let anonymous = http_client().get(format!("{}/ai/generated-images", ready.api_url));
    assert_eq!(anonymous.send().await.unwrap().status(), 401);
    let env = std::fs::read_to_string(directory.path().join("env")).unwrap();
    for line in [
        "ANONYMOUS_HISTORY=none",
        "RESPONSE_MODE=buffered",
        &format!("SUPABASE_URL={}", ready.supabase_url),
    ] {
        assert!(env.lines().any(|own| own == line), "{line} {env}");
    }

    // Two in one directory would write the same files.
    let second = command(directory.path(), &[])
        .stderr(Stdio::piped())
        .output()
        .await
        .unwrap();
    let words = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success());
    let errors: Vec<_> = words
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert!(
        matches!(errors[..], [one] if one.contains("in use")),
        "{words}"
    );

    let instances = get(&format!("{}/_instances", ready.lambda_url), "").await;
    let pids: Vec<_> = instances
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|instance| instance["pid"].clone())
        .collect();
    assert!(pids.len() >= 2 && pids.iter().all(is_alive), "{pids:?}");
    dev.stop("TERM").await;
    let urls = [
        &ready.api_url,
        &ready.lambda_url,
        &ready.database_url,
        &ready.supabase_url,
        &ready.openai_url,
        &ready.ably_url,
        &ready.queue_url,
    ];
    assert!(!urls.into_iter().any(|url| answers(url)));
    assert!(!pids.iter().any(is_alive));
    assert!(!directory.path().join("ready.json").exists());

    // The second start: same users, same records, same pictures.
    let dev = Dev::start(directory.path()).await;
    println!(
        "a second start took {} ms, cargo's own look at the sources included",
        dev.took.as_millis()
    );
    let again = dev.ready.clone();
    assert_eq!(
        (&again.user.id, &again.database_url),
        (&ready.user.id, &ready.database_url)
    );
    let history = get(
        &format!("{}/ai/generated-images", again.api_url),
        &ready.user.token,
    )
    .await;
    assert_eq!(history.body["images"][0]["id"], image["id"], "{history:#?}");
    let picture = http_client().get(image["image_url"].as_str().unwrap());
    assert_eq!(picture.send().await.unwrap().status(), 200);
    dev.stop("INT").await;
}

/// What the printed line made; without curl, the same request.
async fn made(curl: &str, output: &Output, ready: &Ready) -> Value {
    if output.status.code() == Some(127) {
        println!("skipped: curl is missing");
        let request = http_client()
            .post(format!("{}/ai/generate", ready.api_url))
            .bearer_auth(&ready.user.token)
            .body(json!({"prompt": "a lighthouse at dusk"}).to_string());
        return Answer::of(request.send().await.unwrap()).await.body;
    }
    assert!(output.status.success(), "{curl} {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

//! Starts a function's process and passes its output on.

use std::{process::Stdio, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader, Split},
    process::{Child, Command},
};

use super::{ACCOUNT, FunctionOptions, REGION, instance::Instance, logs::Logs};

/// What a process may know of ours: nothing that could be a setting.
const INHERITED: [&str; 7] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "RUST_BACKTRACE",
    "LLVM_PROFILE_FILE",
];

/// Longer than any start of a process whose settings are wrong; what comes after this many lines is passed on at once.
const HELD_LINES: usize = 200;

/// Starts a process that polls the runtime API at `runtime_api`.
pub(super) fn spawn(options: &FunctionOptions, runtime_api: &str) -> Result<Child, String> {
    let Some(binary) = &options.binary else {
        return Err(format!("there is no binary of {} to run", options.name));
    };
    let mut command = Command::new(binary);
    command.env_clear();
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let name = &options.name;
    command
        .env("TZ", ":UTC")
        .env("_HANDLER", "bootstrap")
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env(
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            options.memory_mb.to_string(),
        )
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "local")
        .envs(&options.environment)
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal is for us, and we end them in order.
        .process_group(0)
        .kill_on_drop(true);
    command
        .spawn()
        .map_err(|error| format!("{} cannot be run: {error}", binary.display()))
}

/// The function's ARN.
pub(super) fn arn(function: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}")
}

/// Passes the process' output on, line by line. What comes before it is ready is held until then: of processes that
/// end at start with the same words, one is enough.
pub(super) async fn pass_output(
    stdout: impl AsyncRead + Unpin,
    stderr: impl AsyncRead + Unpin,
    instance: Arc<Instance>,
    logs: Arc<Logs>,
) {
    let function = instance.function();
    let mut ready = instance.ready();
    let mut stdout = Some(BufReader::new(stdout).split(b'\n'));
    let mut stderr = Some(BufReader::new(stderr).split(b'\n'));
    let mut held = Some(Vec::new());
    while stdout.is_some() || stderr.is_some() {
        let line = tokio::select! {
            line = next_line(&mut stdout) => line,
            line = next_line(&mut stderr) => line,
            _ = ready.wait_for(|ready| *ready), if held.is_some() => {
                write_all(&logs, function, held.take());
                continue;
            }
        };
        let Some(line) = line else { continue };
        match &mut held {
            None => logs.line(function, &line),
            Some(lines) => {
                lines.push(line);
                if lines.len() >= HELD_LINES {
                    write_all(&logs, function, held.take());
                }
            }
        }
    }
    if let Some(lines) = held
        && instance.is_news(&lines)
    {
        write_all(&logs, function, Some(lines));
    }
}

fn write_all(logs: &Logs, function: &str, lines: Option<Vec<String>>) {
    for line in lines.into_iter().flatten() {
        logs.line(function, &line);
    }
}

/// The next line; `None`, and the stream forgotten, at its end. Never anything for a stream that has ended.
async fn next_line<R: AsyncRead + Unpin>(
    lines: &mut Option<Split<BufReader<R>>>,
) -> Option<String> {
    let Some(open) = lines else {
        return std::future::pending().await;
    };
    let Ok(Some(line)) = open.next_segment().await else {
        *lines = None;
        return None;
    };
    Some(String::from_utf8_lossy(&line).into_owned())
}

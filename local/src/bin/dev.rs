//! `cargo dev`: the whole of Darkroom on this machine.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it says is for the person who started it"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use local::{
    binaries::{Binaries, Profile},
    lambda::LogOptions,
    stack::{DatabaseChoice, Stack, StackOptions, Vendor, settings},
    template::Template,
};
use tokio::signal::unix::{SignalKind, signal};

/// Runs Postgres, stand-ins for OpenAI, Supabase and Ably, SQS, and the functions as Lambda and API Gateway would run
/// them. Settings in its environment (LEASE_S, ANONYMOUS_HISTORY, …) reach the functions.
#[derive(Debug, Parser)]
#[command(name = "cargo dev")]
struct Arguments {
    /// The API's port.
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// Where everything is kept from one start to the next; `.darkroom` in the workspace when there is none.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Writes where everything is, as JSON, once the first request would be answered.
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// `live` needs OPENAI_API_KEY.
    #[arg(long, value_enum, default_value = "stand-in")]
    openai: Vendor,
    /// `live` needs SUPABASE_URL, SUPABASE_SECRET_KEY and DATABASE_URL.
    #[arg(long, value_enum, default_value = "stand-in")]
    supabase: Vendor,
    /// `live` needs ABLY_API_KEY.
    #[arg(long, value_enum, default_value = "stand-in")]
    ably: Vendor,
    /// Writes the functions' settings for `cargo lambda watch --env-file PATH`.
    #[arg(long)]
    write_env: Option<PathBuf>,
    /// Starts only what functions need, for functions that run elsewhere: `cargo lambda watch`, an emulator.
    #[arg(long)]
    stand_ins_only: bool,
    /// Builds the functions as they are deployed.
    #[arg(long)]
    release: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .without_time()
        .with_target(false)
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(file) = &arguments.ready_file {
        remove(file)?;
    }
    let options = options(&arguments)?;
    let stand_ins_only = options.stand_ins_only;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;

    let stack = tokio::select! {
        started = Stack::start(options) => started?,
        // What has been started ends with the future that started it.
        _ = interrupted.recv() => return Ok(()),
        _ = terminated.recv() => return Ok(()),
    };
    for function in stack.missing_functions() {
        eprintln!(
            "template.yaml names the function {function}, which is not in this workspace; its routes answer 502"
        );
    }
    if let Some(file) = &arguments.write_env {
        settings::write_env(stack.settings(), file)?;
    }
    if let Some(file) = &arguments.ready_file {
        stack.ready().write(file)?;
    }
    match stand_ins_only {
        true => println!("What functions need is ready; Ctrl-C stops it, the data stays."),
        false => greet(&stack),
    }

    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    if let Some(file) = &arguments.ready_file {
        remove(file)?;
    }
    stack.stop().await
}

fn options(arguments: &Arguments) -> anyhow::Result<StackOptions> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let workspace = workspace
        .canonicalize()
        .context("the workspace that this was built in has gone")?;
    let data_dir = match &arguments.data_dir {
        Some(data_dir) => std::path::absolute(data_dir)?,
        None => workspace.join(".darkroom"),
    };
    let mut options = StackOptions::new(&data_dir);
    options.workspace = workspace;
    let template = Template::read(&options.workspace.join("template.yaml"))?;
    let mut names = settings::passed_on(&template);
    for (vendor, its_names) in [
        (arguments.openai, &settings::OPENAI[..]),
        (arguments.supabase, &settings::SUPABASE),
        (arguments.ably, &settings::ABLY),
    ] {
        // A stand-in is not told of a real key, nor is it left for one by chance.
        if vendor == Vendor::Live {
            names.extend(its_names.iter().map(|&name| name.to_owned()));
        }
    }
    let database_url = set_variable("DATABASE_URL");
    options.port = arguments.port;
    options.openai = arguments.openai;
    options.supabase = arguments.supabase;
    options.ably = arguments.ably;
    options.database = match database_url {
        Some(url) => DatabaseChoice::Url(url),
        None => DatabaseChoice::Own { durable: true },
    };
    options.settings = names
        .into_iter()
        .filter_map(|name| Some((name.clone(), set_variable(&name)?)))
        .collect::<BTreeMap<_, _>>();
    options.logs = LogOptions {
        to_stderr: true,
        directory: Some(data_dir.join("logs")),
    };
    options.profile = match arguments.release {
        true => Profile::Release,
        false => Profile::Dev,
    };
    options.warm = true;
    options.schedules = true;
    options.stand_ins_only = arguments.stand_ins_only;
    if arguments.stand_ins_only {
        options.binaries = Some(Binaries::default());
    }
    Ok(options)
}

/// An empty variable is as good as none.
fn set_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn greet(stack: &Stack) {
    let ready = stack.ready();
    println!("Darkroom is ready at {}", ready.api_url);
    let mut authorization = String::new();
    if !ready.user.token.is_empty() {
        println!("\nA test user's token:\n{}", ready.user.token);
        authorization = format!(" -H 'authorization: Bearer {}'", ready.user.token);
    }
    println!(
        "\nMake an image:\ncurl -sS {}/ai/generate{authorization} -H 'content-type: application/json' -d '{{\"prompt\":\"a lighthouse at dusk\"}}'",
        ready.api_url
    );
    println!("\nCtrl-C stops it; the data stays.");
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", file.display()))
        }
        _ => Ok(()),
    }
}

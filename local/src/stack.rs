//! The whole cloud in one process: Postgres, the vendors' stand-ins, SQS, Lambda and API Gateway, wired as
//! `template.yaml` says.

mod assembly;
mod feeds;
mod ports;
mod ready;
pub mod settings;
#[cfg(test)]
mod tests;
mod users;
mod vendors;

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::task::JoinHandle;

use self::{feeds::Feeds, ports::Ports, vendors::Vendors};
pub use self::{
    ready::{Ready, ReadyUser},
    vendors::Vendor,
};
use crate::{
    ably::Ably,
    binaries::{self, Binaries, Profile},
    gateway::{Gateway, GatewayOptions},
    lambda::{Lambda, LambdaOptions, LogOptions},
    migrate, openai,
    postgres::{Postgres, PostgresOptions},
    sqs::{self, Sqs},
    supabase::Supabase,
    template::Template,
};

/// The database on a Postgres server of our own.
const DATABASE: &str = "darkroom";

/// How long a warm instance may take until it is ready, before the stack is called ready without it.
const WARM_LIMIT: Duration = Duration::from_secs(5);

/// What is started, and how.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// The workspace: `template.yaml`, `migrations` and the functions.
    pub workspace: PathBuf,
    /// Where everything is kept from one start to the next.
    pub data_dir: PathBuf,
    /// The API's port; 0 for a free one.
    pub port: u16,
    /// Who draws.
    pub openai: Vendor,
    /// Who keeps files and users.
    pub supabase: Vendor,
    /// Who tells pages.
    pub ably: Vendor,
    /// A server of our own in the data directory, or a database that is there.
    pub database: DatabaseChoice,
    /// Settings of functions by name; they win over what the stack sets and what the template says.
    pub settings: BTreeMap<String, String>,
    /// Where the output of functions goes.
    pub logs: LogOptions,
    /// How the functions are built.
    pub profile: Profile,
    /// Functions that were built before; else they are built now.
    pub binaries: Option<Binaries>,
    /// Starts an instance of each function at once.
    pub warm: bool,
    /// Calls functions by the template's schedules; off where a test calls them itself and counts what they did.
    pub schedules: bool,
    /// The functions run elsewhere: only what they need is started here.
    pub stand_ins_only: bool,
}

/// Which database is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseChoice {
    /// A server in the data directory. `durable`: what is committed survives a power cut.
    Own {
        /// Slower to write.
        durable: bool,
    },
    /// This one. It is migrated like ours.
    Url(String),
    /// This one, which has every migration.
    Migrated(String),
}

impl StackOptions {
    /// All stand-ins, a free port, a server of its own that need not survive a power cut, quiet functions whose output
    /// is in `logs` of the data directory. As tests want it.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            workspace: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
            port: 0,
            openai: Vendor::StandIn,
            supabase: Vendor::StandIn,
            ably: Vendor::StandIn,
            database: DatabaseChoice::Own { durable: false },
            settings: BTreeMap::new(),
            logs: LogOptions {
                to_stderr: false,
                directory: Some(data_dir.join("logs")),
            },
            profile: Profile::Dev,
            binaries: None,
            warm: false,
            schedules: false,
            stand_ins_only: false,
            data_dir,
        }
    }
}

/// A running stack. [`stop`](Stack::stop) ends it in order; when it is dropped, what it started ends too.
#[derive(Debug)]
pub struct Stack {
    ready: Ready,
    settings: BTreeMap<String, String>,
    function_settings: BTreeMap<String, BTreeMap<String, String>>,
    missing_functions: Vec<String>,
    gateway: Option<Gateway>,
    feeds: Feeds,
    lambda: Lambda,
    sqs: Sqs,
    sqs_server: JoinHandle<std::io::Result<()>>,
    vendors: Vendors,
    postgres: Option<Postgres>,
    _lock: File,
}

impl Stack {
    /// Starts everything and returns when the first request would be answered.
    ///
    /// # Errors
    /// One sentence about what is missing, taken or wrong.
    pub async fn start(options: StackOptions) -> anyhow::Result<Self> {
        let template = Template::read(&options.workspace.join("template.yaml"))?;
        vendors::check(&options)?;
        let lock = lock(&options.data_dir)?;
        let ports = Ports::open(&options.data_dir);
        let api_listener = ports::bind(options.port).await?;
        let api_url = format!("http://{}", api_listener.local_addr()?);

        let (database, vendors, binaries) = tokio::try_join!(
            start_database(&options, &ports),
            Vendors::start(&options, &ports),
            built(&options, &template),
        )?;
        let (postgres, database_url) = database;
        if let Some(supabase) = &vendors.supabase {
            users::insert(&database_url, supabase).await?;
        }

        let sqs = start_queues(&options, &template)?;
        let sqs_listener = ports.bind("sqs").await?;
        let sqs_url = format!("http://{}", sqs_listener.local_addr()?);
        let sqs_server = tokio::spawn(sqs::serve(sqs_listener, sqs.clone()));

        let places = settings::Places {
            database_url: &database_url,
            api_url: &api_url,
            sqs_url: &sqs_url,
        };
        let mut all = settings::of_stack(&places, &template, &vendors);
        all.extend(options.settings.clone());
        let function_settings = settings::of_functions(&template, &all, &sqs_url);

        let template = match options.stand_ins_only {
            true => template.without_functions(),
            false => template,
        };
        let lambda_listener = ports.bind("lambda").await?;
        let functions = assembly::functions(&template, &binaries, &function_settings);
        let lambda = Lambda::start(
            lambda_listener,
            LambdaOptions {
                functions,
                logs: options.logs.clone(),
                warm: options.warm,
            },
        )
        .await?;
        let feeds = Feeds::start(&template, &lambda, &sqs, options.schedules)?;
        let gateway = Gateway::start(
            api_listener,
            lambda.clone(),
            GatewayOptions {
                routes: assembly::routes(&template),
                cors: assembly::cors(&template, &all),
                buffered_limit: None,
            },
        )
        .await?;
        ports.save()?;
        if options.warm {
            lambda.wait_until_warm(WARM_LIMIT).await;
        }

        let ready = Ready {
            api_url,
            lambda_url: lambda.url(),
            database_url,
            supabase_url: vendors.supabase_url(&all),
            storage_url: vendors.storage_url(&all),
            openai_url: vendors.openai_url(&all),
            ably_url: vendors.ably_url(&all),
            queue_url: all.get(settings::QUEUE_URL).cloned().unwrap_or_default(),
            user: vendors.ready_user(|supabase| supabase.user())?,
            other_user: vendors.ready_user(|supabase| supabase.other_user())?,
        };
        Ok(Self {
            ready,
            settings: all,
            function_settings,
            missing_functions: binaries.missing,
            gateway: Some(gateway),
            feeds,
            lambda,
            sqs,
            sqs_server,
            vendors,
            postgres,
            _lock: lock,
        })
    }

    /// What the ready file holds.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Every setting that a function could have here.
    #[must_use]
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// The settings that this function has.
    #[must_use]
    pub fn settings_of(&self, function: &str) -> Option<&BTreeMap<String, String>> {
        self.function_settings.get(function)
    }

    /// Functions of the template that are not in the workspace; their routes answer 502.
    #[must_use]
    pub fn missing_functions(&self) -> &[String] {
        &self.missing_functions
    }

    /// The functions.
    #[must_use]
    pub fn lambda(&self) -> &Lambda {
        &self.lambda
    }

    /// The queues.
    #[must_use]
    pub fn sqs(&self) -> &Sqs {
        &self.sqs
    }

    /// The OpenAI stand-in, unless that is live.
    #[must_use]
    pub fn openai(&self) -> Option<&openai::Running> {
        self.vendors.openai.as_ref()
    }

    /// The Supabase stand-in, unless that is live.
    #[must_use]
    pub fn supabase(&self) -> Option<&Supabase> {
        self.vendors.supabase.as_ref()
    }

    /// The Ably stand-in, unless that is live.
    #[must_use]
    pub fn ably(&self) -> Option<&Ably> {
        self.vendors.ably.as_ref()
    }

    /// The database server, when it is ours.
    pub fn postgres(&mut self) -> Option<&mut Postgres> {
        self.postgres.as_mut()
    }

    /// Ends everything that was started; the data stays.
    ///
    /// # Errors
    /// Postgres does not end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.gateway = None;
        self.feeds.stop();
        self.lambda.stop().await;
        self.sqs_server.abort();
        match &mut self.postgres {
            Some(postgres) => postgres.stop().await,
            None => Ok(()),
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.feeds.stop();
        self.lambda.begin_stop();
        self.sqs_server.abort();
    }
}

/// Two stacks in one directory would write the same files.
fn lock(data_dir: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("{} cannot be made", data_dir.display()))?;
    let path = data_dir.join("lock");
    let file = File::create(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    if file.try_lock().is_err() {
        bail!(
            "{} is in use by another stack; stop that one or name another directory with --data-dir",
            data_dir.display()
        );
    }
    Ok(file)
}

async fn start_database(
    options: &StackOptions,
    ports: &Ports,
) -> anyhow::Result<(Option<Postgres>, String)> {
    let durable = match &options.database {
        DatabaseChoice::Migrated(url) => return Ok((None, url.clone())),
        DatabaseChoice::Own { durable } => *durable,
        DatabaseChoice::Url(_) => true,
    };
    let given = match &options.database {
        DatabaseChoice::Url(url) => Some(url.as_str()),
        _ => None,
    };
    let own = PostgresOptions {
        data_dir: options.data_dir.join("postgres"),
        durable,
        port: ports.free("postgres").await,
    };
    let mut postgres = Postgres::find_or_start(given, own).await?;
    let prepared = async {
        let url = postgres.ready_database(DATABASE).await?;
        let migrations = options.workspace.join("migrations");
        migrate::apply(&url, &migrations)
            .await
            .context("the migrations could not be applied")?;
        anyhow::Ok(url)
    };
    match prepared.await {
        Ok(url) => {
            ports.keep("postgres", &url);
            Ok((Some(postgres), url))
        }
        Err(error) => {
            // The first failure is what went wrong.
            let _ = postgres.stop().await;
            Err(error)
        }
    }
}

async fn built(options: &StackOptions, template: &Template) -> anyhow::Result<Binaries> {
    match &options.binaries {
        Some(binaries) => Ok(binaries.clone()),
        None => binaries::build(&options.workspace, &template.functions, options.profile).await,
    }
}

fn start_queues(options: &StackOptions, template: &Template) -> anyhow::Result<Sqs> {
    let sqs = Sqs::new(Some(options.data_dir.join("queues")))?;
    for queue in settings::queues(template, &options.settings) {
        let name = queue.name.clone();
        sqs.create_queue(queue)
            .with_context(|| format!("the queue {name} of the template"))?;
    }
    Ok(sqs)
}

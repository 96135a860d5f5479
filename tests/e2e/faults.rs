//! How tests bring about what a stand-in's script cannot: processes that die, statements that wait, connections that stall.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_postgres::Client;

use crate::harness::World;

/// Short times, so that what a dead worker had in hand comes back soon.
pub(crate) const SHORT: [(&str, &str); 3] = [
    ("LEASE_S", "2"),
    ("VISIBILITY_TIMEOUT_S", "3"),
    ("RETRY_DELAYS_MS", "0,50,50"),
];

impl World {
    /// Kills the worker that has a batch in hand, and waits until it is gone.
    pub(crate) async fn kill_worker(&self) {
        let busy = || async {
            let instances = self.stack.lambda().instances();
            let mut workers = instances.iter().filter(|one| one.function == "worker");
            workers.find(|one| one.busy).map(|one| one.pid)
        };
        let pid = self.until("a busy worker", busy).await;
        self.kill_process(pid).await;
    }

    /// Kills an instance of a function.
    pub(crate) async fn kill_process(&self, pid: u32) {
        assert!(signal(pid, Signal::SIGKILL), "there is no process {pid}");
        self.until("the end of a killed process", || async {
            let instances = self.stack.lambda().instances();
            (!instances.iter().any(|one| one.pid == pid)).then_some(())
        })
        .await;
    }

    /// A session in a transaction that has run this, and keeps its locks.
    pub(crate) async fn hold(&self, sql: &str) -> Held {
        let url = &self.stack.ready().database_url;
        let client = local::postgres::connect(url).await.unwrap();
        client
            .batch_execute(&format!("begin; {sql}"))
            .await
            .unwrap();
        Held(client)
    }

    /// Waits until a statement of the worker whose text begins with a comment of this name waits for a lock.
    pub(crate) async fn waits_for_lock(&self, statement: &str) {
        let sql = format!(
            "select pid from pg_stat_activity where datname = current_database() and application_name = 'darkroom-worker' \
             and wait_event_type = 'Lock' and query ~ '^(--|/[*]) {statement}:'"
        );
        self.until(&format!("{statement} to wait for a lock"), || async {
            self.value(&sql).await
        })
        .await;
    }

    /// `POST /ai/generate` by the test user while the queue is down: an accepted run that no message tells of.
    pub(crate) async fn begin_unsent(&self, body: Value) -> String {
        self.sqs_down().await;
        let run = self.begin(body).await;
        self.sqs(json!({"default": {}})).await;
        run
    }

    /// Lets no message into the queue.
    pub(crate) async fn sqs_down(&self) {
        self.sqs(json!({"default": {"match": {"path": "/SendMessage"}, "status": 500}}))
            .await;
    }

    /// Puts a message for a run into the queue.
    pub(crate) fn deliver(&self, run_id: &str) {
        let body = json!({"v": 1, "type": "generate", "run_id": run_id}).to_string();
        let sqs = self.stack.sqs();
        sqs.send(&self.queue(), body, BTreeMap::new()).unwrap();
    }

    /// Says what SQS does next.
    pub(crate) async fn sqs(&self, script: Value) {
        let url = self.stack.settings()["AWS_ENDPOINT_URL_SQS"].clone();
        self.control(&url, script).await;
    }

    /// Ends the database sessions of a function, whatever they are at.
    pub(crate) async fn end_sessions(&self, function: &str) {
        self.try_end_sessions(function).await.unwrap();
    }

    /// As [`World::end_sessions`], where the database may be down.
    pub(crate) async fn try_end_sessions(&self, function: &str) -> anyhow::Result<()> {
        let sql = format!(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity \
             where datname = current_database() and application_name = 'darkroom-{function}'"
        );
        self.try_rows(&sql).await?;
        Ok(())
    }
}

/// Sends a signal to a process; whether there is one.
pub(crate) fn signal(pid: u32, signal: Signal) -> bool {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).is_ok()
}

/// A session that holds locks.
pub(crate) struct Held(Client);

impl Held {
    /// Lets go of the locks.
    pub(crate) async fn release(self) {
        self.0.batch_execute("rollback").await.unwrap();
    }
}

/// What a gate does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes everything on.
    Open,
    /// Takes connections and nothing more: what is sent arrives nowhere.
    Deaf,
    /// Passes so many bytes of the answer on and keeps the rest.
    AnswerUpTo(usize),
}

/// A door in front of a stand-in: connections go through it, or get stuck in it.
#[derive(Clone)]
pub(crate) struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: watch::Sender<Option<SocketAddr>>,
    mode: watch::Sender<Mode>,
    connections: watch::Sender<usize>,
    stuck: watch::Sender<usize>,
}

impl Gate {
    /// Listens; leads nowhere yet.
    pub(crate) async fn build(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::new(Shared {
                target: watch::Sender::new(None),
                mode: watch::Sender::new(mode),
                connections: watch::Sender::new(0),
                stuck: watch::Sender::new(0),
            }),
        };
        let shared = Arc::clone(&gate.shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(Arc::clone(&shared), client));
            }
        });
        gate
    }

    /// `http://…` of the gate.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Says where the gate leads: `http://host:port`.
    pub(crate) fn lead_to(&self, url: &str) {
        let address = url.trim_start_matches("http://").parse().unwrap();
        self.shared.target.send_replace(Some(address));
    }

    /// What happens to connections from now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Waits until so many connections have come.
    pub(crate) async fn connected(&self, count: usize) {
        let mut connections = self.shared.connections.subscribe();
        connections.wait_for(|seen| *seen >= count).await.unwrap();
    }

    /// Waits until an answer is stuck.
    pub(crate) async fn answer_stuck(&self) {
        let mut stuck = self.shared.stuck.subscribe();
        stuck.wait_for(|seen| *seen > 0).await.unwrap();
    }
}

async fn pass(shared: Arc<Shared>, client: TcpStream) {
    shared.connections.send_modify(|seen| *seen += 1);
    let mode = *shared.mode.borrow();
    let target = *shared.target.borrow();
    let (Some(target), Mode::Open | Mode::AnswerUpTo(_)) = (target, mode) else {
        // Kept open for as long as the test runs.
        return std::future::pending().await;
    };
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        // Either side may be killed.
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
    };
    let down = async {
        let Mode::AnswerUpTo(limit) = mode else {
            let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
            let _ = to_client.shutdown().await;
            return;
        };
        let mut part = from_server.take(limit as u64);
        let _ = tokio::io::copy(&mut part, &mut to_client).await;
        shared.stuck.send_modify(|seen| *seen += 1);
        std::future::pending::<()>().await;
    };
    tokio::join!(up, down);
}

//! Against a server that speaks just enough of the protocol to fail at a chosen moment.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What the server does with a connection's next statement.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Carries it out.
    Answer,
    /// Answers, then closes the connection while it is idle.
    AnswerThenClose,
    /// Reads it and closes the connection.
    CloseUnanswered,
    /// Answers with an error of this code.
    Refuse(&'static str),
    /// Says this and closes: what a server does that is being shut down.
    EndSession,
    /// Never answers.
    Hang,
}

struct Server {
    port: u16,
    /// Statements received, by any connection.
    statements: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// The steps are taken in order, whichever connection a statement comes by; then it answers.
    async fn start(steps: &[Step]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let statements = Arc::new(AtomicU64::new(0));
        let connections = Arc::new(AtomicU64::new(0));
        let mut left: Vec<Step> = steps.to_vec();
        left.reverse();
        let steps = Arc::new(Mutex::new(left));
        let task = tokio::spawn({
            let (statements, connections) = (statements.clone(), connections.clone());
            async move {
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(speak(socket, steps.clone(), statements.clone()));
                }
            }
        });
        Self {
            port,
            statements,
            connections,
            task,
        }
    }

    fn database(&self) -> Database {
        let url = format!("postgres://u:p@127.0.0.1:{}/d", self.port);
        let mut options = DatabaseOptions::new(url.into(), "darkroom-test");
        options.statement_timeout = Duration::from_millis(500);
        Database::new(&options).unwrap()
    }

    fn seen(&self) -> (u64, u64) {
        (
            self.connections.load(Ordering::SeqCst),
            self.statements.load(Ordering::SeqCst),
        )
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn error_message(code: &str) -> Vec<u8> {
    let body = format!("SERROR\0VERROR\0C{code}\0Msaid no\0nthe_rule\0\0");
    message(b'E', body.as_bytes())
}

async fn speak(mut socket: TcpStream, steps: Arc<Mutex<Vec<Step>>>, statements: Arc<AtomicU64>) {
    let length = socket.read_u32().await.unwrap();
    let mut start_up = vec![0; length as usize - 4];
    socket.read_exact(&mut start_up).await.unwrap();
    let ready = message(b'Z', b"I");
    let hello = [message(b'R', &[0, 0, 0, 0]), ready.clone()].concat();
    socket.write_all(&hello).await.unwrap();

    let mut parsed = false;
    while let Ok(tag) = socket.read_u8().await {
        let length = socket.read_u32().await.unwrap();
        let mut body = vec![0; length as usize - 4];
        socket.read_exact(&mut body).await.unwrap();
        parsed |= tag == b'P';
        if tag != b'S' {
            continue;
        }
        if !std::mem::take(&mut parsed) {
            socket.write_all(&ready).await.unwrap();
            continue;
        }
        statements.fetch_add(1, Ordering::SeqCst);
        let step = steps.lock().unwrap().pop().unwrap_or(Step::Answer);
        let answer = [
            message(b'1', b""),
            message(b'2', b""),
            message(b'n', b""),
            message(b'C', b"UPDATE 1\0"),
            ready.clone(),
        ]
        .concat();
        match step {
            Step::Answer => socket.write_all(&answer).await.unwrap(),
            Step::AnswerThenClose => {
                socket.write_all(&answer).await.unwrap();
                return;
            }
            Step::CloseUnanswered => return,
            Step::Refuse(code) => {
                let refusal = [error_message(code), ready.clone()].concat();
                socket.write_all(&refusal).await.unwrap();
            }
            Step::EndSession => {
                socket.write_all(&error_message("57P01")).await.unwrap();
                return;
            }
            Step::Hang => {}
        }
    }
}

#[tokio::test]
async fn nothing_is_connected_before_the_first_statement() {
    let server = Server::start(&[]).await;
    let database = server.database();
    assert_eq!(server.seen(), (0, 0));
    database.read("select", &[]).await.unwrap();
    database.read("select", &[]).await.unwrap();
    assert_eq!(server.seen(), (1, 2));
}

#[tokio::test]
async fn a_read_is_repeated_once_over_a_new_connection() {
    let server = Server::start(&[Step::Answer, Step::CloseUnanswered]).await;
    let database = server.database();
    database.read("select", &[]).await.unwrap();
    database.read("select", &[]).await.unwrap();
    assert_eq!(server.seen(), (2, 3));
}

#[tokio::test]
async fn a_read_that_fails_twice_is_unavailable() {
    let server = Server::start(&[Step::CloseUnanswered, Step::CloseUnanswered]).await;
    let error = server.database().read("select", &[]).await.unwrap_err();
    assert!(
        matches!(error, DatabaseError::Unavailable { .. }),
        "{error:?}"
    );
    assert_eq!(server.seen(), (2, 2));
}

#[tokio::test]
async fn a_write_without_an_answer_is_not_repeated() {
    for step in [Step::CloseUnanswered, Step::Hang] {
        let server = Server::start(&[step]).await;
        let database = server.database();
        let error = database.write("update", &[]).await.unwrap_err();
        assert!(
            matches!(error, DatabaseError::OutcomeUnknown { .. }),
            "{error:?}"
        );
        assert_eq!(server.seen(), (1, 1));
        // The next statement does not wait behind the one that was given up.
        database.write("update", &[]).await.unwrap();
        assert_eq!(server.seen(), (2, 2));
    }
}

#[tokio::test]
async fn a_write_over_a_connection_closed_while_idle_is_sent_over_a_new_one() {
    let server = Server::start(&[Step::AnswerThenClose]).await;
    let database = server.database();
    database.write("update", &[]).await.unwrap();
    database.write("update", &[]).await.unwrap();
    assert_eq!(server.seen(), (2, 2));
}

#[tokio::test]
async fn a_write_that_the_server_refused_to_carry_out_is_repeated() {
    let server = Server::start(&[Step::EndSession]).await;
    server.database().write("update", &[]).await.unwrap();
    assert_eq!(server.seen(), (2, 2));
}

#[tokio::test]
async fn a_doubtful_connection_is_asked_before_a_write() {
    let server = Server::start(&[]).await;
    let database = server.database();
    database.write("update", &[]).await.unwrap();
    database.last_answer.store(1, Ordering::Relaxed);
    database.write("update", &[]).await.unwrap();
    assert_eq!(server.seen(), (1, 2));
}

#[tokio::test]
async fn errors_are_named_by_what_the_caller_can_do() {
    let steps = ["23505", "23503", "53300", "42703"].map(Step::Refuse);
    let server = Server::start(&steps).await;
    let database = server.database();
    let mut errors = Vec::new();
    for _ in 0..steps.len() {
        errors.push(database.write("insert", &[]).await.unwrap_err());
    }
    assert!(
        matches!(&errors[0], DatabaseError::Conflict { constraint, .. } if constraint == "the_rule")
    );
    assert!(
        matches!(&errors[1], DatabaseError::ForeignKey { constraint, .. } if constraint == "the_rule")
    );
    assert!(matches!(errors[2], DatabaseError::Unavailable { .. }));
    assert!(matches!(errors[3], DatabaseError::Other(_)));
    assert_eq!(server.seen(), (1, 4));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("postgres://u:p@127.0.0.1:{port}/d");
    let database = Database::new(&DatabaseOptions::new(url.into(), "darkroom-test")).unwrap();
    for outcome in [
        database.read("select", &[]).await,
        database.write("update", &[]).await,
    ] {
        assert!(matches!(outcome, Err(DatabaseError::Unavailable { .. })));
    }
}

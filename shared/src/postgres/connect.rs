//! Opening one connection: TLS where the URL asks for it, and a pause after failures.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Error, NoTls, Socket};

use super::tls::ExtraRoots;

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause: shorter than a caller waits for a connection.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How connections are opened.
pub(super) struct Connector {
    /// `None` where the URL asks for no TLS.
    pub(super) tls: Option<Arc<ExtraRoots>>,
    pub(super) failures: Arc<Failures>,
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl Connect for Connector {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let config = config.clone();
        Box::pin(async move {
            let pause = self.failures.pause(Instant::now());
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let opened = match &self.tls {
                Some(roots) => open(&config, roots.connector()).await,
                None => open(&config, NoTls).await,
            };
            self.failures.note(opened.is_ok(), Instant::now());
            opened
        })
    }
}

pub(super) async fn open<T>(config: &Config, tls: T) -> Result<(Client, JoinHandle<()>), Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await?;
    let task = tokio::spawn(async move {
        // Whoever waits for an answer is told by the client, and handles it; this is for the idle ones.
        if let Err(error) = connection.await {
            tracing::debug!(error = %error, "a database connection ended");
        }
    });
    Ok((client, task))
}

/// Failures in a row, so that a database that is starting again is not pressed by every caller at once.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<FailuresInARow>);

#[derive(Debug, Default)]
struct FailuresInARow {
    count: u32,
    not_before: Option<Instant>,
}

impl Failures {
    fn pause(&self, now: Instant) -> Duration {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.not_before.map_or(Duration::ZERO, |not_before| {
            not_before.saturating_duration_since(now)
        })
    }

    fn note(&self, opened: bool, now: Instant) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if opened {
            *failures = FailuresInARow::default();
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << failures.count.min(10));
        failures.count = failures.count.saturating_add(1);
        failures.not_before = Some(now + pause.min(LONGEST_PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_end_with_a_success() {
        let failures = Failures::default();
        let now = Instant::now();
        assert_eq!(failures.pause(now), Duration::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            failures.note(false, now);
            pauses.push(failures.pause(now).as_millis());
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
        failures.note(true, now);
        assert_eq!(failures.pause(now), Duration::ZERO);
    }
}

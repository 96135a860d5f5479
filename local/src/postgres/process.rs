//! The server's process, and the watchdog that ends it when ours is gone.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::binaries::Binaries;
use super::cluster::Cluster;

/// Waits until the pipe from our process closes. A word in it means that the server has been
/// stopped; without a word our process is gone, and the server is stopped if it is still the one
/// of the data directory (a number of a process may be given anew). A directory to remove is the
/// fourth argument.
const WATCHDOG: &str = r#"
read -r word
[ "$word" = stopped ] && exit 0
if [ "$(head -n 1 "$3/postmaster.pid" 2>/dev/null)" = "$2" ]; then
    kill -s "$1" "$2"
    while kill -0 "$2" 2>/dev/null && [ -e "$3/postmaster.pid" ]; do sleep 0.1; done
fi
[ -z "$4" ] || rm -rf "$4"
"#;

/// How a server is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shutdown {
    /// Connections are cut, and everything is written.
    Fast,
    /// As a crash: the next start recovers.
    Immediate,
}

impl Shutdown {
    fn signal(self) -> Signal {
        match self {
            Self::Fast => Signal::SIGINT,
            Self::Immediate => Signal::SIGQUIT,
        }
    }
}

/// A running server. It ends when this value is dropped, and when our process dies.
#[derive(Debug)]
pub(super) struct ServerProcess {
    server: Child,
    watchdog: Child,
    at_drop: Shutdown,
}

impl ServerProcess {
    /// Starts the server. `fleeting`: nobody needs the data once our process is gone.
    pub(super) fn spawn(
        binaries: &Binaries,
        cluster: &Cluster,
        arguments: &[String],
        fleeting: bool,
    ) -> anyhow::Result<Self> {
        let at_drop = if fleeting {
            Shutdown::Immediate
        } else {
            Shutdown::Fast
        };
        let log = File::options().append(true).open(cluster.log())?;
        let server = cluster
            .command(&binaries.program("postgres"))
            .arg("-D")
            .arg(cluster.data())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A group of its own: Ctrl-C in a terminal is for us, and we stop the server in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} cannot be run", binaries.program("postgres").display()))?;

        let watchdog = cluster
            .command("sh".as_ref())
            .args(["-c", WATCHDOG, "darkroom-postgres-watchdog"])
            .arg(at_drop.signal().as_str().trim_start_matches("SIG"))
            .arg(server.id().to_string())
            .arg(cluster.data())
            .arg(cluster.removed_at_end().unwrap_or_else(|| "".as_ref()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("the shell `sh` cannot be run")?;

        Ok(Self {
            server,
            watchdog,
            at_drop,
        })
    }

    /// How the server ended, if it has.
    pub(super) fn exited(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.server.try_wait()?)
    }

    /// Ends the server and waits for its end.
    pub(super) async fn stop(mut self, how: Shutdown) -> anyhow::Result<()> {
        let mut how = how;
        self.signal(how.signal());
        let mut deadline = Instant::now() + Duration::from_secs(20);
        while self.exited()?.is_none() {
            if Instant::now() > deadline {
                if how == Shutdown::Immediate {
                    bail!("Postgres (process {}) does not end", self.server.id());
                }
                how = Shutdown::Immediate;
                self.signal(how.signal());
                deadline = Instant::now() + Duration::from_secs(10);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.server.id()) {
            // It may have ended already, which is what was wanted.
            let _ = kill(Pid::from_raw(id), signal);
        }
    }

    /// Tells the watchdog that there is nothing left to watch.
    fn dismiss_watchdog(&mut self) {
        if let Some(mut pipe) = self.watchdog.stdin.take() {
            let _ = pipe.write_all(b"stopped\n");
        }
        let _ = self.watchdog.wait();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        if matches!(self.server.try_wait(), Ok(None)) {
            self.signal(self.at_drop.signal());
        }
        while matches!(self.server.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // The watchdog goes on waiting for it.
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.dismiss_watchdog();
    }
}

/// A command that runs with only what it needs of our environment, as `user` when there is one.
pub(super) fn command(program: &std::path::Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    // A server must not take our settings for its own: PGDATA, PGPORT and the like.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.env_remove("DATABASE_URL");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

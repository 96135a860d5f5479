//! A pooler as Supabase's is for Lambda: PgBouncer in transaction mode, which knows no prepared statements.

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use nix::unistd::{User, geteuid};
use tempfile::TempDir;

use crate::{
    certificates::Authority,
    harness::{SOON, program},
};

/// Sessions that a database's clients share.
pub(crate) const SESSIONS: usize = 5;

/// What has to be percent-encoded in a URL.
const PASSWORD: &str = "p@ss/w:rd%2";

/// A running pooler; it ends with this value.
pub(crate) struct PgBouncer {
    process: Child,
    port: u16,
    directory: TempDir,
}

impl PgBouncer {
    /// A pooler before the server of `database_url`, with TLS where there is an authority. `None`, and said so, where it is not installed
    /// and need not be.
    pub(crate) async fn start(database_url: &str, authority: Option<&Authority>) -> Option<Self> {
        let pgbouncer = program("pgbouncer")?;
        let directory = tempfile::tempdir().unwrap();
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), everybody).unwrap();
        let port = free_port();
        let user = unprivileged_user();
        let owner = user
            .as_ref()
            .map(|user| (user.uid.as_raw(), user.gid.as_raw()));
        let mut settings = settings(database_url, port, directory.path());
        if knows_prepared_statements(&pgbouncer) {
            settings.push_str("max_prepared_statements = 0\n");
        }
        if let Some(authority) = authority {
            let (certificate, key) = authority.certify(directory.path(), owner);
            settings.push_str(&format!(
                "client_tls_sslmode = require\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\n",
                certificate.display(),
                key.display()
            ));
        }
        let file = directory.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let users = format!("\"postgres\" \"{PASSWORD}\"\n");
        std::fs::write(directory.path().join("users.txt"), users).unwrap();

        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(pgbouncer);
        if let Some(user) = &user {
            command.args(["-u", &user.name]);
        }
        let process = command
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut pooler = Self {
            process,
            port,
            directory,
        };
        pooler.wait_until_ready().await;
        Some(pooler)
    }

    async fn wait_until_ready(&mut self) {
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port))
            .await
            .is_err()
        {
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < SOON,
                "pgbouncer does not start ({ended:?}): {}",
                self.log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// The URL of a database behind it, as Supabase's dashboard and Prisma write it.
    pub(crate) fn url(&self, database_url: &str) -> String {
        let database = database_url.rsplit('/').next().unwrap();
        format!(
            "postgresql://postgres:p%40ss%2Fw%3Ard%252@localhost:{}/{database}?pgbouncer=true",
            self.port
        )
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // It may have ended already, which is what was wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn settings(database_url: &str, port: u16, directory: &Path) -> String {
    let server = database_url.rsplit('@').next().unwrap();
    let (host, server_port) = server.split('/').next().unwrap().split_once(':').unwrap();
    format!(
        "[databases]\n* = host={host} port={server_port}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {}/users.txt\n\
         pool_mode = transaction\ndefault_pool_size = {SESSIONS}\nmax_client_conn = 1000\n",
        directory.display()
    )
}

/// From 1.21 on it can; Supabase's pooler cannot be relied on for it, so it is told not to.
fn knows_prepared_statements(pgbouncer: &Path) -> bool {
    let output = Command::new(pgbouncer).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let version = text.split_whitespace().nth(1).unwrap_or_default();
    let minor = version
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse().ok());
    minor.is_some_and(|minor: u32| minor >= 21)
}

/// It refuses to run as root.
fn unprivileged_user() -> Option<User> {
    let named = |name| User::from_name(name).unwrap();
    geteuid()
        .is_root()
        .then(|| named("postgres").or_else(|| named("nobody")).unwrap())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

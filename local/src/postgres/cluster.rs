//! The directory of a private server: where it lies, whose it is, and what runs on it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::unistd::{Pid, User, geteuid};
use sha2::{Digest, Sha256};

use super::binaries::Binaries;
use super::{private_url, process};

/// Where a private server keeps its files, and the user as which it runs.
#[derive(Debug)]
pub(super) struct Cluster {
    root: PathBuf,
    /// Set when we are root, as whom Postgres refuses to run.
    user: Option<(u32, u32)>,
    remove_at_end: bool,
}

impl Cluster {
    /// Chooses and makes the directory: `data_dir`, or, where the server's user cannot reach that,
    /// a directory of its own that stands for it.
    pub(super) fn place(data_dir: &Path) -> anyhow::Result<Self> {
        let data_dir = std::path::absolute(data_dir)?;
        fs::create_dir_all(&data_dir)
            .with_context(|| format!("{} cannot be made", data_dir.display()))?;
        let data_dir = data_dir.canonicalize()?;
        if !geteuid().is_root() {
            return Ok(Self {
                root: data_dir,
                user: None,
                remove_at_end: false,
            });
        }

        let (uid, gid) = unprivileged_user()?;
        let root = if reachable(&data_dir, uid, gid)? {
            data_dir
        } else {
            linked_stand_in(&data_dir)?
        };
        fs::create_dir_all(&root)?;
        let owner = fs::symlink_metadata(&root)?;
        if !owner.is_dir() || ![0, uid].contains(&owner.uid()) {
            bail!("{} belongs to somebody else", root.display());
        }
        chown(&root, Some(uid), Some(gid))?;
        Ok(Self {
            root,
            user: Some((uid, gid)),
            remove_at_end: false,
        })
    }

    /// Lets the directory be removed when our process has ended without doing so.
    pub(super) fn remove_at_end(&mut self) {
        self.remove_at_end = true;
    }

    pub(super) fn removed_at_end(&self) -> Option<&OsStr> {
        self.remove_at_end.then_some(self.root.as_os_str())
    }

    /// The directory in which binaries that are brought are kept, for every server of this user.
    pub(super) fn brought(&self) -> anyhow::Result<PathBuf> {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
            .unwrap_or_else(std::env::temp_dir)
            .join("darkroom-postgres");
        fs::create_dir_all(&cache)?;
        let cache = cache.canonicalize()?;
        let Some((uid, gid)) = self.user else {
            return Ok(cache);
        };
        if reachable(&cache, uid, gid)? {
            return Ok(cache);
        }
        // Root owns it, so that nobody else can put programs there.
        let directory = stand_in_for(&cache);
        fs::create_dir_all(&directory)?;
        let metadata = fs::symlink_metadata(&directory)?;
        if !metadata.is_dir() || metadata.uid() != 0 {
            bail!("{} belongs to somebody else", directory.display());
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
        Ok(directory)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    /// A command that runs as the server's user in the server's directory.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = process::command(program, self.user);
        command.current_dir(&self.root);
        command
    }

    /// Waits until no other process is starting a server here. The lock ends with the file.
    pub(super) async fn lock(&self) -> anyhow::Result<File> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.root.join("starting.lock"))?;
        tokio::task::spawn_blocking(move || file.lock().map(|()| file))
            .await?
            .context("the data directory cannot be locked")
    }

    /// Begins the log of a new server.
    pub(super) fn start_log(&self) -> anyhow::Result<()> {
        File::create(self.log())?;
        Ok(())
    }

    /// The last lines of the server's log.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Whether `directory`, as a server reports it, is ours.
    pub(super) fn is(&self, directory: &str) -> bool {
        Path::new(directory) == self.data()
    }

    /// The major version that wrote the data, if there is any.
    pub(super) fn major_version(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data().join("PG_VERSION")).ok()?;
        text.trim().parse().ok()
    }

    /// The port of a server that runs on this directory. A server that is just starting or ending
    /// is waited for; what a crashed one left behind is cleared away.
    pub(super) async fn running_port(&self, limit: Duration) -> anyhow::Result<Option<u16>> {
        let file = self.data().join("postmaster.pid");
        let deadline = Instant::now() + limit;
        loop {
            let text = match fs::read_to_string(&file) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let mut lines = text.lines();
            let process: Option<i32> = lines.next().and_then(|line| line.trim().parse().ok());
            let port: Option<u16> = lines.nth(2).and_then(|line| line.trim().parse().ok());

            if !process.is_some_and(|id| runs_postgres(Pid::from_raw(id))) {
                fs::remove_file(&file)?;
                return Ok(None);
            }
            if let Some(port) = port
                && let Ok(directory) = data_directory(&private_url(port, "postgres")).await
                && self.is(&directory)
            {
                return Ok(Some(port));
            }
            if Instant::now() > deadline {
                bail!(
                    "a Postgres server runs on {} and does not answer",
                    self.data().display()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes the data directory unless it is there. It gets its name last, so that one of which the
    /// making was cut short is never taken for a whole one.
    pub(super) async fn initialise(&self, binaries: &Binaries) -> anyhow::Result<()> {
        if self.data().join("PG_VERSION").exists() {
            return Ok(());
        }
        let unfinished = self.root.join("data.new");
        // Not every system has the first locale; with the second, only ASCII has upper case.
        let mut said = String::new();
        for locale in ["C.UTF-8", "C"] {
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            let mut command = self.command(&binaries.program("initdb"));
            command
                .arg("-D")
                .arg(&unfinished)
                .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"])
                .arg(format!("--locale={locale}"));
            let output = tokio::task::spawn_blocking(move || command.output())
                .await?
                .with_context(|| {
                    format!("{} cannot be run", binaries.program("initdb").display())
                })?;
            if output.status.success() {
                fs::rename(&unfinished, self.data())?;
                return Ok(());
            }
            said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        }
        bail!("initdb could not make {}: {said}", self.data().display());
    }
}

/// The data directory of the server behind `url`.
pub(super) async fn data_directory(url: &str) -> anyhow::Result<String> {
    let client = tokio::time::timeout(Duration::from_secs(5), super::connect(url)).await??;
    let row = client.query_one("show data_directory", &[]).await?;
    Ok(row.get(0))
}

/// Whether a process of that number runs and is a Postgres server: after a crash the number may
/// have been given to something else.
fn runs_postgres(process: Pid) -> bool {
    if matches!(
        nix::sys::signal::kill(process, None),
        Err(nix::errno::Errno::ESRCH)
    ) {
        return false;
    }
    Command::new("ps")
        .args(["-o", "comm=", "-p", &process.to_string()])
        .output()
        // Without `ps` it cannot be known; the server's own check decides then.
        .map_or(true, |output| {
            String::from_utf8_lossy(&output.stdout).contains("postgres")
        })
}

/// Root lends the server another user: `postgres` where an installation made it, else `nobody`.
fn unprivileged_user() -> anyhow::Result<(u32, u32)> {
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok((user.uid.as_raw(), user.gid.as_raw()));
        }
    }
    bail!(
        "Postgres refuses to run as root, and there is neither a user postgres nor nobody to run it as"
    );
}

/// Whether that user may walk down to `directory`.
fn reachable(directory: &Path, uid: u32, gid: u32) -> io::Result<bool> {
    for parent in directory.ancestors().skip(1) {
        let metadata = fs::metadata(parent)?;
        let mode = metadata.permissions().mode();
        let bit = if metadata.uid() == uid {
            0o100
        } else if metadata.gid() == gid {
            0o010
        } else {
            0o001
        };
        if mode & bit == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The directory that stands for `data_dir`, which gets a link to it. Where there is data and no
/// link, somebody has deleted `data_dir` to begin anew, so the data goes too.
fn linked_stand_in(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let root = stand_in_for(data_dir);
    let link = data_dir.join("postgres");
    if fs::symlink_metadata(&link).is_ok() {
        return Ok(root);
    }
    let data = root.join("data");
    if data.exists() && !data.join("postmaster.pid").exists() {
        fs::remove_dir_all(&data)?;
    }
    match symlink(&root, &link) {
        // Another process was as quick.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(root),
    }
}

/// A directory that everybody can reach and that stands for `data_dir`: the same one every time.
fn stand_in_for(data_dir: &Path) -> PathBuf {
    let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    let name: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // What lies in /var/tmp is still there after a restart of the machine.
    let lasting = Path::new("/var/tmp");
    let parent = if lasting.is_dir() {
        lasting.to_owned()
    } else {
        std::env::temp_dir()
    };
    parent.join(format!("darkroom-postgres-{name}"))
}

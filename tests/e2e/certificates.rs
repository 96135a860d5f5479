//! A certificate authority of a test's own, made with the openssl command.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::harness::program;

/// Certificates of version 3, so that nobody mistakes the server's for an authority's.
const CONFIGURATION: &str = "
[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost
";

/// What signs certificates for `localhost`; its files are gone when it is.
pub(crate) struct Authority {
    openssl: PathBuf,
    directory: TempDir,
}

impl Authority {
    /// `None`, and said so, where openssl is missing and may be.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let openssl = program("openssl")?;
        let directory = tempfile::tempdir().unwrap();
        // The server may run as another user.
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), everybody).unwrap();
        std::fs::write(directory.path().join("configuration"), CONFIGURATION).unwrap();
        let authority = Self { openssl, directory };
        authority.openssl(&format!("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config configuration -subj /CN={name} -days 2 -keyout ca.key -out ca.crt"));
        authority.openssl("req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config configuration -subj /CN=localhost -keyout server.key -out server.request");
        authority.openssl("x509 -req -in server.request -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile configuration -extensions server -out server.crt");
        Some(authority)
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new(&self.openssl)
            .args(arguments.split(' '))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments}: {output:?}");
    }

    /// The authority's own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    /// The same as text on one line, as files of settings have it.
    pub(crate) fn on_one_line(&self) -> String {
        std::fs::read_to_string(self.certificate())
            .unwrap()
            .replace('\n', "\\n")
    }

    /// Copies the certificate and the key of `localhost` to a folder, readable for this user.
    pub(crate) fn certify(&self, folder: &Path, owner: Option<(u32, u32)>) -> (PathBuf, PathBuf) {
        let place = |name: &str| {
            let path = folder.join(name);
            std::fs::copy(self.directory.path().join(name), &path).unwrap();
            // Postgres takes no key that others may read.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((user, group)) = owner {
                std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
            }
            path
        };
        (place("server.crt"), place("server.key"))
    }
}

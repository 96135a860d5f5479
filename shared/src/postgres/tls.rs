//! TLS to Postgres: chain and host are checked, against the public roots and the CA that a setting names.

use std::sync::OnceLock;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::DatabaseSetupError;
use crate::tls::{config_with_roots, public_roots};

/// How every certificate of more than 255 bytes begins.
const DER_IN_BASE64: &str = "MII";

/// Certificates trusted beside the public roots; Supabase's databases have a CA of their own.
#[derive(Debug, Default)]
pub struct ExtraRoots {
    certificates: Vec<CertificateDer<'static>>,
    connector: OnceLock<MakeRustlsConnectDebug>,
}

/// Hides a connector, which has nothing to show, from `Debug`.
struct MakeRustlsConnectDebug(MakeRustlsConnect);

impl std::fmt::Debug for MakeRustlsConnectDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MakeRustlsConnect")
    }
}

impl ExtraRoots {
    /// Reads a PEM text, the PEM file at a path, or what stands between the lines of a PEM, on one line: several of these have commas
    /// between them. That is what a parameter of a deployment can hold.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate that could be a CA.
    pub fn read(path_or_pem: &str) -> Result<Self, DatabaseSetupError> {
        let given = path_or_pem.trim();
        let pem = if given.contains("-----BEGIN") {
            // An environment file often has a PEM on one line, its line ends written as `\n`.
            given.replace("\\n", "\n")
        } else if given.starts_with(DER_IN_BASE64) {
            let certificates = given.split(',');
            certificates
                .map(|one| {
                    format!("-----BEGIN CERTIFICATE-----\n{one}\n-----END CERTIFICATE-----\n")
                })
                .collect()
        } else {
            std::fs::read_to_string(given).map_err(|source| DatabaseSetupError::CaFile {
                path: given.to_owned(),
                source,
            })?
        };
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| DatabaseSetupError::CaPem)?;
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates.iter().cloned());
        if added == 0 {
            return Err(DatabaseSetupError::CaPem);
        }
        Ok(Self {
            certificates,
            connector: OnceLock::new(),
        })
    }

    /// The connector, built by the first connection.
    pub(super) fn connector(&self) -> MakeRustlsConnect {
        let connector = self.connector.get_or_init(|| {
            let mut roots = public_roots();
            roots.add_parsable_certificates(self.certificates.iter().cloned());
            MakeRustlsConnectDebug(MakeRustlsConnect::new(config_with_roots(roots)))
        });
        connector.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_said_at_start() {
        assert!(matches!(
            ExtraRoots::read("/no/such/file.crt"),
            Err(DatabaseSetupError::CaFile { .. })
        ));
        assert!(matches!(
            ExtraRoots::read("-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----"),
            Err(DatabaseSetupError::CaPem)
        ));
    }
}

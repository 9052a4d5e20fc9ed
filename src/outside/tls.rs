//! The certificate authorities trusted for TLS with mail servers and PostgreSQL servers.

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// Trusts only the certificate authorities in `ca_file` (PEM), or the system's if there is no file. Errors name the file and
/// its problem.
pub fn client(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => add_file(&mut roots, path)?,
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() {
        return Err("no certificate authority is known to check the server with; name its file in ca_file".into());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    let builder = builder.map_err(|cause| format!("TLS cannot be set up: {cause}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let unusable = |what: String| format!("{} {what}", path.display());
    let pem = std::fs::read(path).map_err(|cause| unusable(format!("cannot be read: {cause}")))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|cause| unusable(format!("is not a PEM file: {cause}")))?;
        roots.add(certificate).map_err(|cause| unusable(format!("has a certificate that cannot be used: {cause}")))?;
    }
    // Without this check an empty list would show only later, as an unknown issuer.
    match roots.is_empty() {
        true => Err(unusable("has no certificate; expected a PEM file with -----BEGIN CERTIFICATE-----".into())),
        false => Ok(()),
    }
}

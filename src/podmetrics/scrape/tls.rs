//! TLS with pods: their certificates are verified unless a pod says not to; then nothing secret is sent.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::reason::{Failure, Reason};
use super::super::target::Tls;

/// A CA bundle that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read the CA bundle {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file is not PEM, or holds no certificate.
    #[error("the CA bundle {0} holds no PEM certificate, or one that is damaged")]
    NoCertificate(PathBuf),
    /// The TLS library.
    #[error("cannot set up TLS: {0}")]
    Setup(rustls::Error),
}

/// The ways of speaking TLS.
pub(in super::super) struct TlsClients {
    verified: TlsConnector,
    /// Trusts the bundle alone; absent without one.
    bundled: Option<TlsConnector>,
    unverified: TlsConnector,
}

impl TlsClients {
    /// Trusts the system's authorities and those in `ca_bundle`; with secrets, the latter alone.
    pub(in super::super) fn new(ca_bundle: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        // A machine without any is none that speaks TLS with pods, or it has a bundle.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let bundle = ca_bundle.map(read_bundle).transpose()?;
        roots.roots.extend(bundle.iter().flat_map(|bundle| bundle.roots.iter().cloned()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(TlsError::Setup)
        };
        let trusting = |roots| Ok(TlsConnector::from(Arc::new(builder()?.with_root_certificates(roots).with_no_client_auth())));
        let anybody = Arc::new(Anybody(Arc::clone(&provider)));
        let unverified = builder()?.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth();
        Ok(Self {
            verified: trusting(roots)?,
            bundled: bundle.map(trusting).transpose()?,
            unverified: TlsConnector::from(Arc::new(unverified)),
        })
    }

    /// Shakes hands with whoever is at `address`.
    ///
    /// A pod chooses the name that its certificate is to be for, and anybody gets a certificate for some name from a public authority. So before something
    /// `secret` is sent, only the bundle vouches for it.
    pub(super) async fn connect(
        &self,
        tls: &Tls,
        address: IpAddr,
        stream: TcpStream,
        secret: bool,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let name = match &tls.server_name {
            None => ServerName::from(address),
            Some(name) => ServerName::try_from(name.to_string())
                .map_err(|_| Failure::new(Reason::BadLabel, format!("`{name}` is no name of a server")))?,
        };
        let connector = match (secret, &self.bundled) {
            (true, Some(bundled)) => bundled,
            (true, None) => return Err(Failure::new(Reason::Tls, "there is no CA bundle, so no token is sent")),
            (false, _) if tls.verify => &self.verified,
            (false, _) => &self.unverified,
        };
        connector.connect(name, stream).await.map_err(|error| Failure::new(Reason::Tls, format!("no TLS: {error}")))
    }
}

fn read_bundle(path: &Path) -> Result<RootCertStore, TlsError> {
    let pem = std::fs::read(path).map_err(|error| TlsError::Unreadable(path.into(), error))?;
    let damaged = || TlsError::NoCertificate(path.into());
    let certificates: Vec<CertificateDer<'_>> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| damaged())?;
    if certificates.is_empty() {
        return Err(damaged());
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|_| damaged())?;
    }
    Ok(roots)
}

/// Takes any certificate, for pods with `tls-verify: false`.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use fakes::pods::{Authority, Behaviour, Pod};

    use super::*;

    fn bundle(folder: &Path, name: &str, pem: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, pem).unwrap();
        path
    }

    #[tokio::test]
    async fn a_secret_is_sent_to_those_that_the_bundle_vouches_for() {
        let (own, other) = (Authority::new("own"), Authority::new("other"));
        let pod = Pod::builder(Behaviour::text("up 1\n")).tls_by(&own, &["web.example"]).start().await.unwrap();
        let connects = async |clients: &TlsClients, secret: bool, verify: bool| {
            let stream = TcpStream::connect(pod.address()).await.unwrap();
            let tls = Tls { verify, server_name: Some("web.example".into()) };
            clients.connect(&tls, pod.address().ip(), stream, secret).await.map(|_| ()).map_err(|failure| failure.reason)
        };
        let folder = tempfile::tempdir().unwrap();
        let trusted = TlsClients::new(Some(&bundle(folder.path(), "own.pem", &own.pem()))).unwrap();
        for (secret, verify) in [(false, false), (false, true), (true, true), (true, false)] {
            assert_eq!(connects(&trusted, secret, verify).await, Ok(()), "{secret} {verify}");
        }
        let stranger = TlsClients::new(Some(&bundle(folder.path(), "other.pem", &other.pem()))).unwrap();
        assert_eq!(connects(&stranger, false, false).await, Ok(()));
        for (secret, verify) in [(false, true), (true, true), (true, false)] {
            assert_eq!(connects(&stranger, secret, verify).await, Err(Reason::Tls), "{secret} {verify}");
        }
        // Somebody whom the system trusts, in place of a public authority.
        let public = TlsClients { bundled: stranger.bundled, ..trusted };
        assert_eq!(connects(&public, false, true).await, Ok(()));
        assert_eq!(connects(&public, true, true).await, Err(Reason::Tls));
        let without = TlsClients { bundled: None, ..public };
        assert_eq!(connects(&without, true, true).await, Err(Reason::Tls));
    }

    #[test]
    fn a_bundle_that_is_damaged_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| TlsClients::new(Some(path)).map(|_| ()).unwrap_err().to_string();
        assert!(refused(&bundle(folder.path(), "empty.pem", "")).contains("no PEM certificate"));
        assert!(refused(&folder.path().join("absent.pem")).contains("cannot read"));
    }
}

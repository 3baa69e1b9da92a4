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

/// Both ways of speaking TLS.
pub(in super::super) struct TlsClients {
    verified: TlsConnector,
    unverified: TlsConnector,
}

impl TlsClients {
    /// Trusts the system's authorities and those in `ca_bundle`.
    pub(in super::super) fn new(ca_bundle: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        // A machine without any is none that speaks TLS with pods, or it has a bundle.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca_bundle {
            let pem = std::fs::read(path).map_err(|error| TlsError::Unreadable(path.into(), error))?;
            let damaged = || TlsError::NoCertificate(path.into());
            let certificates: Vec<CertificateDer<'_>> =
                CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| damaged())?;
            if certificates.is_empty() {
                return Err(damaged());
            }
            for certificate in certificates {
                roots.add(certificate).map_err(|_| damaged())?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(TlsError::Setup)
        };
        let verified = builder()?.with_root_certificates(roots).with_no_client_auth();
        let anybody = Arc::new(Anybody(Arc::clone(&provider)));
        let unverified = builder()?.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth();
        Ok(Self { verified: TlsConnector::from(Arc::new(verified)), unverified: TlsConnector::from(Arc::new(unverified)) })
    }

    /// Shakes hands with whoever is at `address`.
    pub(super) async fn connect(&self, tls: &Tls, address: IpAddr, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let name = match &tls.server_name {
            None => ServerName::from(address),
            Some(name) => ServerName::try_from(name.to_string())
                .map_err(|_| Failure::new(Reason::BadLabel, format!("`{name}` is no name of a server")))?,
        };
        let connector = if tls.verify { &self.verified } else { &self.unverified };
        connector.connect(name, stream).await.map_err(|error| Failure::new(Reason::Tls, format!("no TLS: {error}")))
    }
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

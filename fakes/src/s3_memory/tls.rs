//! A certificate authority for one server, made when it starts.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The acceptor of a server with a certificate for `localhost`, `*.localhost` and 127.0.0.1, and the
/// PEM of the authority that signed it.
pub(super) fn acceptor() -> (TlsAcceptor, String) {
    let mut authority = CertificateParams::default();
    authority.distinguished_name = named("fake S3 authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(authority, key()).expect("valid parameters");

    let names = ["localhost", "*.localhost", "127.0.0.1"].map(str::to_owned);
    let mut server = CertificateParams::new(names).expect("valid names");
    server.distinguished_name = named("fake S3");
    // Python refuses certificates without it since 3.13.
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let server_key = key();
    let certificate = server.signed_by(&server_key, &authority).expect("valid parameters");

    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .expect("the key fits the certificate");
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

fn key() -> KeyPair {
    KeyPair::generate().expect("ring makes ECDSA keys")
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

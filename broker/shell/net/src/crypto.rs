//! TLS as Weir uses it: one provider, mutual authentication everywhere, no resumption, no 0-RTT.
//!
//! Nothing here may accept a peer without a certificate of the given CA.

use aws_lc_rs::{hkdf, hmac};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        ClientConfig, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, aws_lc_rs as provider},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{
        ParsedCertificate, StoresServerSessions, WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    sign::CertifiedKey,
};
use std::{
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

/// The name both sides must agree on over QUIC (ALPN).
pub(crate) const ALPN: &[u8] = b"weir";

/// The name by which a client says over TCP that it only tries TLS first; brokers' TLS ignores it.
pub(crate) const ALPN_PROBE: &[u8] = b"weir-probe";

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut all = provider::default_provider();
    // AES-128-GCM first: with hardware AES it costs half of ChaCha20.
    let first = [
        provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
        provider::cipher_suite::TLS13_AES_256_GCM_SHA384,
        provider::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        provider::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ];
    let rest: Vec<_> = all
        .cipher_suites
        .iter()
        .copied()
        .filter(|suite| !first.contains(suite))
        .collect();
    all.cipher_suites = first.into_iter().chain(rest).collect();
    Arc::new(all)
});

/// A set of trusted CAs.
pub(crate) fn roots(ca: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, Error> {
    let mut store = RootCertStore::empty();
    for certificate in ca {
        store.add(certificate.clone())?;
    }
    Ok(Arc::new(store))
}

/// A chain with its key, which must match.
pub(crate) fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, String> {
    let certified =
        CertifiedKey::from_der(chain, key, &PROVIDER).map_err(|error| error.to_string())?;
    certified
        .keys_match()
        .map_err(|_| "key and certificate do not belong together".to_owned())?;
    Ok(certified)
}

/// Whether a server's chain leads to one of `ca`, at the last second it is good.
pub(crate) fn check_issued(
    ca: &[CertificateDer<'static>],
    chain: &[CertificateDer<'static>],
    not_after: i64,
) -> Result<(), String> {
    let (end, rest) = chain.split_first().ok_or("it holds no certificate")?;
    let parsed = ParsedCertificate::try_from(end).map_err(|error| error.to_string())?;
    let roots = roots(ca).map_err(|error| error.to_string())?;
    verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &roots,
        rest,
        second(not_after),
        PROVIDER.signature_verification_algorithms.all,
    )
    .map_err(|error| error.to_string())
}

/// Whether a client's chain leads to one of `ca`, at the last second it is good.
pub(crate) fn check_client(
    ca: &[CertificateDer<'static>],
    chain: &[CertificateDer<'static>],
    not_after: i64,
) -> Result<(), String> {
    let (end, rest) = chain.split_first().ok_or("it holds no certificate")?;
    client_verifier(ca)?
        .verify_client_cert(end, rest, second(not_after))
        .map(|_| ())
        .map_err(|error| error.to_string())
}

fn second(of_1970: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(of_1970).unwrap_or(0)))
}

fn client_verifier(ca: &[CertificateDer<'static>]) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let roots = roots(ca).map_err(|error| error.to_string())?;
    WebPkiClientVerifier::builder_with_provider(roots, PROVIDER.clone())
        .build()
        .map_err(|error| error.to_string())
}

/// Takes sessions and forgets them. Without resumption every connection shows its certificate, so
/// one that has expired ends at the next connection; the ticket that is sent all the same tells
/// the client that its certificate was accepted.
#[derive(Debug)]
struct Forgetful;

impl StoresServerSessions for Forgetful {
    fn put(&self, _: Vec<u8>, _: Vec<u8>) -> bool {
        true
    }
    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
    fn take(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
    fn can_cache(&self) -> bool {
        true
    }
}

/// TLS for TCP listeners: 1.2 and 1.3, a client certificate required.
pub(crate) fn tls_server(
    ca: &[CertificateDer<'static>],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, String> {
    let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(client_verifier(ca)?)
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    config.ignore_client_order = true;
    config.session_storage = Arc::new(Forgetful);
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// TLS for QUIC listeners: 1.3 only, ALPN `weir`, a client certificate required.
pub(crate) fn quic_server(
    ca: &[CertificateDer<'static>],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<QuicServerConfig>, String> {
    let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(client_verifier(ca)?)
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    config.ignore_client_order = true;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(Forgetful);
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    QuicServerConfig::try_from(config)
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

/// The key that signs stateless resets.
pub(crate) fn reset_key(bytes: &[u8; 64]) -> Arc<hmac::Key> {
    Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes))
}

/// The key that seals the tokens of Retry packets.
pub(crate) fn token_key(bytes: &[u8; 64]) -> Arc<hkdf::Prk> {
    Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(bytes))
}

/// Whom a client trusts and who it is.
#[derive(Clone, Debug)]
pub(crate) struct ClientIdentity {
    verifier: Arc<WebPkiServerVerifier>,
    own: Arc<CertifiedKey>,
}

impl ClientIdentity {
    pub(crate) fn new(
        ca: &[CertificateDer<'static>],
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, String> {
        let roots = roots(ca).map_err(|error| error.to_string())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, PROVIDER.clone())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            verifier,
            own: Arc::new(certified_key(chain, key)?),
        })
    }

    /// A configuration for one attempt, and where its verdict on the broker's certificate will
    /// stand.
    pub(crate) fn tls(&self, quic: bool) -> Result<(ClientConfig, Arc<Verdict>), String> {
        let verdict = Arc::new(Verdict {
            inner: self.verifier.clone(),
            refused: Mutex::new(None),
        });
        let versions: &[_] = if quic {
            &[&rustls::version::TLS13]
        } else {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        };
        let resolver = rustls::sign::SingleCertAndKey::from(self.own.clone());
        let mut config = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verdict.clone())
            .with_client_cert_resolver(Arc::new(resolver));
        config.resumption = rustls::client::Resumption::disabled();
        if quic {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        Ok((config, verdict))
    }

    /// As [`ClientIdentity::tls`], for QUIC.
    pub(crate) fn quic(&self) -> Result<(Arc<QuicClientConfig>, Arc<Verdict>), String> {
        let (config, verdict) = self.tls(true)?;
        let config = QuicClientConfig::try_from(config).map_err(|error| error.to_string())?;
        Ok((Arc::new(config), verdict))
    }
}

/// Checks the broker's certificate with the usual verifier, and remembers why it was refused: QUIC
/// passes on only a number.
#[derive(Debug)]
pub(crate) struct Verdict {
    inner: Arc<WebPkiServerVerifier>,
    refused: Mutex<Option<CertificateError>>,
}

impl Verdict {
    /// Why the certificate was refused, if it was.
    pub(crate) fn refused(&self) -> Option<CertificateError> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ServerCertVerifier for Verdict {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let result = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if let Err(Error::InvalidCertificate(why)) = &result {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
        }
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

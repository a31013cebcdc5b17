//! Makes certificates: the CA, the server's, and those of people and programs.
//!
//! ECDSA on P-256 throughout: every Kafka client can read it. Nothing here touches a file.

use super::CertsError;
use crate::limits::{CA_DAYS, SERVER_DAYS};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::{Duration, OffsetDateTime};
use weir_types::Role;

/// A certificate and its key, PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// From when to when a certificate is good.
#[derive(Clone, Copy)]
pub(super) struct Validity {
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
}

impl Validity {
    /// From now for some days. It begins an hour early, for clocks that are behind.
    pub(super) fn days(days: i64) -> Self {
        let now = OffsetDateTime::now_utc();
        Self {
            not_before: now - Duration::hours(1),
            not_after: now
                .checked_add(Duration::days(days))
                .unwrap_or(now + Duration::days(CA_DAYS)),
        }
    }

    /// The same, but no longer than until `end`, in seconds since 1970.
    pub(super) fn until(self, end: i64) -> Self {
        let end = OffsetDateTime::from_unix_timestamp(end).unwrap_or(self.not_after);
        Self {
            not_after: self.not_after.min(end),
            ..self
        }
    }

    pub(super) fn between(not_before: i64, not_after: i64) -> Option<Self> {
        Some(Self {
            not_before: OffsetDateTime::from_unix_timestamp(not_before).ok()?,
            not_after: OffsetDateTime::from_unix_timestamp(not_after).ok()?,
        })
    }
}

pub(super) fn new_key(name: &str) -> Result<String, CertsError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed(name))?;
    Ok(key.serialize_pem())
}

pub(super) fn make_ca() -> Result<Issued, CertsError> {
    let mut id = [0_u8; 4];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| CertsError::Make {
        name: "the CA".to_owned(),
        why: "the system gives no randomness".to_owned(),
    })?;
    // A name of its own, so that two brokers' CAs can be told apart in messages.
    let name = format!("Weir CA {:08x}", u32::from_be_bytes(id));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed(&name))?;
    let mut params = params(&name, Validity::days(CA_DAYS));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(failed(&name))?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// Returns the certificate; the key is the one given.
pub(super) fn make_server(
    ca: &str,
    ca_key: &str,
    key: &str,
    names: &[String],
) -> Result<String, CertsError> {
    let name = "weir server";
    let key = KeyPair::from_pem(key).map_err(failed(name))?;
    let mut params = params(name, Validity::days(SERVER_DAYS));
    params.subject_alt_names = CertificateParams::new(names.to_vec())
        .map_err(failed(name))?
        .subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(&params, &key, ca, ca_key, name)
}

pub(super) fn make_client(
    ca: &str,
    ca_key: &str,
    name: &str,
    role: Role,
    validity: Validity,
) -> Result<Issued, CertsError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed(name))?;
    let mut params = params(name, validity);
    params
        .distinguished_name
        .push(DnType::OrganizationalUnitName, role.name());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(Issued {
        certificate: sign(&params, &key, ca, ca_key, name)?,
        key: key.serialize_pem(),
    })
}

fn sign(
    params: &CertificateParams,
    key: &KeyPair,
    ca: &str,
    ca_key: &str,
    name: &str,
) -> Result<String, CertsError> {
    let ca_key = KeyPair::from_pem(ca_key).map_err(failed(name))?;
    let issuer = Issuer::from_ca_cert_pem(ca, ca_key).map_err(failed(name))?;
    let certificate = params.signed_by(key, &issuer).map_err(failed(name))?;
    Ok(certificate.pem())
}

fn params(name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    params.use_authority_key_identifier_extension = true;
    params
}

fn failed(name: &str) -> impl Fn(rcgen::Error) -> CertsError {
    let name = name.to_owned();
    move |error| CertsError::Make {
        name: name.clone(),
        why: error.to_string(),
    }
}

//! What a certificate says: whose it is, in which role, for how long, for which names.
//!
//! Reads bytes that strangers sent: every failure is a value, nothing here may panic.

use aws_lc_rs::digest;
use std::{fmt::Write as _, net::IpAddr};
use thiserror::Error;
use time::OffsetDateTime;
use weir_types::{Principal, Role};
use x509_parser::prelude::{GeneralName, ParsedExtension, X509Certificate, parse_x509_certificate};

/// Why a certificate names nobody.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PrincipalError {
    /// It cannot be read.
    #[error("the certificate cannot be read: {why}")]
    Unreadable {
        /// What the parser says.
        why: String,
    },
    /// It has no common name.
    #[error("the certificate has no common name (CN), which is the principal's name")]
    NoName,
    /// Its organizational unit is no role.
    #[error(
        "the certificate of `{name}` has no role: its organizational unit (OU) must be admin, \
         client or broker"
    )]
    NoRole {
        /// The common name.
        name: String,
    },
}

/// Reads the principal from a certificate: the name is its CN, the role its OU (D14).
///
/// # Errors
/// [`PrincipalError`] where it is not a certificate or names nobody.
pub fn principal(der: &[u8]) -> Result<Principal, PrincipalError> {
    let info = CertificateInfo::read(der)?;
    let name = info.name.ok_or(PrincipalError::NoName)?;
    match info.role {
        Some(role) => Ok(Principal {
            name: name.into(),
            role,
        }),
        None => Err(PrincipalError::NoRole { name }),
    }
}

/// What a certificate says, for people's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The common name.
    pub name: Option<String>,
    /// The role in its organizational unit; a CA and a server certificate have none.
    pub role: Option<Role>,
    /// The common name of who issued it.
    pub issuer: Option<String>,
    /// Whether it may issue others.
    pub is_ca: bool,
    /// Good from this second of 1970's count (UTC).
    pub not_before: i64,
    /// Good until this second.
    pub not_after: i64,
    /// The host names and addresses it is good for.
    pub names: Vec<String>,
    /// SHA-256 over its DER form, as pairs of hexadecimal digits with colons between.
    pub fingerprint: String,
}

impl CertificateInfo {
    /// Reads a certificate in DER form.
    ///
    /// # Errors
    /// [`PrincipalError::Unreadable`].
    pub fn read(der: &[u8]) -> Result<Self, PrincipalError> {
        let (_, certificate) =
            parse_x509_certificate(der).map_err(|error| PrincipalError::Unreadable {
                why: error.to_string(),
            })?;
        let subject = certificate.subject();
        let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            attribute.as_str().ok().map(ToOwned::to_owned)
        };
        let mut roles = subject
            .iter_organizational_unit()
            .filter_map(|unit| unit.as_str().ok()?.parse().ok());
        let role = roles.next();
        // Two different roles in one certificate: it is not for us to guess which was meant.
        let role = if roles.any(|other| Some(other) != role) {
            None
        } else {
            role
        };
        Ok(Self {
            name: subject.iter_common_name().next().and_then(text),
            role,
            issuer: certificate
                .issuer()
                .iter_common_name()
                .next()
                .and_then(text),
            is_ca: certificate.is_ca(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            names: names(&certificate),
            fingerprint: fingerprint(der),
        })
    }

    /// The first second it is good for, as RFC 3339 writes it.
    #[must_use]
    pub fn not_before_text(&self) -> String {
        moment(self.not_before)
    }

    /// The last second it is good for, as RFC 3339 writes it.
    #[must_use]
    pub fn not_after_text(&self) -> String {
        moment(self.not_after)
    }
}

fn moment(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| {
            at.format(&time::format_description::well_known::Rfc3339)
                .ok()
        })
        .unwrap_or_else(|| format!("second {seconds}"))
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for extension in certificate.extensions() {
        let ParsedExtension::SubjectAlternativeName(all) = extension.parsed_extension() else {
            continue;
        };
        for general in &all.general_names {
            match general {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.extend(ip(bytes).map(|ip| ip.to_string())),
                _ => {}
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn fingerprint(der: &[u8]) -> String {
    let mut text = String::new();
    for byte in digest::digest(&digest::SHA256, der).as_ref() {
        if !text.is_empty() {
            text.push(':');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text
}

//! A profile (`NAME.weir`): everything a client needs to reach a broker as somebody, in one text
//! file.
//!
//! The file holds a private key: it must only ever be written for its owner's eyes.

use crate::{
    certs::{CertificateInfo, principal},
    files,
    limits::CERTIFICATE_FILE_BYTES_MAX,
    listen::HostPort,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    fmt::{self, Write as _},
    io,
    path::{Path, PathBuf},
    str::FromStr,
};
use thiserror::Error;
use weir_types::{Principal, Role};

/// The format of profiles that this program writes, and the only one it reads.
pub const PROFILE_FORMAT: u32 = 1;

/// Where a broker is, whom to trust, and who one is.
#[derive(Clone, PartialEq, Eq)]
pub struct Profile {
    /// Who one is: the certificate's name and role.
    pub principal: Principal,
    /// Brokers to begin with; at least one.
    pub bootstrap: Vec<HostPort>,
    /// The certificates that a broker's certificate must descend from, PEM.
    pub ca: String,
    /// One's own certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: String,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("principal", &self.principal)
            .field("bootstrap", &self.bootstrap)
            .finish_non_exhaustive()
    }
}

/// A profile that cannot be used.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// The file cannot be read or written.
    #[error("the profile {}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is of another format.
    #[error(
        "the profile has format {found}, and this program knows format {PROFILE_FORMAT}: use the \
         program that wrote it or have it issued again (`weir certs issue`)"
    )]
    Format {
        /// What its first line says.
        found: String,
    },
    /// A part is missing or wrong.
    #[error("the profile is damaged: {why}; have it issued again (`weir certs issue`)")]
    Damaged {
        /// What is wrong with it.
        why: String,
    },
    /// As [`ProfileError::Damaged`], with the file's name.
    #[error("{}: {source}", file.display())]
    InFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<ProfileError>,
    },
}

const SECTIONS: [&str; 3] = ["ca", "certificate", "key"];

impl Profile {
    /// Reads a profile file.
    ///
    /// # Errors
    /// [`ProfileError`], naming the file.
    pub fn read(file: &Path) -> Result<Self, ProfileError> {
        let text = files::read_text(file, CERTIFICATE_FILE_BYTES_MAX).map_err(|source| {
            ProfileError::Io {
                file: file.to_owned(),
                source,
            }
        })?;
        text.parse().map_err(|source| ProfileError::InFile {
            file: file.to_owned(),
            source: Box::new(source),
        })
    }

    /// Writes the profile durably, readable by its owner only.
    ///
    /// # Errors
    /// [`ProfileError::Io`].
    pub fn write(&self, file: &Path) -> Result<(), ProfileError> {
        files::write_secret(file, &self.to_text()).map_err(|source| ProfileError::Io {
            file: file.to_owned(),
            source,
        })
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let bootstrap: Vec<_> = self.bootstrap.iter().map(ToString::to_string).collect();
        let mut text = format!(
            "# A Weir profile. Whoever holds this file is `{name}`: keep it to yourself.\n\
             format = {PROFILE_FORMAT}\nname = {name}\nrole = {role}\nbootstrap = {bootstrap}\n",
            name = self.principal.name,
            role = self.principal.role,
            bootstrap = bootstrap.join(","),
        );
        for (section, pem) in SECTIONS
            .iter()
            .zip([&self.ca, &self.certificate, &self.key])
        {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n[{section}]\n{}\n", pem.trim());
        }
        text
    }

    /// What one's own certificate says.
    ///
    /// # Errors
    /// [`ProfileError::Damaged`].
    pub fn certificate_info(&self) -> Result<CertificateInfo, ProfileError> {
        let der = first_certificate("certificate", &self.certificate)?;
        CertificateInfo::read(&der).map_err(|error| damaged(error.to_string()))
    }
}

fn damaged(why: impl Into<String>) -> ProfileError {
    ProfileError::Damaged { why: why.into() }
}

fn first_certificate(section: &str, pem: &str) -> Result<CertificateDer<'static>, ProfileError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| damaged(format!("its [{section}] holds no certificate ({error})")))
}

/// The header's lines and the sections' text, before any of it is judged.
#[derive(Default)]
struct Parts {
    format: Option<String>,
    name: Option<String>,
    role: Option<String>,
    bootstrap: Option<String>,
    sections: [Option<String>; 3],
}

impl Parts {
    fn split(text: &str) -> Result<Self, ProfileError> {
        let mut parts = Self::default();
        let mut open: Option<usize> = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                let section = SECTIONS.iter().position(|section| *section == name);
                open = Some(section.ok_or_else(|| {
                    damaged(format!("line {} opens an unknown part `{name}`", index + 1))
                })?);
                continue;
            }
            if let Some(section) = open.and_then(|open| parts.sections.get_mut(open)) {
                let text = section.get_or_insert_default();
                text.push_str(line);
                text.push('\n');
                continue;
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| damaged(format!("line {} is not `key = value`", index + 1)))?;
            let value = Some(value.trim().to_owned());
            match key.trim() {
                "format" => parts.format = value,
                "name" => parts.name = value,
                "role" => parts.role = value,
                "bootstrap" => parts.bootstrap = value,
                // A later program of the same format may say more.
                _ => {}
            }
        }
        Ok(parts)
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let parts = Parts::split(text)?;
        let missing = |what: &str| damaged(format!("it has no {what}"));
        let format = parts.format.ok_or_else(|| missing("`format = 1` line"))?;
        if format != PROFILE_FORMAT.to_string() {
            return Err(ProfileError::Format { found: format });
        }
        let [ca, certificate, key] = parts.sections;
        let ca = ca.ok_or_else(|| missing("[ca]"))?;
        let certificate = certificate.ok_or_else(|| missing("[certificate]"))?;
        let key = key.ok_or_else(|| missing("[key]"))?;
        first_certificate("ca", &ca)?;
        PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| damaged(format!("its [key] holds no private key ({error})")))?;
        let own = first_certificate("certificate", &certificate)?;
        let principal = principal(&own).map_err(|error| damaged(error.to_string()))?;
        let name = parts.name.ok_or_else(|| missing("name"))?;
        let role: Role = parts
            .role
            .ok_or_else(|| missing("role"))?
            .parse()
            .map_err(|error| damaged(format!("its role is wrong: {error}")))?;
        if *principal.name != *name || principal.role != role {
            return Err(damaged(format!(
                "it says `{name}` ({role}), but its certificate is that of `{}` ({})",
                principal.name, principal.role
            )));
        }
        let bootstrap = parts.bootstrap.ok_or_else(|| missing("bootstrap"))?;
        let bootstrap = bootstrap
            .split(',')
            .map(|address| address.trim().parse())
            .collect::<Result<Vec<HostPort>, _>>()
            .map_err(|error| damaged(format!("its bootstrap is wrong: {error}")))?;
        Ok(Self {
            principal,
            bootstrap,
            ca,
            certificate,
            key,
        })
    }
}

//! The certificates of a broker: a CA of its own, the server's certificate, the admin's profile
//! and the keys that let a restarted broker reset its old QUIC connections.
//!
//! Made on first start under `<data>/certs`. Files that are there are never overwritten unless
//! they were issued by this very CA; what is damaged or foreign is refused with the file's name.

mod issue;
mod parse;
#[cfg(test)]
mod tests;

pub use parse::{CertificateInfo, PrincipalError, principal};

use crate::{
    crypto, files,
    limits::{ADMIN_DAYS, CERTIFICATE_FILE_BYTES_MAX, CERTIFICATE_RENEW_DAYS, SERVER_DAYS},
    listen::HostPort,
    profile::{Profile, ProfileError},
};
use issue::{Issued, Validity};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;
use time::OffsetDateTime;
use weir_types::Role;

/// The format of the folder, and the only one that is read.
const FORMAT: &str = "1";
const FORMAT_FILE: &str = "format";
const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca-key.pem";
const SERVER_FILE: &str = "server.pem";
const SERVER_KEY_FILE: &str = "server-key.pem";
const TRANSPORT_KEY_FILE: &str = "transport-key";
const ADMIN_FILE: &str = "admin.weir";

/// Why the certificates cannot be used.
#[derive(Debug, Error)]
pub enum CertsError {
    /// The system refuses to read or write.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There are no certificates.
    #[error(
        "{} has no certificates: start a broker there first (`weir serve --data …`), or name \
         another data folder with --data", folder.display()
    )]
    NoFolder {
        /// Where they were looked for.
        folder: PathBuf,
    },
    /// One file of several is not there.
    #[error(
        "{} is missing: put it back from a copy, or move {} away so that all certificates are made \
         anew (every profile must then be issued again)",
        file.display(), file.parent().unwrap_or(file).display()
    )]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The folder was written by another version.
    #[error(
        "{} has format {found:?}, and this program knows format {FORMAT}: use the program that \
         wrote it", file.display()
    )]
    Format {
        /// The file that says so.
        file: PathBuf,
        /// What it says.
        found: String,
    },
    /// A file's contents make no sense.
    #[error(
        "{} is damaged: {why}; put it back from a copy, or move {} away so that all certificates \
         are made anew (every profile must then be issued again)",
        file.display(), file.parent().unwrap_or(file).display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file belongs to another CA.
    #[error(
        "{} does not belong to the CA in {CA_FILE}: {why}; put the right file back, or remove it \
         so that this CA makes a new one", file.display()
    )]
    Foreign {
        /// The file.
        file: PathBuf,
        /// What shows it.
        why: String,
    },
    /// A name that cannot be a principal's.
    #[error("`{name}` cannot be the name of a principal: {why}")]
    Name {
        /// The name.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// A certificate could not be made.
    #[error("a certificate for `{name}` cannot be made: {why}")]
    Make {
        /// For whom.
        name: String,
        /// What the library says.
        why: String,
    },
    /// The admin's profile cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// A broker's certificates, read and checked.
pub struct Certs {
    folder: PathBuf,
    ca: String,
    ca_key: String,
    server: String,
    server_key: String,
    transport: TransportKeys,
}

/// Keys that must survive a restart, so that the new process can end what the old one left (D16).
#[derive(Clone)]
pub(crate) struct TransportKeys {
    /// Signs stateless resets (RFC 9000, 10.3).
    pub(crate) reset: [u8; 64],
    /// Marks connection ids as ours.
    pub(crate) connection_id: u64,
    /// Seals the tokens of Retry packets.
    pub(crate) token: [u8; 64],
}

impl fmt::Debug for Certs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certs")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Certs {
    /// Reads the certificates under `data`, making them if there are none. The server's
    /// certificate is made anew by the same CA when it lacks one of `names` or ends soon, the
    /// admin's profile when it is gone, ends soon or `bootstrap` changed.
    ///
    /// Blocks: reads, writes and syncs files.
    ///
    /// # Errors
    /// [`CertsError`], naming the file and what to do.
    pub fn open(data: &Path, names: &[String], bootstrap: &HostPort) -> Result<Self, CertsError> {
        let folder = data.join("certs");
        if !folder.exists() {
            Self::make(data, &folder, names, bootstrap)?;
        }
        let mut certs = Self::read(&folder)?;
        certs.renew_server(names)?;
        certs.renew_admin(bootstrap)?;
        Ok(certs)
    }

    /// Reads the certificates under `data` and makes none.
    ///
    /// # Errors
    /// [`CertsError`], naming the file and what to do.
    pub fn load(data: &Path) -> Result<Self, CertsError> {
        let folder = data.join("certs");
        if !folder.exists() {
            return Err(CertsError::NoFolder { folder });
        }
        let certs = Self::read(&folder)?;
        certs.check_server()?;
        Ok(certs)
    }

    /// The folder they lie in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The CA's certificate, PEM: what clients must trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca
    }

    /// The file with the CA's certificate.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join(CA_FILE)
    }

    /// The admin's profile, which the CLI takes unless told otherwise.
    #[must_use]
    pub fn admin_file(&self) -> PathBuf {
        self.folder.join(ADMIN_FILE)
    }

    /// Issues a certificate to `name` in `role`, good from now for `days`.
    ///
    /// # Errors
    /// [`CertsError::Name`] for a name that cannot be used, [`CertsError::Make`].
    pub fn issue(
        &self,
        name: &str,
        role: Role,
        days: u32,
        bootstrap: &[HostPort],
    ) -> Result<Profile, CertsError> {
        self.issue_for(name, role, Validity::days(i64::from(days)), bootstrap)
    }

    /// As [`Certs::issue`], with both ends of its time given in seconds since 1970.
    ///
    /// # Errors
    /// As [`Certs::issue`].
    pub fn issue_between(
        &self,
        name: &str,
        role: Role,
        not_before: i64,
        not_after: i64,
        bootstrap: &[HostPort],
    ) -> Result<Profile, CertsError> {
        let validity =
            Validity::between(not_before, not_after).ok_or_else(|| CertsError::Make {
                name: name.to_owned(),
                why: "its time is beyond what a certificate can say".to_owned(),
            })?;
        self.issue_for(name, role, validity, bootstrap)
    }

    /// What the files of the folder say, with their names.
    ///
    /// # Errors
    /// [`CertsError::Damaged`].
    pub fn show(&self) -> Result<Vec<(PathBuf, CertificateInfo)>, CertsError> {
        let admin = Profile::read(&self.admin_file())?;
        [
            (CA_FILE, &self.ca),
            (SERVER_FILE, &self.server),
            (ADMIN_FILE, &admin.certificate),
        ]
        .into_iter()
        .map(|(file, pem)| Ok((self.folder.join(file), self.info(file, pem)?)))
        .collect()
    }

    pub(crate) fn server_chain(&self) -> Result<Vec<CertificateDer<'static>>, CertsError> {
        certificates(&self.folder.join(SERVER_FILE), &self.server)
    }

    pub(crate) fn server_key(&self) -> Result<PrivateKeyDer<'static>, CertsError> {
        private_key(&self.folder.join(SERVER_KEY_FILE), &self.server_key)
    }

    pub(crate) fn transport_keys(&self) -> &TransportKeys {
        &self.transport
    }

    fn make(
        data: &Path,
        folder: &Path,
        names: &[String],
        bootstrap: &HostPort,
    ) -> Result<(), CertsError> {
        fs::create_dir_all(data).map_err(at(data))?;
        // All of it in a folder of another name first: a crash leaves everything or nothing.
        let new = data.join(format!("certs.{}.new", std::process::id()));
        if new.exists() {
            fs::remove_dir_all(&new).map_err(at(&new))?;
        }
        files::make_private_folder(&new).map_err(at(&new))?;
        let ca = issue::make_ca()?;
        let certs = Self {
            folder: new.clone(),
            server_key: issue::new_key("server")?,
            ca: ca.certificate,
            ca_key: ca.key,
            server: String::new(),
            transport: TransportKeys::random().map_err(|why| CertsError::Make {
                name: TRANSPORT_KEY_FILE.to_owned(),
                why,
            })?,
        };
        let server = issue::make_server(&certs.ca, &certs.ca_key, &certs.server_key, names)?;
        let admin = certs.issue_for(
            "admin",
            Role::Admin,
            Validity::days(ADMIN_DAYS),
            std::slice::from_ref(bootstrap),
        )?;
        for (file, contents) in [
            (FORMAT_FILE, FORMAT.to_owned() + "\n"),
            (CA_FILE, certs.ca.clone()),
            (CA_KEY_FILE, certs.ca_key.clone()),
            (SERVER_FILE, server),
            (SERVER_KEY_FILE, certs.server_key.clone()),
            (TRANSPORT_KEY_FILE, certs.transport.to_text()),
            (ADMIN_FILE, admin.to_text()),
        ] {
            let file = new.join(file);
            files::write_secret(&file, &contents).map_err(at(&file))?;
        }
        fs::rename(&new, folder).map_err(at(folder))?;
        files::sync_folder(data).map_err(at(data))?;
        tracing::info!(folder = %folder.display(), "made a CA, a server certificate and an admin profile");
        Ok(())
    }

    fn read(folder: &Path) -> Result<Self, CertsError> {
        let text = |name: &str| {
            let file = folder.join(name);
            match files::read_text(&file, CERTIFICATE_FILE_BYTES_MAX) {
                Ok(text) => Ok(text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(CertsError::Missing { file })
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    Err(CertsError::Damaged {
                        file,
                        why: error.to_string(),
                    })
                }
                Err(source) => Err(CertsError::Io { file, source }),
            }
        };
        let format = text(FORMAT_FILE)?;
        if format.trim() != FORMAT {
            return Err(CertsError::Format {
                file: folder.join(FORMAT_FILE),
                found: format.trim().to_owned(),
            });
        }
        let transport = text(TRANSPORT_KEY_FILE)?;
        let certs = Self {
            folder: folder.to_owned(),
            ca: text(CA_FILE)?,
            ca_key: text(CA_KEY_FILE)?,
            server: text(SERVER_FILE)?,
            server_key: text(SERVER_KEY_FILE)?,
            transport: TransportKeys::from_text(&transport).ok_or_else(|| CertsError::Damaged {
                file: folder.join(TRANSPORT_KEY_FILE),
                why: "it does not hold the three keys it should".to_owned(),
            })?,
        };
        for key in [CA_KEY_FILE, SERVER_KEY_FILE, TRANSPORT_KEY_FILE, ADMIN_FILE] {
            let file = folder.join(key);
            if files::readable_by_others(&file) {
                tracing::warn!(file = %file.display(), "others can read this secret; chmod 600 it");
            }
        }
        certs.check_ca()?;
        Ok(certs)
    }

    fn check_ca(&self) -> Result<(), CertsError> {
        let file = self.folder.join(CA_FILE);
        let info = self.info(CA_FILE, &self.ca)?;
        let damaged = |why: &str| CertsError::Damaged {
            file: file.clone(),
            why: why.to_owned(),
        };
        if !info.is_ca {
            return Err(damaged("it is not the certificate of a CA"));
        }
        if info.not_after <= OffsetDateTime::now_utc().unix_timestamp() {
            return Err(damaged("the CA's time is over"));
        }
        let key_file = self.folder.join(CA_KEY_FILE);
        let key = private_key(&key_file, &self.ca_key)?;
        let chain = certificates(&file, &self.ca)?;
        crypto::certified_key(chain, key).map_err(|why| CertsError::Foreign {
            file: key_file,
            why,
        })?;
        Ok(())
    }

    /// That the server's files belong together and to the CA, whatever their time.
    fn check_server(&self) -> Result<CertificateInfo, CertsError> {
        let file = self.folder.join(SERVER_FILE);
        let info = self.info(SERVER_FILE, &self.server)?;
        let chain = self.server_chain()?;
        let roots = certificates(&self.folder.join(CA_FILE), &self.ca)?;
        crypto::check_issued(&roots, &chain, info.not_after)
            .map_err(|why| CertsError::Foreign { file, why })?;
        crypto::certified_key(chain, self.server_key()?).map_err(|why| CertsError::Foreign {
            file: self.folder.join(SERVER_KEY_FILE),
            why,
        })?;
        Ok(info)
    }

    fn renew_server(&mut self, names: &[String]) -> Result<(), CertsError> {
        let info = self.check_server()?;
        let named = names.iter().all(|name| info.names.contains(name));
        if named && !ends_soon(&info) {
            return Ok(());
        }
        self.server = issue::make_server(&self.ca, &self.ca_key, &self.server_key, names)?;
        let file = self.folder.join(SERVER_FILE);
        files::write_secret(&file, &self.server).map_err(at(&file))?;
        let why = if named {
            "it ends soon"
        } else {
            "the names changed"
        };
        tracing::info!(file = %file.display(), names = names.join(" "), why, days = SERVER_DAYS, "made a new server certificate");
        Ok(())
    }

    fn renew_admin(&self, bootstrap: &HostPort) -> Result<(), CertsError> {
        let file = self.admin_file();
        if file.exists() {
            let mut profile = Profile::read(&file)?;
            let info = profile.certificate_info()?;
            let chain = certificates(&file, &profile.certificate)?;
            let roots = certificates(&self.folder.join(CA_FILE), &self.ca)?;
            crypto::check_client(&roots, &chain, info.not_after).map_err(|why| {
                CertsError::Foreign {
                    file: file.clone(),
                    why,
                }
            })?;
            if !ends_soon(&info) {
                if profile.bootstrap != std::slice::from_ref(bootstrap) {
                    profile.bootstrap = vec![bootstrap.clone()];
                    profile.write(&file)?;
                }
                return Ok(());
            }
        }
        let profile = self.issue_for(
            "admin",
            Role::Admin,
            Validity::days(ADMIN_DAYS),
            std::slice::from_ref(bootstrap),
        )?;
        profile.write(&file)?;
        tracing::info!(file = %file.display(), "made a new admin profile");
        Ok(())
    }

    fn issue_for(
        &self,
        name: &str,
        role: Role,
        validity: Validity,
        bootstrap: &[HostPort],
    ) -> Result<Profile, CertsError> {
        check_name(name)?;
        // Whoever checks it checks the CA as well, so it could not be used any longer.
        let validity = validity.until(self.info(CA_FILE, &self.ca)?.not_after);
        let Issued { certificate, key } =
            issue::make_client(&self.ca, &self.ca_key, name, role, validity)?;
        Ok(Profile {
            principal: weir_types::Principal {
                name: name.into(),
                role,
            },
            bootstrap: bootstrap.to_vec(),
            ca: self.ca.clone(),
            certificate,
            key,
        })
    }

    fn info(&self, file: &str, pem: &str) -> Result<CertificateInfo, CertsError> {
        let file = self.folder.join(file);
        let chain = certificates(&file, pem)?;
        let first = chain.first().ok_or_else(|| CertsError::Damaged {
            file: file.clone(),
            why: "it holds no certificate".to_owned(),
        })?;
        CertificateInfo::read(first).map_err(|error| CertsError::Damaged {
            file,
            why: error.to_string(),
        })
    }
}

fn ends_soon(info: &CertificateInfo) -> bool {
    let soon = OffsetDateTime::now_utc() + time::Duration::days(CERTIFICATE_RENEW_DAYS);
    info.not_after < soon.unix_timestamp()
}

fn check_name(name: &str) -> Result<(), CertsError> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > crate::limits::PRINCIPAL_NAME_BYTES_MAX {
        "it has more than 64 bytes"
    } else if name.trim() != name || name.chars().any(char::is_control) {
        "it has a control character or a blank at an end"
    } else if name == "local" {
        "`local` is whoever connects to a plaintext listener"
    } else {
        return Ok(());
    };
    Err(CertsError::Name {
        name: name.to_owned(),
        why,
    })
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CertsError {
    let file = path.to_owned();
    move |source| CertsError::Io { file, source }
}

fn certificates(file: &Path, pem: &str) -> Result<Vec<CertificateDer<'static>>, CertsError> {
    let damaged = |why: String| CertsError::Damaged {
        file: file.to_owned(),
        why,
    };
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| damaged(error.to_string()))?;
    if chain.is_empty() {
        return Err(damaged("it holds no certificate".to_owned()));
    }
    Ok(chain)
}

fn private_key(file: &Path, pem: &str) -> Result<PrivateKeyDer<'static>, CertsError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| CertsError::Damaged {
        file: file.to_owned(),
        why: format!("it holds no private key ({error})"),
    })
}

impl TransportKeys {
    fn random() -> Result<Self, String> {
        let mut keys = Self {
            reset: [0; 64],
            connection_id: 0,
            token: [0; 64],
        };
        let mut id = [0; 8];
        let no_randomness = |_| "the system gives no randomness".to_owned();
        aws_lc_rs::rand::fill(&mut keys.reset).map_err(no_randomness)?;
        aws_lc_rs::rand::fill(&mut keys.token).map_err(no_randomness)?;
        aws_lc_rs::rand::fill(&mut id).map_err(no_randomness)?;
        keys.connection_id = u64::from_be_bytes(id);
        Ok(keys)
    }

    fn to_text(&self) -> String {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        format!(
            "# Lets a restarted broker end the QUIC connections of the one before it. Secret.\n\
             reset = {}\nconnection-id = {}\ntoken = {}\n",
            hex(&self.reset),
            hex(&self.connection_id.to_be_bytes()),
            hex(&self.token)
        )
    }

    fn from_text(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                (name.trim() == key).then(|| value.trim())
            })
        };
        Some(Self {
            reset: unhex(value("reset")?)?,
            connection_id: u64::from_be_bytes(unhex(value("connection-id")?)?),
            token: unhex(value("token")?)?,
        })
    }
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

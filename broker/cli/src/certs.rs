//! `weir certs`: issues profiles, shows certificates, and prints the settings that other Kafka
//! clients need to come in with a profile. What a certificate must look like is `weir-net`'s
//! business; no key is ever printed here.

use crate::args::JsonArg;
use crate::base64;
use crate::connect::{ADMIN_PROFILE, ConnectArgs, DATA, read_profile};
use crate::failure::{Failure, Outcome, plain};
use crate::human::shell_quoted;
use crate::output;
use crate::serve::absolute;
use crate::table::Table;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use weir_client::Profile;
use weir_net::{CertificateInfo, Certs, HostPort};
use weir_types::Role;

/// How long a certificate that is issued is good, in days.
const DAYS: u32 = 365;

const EXAMPLES: &str = "\
Examples:
  weir certs issue --name alice --role client --out alice.weir
  weir certs show
  weir certs show alice.weir
  weir certs show alice.weir --for java --bootstrap broker.example.com:9093

A profile (NAME.weir) is one file with the brokers' addresses, the CA to trust, a certificate and
its key. Whoever has the file is that principal: hand it over as you would a password. `issue`
needs the data folder of the broker, which holds the CA; the broker may run meanwhile.";

/// `weir certs`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CertsArgs {
    /// The broker's data folder
    #[arg(long, value_name = "DIR", default_value = DATA, global = true)]
    data: PathBuf,
    #[command(subcommand)]
    command: CertsCommand,
}

#[derive(Subcommand, Debug)]
enum CertsCommand {
    /// Issue a certificate and write it as a profile
    Issue(IssueArgs),
    /// Show certificates, or the settings of another client for a profile
    Show(ShowArgs),
}

#[derive(Args, Debug)]
struct IssueArgs {
    /// Who it is for: the principal's name
    #[arg(long)]
    name: String,
    /// What it may do: client (produce, consume, describe), admin (everything) or broker
    #[arg(long, default_value = "client")]
    role: Role,
    /// The file to write [default: NAME.weir]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How long it is good; never longer than the CA
    #[arg(long, value_name = "DAYS", default_value_t = DAYS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,
    /// The brokers it names [default: those of the admin's profile]
    #[arg(long, short = 'b', value_name = "HOST:PORT", value_delimiter = ',')]
    bootstrap: Vec<HostPort>,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Args, Debug)]
struct ShowArgs {
    /// A profile (NAME.weir) or a certificate (PEM) [default: those of the data folder]
    file: Option<PathBuf>,
    /// Print the settings that this client needs to use the profile
    #[arg(long = "for", value_name = "CLIENT", conflicts_with = "json")]
    client: Option<ForeignClient>,
    /// Folder for the PEM files that --for writes [default: NAME-pem beside the profile]
    #[arg(long, value_name = "DIR", requires = "client")]
    out: Option<PathBuf>,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ForeignClient {
    Kcat,
    Java,
    Librdkafka,
}

/// Runs the command.
pub(crate) fn run(args: CertsArgs) -> Outcome {
    match args.command {
        CertsCommand::Issue(issue_args) => issue(&args.data, issue_args),
        CertsCommand::Show(show_args) => show(&args.data, &show_args),
    }
}

impl From<weir_net::CertsError> for Failure {
    fn from(error: weir_net::CertsError) -> Self {
        let text = error.to_string();
        match error {
            weir_net::CertsError::Name { .. } => Self::usage(text),
            _ => Self::failed(text),
        }
    }
}

/// Refuses names that, as the name of a file, would lead somewhere else.
fn check_name(name: &str) -> Outcome {
    let why = if name.is_empty() {
        "it is empty"
    } else if matches!(name, "." | "..") {
        "it is a folder's name"
    } else if name.contains(['/', '\\']) {
        "it has a slash"
    } else if name.chars().any(char::is_control) {
        "it has a control character"
    } else {
        return Ok(());
    };
    let shown = name.escape_debug();
    Err(Failure::usage(format!(
        "`{shown}` cannot be the name of a principal: {why}"
    ))
    .advise("choose another, such as alice"))
}

fn issue(data: &Path, args: IssueArgs) -> Outcome {
    check_name(&args.name)?;
    let certs = Certs::load(data)?;
    let out = args
        .out
        .unwrap_or_else(|| PathBuf::from(format!("{}.weir", args.name)));
    if out.exists() {
        return Err(Failure::usage(format!("{} exists already", out.display()))
            .advise("name another file with --out, or move it away"));
    }
    let bootstrap = if args.bootstrap.is_empty() {
        read_profile(&certs.admin_file())?.bootstrap
    } else {
        args.bootstrap
    };
    let profile = certs.issue(&args.name, args.role, args.days, &bootstrap)?;
    profile
        .write(&out)
        .map_err(|error| Failure::failed(error.to_string()))?;
    let info = profile
        .certificate_info()
        .map_err(|error| Failure::failed(error.to_string()))?;
    let until = info.not_after_text();
    let is_cut = certs
        .show()?
        .iter()
        .any(|(_, ca)| ca.is_ca && ca.not_after == info.not_after);
    let out = absolute(&out);
    let brokers: Vec<String> = bootstrap.iter().map(ToString::to_string).collect();
    if args.json.json {
        return output::json(&json!({
            "name": args.name,
            "role": args.role.name(),
            "notAfter": until,
            "endsWithCa": is_cut,
            "bootstrap": brokers,
            "file": out,
        }));
    }
    output::line(format_args!(
        "issued {} ({}), good until {until}{}, to connect to {}: {}",
        args.name,
        args.role,
        if is_cut { " (when the CA ends)" } else { "" },
        brokers.join(","),
        out.display()
    ))
}

fn show(data: &Path, args: &ShowArgs) -> Outcome {
    let file = args.file.clone().or_else(|| args.connect.profile.clone());
    if let Some(client) = args.client {
        let file = file.unwrap_or_else(|| data.join(ADMIN_PROFILE));
        let profile = read_profile(&file)?;
        return settings(client, &profile, &file, args);
    }
    let rows = match file {
        None => Certs::load(data)?.show()?,
        Some(file) => {
            let info = if file
                .extension()
                .is_some_and(|extension| extension == "weir")
            {
                let info = read_profile(&file)?.certificate_info();
                info.map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?
            } else {
                read_pem(&file)?
            };
            vec![(file, info)]
        }
    };
    if args.json.json {
        return output::json(&rows.iter().map(row_json).collect::<Vec<_>>());
    }
    let mut table = Table::new(&[
        "FILE",
        "NAME",
        "ROLE",
        "GOOD FROM",
        "UNTIL",
        "FOR",
        "SHA-256",
    ]);
    for (file, info) in &rows {
        let role = info.role.map(Role::name);
        let kind = role.unwrap_or(if info.is_ca { "CA" } else { "-" });
        table.row([
            file.display().to_string(),
            info.name.clone().unwrap_or_else(|| "-".to_owned()),
            kind.to_owned(),
            info.not_before_text(),
            info.not_after_text(),
            if info.names.is_empty() {
                "-".to_owned()
            } else {
                info.names.join(",")
            },
            info.fingerprint.clone(),
        ]);
    }
    output::table(&table)
}

fn row_json((file, info): &(PathBuf, CertificateInfo)) -> serde_json::Value {
    json!({
        "file": absolute(file),
        "name": info.name,
        "role": info.role.map(Role::name),
        "issuer": info.issuer,
        "ca": info.is_ca,
        "notBefore": info.not_before_text(),
        "notAfter": info.not_after_text(),
        "names": info.names,
        "sha256": info.fingerprint,
    })
}

fn read_pem(file: &Path) -> Outcome<CertificateInfo> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!("cannot read {name}: {}", plain(&error)))
            .advise("`weir certs show` alone shows the certificates of the data folder")
    })?;
    let body = text
        .split_once("-----BEGIN CERTIFICATE-----")
        .and_then(|(_, rest)| rest.split_once("-----END CERTIFICATE-----"))
        .map(|(body, _)| body.split_whitespace().collect::<String>());
    let der = body.and_then(|body| base64::decode(&body)).ok_or_else(|| {
        Failure::usage(format!("{name} holds no certificate"))
            .advise("name a profile (NAME.weir) or a PEM file")
    })?;
    CertificateInfo::read(&der).map_err(|error| Failure::failed(format!("{name}: {error}")))
}

/// The PEM files of a profile, as other clients want them.
struct PemFiles {
    ca: String,
    certificate: String,
    key: String,
    /// Key and certificate in one, as Java wants them.
    store: String,
}

fn settings(client: ForeignClient, profile: &Profile, file: &Path, args: &ShowArgs) -> Outcome {
    let stem = file
        .file_stem()
        .map_or_else(|| "profile".into(), |stem| stem.to_string_lossy());
    let folder = args
        .out
        .clone()
        .unwrap_or_else(|| file.with_file_name(format!("{stem}-pem")));
    let pem = write_pem(profile, &folder)?;
    let brokers = tls_brokers(profile, args);
    let who = format!("{} ({})", profile.principal.name, profile.principal.role);
    let note = if brokers == PLACEHOLDER {
        "Put the address of a tls:// listener in the place of HOST:PORT (or name it with \
         --bootstrap); `weir serve --listen tls://HOST:PORT` opens one"
    } else {
        "The broker needs a tls:// listener at this address (`weir serve --listen \
         tls://HOST:PORT`)"
    };
    let text = match client {
        ForeignClient::Kcat => {
            let option = |name: &str, path: &str| format!("-X {name}={}", shell_quoted(path));
            format!(
                "# kcat as {who}. {note}.\nkcat -b {brokers} -X security.protocol=ssl {} {} {} -L\n",
                option("ssl.ca.location", &pem.ca),
                option("ssl.certificate.location", &pem.certificate),
                option("ssl.key.location", &pem.key),
            )
        }
        ForeignClient::Librdkafka => format!(
            "# librdkafka as {who}. {note}.\nbootstrap.servers={brokers}\nsecurity.protocol=ssl\n\
             ssl.ca.location={}\nssl.certificate.location={}\nssl.key.location={}\n",
            pem.ca, pem.certificate, pem.key
        ),
        ForeignClient::Java => format!(
            "# Java client (2.7 or later, KIP-651) as {who}. {note}.\nbootstrap.servers={brokers}\n\
             security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location={}\n\
             ssl.keystore.type=PEM\nssl.keystore.location={}\n",
            pem.ca, pem.store
        ),
    };
    output::line(text.trim_end())
}

/// Stands where no address is known that a TLS client could use.
const PLACEHOLDER: &str = "HOST:PORT";

/// Where a broker speaks TLS: as it was named, or the profile's addresses unless they are on
/// loopback, where a bare `--listen HOST:PORT` has plain TCP beside QUIC.
fn tls_brokers(profile: &Profile, args: &ShowArgs) -> String {
    if let Some(named) = &args.connect.bootstrap {
        return named.clone();
    }
    if profile.bootstrap.iter().any(HostPort::is_loopback) {
        return PLACEHOLDER.to_owned();
    }
    let texts: Vec<String> = profile.bootstrap.iter().map(ToString::to_string).collect();
    texts.join(",")
}

fn write_pem(profile: &Profile, folder: &Path) -> Outcome<PemFiles> {
    let failed = |path: &Path, error: io::Error| {
        Failure::io(format_args!("cannot write {}", path.display()), &error)
            .advise("name another folder with --out")
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let folder = absolute(folder);
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        write_secret(&path, text).map_err(|error| failed(&path, error))?;
        Ok::<_, Failure>(path.display().to_string())
    };
    let store = format!("{}\n{}\n", profile.key.trim(), profile.certificate.trim());
    Ok(PemFiles {
        ca: write("ca.pem", &profile.ca)?,
        certificate: write("certificate.pem", &profile.certificate)?,
        key: write("key.pem", &profile.key)?,
        store: write("keystore.pem", &store)?,
    })
}

/// Writes a file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        file.write_all(b"\n")?;
    }
    Ok(())
}

//! Which broker a command talks to and as whom: `--bootstrap`, `--profile`, `--transport` and what
//! holds where they are not given. It opens connections and asks nothing of the broker itself.

use crate::failure::{Exit, Failure, Outcome, plain};
use crate::interrupt::Interrupt;
use crate::waiting;
use clap::Args;
use std::path::{Path, PathBuf};
use weir_client::{
    AdminError, BrokerError, Client, ClientConfig, ConsumeError, ErrorCode, ProduceError, Profile,
    RequestError, TransportChoice,
};
use weir_net::{HostPort, ProfileError};

/// Where a broker listens unless it is told otherwise.
pub(crate) const BOOTSTRAP: &str = "127.0.0.1:9092";

/// Where a broker's admin profile lies below its data folder.
pub(crate) const ADMIN_PROFILE: &str = "certs/admin.weir";

/// Where data lies unless told otherwise.
pub(crate) const DATA: &str = "./weir-data";

/// The variables that stand for flags of clients; to a broker they say nothing.
pub(crate) const CLIENT_VARIABLES: [&str; 3] = ["WEIR_BOOTSTRAP", "WEIR_PROFILE", "WEIR_TRANSPORT"];

/// The flags of every command that talks to a broker.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ConnectArgs {
    /// Broker to begin with; the others are found through it [default: the profile's, else
    /// 127.0.0.1:9092]
    #[arg(
        long,
        short = 'b',
        value_name = "HOST:PORT",
        env = "WEIR_BOOTSTRAP",
        global = true
    )]
    #[arg(hide_env_values = true, help_heading = "Connection")]
    pub(crate) bootstrap: Option<String>,
    /// Who you are and whom you trust [default: ./weir-data/certs/admin.weir where it exists]
    #[arg(
        long,
        value_name = "FILE",
        env = "WEIR_PROFILE",
        global = true,
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub(crate) profile: Option<PathBuf>,
    /// How to get there: auto takes QUIC where there is a profile and it answers, else TCP
    #[arg(
        long,
        value_name = "auto|quic|tcp",
        env = "WEIR_TRANSPORT",
        global = true
    )]
    #[arg(hide_env_values = true, help_heading = "Connection")]
    pub(crate) transport: Option<TransportChoice>,
}

impl ConnectArgs {
    /// Flags that name this broker and profile.
    pub(crate) fn to(bootstrap: String, profile: PathBuf, transport: TransportChoice) -> Self {
        Self {
            bootstrap: Some(bootstrap),
            profile: Some(profile),
            transport: Some(transport),
        }
    }

    /// What the client is set up with. No command makes a topic by naming it.
    pub(crate) fn config(&self) -> Outcome<ClientConfig> {
        let transport = self.transport.unwrap_or_default();
        let mut config = ClientConfig::default()
            .with_transport(transport)
            .without_auto_create();
        config.client_id = "weir-cli".to_owned();
        let profile = self.profile(transport)?;
        config.bootstrap = match (&self.bootstrap, &profile) {
            (Some(bootstrap), _) => vec![bootstrap.clone()],
            (None, Some(profile)) => profile.bootstrap.iter().map(ToString::to_string).collect(),
            (None, None) => vec![BOOTSTRAP.to_owned()],
        };
        Ok(match profile {
            Some(profile) => config.with_profile(profile),
            None => config,
        })
    }

    fn profile(&self, transport: TransportChoice) -> Outcome<Option<Profile>> {
        if let Some(file) = &self.profile {
            return read_profile(file).map(Some);
        }
        let local = Path::new(DATA).join(ADMIN_PROFILE);
        // TCP on loopback is in the clear unless a profile is asked for.
        let plain = transport == TransportChoice::Tcp && self.is_loopback();
        if !plain && local.exists() {
            return read_profile(&local).map(Some);
        }
        if transport == TransportChoice::Quic {
            return Err(
                Failure::usage("QUIC needs to know who you are, and there is no profile").advise(
                    "name one with --profile FILE (a broker writes DATA/certs/admin.weir), or \
                     use --transport tcp on this machine",
                ),
            );
        }
        Ok(None)
    }

    fn is_loopback(&self) -> bool {
        let bootstrap = self.bootstrap.as_deref().unwrap_or(BOOTSTRAP);
        bootstrap.split(',').all(|one| {
            one.trim()
                .parse::<HostPort>()
                .is_ok_and(|address| address.is_loopback())
        })
    }

    /// Connects, saying so after a moment.
    pub(crate) async fn connect(&self, interrupt: &Interrupt) -> Outcome<Client> {
        self.connect_with(self.config()?, interrupt).await
    }

    /// As [`Self::connect`], with a configuration that was changed.
    pub(crate) async fn connect_with(
        &self,
        config: ClientConfig,
        interrupt: &Interrupt,
    ) -> Outcome<Client> {
        let what = format!("a connection to {}", config.bootstrap.join(","));
        let connecting = async { Ok(Client::connect(config).await?) };
        interrupt.or(waiting::saying(&what, connecting)).await
    }
}

/// Reads a profile for use.
pub(crate) fn read_profile(file: &Path) -> Outcome<Profile> {
    Profile::read(file).map_err(|error| match error {
        ProfileError::Io { file, source } => {
            let text = format!(
                "cannot read the profile {}: {}",
                file.display(),
                plain(&source)
            );
            Failure::usage(text).advise(
                "name another with --profile FILE; a broker writes DATA/certs/admin.weir, and \
                 `weir certs issue` makes more",
            )
        }
        // PEM is what other clients take, so it is what people try first.
        _ if is_pem(file) => Failure::usage(format!("{} is PEM, not a profile", file.display()))
            .advise("name a profile (NAME.weir), which holds CA, certificate and key together"),
        error => Failure::usage(error.to_string()),
    })
}

fn is_pem(file: &Path) -> bool {
    std::fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"-----BEGIN "))
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let exit = match &error {
            RequestError::Config { .. } | RequestError::Encode { .. } => Exit::Usage,
            RequestError::Connect(_)
            | RequestError::NotABroker { .. }
            | RequestError::Lost { .. }
            | RequestError::Timeout { .. }
            | RequestError::UnknownBroker { .. } => Exit::Unreachable,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        refused(error.to_string(), error.code)
    }
}

/// The broker's no, with what helps against this one.
fn refused(text: String, code: ErrorCode) -> Failure {
    let failure = Failure::new(Exit::Refused, text);
    match code {
        ErrorCode::TopicAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed
        | ErrorCode::GroupAuthorizationFailed => {
            failure.advise("use an admin's profile (--profile FILE), or have one issued")
        }
        ErrorCode::MessageTooLarge => {
            failure.advise("raise the topic's max.message.bytes (`weir topic alter`)")
        }
        _ => failure,
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Request(error) => error.into(),
            AdminError::Broker(error) => error.into(),
            other => Self::failed(other.to_string()),
        }
    }
}

impl From<ProduceError> for Failure {
    fn from(error: ProduceError) -> Self {
        let text = error.to_string();
        match error {
            ProduceError::Request(error) => error.into(),
            ProduceError::NoSuchPartition { .. } => {
                Self::new(Exit::Refused, text).advise("--partition auto lets keys decide")
            }
            ProduceError::Config { .. } => Self::usage(text),
            ProduceError::Topic { error, .. } | ProduceError::Refused { error, .. } => {
                refused(text, error.code)
            }
            ProduceError::DeliveryTimeout { .. } | ProduceError::BufferFull { .. } => {
                Self::new(Exit::Unreachable, text)
            }
            _ => Self::failed(text),
        }
    }
}

impl From<ConsumeError> for Failure {
    fn from(error: ConsumeError) -> Self {
        let text = error.to_string();
        match error {
            ConsumeError::Request(error) => error.into(),
            ConsumeError::Config { .. } => Self::usage(text),
            ConsumeError::OffsetOutOfRange { .. } => Self::new(Exit::Refused, text)
                .advise("`weir topic offsets` shows where the partition begins and ends"),
            ConsumeError::Topic { error, .. } | ConsumeError::Partition { error, .. } => {
                refused(text, error.code)
            }
            ConsumeError::Damaged { next_offset, .. } => {
                Self::damaged(text).advise(format!("--offset {next_offset} goes on behind it"))
            }
            _ => Self::failed(text),
        }
    }
}

//! Who is asking (design decision D14): a name and a role, read from the client's certificate or
//! given by the listener.
//!
//! Only values; what a role may do is decided at one place, the authorizer in `weir-node`.

use alloc::sync::Arc;
use core::{fmt, str::FromStr};
use thiserror::Error;

/// What a principal is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Another broker of the cluster.
    Broker,
    /// May do everything a person can do.
    Admin,
    /// May produce, fetch, describe, and use its own groups.
    Client,
}

impl Role {
    /// The role's name as certificates and commands write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Admin => "admin",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A role name that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("there is no such role; use admin, client or broker")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        [Self::Broker, Self::Admin, Self::Client]
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or(UnknownRole)
    }
}

/// A named caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The certificate's common name, or `local` on a plaintext loopback listener.
    pub name: Arc<str>,
    /// What it is there for.
    pub role: Role,
}

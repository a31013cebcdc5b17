//! A component: compiled, linked, and what it says about itself.

use crate::{
    budget::Budget,
    cache::{Digest, hex},
    call::{Live, to_begin},
    configured::Configured,
    error::{CompileError, ConfigureError},
    exports::Names,
    host::Shared,
    inspect::{Import, Outside},
    state::State,
    values::DescriptionOut,
};
use std::{collections::BTreeMap, sync::Arc};
use wasmtime::component::InstancePre;
use weir_plugin::{PluginRef, World, limits::PARAMETERS_MAX};

/// What a plugin says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in one sentence.
    pub summary: String,
    /// The parameters it takes.
    pub parameters: Vec<Parameter>,
}

/// A parameter that a plugin takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it does, in one sentence.
    pub summary: String,
    /// Whether it must be given.
    pub required: bool,
    /// What counts when it is not given.
    pub default: Option<String>,
}

/// A component that can be configured. Its clones are the same one.
#[derive(Clone)]
pub struct Component {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    /// Keeps the engine's clock going.
    pub(crate) _shared: Arc<Shared>,
    pub(crate) digest: Digest,
    pub(crate) bytes: usize,
    pub(crate) outside: Outside,
    pub(crate) description: Description,
    pub(crate) budget: Budget,
    pub(crate) names: Names,
    pub(crate) pre: InstancePre<State>,
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component")
            .field("name", &self.inner.description.name)
            .field("version", &self.inner.description.version)
            .field("digest", &hex(&self.inner.digest))
            .finish_non_exhaustive()
    }
}

impl Component {
    /// SHA-256 of its bytes.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.inner.digest
    }

    /// How many bytes it has.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.inner.bytes
    }

    /// What it is for.
    #[must_use]
    pub fn world(&self) -> World {
        self.inner.outside.world
    }

    /// What it says about itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.inner.description
    }

    /// What it imports, and what there is for that.
    #[must_use]
    pub fn imports(&self) -> &[Import] {
        &self.inner.outside.imports
    }

    /// Whether it brings a language runtime, which has more memory.
    #[must_use]
    pub fn has_runtime(&self) -> bool {
        self.inner.outside.wants_wasi()
    }

    /// What it may use unless an attachment says otherwise.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.inner.budget
    }

    /// Has the plugin take its parameters: first held against its description, then given to
    /// `configure`, under its budget.
    ///
    /// # Errors
    /// If a parameter is missing or unknown, or the plugin refuses them or fails.
    pub fn configure(
        &self,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Configured, ConfigureError> {
        self.configure_under(parameters, self.inner.budget)
    }

    /// The same under a budget of its own.
    ///
    /// # Errors
    /// As `configure`.
    pub fn configure_under(
        &self,
        parameters: &BTreeMap<String, String>,
        budget: Budget,
    ) -> Result<Configured, ConfigureError> {
        Configured::new(self.clone(), parameters, budget)
    }
}

/// Asks an instance what it is.
pub(crate) fn describe(live: &mut Live, budget: &Budget) -> Result<Description, CompileError> {
    let described = live.call(
        live.exports.describe,
        (),
        to_begin(budget),
        |_, (description,): (DescriptionOut,)| Ok(Ok(Description::from(description))),
    );
    let description = described.map_err(|stop| CompileError::NoDescription {
        reason: stop.failure().message,
    })?;
    check(&description).map_err(|reason| CompileError::BadDescription { reason })?;
    Ok(description)
}

fn check(description: &Description) -> Result<(), String> {
    let name = &description.name;
    let is_plain = |reference: &PluginRef| reference.version.is_none();
    if !name.parse::<PluginRef>().is_ok_and(|it| is_plain(&it)) {
        return Err(format!(
            "'{name}' is no name: a lower-case letter, then up to 62 lower-case letters, digits or hyphens"
        ));
    }
    if !weir_plugin::chain::is_version(&description.version) {
        return Err(format!(
            "'{}' is no version: three numbers, such as 1.2.0",
            description.version
        ));
    }
    if description.parameters.len() > PARAMETERS_MAX {
        return Err(format!("it takes more than {PARAMETERS_MAX} parameters"));
    }
    let mut names: Vec<&str> = description.parameters.iter().map(|p| &*p.name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("it takes the parameter '{}' twice", pair[0])),
        None if names.first() == Some(&"") => Err("a parameter has no name".into()),
        None => Ok(()),
    }
}

//! A component with its parameters: what is attached somewhere.

use crate::{
    budget::Budget,
    call::{Live, to_begin},
    component::Component,
    error::ConfigureError,
    failure::Stop,
    instance::Instance,
    log::{LogSink, NoLog},
    state::Parameters,
    values::reason,
};
use std::{collections::BTreeMap, sync::Arc};
use wasmtime::component::WasmStr;

/// A plugin that took its parameters. Its clones are the same one.
#[derive(Clone, Debug)]
pub struct Configured {
    component: Component,
    parameters: Parameters,
    budget: Budget,
}

impl Configured {
    pub(crate) fn new(
        component: Component,
        given: &BTreeMap<String, String>,
        budget: Budget,
    ) -> Result<Self, ConfigureError> {
        let parameters = held_against(&component, given)?;
        let configured = Self {
            component,
            parameters,
            budget,
        };
        let plugin = || configured.component.description().name.clone();
        match configured.begin(Arc::new(NoLog)) {
            Ok(_) => Ok(configured),
            Err(Stop::Refused(failure)) => Err(ConfigureError::Refused {
                plugin: plugin(),
                reason: failure.message,
            }),
            Err(stop) => {
                let failure = stop.failure();
                Err(ConfigureError::Failed {
                    plugin: plugin(),
                    failure: failure.message,
                    kind: failure.kind,
                })
            }
        }
    }

    /// What was configured.
    #[must_use]
    pub const fn component(&self) -> &Component {
        &self.component
    }

    /// What its instances may use.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The parameters, defaults included, by name, ascending.
    #[must_use]
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// An instance that logs to `sink`. It begins with its first call.
    #[must_use]
    pub fn instance(&self, sink: Arc<dyn LogSink>) -> Instance {
        Instance::new(self.clone(), sink)
    }

    /// A fresh store that took the parameters.
    pub(crate) fn begin(&self, sink: Arc<dyn LogSink>) -> Result<Live, Stop> {
        let inner = &self.component.inner;
        let parameters = Arc::clone(&self.parameters);
        let mut live = Live::new(&inner.pre, &inner.names, &self.budget, sink, parameters)?;
        live.call(
            live.exports.configure,
            (&*self.parameters,),
            to_begin(&self.budget),
            |store, (given,): (Result<(), WasmStr>,)| {
                Ok(match given {
                    Ok(()) => Ok(()),
                    Err(words) => Err(Stop::refused(reason(store, &words)?)),
                })
            },
        )?;
        Ok(live)
    }
}

/// Parameters held against a description: none unknown, none missing, defaults filled in.
fn held_against(
    component: &Component,
    given: &BTreeMap<String, String>,
) -> Result<Parameters, ConfigureError> {
    let description = component.description();
    let mut all = given.clone();
    let takes = |name: &String| description.parameters.iter().any(|p| p.name == *name);
    if let Some(unknown) = given.keys().find(|name| !takes(name)) {
        return Err(ConfigureError::Unknown {
            plugin: description.name.clone(),
            parameter: unknown.clone(),
            takes: description
                .parameters
                .iter()
                .map(|p| p.name.clone())
                .collect(),
        });
    }
    for parameter in &description.parameters {
        match &parameter.default {
            _ if all.contains_key(&parameter.name) => {}
            Some(default) => {
                all.insert(parameter.name.clone(), default.clone());
            }
            None if parameter.required => {
                return Err(ConfigureError::Missing {
                    plugin: description.name.clone(),
                    parameter: parameter.name.clone(),
                });
            }
            None => {}
        }
    }
    Ok(all.into_iter().collect())
}

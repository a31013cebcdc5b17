//! One live store and what is called in it.
//!
//! It must never be used again after a call that did not end well, but for a refusal.

use crate::{
    budget::{Budget, Usage},
    exports::{Exports, Names, Part},
    failure::{Allowance, Stop, stop},
    limits::{DESCRIPTION_BYTES_MAX, EPOCH_TICK_MS, FUEL_TO_BEGIN},
    log::LogSink,
    state::{Parameters, State},
    values::{BatchIn, BytesIn, DescriptionOut, OutputOut},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use wasmtime::{
    Store,
    component::{ComponentNamedList, Func, InstancePre, Lift, Lower, WasmList, WasmStr},
};
use weir_plugin::{Failure, World};

/// Where the records of a call are.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The topic they belong to.
    pub topic: &'a str,
    /// The partition.
    pub partition: u32,
    /// The greatest timestamp of the whole batch, in milliseconds since the epoch, also where the
    /// call is given a part of it.
    pub stream_time: i64,
}

/// What came of a call, and what it used.
#[derive(Clone, Debug)]
pub struct Report<T> {
    /// What came of it.
    pub result: Result<T, Failure>,
    /// What it used, what it took to begin anew included.
    pub usage: Usage,
}

/// A store with an instance in it.
pub(crate) struct Live {
    pub(crate) store: Store<State>,
    pub(crate) exports: Exports,
}

/// What is allowed where an instance begins.
pub(crate) fn to_begin(budget: &Budget) -> Allowance {
    Allowance {
        fuel: FUEL_TO_BEGIN,
        output_bytes: DESCRIPTION_BYTES_MAX,
        time: budget.call,
    }
}

impl Live {
    /// Makes a store and an instance in it.
    pub(crate) fn new(
        pre: &InstancePre<State>,
        exports: &Names,
        budget: &Budget,
        sink: Arc<dyn LogSink>,
        parameters: Parameters,
    ) -> Result<Self, Stop> {
        let state = State::new(budget.memory_bytes, sink, parameters);
        let mut store = Store::new(pre.engine(), state);
        store.limiter(|state| &mut state.memory);
        let allowed = to_begin(budget);
        begin(&mut store, allowed)?;
        match pre.instantiate(&mut store) {
            Ok(instance) => {
                let exports = Exports::find(&mut store, &instance, exports)?;
                Ok(Self { store, exports })
            }
            Err(error) => Err(stop(&store, &error, allowed)),
        }
    }

    /// Calls a function and reads what it gives back.
    pub(crate) fn call<P, R, T>(
        &mut self,
        function: Func,
        parameters: P,
        allowed: Allowance,
        read: impl FnOnce(&mut Store<State>, R) -> Result<Result<T, Stop>, wasmtime::Error>,
    ) -> Result<T, Stop>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        begin(&mut self.store, allowed)?;
        let store = &mut self.store;
        let outcome = function.typed::<P, R>(&*store).and_then(|function| {
            let given = function.call(&mut *store, parameters)?;
            let value = read(&mut *store, given)?;
            function.post_return(&mut *store)?;
            Ok(value)
        });
        outcome.unwrap_or_else(|error| Err(stop(&self.store, &error, allowed)))
    }

    /// Holds the exports against the types of their world.
    pub(crate) fn check_types(&self, world: World) -> wasmtime::Result<()> {
        type Words<T> = (Result<T, WasmStr>,);
        let (store, exports) = (&self.store, &self.exports);
        let typed = |what: &str, outcome: wasmtime::Result<()>| {
            outcome.map_err(|error| error.context(format!("'{what}' has another type")))
        };
        let describe = exports.describe.typed::<(), (DescriptionOut,)>(store);
        typed("describe", describe.map(|_| ()))?;
        let configure = exports.configure;
        let configure = configure.typed::<(&[(String, String)],), Words<()>>(store);
        typed("configure", configure.map(|_| ()))?;
        let main = exports.world;
        let main = match world {
            World::Transform => main
                .typed::<(BatchIn<'_>,), Words<OutputOut>>(store)
                .map(|_| ()),
            World::Partitioner => main
                .typed::<(BytesIn<'_>, u32), Words<WasmList<u32>>>(store)
                .map(|_| ()),
            World::Decoder => main
                .typed::<(Part, BytesIn<'_>), (WasmList<Result<WasmStr, WasmStr>>,)>(store)
                .map(|_| ()),
        };
        typed(world.name(), main)?;
        let Some(encode) = exports.encode else {
            return Ok(());
        };
        let encode =
            encode.typed::<(Part, &[&str]), (WasmList<Result<WasmList<u8>, WasmStr>>,)>(store);
        typed("encode", encode.map(|_| ()))
    }

    /// What was used since `begin`.
    pub(crate) fn usage(&self, allowed: Allowance, since: Instant) -> Usage {
        // Fuel is on in every engine of ours.
        let left = self.store.get_fuel().unwrap_or_default();
        Usage {
            fuel: allowed.fuel.saturating_sub(left),
            time: since.elapsed(),
            memory_peak: self.store.data().memory.peak,
        }
    }
}

/// Gives a store what a call may use.
fn begin(store: &mut Store<State>, allowed: Allowance) -> Result<(), Stop> {
    store.set_hostcall_fuel(allowed.output_bytes);
    store.set_epoch_deadline(ticks(allowed.time));
    let state = store.data_mut();
    state.log.begin();
    state.memory.begin();
    match store.set_fuel(allowed.fuel) {
        Ok(()) => Ok(()),
        Err(error) => Err(stop(store, &error, allowed)),
    }
}

/// So many ticks of the engine's clock that a call has its time in full.
fn ticks(time: Duration) -> u64 {
    let ticks = time.as_millis().div_ceil(u128::from(EPOCH_TICK_MS)) + 1;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

//! The interface `weir:plugin/host`: everything a plugin may ask for.

use crate::{log::Level, state::State};
use std::sync::Arc;
use wasmtime::{
    Result, StoreContextMut,
    component::{LinkerInstance, WasmStr},
};

/// Puts the functions of `weir:plugin/host` into an instance.
pub(crate) fn link(host: &mut LinkerInstance<'_, State>) -> Result<()> {
    host.func_wrap("log", |mut store, (level, message): (Level, WasmStr)| {
        let text = message.to_str(&store)?.into_owned();
        charge(&mut store, text.len())?;
        store.data_mut().log.log(level, &text);
        Ok(())
    })?;
    host.func_wrap("parameters", |mut store, (): ()| {
        let parameters = Arc::clone(&store.data().parameters);
        charge(
            &mut store,
            parameters.iter().map(|(n, v)| n.len() + v.len()).sum(),
        )?;
        Ok((parameters.to_vec(),))
    })?;
    host.func_wrap(
        "stream-time",
        |store: StoreContextMut<'_, State>, (): ()| Ok((store.data().stream_time,)),
    )
}

/// Takes fuel for bytes that the host copies or looks at, as the guest would for its own.
pub(crate) fn charge(store: &mut StoreContextMut<'_, State>, bytes: usize) -> Result<()> {
    let fuel = store.get_fuel()?;
    match fuel.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX)) {
        Some(left) => store.set_fuel(left),
        None => Err(wasmtime::Trap::OutOfFuel.into()),
    }
}

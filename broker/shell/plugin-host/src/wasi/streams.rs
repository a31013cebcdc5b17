//! `wasi:io`: streams that end in the plugin's log, and polls that never wait.

use super::{STDERR, STDOUT, Store, held, resources, write};
use crate::{functions::charge, state::State};
use wasmtime::{
    Result,
    component::{ComponentType, Lift, LinkerInstance, Lower, Resource, WasmList},
};

/// What one write may bring, in bytes; WASI lets the host choose.
const WRITE_BYTES_MAX: u64 = 64 << 10;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<()>),
    #[component(name = "closed")]
    Closed,
}

/// What a function of a stream gives back.
type Outcome<T> = (std::result::Result<T, StreamError>,);

pub(super) fn error(it: &mut LinkerInstance<'_, State>) -> Result<()> {
    resources(it, &["error"])?;
    it.func_wrap(
        "[method]error.to-debug-string",
        |_: Store<'_>, (_,): (Resource<()>,)| Ok((String::from("the stream failed"),)),
    )
}

pub(super) fn poll(it: &mut LinkerInstance<'_, State>) -> Result<()> {
    resources(it, &["pollable"])?;
    it.func_wrap(
        "[method]pollable.ready",
        |_: Store<'_>, (_,): (Resource<()>,)| Ok((true,)),
    )?;
    it.func_wrap(
        "[method]pollable.block",
        |_: Store<'_>, (_,): (Resource<()>,)| Ok(()),
    )?;
    it.func_wrap("poll", |_: Store<'_>, (all,): (Vec<Resource<()>>,)| {
        let count = u32::try_from(all.len())?;
        Ok(((0..count).collect::<Vec<u32>>(),))
    })
}

pub(super) fn streams(it: &mut LinkerInstance<'_, State>) -> Result<()> {
    resources(it, &["input-stream", "output-stream"])?;
    for name in [
        "[method]input-stream.read",
        "[method]input-stream.blocking-read",
    ] {
        it.func_wrap(name, |_: Store<'_>, (_, _): (Resource<()>, u64)| {
            let ended: Outcome<Vec<u8>> = (Err(StreamError::Closed),);
            Ok(ended)
        })?;
    }
    for name in [
        "[method]input-stream.skip",
        "[method]input-stream.blocking-skip",
    ] {
        it.func_wrap(name, |_: Store<'_>, (_, _): (Resource<()>, u64)| {
            let ended: Outcome<u64> = (Err(StreamError::Closed),);
            Ok(ended)
        })?;
    }
    for name in [
        "[method]input-stream.subscribe",
        "[method]output-stream.subscribe",
    ] {
        it.func_wrap(name, |mut store: Store<'_>, (_,): (Resource<()>,)| {
            Ok((held(&mut store)?,))
        })?;
    }
    it.func_wrap(
        "[method]output-stream.check-write",
        |_: Store<'_>, (_,): (Resource<()>,)| {
            let room: Outcome<u64> = (Ok(WRITE_BYTES_MAX),);
            Ok(room)
        },
    )?;
    for name in [
        "[method]output-stream.write",
        "[method]output-stream.blocking-write-and-flush",
    ] {
        it.func_wrap(name, written)?;
    }
    for name in [
        "[method]output-stream.flush",
        "[method]output-stream.blocking-flush",
    ] {
        it.func_wrap(name, |_: Store<'_>, (_,): (Resource<()>,)| {
            let done: Outcome<()> = (Ok(()),);
            Ok(done)
        })?;
    }
    Ok(())
}

/// A write to a stream; only standard output and error can be written to.
fn written(
    mut store: Store<'_>,
    (stream, contents): (Resource<()>, WasmList<u8>),
) -> Result<Outcome<()>> {
    let stream = stream.rep();
    if stream != STDOUT && stream != STDERR {
        return Ok((Err(StreamError::Closed),));
    }
    charge(&mut store, contents.len())?;
    let bytes = contents.as_le_slice(&store).to_vec();
    write(&mut store, stream, &bytes);
    Ok((Ok(()),))
}

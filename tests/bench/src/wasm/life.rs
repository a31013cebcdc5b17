//! What a component costs before it is called, and on its first call.

use crate::{data, in_wasm, turns::quantile};
use anyhow::Result;
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use weir_plugin_host::{Configured, Host, HostConfig, NoLog};

const TIMES: usize = 5;
const FRESH: usize = 200;

/// Prints how long compiling, loading what was compiled, and beginning anew take.
pub(crate) fn print(
    bytes: &[u8],
    configured: &Configured,
    parameters: &BTreeMap<String, String>,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cached = HostConfig {
        cache_dir: Some(folder.path().to_owned()),
        ..HostConfig::default()
    };
    let compile = timed(TIMES, || Ok(fresh_host()?.compile(bytes)?))?;
    drop(Host::new(cached.clone())?.compile(bytes)?);
    let load = timed(TIMES, || Ok(Host::new(cached.clone())?.compile(bytes)?))?;
    let component = configured.component();
    let configure = timed(FRESH, || Ok(component.configure(parameters)?))?;
    let one = data::columns(1, 100);
    let mut instance = configured.instance(Arc::new(NoLog));
    let first = timed(FRESH, || {
        instance.discard();
        in_wasm(&mut instance, &one).map(drop)
    })?;
    println!(
        "  compile {:.1} ms, load what was compiled {:.2} ms (an engine each included), \
         configure {:.0} us, a fresh instance with its first call {:.0} us",
        compile / 1e6,
        load / 1e6,
        configure / 1e3,
        first / 1e3
    );
    Ok(())
}

fn fresh_host() -> Result<Host> {
    Ok(Host::new(HostConfig::default())?)
}

/// The median in ns.
fn timed<T>(times: usize, mut work: impl FnMut() -> Result<T>) -> Result<f64> {
    let mut sample = Vec::with_capacity(times);
    for _ in 0..times {
        let since = Instant::now();
        let made = work()?;
        sample.push(since.elapsed().as_nanos() as f64);
        drop(made);
    }
    Ok(quantile(&sample, 0.5))
}

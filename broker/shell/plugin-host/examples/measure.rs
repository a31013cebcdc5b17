//! What components cost: compiling, loading what was compiled, a fresh instance, a call, and a
//! record of a call, by batches of several sizes.
//!
//! `cargo run --release -p weir-plugin-host --example measure -- COMPONENT.wasm [NAME=VALUE ...]`

use std::{
    collections::BTreeMap,
    env, fs,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use weir_plugin::{Columns, World};
use weir_plugin_host::{Budget, Configured, Context, Host, HostConfig, NoLog};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("measure: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().ok_or("which component?")?;
    let parameters: BTreeMap<String, String> = arguments
        .filter_map(|text| {
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect();
    let bytes = fs::read(&path)?;
    let folder = env::temp_dir().join(format!("weir-measure-{}", std::process::id()));
    let config = HostConfig {
        cache_dir: Some(folder.clone()),
        ..HostConfig::default()
    };
    let since = Instant::now();
    let component = Host::new(config.clone())?.compile(&bytes)?;
    println!(
        "{path}: {} bytes, {:?}",
        bytes.len(),
        component.description()
    );
    println!("compiled in {:?}", since.elapsed());
    let since = Instant::now();
    let component = Host::new(config)?.compile(&bytes)?;
    println!("loaded again in {:?}", since.elapsed());
    fs::remove_dir_all(folder)?;
    // A language runtime needs more than a call usually may; what it takes is shown.
    let budget = Budget {
        fuel_per_record: 100_000_000,
        call: Duration::from_secs(60),
        ..component.budget()
    };
    let configured = component.configure_under(&parameters, budget)?;
    let column = columns(1, 100);
    let begin = best(20, 10, || {
        let mut instance = configured.instance(Arc::new(NoLog));
        let _ = call(&mut instance, &column);
    });
    println!("a fresh instance and its first call: {begin:?}");
    for size in [100, 1_000] {
        for rows in [1, 100, 1_000] {
            measure(&configured, rows, size)?;
        }
    }
    Ok(())
}

fn measure(
    configured: &Configured,
    rows: usize,
    size: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let columns = columns(rows, size);
    let mut instance = configured.instance(Arc::new(NoLog));
    let fuel = call(&mut instance, &columns)?;
    let rounds = (20_000 / rows).clamp(5, 2_000);
    let time = best(5, rounds, || {
        // The first call has shown that it succeeds.
        let _ = call(&mut instance, &columns);
    });
    let per_record = time.as_nanos() / rows as u128;
    println!(
        "{rows:>5} records of {size:>4} bytes: {time:>12?} a call, {per_record:>8} ns a record, {:>8} fuel a record",
        fuel / rows as u64
    );
    Ok(())
}

/// One call of whatever world; the fuel it took.
fn call(
    instance: &mut weir_plugin_host::Instance,
    columns: &Columns,
) -> Result<u64, Box<dyn std::error::Error>> {
    let context = Context {
        topic: "orders",
        partition: 0,
        stream_time: 1_700_000_000_000,
    };
    let failed = |failure: weir_plugin::Failure| failure.message;
    let usage = match instance.configured().component().world() {
        World::Transform => {
            let report = instance.transform(context, columns);
            report.result.map_err(failed)?;
            report.usage
        }
        World::Partitioner => {
            let report = instance.partition(&columns.keys, 12);
            report.result.map_err(failed)?;
            report.usage
        }
        World::Decoder => {
            let report = instance.decode(weir_plugin_host::Part::Value, &columns.values);
            report.result.map_err(failed)?;
            report.usage
        }
    };
    Ok(usage.fuel)
}

/// The best of several means.
fn best(times: usize, rounds: usize, mut work: impl FnMut()) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..times {
        let since = Instant::now();
        for _ in 0..rounds {
            work();
        }
        best = best.min(since.elapsed() / u32::try_from(rounds).unwrap_or(u32::MAX));
    }
    best
}

/// Orders in JSON, of about this size.
fn columns(rows: usize, size: usize) -> Columns {
    let mut columns = Columns::default();
    for row in 0..rows {
        let place = i64::try_from(row).unwrap_or(i64::MAX);
        columns.offsets.push(place);
        columns.timestamps.push(1_700_000_000_000 + place);
        let key = format!("customer-{row}");
        columns.keys.push(Some(key.as_bytes()));
        let mut value = format!(
            r#"{{"id":{row},"email":"a{row}@example.org","card":"4111111111111111","note":""#
        );
        while value.len() + 2 < size {
            value.push((b'a' + (value.len() % 26) as u8) as char);
        }
        value.push_str("\"}");
        columns.values.push(Some(value.as_bytes()));
        columns.headers.end_row();
    }
    columns.finish();
    columns
}

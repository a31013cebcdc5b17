//! `weir-wasm`: what a transform costs a record in native Rust and in Wasm, measured in turns in
//! one process so that the ratios hold on a busy machine too. `cargo xtask bench wasm` calls it.
//!
//! It must never measure two programs that do different things: native and Wasm are the same
//! crates, and what they give back is compared before anything is timed.
#![forbid(unsafe_code)]

mod data;
mod framing;
mod life;
mod native;
mod turns;

use anyhow::{Context as _, Result, bail, ensure};
use data::columns;
use filter_by_expression::FilterByExpression;
use mask_fields::MaskFields;
use native::Native;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use turns::{Conditions, Figures};
use weir_plugin::{Columns, Output, Place, check};
use weir_plugin_host::{Context, Host, HostConfig, Instance, NoLog};
use weir_plugin_sdk::Transform;

const SIZES: [usize; 2] = [100, 1_000];
const BATCHES: [usize; 3] = [1, 100, 1_000];

/// By how much Wasm may be slower than native code that copies as much.
const GOAL: f64 = 2.0;

const USAGE: &str = "usage: weir-wasm --prebuilt FOLDER [--quick]";

/// Where the records of all calls are said to be.
pub(crate) const CONTEXT: Context<'static> = Context {
    topic: "orders",
    partition: 0,
    stream_time: data::TIME_MS,
};

fn main() -> Result<()> {
    let (prebuilt, rounds) = options(std::env::args().skip(1))?;
    let conditions = Conditions::now(rounds);
    println!("{conditions}");
    let host = Host::new(HostConfig::default())?;
    let mut missed = Vec::new();
    let mut plugin = |name: &str, parameters: &[(&str, &str)], native: Kind| -> Result<()> {
        let path = prebuilt.join(format!("{name}.wasm"));
        let bytes = std::fs::read(&path);
        let bytes = bytes.with_context(|| format!("cannot read {}", path.display()))?;
        let wanted: BTreeMap<_, _> = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let configured = host.compile(&bytes)?.configure(&wanted)?;
        println!(
            "\n{name} {parameters:?}, {} bytes: ns a record (median)",
            bytes.len()
        );
        println!("{}", Figures::head());
        for size in SIZES {
            for rows in BATCHES {
                let columns = columns(rows, size);
                let mut instance = configured.instance(Arc::new(NoLog));
                let figures = match native {
                    Kind::Mask => four::<MaskFields>(parameters, &columns, &mut instance, rounds),
                    Kind::Filter => {
                        four::<FilterByExpression>(parameters, &columns, &mut instance, rounds)
                    }
                }?;
                println!("{}", figures.row(size, rows));
                if figures.by_columns > GOAL {
                    let by = figures.by_columns;
                    missed.push(format!("{name}, {rows} of {size} B: {by:.2}"));
                }
            }
        }
        life::print(&bytes, &configured, &wanted)
    };
    plugin("mask-fields", &[("fields", "card")], Kind::Mask)?;
    plugin(
        "filter-by-expression",
        &[("keep", "value.id >= 500")],
        Kind::Filter,
    )?;
    framing::print(rounds)?;
    println!("\n{}", Conditions::now(rounds));
    if missed.is_empty() {
        println!("goal: by columns at most {GOAL} times native with copies: reached everywhere");
    } else {
        println!("goal: by columns at most {GOAL} times native with copies: missed at");
        missed.iter().for_each(|line| println!("  {line}"));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Kind {
    Mask,
    Filter,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<(PathBuf, usize)> {
    let (mut prebuilt, mut rounds) = (None, 101);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--prebuilt" => prebuilt = args.next().map(PathBuf::from),
            "--quick" => rounds = 25,
            _ => bail!("there is no '{arg}'; {USAGE}"),
        }
    }
    Ok((prebuilt.context(USAGE)?, rounds))
}

/// The four ways in turns, after it was seen that they come to the same.
fn four<P: Transform>(
    parameters: &[(&str, &str)],
    columns: &Columns,
    instance: &mut Instance,
    rounds: usize,
) -> Result<Figures> {
    let rows = columns.rows();
    let mut native = Native::<P>::new(parameters)?;
    let expected = native.with_copies(columns)?;
    let wasm = in_wasm(instance, columns)?;
    ensure!(expected == wasm, "native and Wasm differ");
    check(&wasm, columns, Place::Batch)?;
    let batch = native::batch(columns);
    let singles: Vec<Columns> = (0..rows)
        .map(|row| columns.pick(&[u32::try_from(row).unwrap_or(u32::MAX)]))
        .collect();
    let instance = std::cell::RefCell::new(instance);
    let native = std::cell::RefCell::new(native);
    turns::figures(
        rows,
        rounds,
        [
            &mut || native.borrow_mut().in_place(&batch),
            &mut || native.borrow_mut().with_copies(columns).map(drop),
            &mut || in_wasm(&mut instance.borrow_mut(), columns).map(drop),
            &mut || {
                for single in &singles {
                    in_wasm(&mut instance.borrow_mut(), single)?;
                }
                Ok(())
            },
        ],
    )
}

/// One call of a component.
pub(crate) fn in_wasm(instance: &mut Instance, columns: &Columns) -> Result<Output> {
    let report = instance.transform(CONTEXT, columns);
    report
        .result
        .map_err(|failure| anyhow::anyhow!(failure.message))
}

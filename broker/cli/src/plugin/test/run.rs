//! Runs a component on records, whatever its world, and keeps what became of each. Nothing is
//! printed here.

use super::{How, Input};
use crate::failure::Outcome;
use crate::plugin::local::{self, Lines, ROWS_MAX};
use crate::plugin::sample::{self, Sample};
use crate::plugin::words;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_plugin::{BytesColumn, Columns, Failure, Place, Staying, Verdict, World};
use weir_plugin_host::{Component, Context, Instance, Level, Part, Runner, Usage};

/// What became of all records.
pub(crate) struct Ran {
    /// What became of each.
    pub(crate) rows: Vec<Fate>,
    /// What it used.
    pub(crate) usage: Usage,
    /// How often it was called.
    pub(crate) calls: u64,
    /// What it logged.
    pub(crate) log: Vec<(Level, String)>,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fate {
    /// It stays as it is, or as something else; with the place of its topic, if it has one.
    Stays(Sample, Option<u32>),
    /// It is left out.
    Dropped,
    /// The plugin refuses it.
    Refused(String),
    /// The plugin fails on it.
    Failed(Failure),
    /// It goes to this partition.
    Placed(u32),
    /// It reads as this JSON, or not.
    Read(Result<String, String>),
}

impl Ran {
    /// How many records the plugin failed on.
    pub(crate) fn failures(&self) -> usize {
        let failed = |fate: &&Fate| matches!(fate, Fate::Failed(_));
        self.rows.iter().filter(failed).count()
    }
}

/// Runs it.
pub(crate) fn run_samples(component: &Component, input: &Input, how: &How) -> Outcome<Ran> {
    let parameters = words::parameters(&how.set)?;
    let configured = local::configure(component, &parameters)?;
    let lines = Arc::new(Lines::default());
    let mut work = Work {
        instance: configured.instance(Arc::<Lines>::clone(&lines)),
        runner: Runner::new(configured.instance(Arc::<Lines>::clone(&lines)), place(how)),
        usage: Usage::default(),
        calls: 0,
    };
    let mut rows: Vec<Option<Fate>> = vec![None; input.samples.len()];
    // As in a broker, a call has records of one partition only.
    let mut partitions: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (place, sample) in input.samples.iter().enumerate() {
        partitions.entry(sample.partition).or_default().push(place);
    }
    for places in partitions.values() {
        for places in places.chunks(ROWS_MAX) {
            let samples = places
                .iter()
                .filter_map(|at| input.samples.get(*at).cloned());
            let samples: Vec<Sample> = samples.collect();
            let fates = match component.world() {
                World::Transform => work.transform(&samples, &input.topic),
                World::Partitioner => {
                    work.partition(&samples, how.partitions.or(input.partitions).unwrap_or(3))
                }
                World::Decoder => work.decode(&samples, how.part),
            };
            for (place, fate) in places.iter().zip(fates) {
                if let Some(row) = rows.get_mut(*place) {
                    *row = Some(fate);
                }
            }
        }
    }
    Ok(Ran {
        rows: rows.into_iter().flatten().collect(),
        log: lines.take(),
        usage: work.usage,
        calls: work.calls,
    })
}

fn place(how: &How) -> Place {
    match how.outputs {
        Some(outputs) => Place::Router { outputs },
        None => Place::Batch,
    }
}

/// A plugin at work; a component has one world, so one of the two stays idle.
struct Work {
    instance: Instance,
    runner: Runner,
    usage: Usage,
    calls: u64,
}

impl Work {
    fn transform(&mut self, samples: &[Sample], topic: &str) -> Vec<Fate> {
        let columns = sample::columns(samples);
        let partition = samples.first().map_or(0, |sample| sample.partition);
        let context = Context {
            topic,
            partition: u32::try_from(partition).unwrap_or(0),
            stream_time: columns.timestamps.iter().copied().max().unwrap_or(0),
        };
        let ruling = self.runner.run(context, &columns);
        self.usage.add(ruling.usage);
        self.calls += u64::from(ruling.runs);
        fates(&ruling.verdict, &columns, samples)
    }

    fn partition(&mut self, samples: &[Sample], partitions: u32) -> Vec<Fate> {
        let keys = column(samples.iter().map(|sample| sample.key.as_deref()));
        let report = self.instance.partition(&keys, partitions);
        self.usage.add(report.usage);
        self.calls += 1;
        match report.result {
            Ok(chosen) => chosen.into_iter().map(Fate::Placed).collect(),
            Err(failure) => vec![Fate::Failed(failure); samples.len()],
        }
    }

    fn decode(&mut self, samples: &[Sample], part: Part) -> Vec<Fate> {
        let data = column(samples.iter().map(|sample| match part {
            Part::Key => sample.key.as_deref(),
            Part::Value => sample.value.as_deref(),
        }));
        let report = self.instance.decode(part, &data);
        self.usage.add(report.usage);
        self.calls += 1;
        match report.result {
            Ok(texts) => texts.into_iter().map(Fate::Read).collect(),
            Err(failure) => vec![Fate::Failed(failure); samples.len()],
        }
    }
}

/// What became of each record of a batch.
fn fates(verdict: &Verdict, columns: &Columns, samples: &[Sample]) -> Vec<Fate> {
    let mut fates = vec![Fate::Dropped; samples.len()];
    let mut set = |row: usize, fate: Fate| {
        if let Some(at) = fates.get_mut(row) {
            *at = fate;
        }
    };
    let staying = Staying::new(columns, &verdict.output);
    for place in 0..staying.len() {
        let row = staying.row(place);
        if let Some(before) = samples.get(row) {
            let outputs = verdict.output.outputs.as_ref();
            let output = outputs.and_then(|outputs| outputs.get(place).copied());
            set(
                row,
                Fate::Stays(Sample::of_staying(&staying, place, before), output),
            );
        }
    }
    for refusal in &verdict.output.refusals {
        set(refusal.row as usize, Fate::Refused(refusal.reason.clone()));
    }
    for failed in &verdict.failures {
        for row in failed.rows.clone() {
            set(row as usize, Fate::Failed(failed.failure.clone()));
        }
    }
    fates
}

fn column<'a>(rows: impl Iterator<Item = Option<&'a [u8]>>) -> BytesColumn {
    let mut column = BytesColumn::default();
    for row in rows {
        column.push(row);
    }
    column.finish();
    column
}

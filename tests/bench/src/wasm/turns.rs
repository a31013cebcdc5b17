//! Measuring in turns: every round runs all variants one after the other, so that whatever else
//! the machine does falls on all of them alike, and ratios are taken within a round.

use anyhow::Result;
use std::{
    fmt, fs,
    time::{Duration, Instant},
};

/// About how long one variant runs in one round: so short that a busy machine seldom cuts into it.
const SLICE: Duration = Duration::from_millis(1);

/// Something that is measured.
pub(crate) type Variant<'a> = &'a mut dyn FnMut() -> Result<()>;

/// What a table's line says. Times are ns a record; ratios are medians over the rounds.
pub(crate) struct Figures {
    times: [f64; 4],
    /// By columns in Wasm, in times of native with copies.
    pub(crate) by_columns: f64,
    /// Its least and its greatest quarter.
    quartiles: (f64, f64),
    /// By one call a record, in times of native with copies.
    by_records: f64,
}

impl Figures {
    pub(crate) fn head() -> &'static str {
        "  record B  batch  in place  with copies  by columns  by record  columns/copies (quartiles)  record/copies"
    }

    pub(crate) fn row(&self, size: usize, rows: usize) -> String {
        let [place, copies, columns, records] = self.times;
        let (low, high) = self.quartiles;
        let quartiles = format!("{:.2} ({low:.2} to {high:.2})", self.by_columns);
        format!(
            "  {size:>8}  {rows:>5}  {place:>8.0}  {copies:>11.0}  {columns:>10.0}  {records:>9.0}  \
             {quartiles:>26}  {:>13.1}",
            self.by_records
        )
    }
}

/// Measures four variants, each of which deals with `rows` records.
pub(crate) fn figures(rows: usize, rounds: usize, variants: [Variant<'_>; 4]) -> Result<Figures> {
    let samples = measure(rows, rounds, variants)?;
    let [place, copies, columns, records] = &samples;
    let ratios = ratios(columns, copies);
    Ok(Figures {
        times: [place, copies, columns, records].map(|sample| quantile(sample, 0.5)),
        by_columns: quantile(&ratios, 0.5),
        quartiles: (quantile(&ratios, 0.25), quantile(&ratios, 0.75)),
        by_records: quantile(&self::ratios(records, copies), 0.5),
    })
}

/// One list of ns a record for each variant, one entry a round.
pub(crate) fn measure<const N: usize>(
    rows: usize,
    rounds: usize,
    mut variants: [Variant<'_>; N],
) -> Result<[Vec<f64>; N]> {
    let mut calls = [1_u32; N];
    for (calls, variant) in calls.iter_mut().zip(&mut variants) {
        // Warm up, and see how many calls fill a slice.
        let since = Instant::now();
        let mut done = 0;
        while since.elapsed() < SLICE {
            variant()?;
            done += 1;
        }
        *calls = done;
    }
    let mut samples = [const { Vec::new() }; N];
    for round in 0..rounds {
        for turn in 0..N {
            // Nobody always comes first.
            let at = (turn + round) % N;
            let since = Instant::now();
            for _ in 0..calls[at] {
                variants[at]()?;
            }
            let records = f64::from(calls[at]) * rows as f64;
            samples[at].push(since.elapsed().as_nanos() as f64 / records);
        }
    }
    Ok(samples)
}

/// The ratios within each round.
pub(crate) fn ratios(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).map(|(of, to)| of / to).collect()
}

/// A quantile of a sample; 0 of an empty one.
pub(crate) fn quantile(sample: &[f64], at: f64) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len().saturating_sub(1) as f64 * at).round();
    sorted.get(place as usize).copied().unwrap_or(0.0)
}

/// What the figures were seen under.
pub(crate) struct Conditions(String);

impl Conditions {
    pub(crate) fn now(rounds: usize) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
        let model = model.map_or("unknown processor", |text| {
            text.trim_start_matches([' ', '\t', ':'])
        });
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let load = read("/proc/loadavg");
        let load: Vec<&str> = load.split(' ').take(3).collect();
        Self(format!(
            "{cores} cores of {model}, kernel {}, load {}; {rounds} rounds in turns of {} ms, one thread",
            read("/proc/sys/kernel/osrelease").trim(),
            load.join(" "),
            SLICE.as_millis()
        ))
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

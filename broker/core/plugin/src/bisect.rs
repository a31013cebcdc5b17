//! Finding the records that a plugin fails on: the batch is halved until what fails is one record,
//! in order, in a bounded number of runs. Whoever runs the plugin asks for the next rows, runs them
//! on a fresh instance and says what came of it.

use crate::{
    columns::{BytesColumn, Columns, HeadersColumn},
    limits::BISECTION_RUNS_MAX,
    outcome::{Failure, Output, Refusal},
};
use alloc::vec::Vec;
use core::ops::Range;

/// What a plugin made of a batch, with the rows it failed on left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What came back, as if the rows it failed on had not been there.
    pub output: Output,
    /// Rows that the plugin failed on, in order.
    pub failures: Vec<FailedRows>,
}

/// Rows that a plugin failed on in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRows {
    /// Which; one row, unless there were too many culprits to tell them apart.
    pub rows: Range<u32>,
    /// How.
    pub failure: Failure,
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Bisection {
    /// Rows that are still to be run, the next ones last; each with the failure of a run that held
    /// them.
    pending: Vec<FailedRows>,
    runs: u32,
    done: Vec<(Range<u32>, Output)>,
    failures: Vec<FailedRows>,
}

impl Verdict {
    /// A batch that the plugin did not fail on.
    #[must_use]
    pub const fn whole(output: Output) -> Self {
        Self {
            output,
            failures: Vec::new(),
        }
    }
}

impl Bisection {
    /// Begins after a run of a whole batch of `rows` rows has failed.
    #[must_use]
    pub fn after(rows: u32, failure: Failure) -> Self {
        let mut bisection = Self {
            pending: Vec::new(),
            runs: 0,
            done: Vec::new(),
            failures: Vec::new(),
        };
        bisection.halve(0..rows, failure);
        bisection
    }

    /// The rows to run next, on a fresh instance; nothing at the end.
    #[must_use]
    pub fn rows(&self) -> Option<Range<u32>> {
        self.pending.last().map(|pending| pending.rows.clone())
    }

    /// These rows went through; `output` counts rows from the first of them and was checked.
    pub fn done(&mut self, output: Output) {
        if let Some(pending) = self.pending.pop() {
            self.done.push((pending.rows, output));
            self.ran();
        }
    }

    /// These rows failed too.
    pub fn failed(&mut self, failure: Failure) {
        if let Some(pending) = self.pending.pop() {
            self.halve(pending.rows, failure);
            self.ran();
        }
    }

    /// There is no time for more runs: what is pending counts as failed, as the run did that held
    /// it.
    pub fn give_up(&mut self) {
        while let Some(pending) = self.pending.pop() {
            self.failures.push(pending);
        }
    }

    fn halve(&mut self, rows: Range<u32>, failure: Failure) {
        let half = rows.start + (rows.end - rows.start) / 2;
        if half == rows.start {
            if !rows.is_empty() {
                self.failures.push(FailedRows { rows, failure });
            }
            return;
        }
        self.pending.push(FailedRows {
            rows: half..rows.end,
            failure: failure.clone(),
        });
        self.pending.push(FailedRows {
            rows: rows.start..half,
            failure,
        });
    }

    fn ran(&mut self) {
        self.runs += 1;
        if self.runs >= BISECTION_RUNS_MAX {
            self.give_up();
        }
    }

    /// What came of it all. `columns` are the whole batch.
    #[must_use]
    pub fn finish(mut self, columns: &Columns) -> Verdict {
        self.give_up();
        self.done.sort_by_key(|(rows, _)| rows.start);
        self.failures.sort_by_key(|failed| failed.rows.start);
        Verdict {
            output: join(columns, &self.done),
            failures: self.failures,
        }
    }
}

/// Puts the outputs of parts of a batch together; rows in none of the parts go.
fn join(columns: &Columns, parts: &[(Range<u32>, Output)]) -> Output {
    let mut whole = Output {
        rows: Some(Vec::new()),
        ..Output::default()
    };
    // A column that one part changed has to be spelled out for all of them.
    let any = |changed: fn(&Output) -> bool| parts.iter().any(|(_, output)| changed(output));
    whole.timestamps = any(|output| output.timestamps.is_some()).then(Vec::new);
    whole.keys = any(|output| output.keys.is_some()).then(BytesColumn::default);
    whole.values = any(|output| output.values.is_some()).then(BytesColumn::default);
    whole.headers = any(|output| output.headers.is_some()).then(HeadersColumn::default);
    whole.outputs = any(|output| output.outputs.is_some()).then(Vec::new);
    for (range, output) in parts {
        let rows: Vec<u32> = match &output.rows {
            Some(rows) => rows.iter().map(|row| range.start + row).collect(),
            None => range.clone().collect(),
        };
        add_part(&mut whole, columns, &rows, output);
        whole.rows.get_or_insert_default().extend(&rows);
        let refusals = output.refusals.iter().map(|refusal| Refusal {
            row: range.start + refusal.row,
            reason: refusal.reason.clone(),
        });
        whole.refusals.extend(refusals);
    }
    for column in [&mut whole.keys, &mut whole.values].into_iter().flatten() {
        column.finish();
    }
    if let Some(headers) = &mut whole.headers {
        headers.names.finish();
        headers.values.finish();
    }
    whole
}

/// Adds the columns of one part, whose records had these rows in the whole batch.
fn add_part(whole: &mut Output, columns: &Columns, rows: &[u32], part: &Output) {
    if let Some(timestamps) = &mut whole.timestamps {
        match &part.timestamps {
            Some(new) => timestamps.extend(new),
            None => timestamps.extend(rows.iter().map(|row| columns.timestamps[*row as usize])),
        }
    }
    if let Some(outputs) = &mut whole.outputs {
        match &part.outputs {
            Some(new) => outputs.extend(new),
            // Where nothing is said, records go to the first output.
            None => outputs.resize(outputs.len() + rows.len(), 0),
        }
    }
    let columns_of = [
        (&mut whole.keys, &part.keys, &columns.keys),
        (&mut whole.values, &part.values, &columns.values),
    ];
    for (column, new, old) in columns_of {
        let Some(column) = column else { continue };
        for (place, row) in rows.iter().enumerate() {
            column.push(match new {
                Some(new) => new.get(place),
                None => old.get(*row as usize),
            });
        }
    }
    if let Some(headers) = &mut whole.headers {
        for (place, row) in rows.iter().enumerate() {
            let (from, row) = match &part.headers {
                Some(new) => (new, place),
                None => (&columns.headers, *row as usize),
            };
            for at in from.row(row) {
                let name = from.names.get(at).unwrap_or_default();
                headers.push(name, from.values.get(at));
            }
            headers.end_row();
        }
    }
}

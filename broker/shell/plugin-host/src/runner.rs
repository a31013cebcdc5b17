//! Runs a plugin over whole batches and finds the records that it fails on.
//!
//! What is run next is decided by `weir_plugin::Bisection`; here are only the runs.

use crate::{
    budget::Usage,
    call::{Context, Report},
    instance::Instance,
    log::cut,
};
use std::time::{Duration, Instant};
use weir_plugin::{
    Bisection, Columns, FailedRows, Failure, FailureKind, Output, Place, Verdict, check,
    limits::{BATCH_MS_MAX, REASON_BYTES_MAX},
};

/// An instance with the rules of the place where it is attached.
#[derive(Debug)]
pub struct Runner {
    instance: Instance,
    place: Place,
    limit: Duration,
}

/// What came of a batch.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// What the plugin made of it, and the rows it failed on. The output was checked.
    pub verdict: Verdict,
    /// What all runs used.
    pub usage: Usage,
    /// How many runs there were; one where the plugin failed on nothing.
    pub runs: u32,
}

impl Runner {
    /// A runner of an instance of the world `transform`.
    #[must_use]
    pub const fn new(instance: Instance, place: Place) -> Self {
        Self {
            instance,
            place,
            limit: Duration::from_millis(BATCH_MS_MAX),
        }
    }

    /// The same with another limit of time for a batch, all its runs included.
    #[must_use]
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// What is run.
    #[must_use]
    pub const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// What is run, to be called in another way than over a batch.
    #[must_use]
    pub const fn instance_mut(&mut self) -> &mut Instance {
        &mut self.instance
    }

    /// Throws the plugin's memory away; the next batch begins anew.
    pub fn discard(&mut self) {
        self.instance.discard();
    }

    /// Runs a batch. If the plugin fails on it, its halves are run on fresh instances, and so on
    /// down to the records that it fails on. An error that the plugin itself returns is about the
    /// whole batch, and is not looked into.
    pub fn run(&mut self, context: Context<'_>, columns: &Columns) -> Ruling {
        let until = Instant::now() + self.limit;
        let mut usage = Usage::default();
        let mut runs = 1;
        let rows = u32::try_from(columns.rows()).unwrap_or(u32::MAX);
        let failure = match self.once(context, columns, until, &mut usage) {
            Ok(output) => {
                let verdict = Verdict::whole(output);
                return Ruling {
                    verdict,
                    usage,
                    runs,
                };
            }
            Err(failure) => failure,
        };
        if failure.kind == FailureKind::Refused {
            let failures = vec![FailedRows {
                rows: 0..rows,
                failure,
            }];
            let output = Output {
                rows: Some(Vec::new()),
                ..Output::default()
            };
            let verdict = Verdict { output, failures };
            return Ruling {
                verdict,
                usage,
                runs,
            };
        }
        let mut search = Bisection::after(rows, failure);
        while let Some(range) = search.rows() {
            if Instant::now() >= until {
                search.give_up();
                break;
            }
            let part = columns.pick(&range.collect::<Vec<u32>>());
            self.instance.discard();
            runs += 1;
            match self.once(context, &part, until, &mut usage) {
                Ok(output) => search.done(output),
                Err(failure) => search.failed(failure),
            }
        }
        Ruling {
            verdict: search.finish(columns),
            usage,
            runs,
        }
    }

    /// One run, its output checked.
    fn once(
        &mut self,
        context: Context<'_>,
        columns: &Columns,
        until: Instant,
        usage: &mut Usage,
    ) -> Result<Output, Failure> {
        let Report {
            result,
            usage: used,
        } = self.instance.transform_until(context, columns, until);
        usage.add(used);
        let output = result?;
        if let Err(rule) = check(&output, columns, self.place) {
            // Whatever made it break a rule may still be in its memory.
            self.instance.discard();
            let message = rule.to_string();
            return Err(Failure {
                kind: FailureKind::Invalid,
                message: cut(&message, REASON_BYTES_MAX).to_owned(),
            });
        }
        Ok(output)
    }
}

//! An instance that is called again and again, and begins anew when a call breaks it.

use crate::{
    budget::{Budget, Usage},
    call::{Context, Live, Report},
    configured::Configured,
    exports::Part,
    failure::{Allowance, Stop},
    limits::EPOCH_TICK_MS,
    log::LogSink,
    values::{BatchIn, BytesIn, OutputOut, elements, numbers, reason},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use wasmtime::component::{WasmList, WasmStr};
use weir_plugin::{BytesColumn, Columns, Output, World, check_partitions};

/// Texts, or why there are none.
type Texts = Vec<Result<String, String>>;
/// Bytes, or why there are none.
type Bytes = Vec<Result<Vec<u8>, String>>;

/// A configured plugin that can be called. One thread uses it at a time.
pub struct Instance {
    configured: Configured,
    sink: Arc<dyn LogSink>,
    live: Option<Live>,
    begun: u64,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("configured", &self.configured)
            .field("is_live", &self.live.is_some())
            .finish_non_exhaustive()
    }
}

impl Instance {
    pub(crate) const fn new(configured: Configured, sink: Arc<dyn LogSink>) -> Self {
        Self {
            configured,
            sink,
            live: None,
            begun: 0,
        }
    }

    /// What it was made of.
    #[must_use]
    pub const fn configured(&self) -> &Configured {
        &self.configured
    }

    /// How often it began: once, and once more after each call that broke it.
    #[must_use]
    pub const fn begun(&self) -> u64 {
        self.begun
    }

    /// Throws the plugin's memory away; the next call begins anew.
    pub fn discard(&mut self) {
        self.live = None;
    }

    /// Calls `transform`. The output is as the plugin gave it: it is not yet held against its
    /// input.
    pub fn transform(&mut self, context: Context<'_>, columns: &Columns) -> Report<Output> {
        let until = self.for_two_tries();
        self.transform_until(context, columns, until)
    }

    /// Calls `transform`, and ends it at `until` if it has not ended before.
    pub(crate) fn transform_until(
        &mut self,
        context: Context<'_>,
        columns: &Columns,
        until: Instant,
    ) -> Report<Output> {
        let rows = columns.rows();
        let allowed = self.allowed(rows, columns.size_bytes(), until);
        self.run(
            World::Transform,
            allowed,
            context.stream_time,
            |live, allowed| {
                let batch = BatchIn::new(context.topic, context.partition, columns);
                live.call(
                    live.exports.world,
                    (batch,),
                    allowed,
                    |store, (given,): (Result<OutputOut, WasmStr>,)| match given {
                        Ok(output) if output.refused() > rows => Ok(Err(Stop::invalid(format!(
                            "it refuses {} rows of {rows}",
                            output.refused()
                        )))),
                        Ok(output) => output.read(store).map(Ok),
                        Err(words) => Ok(Err(Stop::refused(reason(store, &words)?))),
                    },
                )
            },
        )
    }

    /// Calls `partition`. Every choice is below `partitions`, and there is one for each key.
    pub fn partition(&mut self, keys: &BytesColumn, partitions: u32) -> Report<Vec<u32>> {
        let rows = keys.len();
        let allowed = self.allowed_twice(rows, keys.size_bytes());
        self.run(World::Partitioner, allowed, 0, |live, allowed| {
            live.call(
                live.exports.world,
                (BytesIn::from(keys), partitions),
                allowed,
                |store, (given,): (Result<WasmList<u32>, WasmStr>,)| {
                    Ok(match given {
                        Ok(list) => {
                            let chosen = numbers(store, &list);
                            match check_partitions(&chosen, rows, partitions) {
                                Ok(()) => Ok(chosen),
                                Err(rule) => Err(Stop::invalid(rule.to_string())),
                            }
                        }
                        Err(words) => Err(Stop::refused(reason(store, &words)?)),
                    })
                },
            )
        })
    }

    /// Calls `decode`: a JSON text for each row, or why there is none.
    pub fn decode(&mut self, part: Part, data: &BytesColumn) -> Report<Texts> {
        let rows = data.len();
        let allowed = self.allowed_twice(rows, data.size_bytes());
        self.run(World::Decoder, allowed, 0, |live, allowed| {
            live.call(
                live.exports.world,
                (part, BytesIn::from(data)),
                allowed,
                |store, (given,): (WasmList<Result<WasmStr, WasmStr>>,)| {
                    if given.len() != rows {
                        return Ok(Err(miscounted(given.len(), rows)));
                    }
                    let texts = elements(store, &given)?.into_iter().map(|text| {
                        Ok(match text {
                            Ok(text) => Ok(text.to_str(&*store)?.into_owned()),
                            Err(words) => Err(reason(store, &words)?),
                        })
                    });
                    texts.collect::<wasmtime::Result<_>>().map(Ok)
                },
            )
        })
    }

    /// Calls `encode`: the bytes for each JSON text, or why there are none.
    pub fn encode(&mut self, part: Part, json: &[&str]) -> Report<Bytes> {
        let rows = json.len();
        let allowed = self.allowed_twice(rows, json.iter().map(|text| text.len() + 8).sum());
        self.run(World::Decoder, allowed, 0, |live, allowed| {
            let Some(encode) = live.exports.encode else {
                return Err(Stop::invalid("it does not encode".into()));
            };
            live.call(
                encode,
                (part, json),
                allowed,
                |store, (given,): (WasmList<Result<WasmList<u8>, WasmStr>>,)| {
                    if given.len() != rows {
                        return Ok(Err(miscounted(given.len(), rows)));
                    }
                    let all = elements(store, &given)?.into_iter().map(|bytes| {
                        Ok(match bytes {
                            Ok(bytes) => Ok(bytes.as_le_slice(&*store).to_vec()),
                            Err(words) => Err(reason(store, &words)?),
                        })
                    });
                    all.collect::<wasmtime::Result<_>>().map(Ok)
                },
            )
        })
    }

    /// What a call may use, and until when there is time for it and for another try.
    fn allowed(&self, rows: usize, input_bytes: usize, until: Instant) -> (Allowance, Instant) {
        let budget = self.configured.budget();
        let allowed = Allowance {
            fuel: budget.fuel(rows),
            output_bytes: budget.output(input_bytes),
            time: budget.call,
        };
        (allowed, until)
    }

    /// The same with time for both tries.
    fn allowed_twice(&self, rows: usize, input_bytes: usize) -> (Allowance, Instant) {
        self.allowed(rows, input_bytes, self.for_two_tries())
    }

    /// When a call and another try have had their time; the clock ends each up to two ticks late.
    fn for_two_tries(&self) -> Instant {
        let late = Duration::from_millis(2 * EPOCH_TICK_MS);
        Instant::now() + (self.configured.budget().call + late) * 2
    }

    /// Runs a call; once more on a fresh store if the clock ended it, for a machine may be busy.
    fn run<T>(
        &mut self,
        world: World,
        (mut allowed, until): (Allowance, Instant),
        stream_time: i64,
        call: impl Fn(&mut Live, Allowance) -> Result<T, Stop>,
    ) -> Report<T> {
        let mut usage = Usage::default();
        let is = self.configured.component().world();
        if is != world {
            let message = format!("it is a {} and no {}", is.name(), world.name());
            let result = Err(Stop::invalid(message).failure());
            return Report { result, usage };
        }
        let mut again = true;
        loop {
            let since = Instant::now();
            allowed.time = allowed.time.min(until.saturating_duration_since(since));
            let outcome = self.live().and_then(|live| {
                live.store.data_mut().stream_time = stream_time;
                let outcome = call(live, allowed);
                live.store.data_mut().stream_time = 0;
                usage.add(live.usage(allowed, since));
                outcome
            });
            if matches!(outcome, Err(Stop::Clock(_) | Stop::Broken(_))) {
                self.live = None;
            }
            let is_time = Instant::now() < until;
            if matches!(outcome, Err(Stop::Clock(_))) && again && is_time {
                again = false;
                continue;
            }
            return Report {
                result: outcome.map_err(Stop::failure),
                usage,
            };
        }
    }

    /// The live store; a fresh one where there is none.
    fn live(&mut self) -> Result<&mut Live, Stop> {
        let live = match self.live.take() {
            Some(live) => live,
            None => {
                self.begun += 1;
                self.configured.begin(Arc::clone(&self.sink))?
            }
        };
        Ok(self.live.insert(live))
    }

    /// What a fresh instance may use.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        self.configured.budget()
    }
}

fn miscounted(given: usize, rows: usize) -> Stop {
    Stop::invalid(format!("it gave back {given} results for {rows} rows"))
}

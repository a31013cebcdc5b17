//! `produce --report`: a line of JSON for each record, in the order of the input, once its fate is
//! known. It only listens; what it says changes nothing about the sending.

use crate::failure::{Failure, Outcome};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weir_client::Delivery;

/// Records whose fate is not known yet; beyond that, sending waits.
const WAITING_MAX: usize = 1 << 16;

/// One record's fate.
#[derive(Serialize)]
struct Line {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// An open report.
pub(crate) struct Report {
    sender: mpsc::Sender<(u64, Delivery)>,
    writer: JoinHandle<io::Result<()>>,
}

impl Report {
    /// Begins a report in a file, or on standard output for `-`. Must be called on the runtime.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let output: Box<dyn Write + Send> = if path.as_os_str() == "-" {
            Box::new(io::stdout())
        } else {
            let file = File::create(path).map_err(|error| {
                Failure::io(format_args!("cannot write {}", path.display()), &error)
            })?;
            Box::new(file)
        };
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let writer = tokio::spawn(write(receiver, BufWriter::new(output)));
        Ok(Self { sender, writer })
    }

    /// Takes the record of this line in.
    pub(crate) async fn add(&self, line: u64, delivery: Delivery) -> Outcome {
        let taken = self.sender.send((line, delivery)).await;
        taken.map_err(|_| Failure::failed("the report cannot be written"))
    }

    /// Waits until every line is written.
    pub(crate) async fn close(self) -> Outcome {
        drop(self.sender);
        let written = self.writer.await.map_err(io::Error::other).flatten();
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::output_closed(),
            _ => Failure::io("cannot write the report", &error),
        })
    }
}

async fn write(
    mut receiver: mpsc::Receiver<(u64, Delivery)>,
    mut output: impl Write,
) -> io::Result<()> {
    loop {
        let (line, delivery) = match receiver.try_recv() {
            Ok(next) => next,
            Err(_) => {
                // Nothing more at the moment: what is there should be seen.
                output.flush()?;
                match receiver.recv().await {
                    Some(next) => next,
                    None => return Ok(()),
                }
            }
        };
        if delivery.try_result().is_none() {
            output.flush()?;
        }
        let fate = match delivery.await {
            Ok(place) => Line {
                line,
                partition: Some(place.partition.0),
                offset: Some(place.offset.0),
                error: None,
            },
            Err(error) => Line {
                line,
                partition: None,
                offset: None,
                error: Some(error.to_string()),
            },
        };
        serde_json::to_writer(&mut output, &fate)?;
        output.write_all(b"\n")?;
    }
}

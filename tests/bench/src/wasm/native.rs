//! The example plugins as native code: on a batch where it lies, and with the copies in and out
//! that any boundary costs.

use anyhow::{Result, anyhow};
use std::marker::PhantomData;
use weir_plugin::{BytesColumn, Columns, HeadersColumn, Output, Refusal};
use weir_plugin_sdk::{
    Batch, Parameters, Transform, bindings::transform::weir::plugin::records as wit, call,
};

/// A configured plugin.
pub(crate) struct Native<P> {
    plugin: P,
    /// What stands behind the exports has one instance a thread, of this type.
    exports: PhantomData<P>,
}

impl<P: Transform> Native<P> {
    pub(crate) fn new(parameters: &[(&str, &str)]) -> Result<Self> {
        let pairs: Vec<(String, String)> = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        call::configure::<P>(pairs.clone()).map_err(|error| anyhow!(error))?;
        let parameters = Parameters::check(pairs, &P::describe()).map_err(|e| anyhow!(e))?;
        Ok(Self {
            plugin: P::configure(&parameters).map_err(|error| anyhow!(error))?,
            exports: PhantomData,
        })
    }

    /// On the batch where it lies; what comes out is used where it lies too.
    pub(crate) fn in_place(&mut self, batch: &Batch) -> Result<()> {
        let output = self.plugin.transform(batch).map_err(|error| anyhow!(error));
        drop(std::hint::black_box(output?));
        Ok(())
    }

    /// What goes in is copied, and what comes out.
    pub(crate) fn with_copies(&mut self, columns: &Columns) -> Result<Output> {
        let output = call::transform::<P>(columns_of(columns)).map_err(|error| anyhow!(error))?;
        Ok(read(&output))
    }
}

/// A batch for [`Native::in_place`].
pub(crate) fn batch(columns: &Columns) -> Batch {
    Batch::new(columns_of(columns))
}

fn columns_of(columns: &Columns) -> wit::Batch {
    wit::Batch {
        topic: crate::CONTEXT.topic.to_owned(),
        partition: crate::CONTEXT.partition,
        offsets: columns.offsets.clone(),
        timestamps: columns.timestamps.clone(),
        keys: bytes_of(&columns.keys),
        values: bytes_of(&columns.values),
        headers: wit::HeadersColumn {
            ends: columns.headers.ends.clone(),
            names: bytes_of(&columns.headers.names),
            values: bytes_of(&columns.headers.values),
        },
    }
}

fn bytes_of(column: &BytesColumn) -> wit::BytesColumn {
    wit::BytesColumn {
        ends: column.ends.clone(),
        data: column.data.clone(),
        nulls: column.nulls.clone(),
    }
}

fn read(output: &wit::Output) -> Output {
    let headers = |headers: &wit::HeadersColumn| HeadersColumn {
        ends: headers.ends.clone(),
        names: bytes(&headers.names),
        values: bytes(&headers.values),
    };
    let refusal = |refusal: &wit::Refusal| Refusal {
        row: refusal.row,
        reason: refusal.reason.clone(),
    };
    Output {
        rows: output.rows.clone(),
        timestamps: output.timestamps.clone(),
        keys: output.keys.as_ref().map(bytes),
        values: output.values.as_ref().map(bytes),
        headers: output.headers.as_ref().map(headers),
        outputs: output.outputs.clone(),
        refusals: output.refusals.iter().map(refusal).collect(),
    }
}

fn bytes(column: &wit::BytesColumn) -> BytesColumn {
    BytesColumn {
        ends: column.ends.clone(),
        data: column.data.clone(),
        nulls: column.nulls.clone(),
    }
}

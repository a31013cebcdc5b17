//! The records of `weir:plugin` as wasmtime lowers and lifts them.
//!
//! What goes in borrows the columns; what comes out is looked at where it lies in the guest's
//! memory and copied once, so that nothing large is made before it is known to fit the budget.

use crate::component::{Description, Parameter};
use std::borrow::Cow;
use wasmtime::{
    Result, Store, StoreContextMut,
    component::{ComponentType, Lift, Lower, WasmList, WasmStr},
};
use weir_plugin::{BytesColumn, Columns, HeadersColumn, Output, Refusal, limits::REASON_BYTES_MAX};

use crate::{log::cut, state::State};

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(crate) struct BytesIn<'a> {
    ends: &'a [u32],
    data: &'a [u8],
    nulls: &'a [u8],
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(crate) struct HeadersIn<'a> {
    ends: &'a [u32],
    names: BytesIn<'a>,
    values: BytesIn<'a>,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(crate) struct BatchIn<'a> {
    topic: &'a str,
    partition: u32,
    offsets: &'a [i64],
    timestamps: &'a [i64],
    keys: BytesIn<'a>,
    values: BytesIn<'a>,
    headers: HeadersIn<'a>,
}

impl<'a> From<&'a BytesColumn> for BytesIn<'a> {
    fn from(column: &'a BytesColumn) -> Self {
        Self {
            ends: &column.ends,
            data: &column.data,
            nulls: &column.nulls,
        }
    }
}

impl<'a> BatchIn<'a> {
    pub(crate) fn new(topic: &'a str, partition: u32, columns: &'a Columns) -> Self {
        Self {
            topic,
            partition,
            offsets: &columns.offsets,
            timestamps: &columns.timestamps,
            keys: (&columns.keys).into(),
            values: (&columns.values).into(),
            headers: HeadersIn {
                ends: &columns.headers.ends,
                names: (&columns.headers.names).into(),
                values: (&columns.headers.values).into(),
            },
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct BytesOut {
    ends: WasmList<u32>,
    data: WasmList<u8>,
    nulls: WasmList<u8>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct HeadersOut {
    ends: WasmList<u32>,
    names: BytesOut,
    values: BytesOut,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct RefusalOut {
    row: u32,
    reason: WasmStr,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct OutputOut {
    rows: Option<WasmList<u32>>,
    timestamps: Option<WasmList<i64>>,
    keys: Option<BytesOut>,
    values: Option<BytesOut>,
    headers: Option<HeadersOut>,
    outputs: Option<WasmList<u32>>,
    refusals: WasmList<RefusalOut>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct ParameterOut {
    name: String,
    summary: String,
    required: bool,
    default: Option<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct DescriptionOut {
    name: String,
    version: String,
    summary: String,
    parameters: Vec<ParameterOut>,
}

impl From<DescriptionOut> for Description {
    fn from(out: DescriptionOut) -> Self {
        let parameters = out.parameters.into_iter().map(|parameter| Parameter {
            name: parameter.name,
            summary: parameter.summary,
            required: parameter.required,
            default: parameter.default,
        });
        Self {
            name: out.name,
            version: out.version,
            summary: out.summary,
            parameters: parameters.collect(),
        }
    }
}

/// Copies a list of numbers out of the guest.
pub(crate) fn numbers(store: &Store<State>, list: &WasmList<u32>) -> Vec<u32> {
    let slice = list.as_le_slice(store);
    slice.iter().map(|number| u32::from_le(*number)).collect()
}

/// A text of the guest, cut to what is kept of a reason.
pub(crate) fn reason(store: &Store<State>, text: &WasmStr) -> Result<String> {
    let text: Cow<'_, str> = text.to_str(store)?;
    Ok(cut(&text, REASON_BYTES_MAX).to_owned())
}

/// The elements of a list of records or variants. Texts in them count as a whole against what may
/// come back, also where they lie in the same place.
pub(crate) fn elements<T: Lift>(store: &mut Store<State>, list: &WasmList<T>) -> Result<Vec<T>> {
    list.iter(StoreContextMut::from(store)).collect()
}

fn bytes(store: &Store<State>, column: &BytesOut) -> BytesColumn {
    BytesColumn {
        ends: numbers(store, &column.ends),
        data: column.data.as_le_slice(store).to_vec(),
        nulls: column.nulls.as_le_slice(store).to_vec(),
    }
}

impl OutputOut {
    /// How many rows are refused.
    pub(crate) fn refused(&self) -> usize {
        self.refusals.len()
    }

    /// Copies the output out of the guest.
    pub(crate) fn read(self, store: &mut Store<State>) -> Result<Output> {
        let refusals = elements(store, &self.refusals)?;
        let refusals = refusals.into_iter().map(|refusal| {
            Ok(Refusal {
                row: refusal.row,
                reason: reason(store, &refusal.reason)?,
            })
        });
        let refusals = refusals.collect::<Result<_>>()?;
        let store = &*store;
        Ok(Output {
            rows: self.rows.map(|list| numbers(store, &list)),
            timestamps: self.timestamps.map(|list| {
                let slice = list.as_le_slice(store);
                slice.iter().map(|time| i64::from_le(*time)).collect()
            }),
            keys: self.keys.map(|column| bytes(store, &column)),
            values: self.values.map(|column| bytes(store, &column)),
            headers: self.headers.map(|headers| HeadersColumn {
                ends: numbers(store, &headers.ends),
                names: bytes(store, &headers.names),
                values: bytes(store, &headers.values),
            }),
            outputs: self.outputs.map(|list| numbers(store, &list)),
            refusals,
        })
    }
}

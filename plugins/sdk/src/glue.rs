//! What stands between the exports of a component and the traits of this crate: one instance of
//! the plugin, made by `configure`, and the three macros. Its functions are called by the macros
//! and by [`crate::testing`], so that tests go the way that the component goes.

use crate::bindings::transform::weir::plugin::{description, records};
use crate::{Batch, Decoder, Parameters, Partitioner, Plugin, Transform, column};
use std::any::Any;
use std::cell::RefCell;

/// Which part of a record a decoder is given.
pub use crate::bindings::decoder::Part;

thread_local! {
    static INSTANCE: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

const UNCONFIGURED: &str = "the plugin was not configured";

/// The calls behind the exports.
pub mod call {
    use super::*;

    /// The export `describe`.
    #[must_use]
    pub fn describe<P: Plugin>() -> description::Description {
        P::describe().wit
    }

    /// The export `configure`.
    ///
    /// # Errors
    /// What is wrong with the parameters.
    pub fn configure<P: Plugin>(pairs: Vec<(String, String)>) -> Result<(), String> {
        #[cfg(target_arch = "wasm32")]
        log_panics();
        let parameters = Parameters::check(pairs, &P::describe())?;
        let plugin = P::configure(&parameters)?;
        INSTANCE.set(Some(Box::new(plugin)));
        Ok(())
    }

    /// The export `transform`.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn transform<P: Transform>(batch: records::Batch) -> Result<records::Output, String> {
        let batch = Batch::new(batch);
        with(|plugin: &mut P| plugin.transform(&batch))?.map(|output| output.columns)
    }

    /// The export `partition`.
    ///
    /// # Errors
    /// The plugin's own, and partitions that are not there.
    pub fn partition<P: Partitioner>(
        keys: &records::BytesColumn,
        partitions: u32,
    ) -> Result<Vec<u32>, String> {
        with(|plugin: &mut P| {
            let mut chosen = Vec::with_capacity(keys.ends.len());
            for key in column::ColumnIter::new(keys) {
                chosen.push(plugin.partition(key, partitions)?);
            }
            Ok(chosen)
        })?
    }

    /// The export `decode`. A null row is the JSON `null`.
    #[must_use]
    pub fn decode<P: Decoder>(
        part: Part,
        data: &records::BytesColumn,
    ) -> Vec<Result<String, String>> {
        let rows = column::ColumnIter::new(data);
        rows.map(|bytes| match bytes {
            None => Ok("null".to_owned()),
            Some(bytes) => with(|plugin: &mut P| plugin.decode(part, bytes))?,
        })
        .collect()
    }

    /// The export `encode`.
    #[must_use]
    pub fn encode<P: Decoder>(part: Part, json: &[String]) -> Vec<Result<Vec<u8>, String>> {
        json.iter()
            .map(|text| with(|plugin: &mut P| plugin.encode(part, text))?)
            .collect()
    }
}

fn with<P: Plugin, R>(run: impl FnOnce(&mut P) -> R) -> Result<R, String> {
    INSTANCE.with_borrow_mut(|instance| {
        let plugin = instance.as_mut().and_then(|it| it.downcast_mut::<P>());
        plugin.map(run).ok_or_else(|| UNCONFIGURED.to_owned())
    })
}

/// A panic ends in a trap, which says nothing; so its words go to the log before.
#[cfg(target_arch = "wasm32")]
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        crate::host::log(crate::host::Level::Error, &info.to_string());
    }));
}

/// Makes a component of the world `transform` of a type that implements
/// [`Transform`](crate::Transform).
#[macro_export]
macro_rules! transform {
    ($plugin:ty) => {
        $crate::__component!(transform, Transform, $plugin, {
            fn transform(
                batch: $crate::bindings::transform::Batch,
            ) -> Result<$crate::bindings::transform::Output, String> {
                $crate::call::transform::<$plugin>(batch)
            }
        });
    };
}

/// Makes a component of the world `partitioner` of a type that implements
/// [`Partitioner`](crate::Partitioner).
#[macro_export]
macro_rules! partitioner {
    ($plugin:ty) => {
        $crate::__component!(partitioner, Partitioner, $plugin, {
            fn partition(
                keys: $crate::bindings::partitioner::BytesColumn,
                partitions: u32,
            ) -> Result<Vec<u32>, String> {
                $crate::call::partition::<$plugin>(&keys, partitions)
            }
        });
    };
}

/// Makes a component of the world `decoder` of a type that implements
/// [`Decoder`](crate::Decoder).
#[macro_export]
macro_rules! decoder {
    ($plugin:ty) => {
        $crate::__component!(decoder, Decoder, $plugin, {
            fn decode(
                part: $crate::Part,
                data: $crate::bindings::decoder::BytesColumn,
            ) -> Vec<Result<String, String>> {
                $crate::call::decode::<$plugin>(part, &data)
            }

            fn encode(part: $crate::Part, json: Vec<String>) -> Vec<Result<Vec<u8>, String>> {
                $crate::call::encode::<$plugin>(part, &json)
            }
        });
    };
}

/// What the three macros have in common. On other targets than Wasm it only checks the type.
#[doc(hidden)]
#[macro_export]
macro_rules! __component {
    ($world:ident, $trait:ident, $plugin:ty, { $($exports:tt)* }) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            struct Component;

            impl $crate::bindings::$world::Guest for Component {
                fn describe() -> $crate::bindings::$world::Description {
                    $crate::call::describe::<$plugin>()
                }

                fn configure(parameters: Vec<(String, String)>) -> Result<(), String> {
                    $crate::call::configure::<$plugin>(parameters)
                }

                $($exports)*
            }

            $crate::bindings::$world::export!(
                Component with_types_in $crate::bindings::$world
            );
        };

        const _: fn() = || {
            const fn check<P: $crate::$trait>() {}
            check::<$plugin>();
        };
    };
}

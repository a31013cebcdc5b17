//! The functions that a component exports, by its world.

use crate::{failure::Stop, state::State};
use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, ComponentType, Func, Instance, Lower},
};
use weir_plugin::World;

/// Which part of a record a decoder is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Part {
    /// The key.
    #[component(name = "key")]
    Key,
    /// The value.
    #[component(name = "value")]
    Value,
}

/// Where the functions are among a component's exports.
#[derive(Clone)]
pub(crate) struct Names {
    describe: ComponentExportIndex,
    configure: ComponentExportIndex,
    world: ComponentExportIndex,
    encode: Option<ComponentExportIndex>,
}

/// The functions of one instance.
#[derive(Clone, Copy)]
pub(crate) struct Exports {
    pub(crate) describe: Func,
    pub(crate) configure: Func,
    /// `transform`, `partition` or `decode`.
    pub(crate) world: Func,
    /// Decoders only.
    pub(crate) encode: Option<Func>,
}

impl Names {
    /// Looks the functions up; nothing if one is not there.
    pub(crate) fn find(component: &Component, world: World) -> Option<Self> {
        let index = |name: &str| component.get_export_index(None, name);
        Some(Self {
            describe: index("describe")?,
            configure: index("configure")?,
            world: index(match world {
                World::Transform => "transform",
                World::Partitioner => "partition",
                World::Decoder => "decode",
            })?,
            encode: match world {
                World::Decoder => Some(index("encode")?),
                _ => None,
            },
        })
    }
}

impl Exports {
    /// The functions of an instance.
    pub(crate) fn find(
        store: &mut Store<State>,
        instance: &Instance,
        names: &Names,
    ) -> Result<Self, Stop> {
        let mut function = |index: &ComponentExportIndex| {
            instance
                .get_func(&mut *store, index)
                .ok_or_else(|| Stop::invalid("an export is no function".into()))
        };
        Ok(Self {
            describe: function(&names.describe)?,
            configure: function(&names.configure)?,
            world: function(&names.world)?,
            encode: names.encode.as_ref().map(function).transpose()?,
        })
    }
}

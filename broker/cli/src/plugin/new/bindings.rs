//! What C needs to speak a world: its header, its glue, and the object file that tells the world.

use super::templates::EMBEDDED;
use crate::failure::{Failure, Outcome};
use weir_plugin::World;
use wit_bindgen_core::{Files, wit_parser};
use wit_parser::{Resolve, UnresolvedPackageGroup};

/// The files, by name.
pub(super) fn c(world: World) -> Outcome<Vec<(String, Vec<u8>)>> {
    generate(world).map_err(|error| {
        let text = error
            .chain()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ");
        Failure::failed(format!("the bindings for C cannot be made: {text}"))
    })
}

fn generate(world: World) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut resolve = Resolve::default();
    let wit = EMBEDDED.iter().filter(|(path, _)| path.ends_with(".wit"));
    let mut map = wit_parser::SourceMap::new();
    for (path, text) in wit {
        map.push_str(path, *text);
    }
    let group: UnresolvedPackageGroup = map.parse().map_err(|(_, error)| error)?;
    let package = resolve.push_group(group)?;
    let id = resolve.select_world(&[package], Some(world.name()))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default()
        .build()
        .generate(&mut resolve, id, &mut files)?;
    Ok(files
        .iter()
        .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
        .collect())
}

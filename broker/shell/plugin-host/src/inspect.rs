//! Reads what a component imports and exports, before anything is compiled.
//!
//! It must never judge whether the bytes are valid beyond that; compiling does.

use crate::error::CompileError;
use wasmparser::{ComponentExternalKind, ComponentTypeRef, Parser, Payload};
use weir_plugin::{World, limits::COMPONENT_BYTES_MAX};

/// The version of `weir:plugin` that this host knows.
pub const PACKAGE_VERSION: &str = "1.0.0";
const PACKAGE: [u64; 3] = [1, 0, 0];
const INTERFACES: [&str; 4] = ["host", "records", "description", "decoding"];

/// What a component gets of something it imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is part of `weir:plugin`.
    Plugin,
    /// A part of WASI that does the same everywhere.
    Fixed,
    /// A part of WASI that traps when it is called.
    Traps,
}

/// Something that a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its full name: `wasi:cli/stdout@0.2.3`.
    pub name: String,
    /// What there is for it.
    pub standing: Standing,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outside {
    pub(crate) world: World,
    pub(crate) imports: Vec<Import>,
}

impl Outside {
    /// Whether the component brings a language runtime that wants WASI.
    pub(crate) fn wants_wasi(&self) -> bool {
        self.imports
            .iter()
            .any(|import| import.standing != Standing::Plugin)
    }
}

/// Reads a component's imports and exports.
pub(crate) fn outside(bytes: &[u8]) -> Result<Outside, CompileError> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(CompileError::TooLarge { bytes: bytes.len() });
    }
    if Parser::is_core_wasm(bytes) {
        return Err(CompileError::CoreModule);
    }
    if !Parser::is_component(bytes) {
        return Err(if bytes.starts_with(b"\0asm") {
            CompileError::Invalid {
                reason: "its binary format is of another version of WebAssembly".into(),
            }
        } else {
            CompileError::NotWasm
        });
    }
    let (imports, exports) = names(bytes).map_err(|error| CompileError::Invalid {
        reason: error.to_string(),
    })?;
    Ok(Outside {
        imports: granted(imports)?,
        world: world(&exports)?,
    })
}

/// Names of what the outermost component imports (but types) and of the functions it exports.
fn names(bytes: &[u8]) -> wasmparser::Result<(Vec<String>, Vec<String>)> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import?;
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        imports.push(import.name.0.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Func {
                        exports.push(export.name.0.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn granted(names: Vec<String>) -> Result<Vec<Import>, CompileError> {
    let mut imports = Vec::new();
    let mut others = Vec::new();
    for name in names {
        match standing(&name)? {
            Some(standing) => imports.push(Import { name, standing }),
            None => others.push(name),
        }
    }
    if others.is_empty() {
        Ok(imports)
    } else {
        Err(CompileError::NotGranted { names: others })
    }
}

/// What there is for an import; nothing if it is not granted.
fn standing(name: &str) -> Result<Option<Standing>, CompileError> {
    let (path, version) = name.split_once('@').unwrap_or((name, ""));
    if let Some(interface) = path.strip_prefix("weir:plugin/") {
        check_version(version)?;
        return Ok(INTERFACES.contains(&interface).then_some(Standing::Plugin));
    }
    if !version.starts_with("0.2.") {
        return Ok(None);
    }
    Ok(match crate::wasi::interface(path) {
        Some(_) => Some(Standing::Fixed),
        None if path.starts_with("wasi:") => Some(Standing::Traps),
        None => None,
    })
}

fn check_version(version: &str) -> Result<(), CompileError> {
    let numbers: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    let wants = numbers.and_then(|numbers| <[u64; 3]>::try_from(numbers).ok());
    let wants = wants.ok_or_else(|| CompileError::Invalid {
        reason: format!("'weir:plugin@{version}' is no version"),
    })?;
    let (text, has) = (version.to_owned(), PACKAGE_VERSION.to_owned());
    if wants > PACKAGE {
        return Err(CompileError::NewerPackage { wants: text, has });
    }
    if wants[0] < PACKAGE[0] {
        return Err(CompileError::OlderPackage { wants: text, has });
    }
    Ok(())
}

fn world(exports: &[String]) -> Result<World, CompileError> {
    let has = |name: &str| exports.iter().any(|export| export == name);
    let worlds = [
        (World::Transform, "transform"),
        (World::Partitioner, "partition"),
        (World::Decoder, "decode"),
    ];
    let mut found = worlds.iter().filter(|(_, name)| has(name));
    let Some((world, _)) = found.next() else {
        return Err(CompileError::NoWorld {
            missing: "all of 'transform', 'partition' and 'decode'".into(),
        });
    };
    if let Some((second, _)) = found.next() {
        return Err(CompileError::TwoWorlds {
            first: *world,
            second: *second,
        });
    }
    let encode = *world == World::Decoder && !has("encode");
    let missing = [
        (!has("describe"), "'describe'"),
        (!has("configure"), "'configure'"),
        (encode, "'encode'"),
    ];
    match missing.iter().find(|(is, _)| *is) {
        Some((_, what)) => Err(CompileError::NoWorld {
            missing: (*what).into(),
        }),
        None => Ok(*world),
    }
}

//! The WIT package resolves, is documented, and changes only with its version.
//!
//! `wit/frozen` holds one line for each item of every version that was published.

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    path::{Path, PathBuf},
};
use wit_parser::{
    Docs, Function, Handle, PackageId, Resolve, Stability, Type, TypeDefKind, TypeId, WorldItem,
    WorldKey,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../wit")
}

fn published() -> Outcome<(Resolve, PackageId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit().join("weir-plugin"))?;
    Ok((resolve, package))
}

/// The package with one text in place of another.
fn edited(from: &str, to: &str) -> Outcome<(Resolve, PackageId)> {
    let mut text = String::new();
    for file in ["records", "description", "host", "worlds"] {
        text += &fs::read_to_string(wit().join(format!("weir-plugin/{file}.wit")))?;
    }
    assert!(text.contains(from), "{from} is not in the package");
    let mut resolve = Resolve::default();
    let package = resolve.push_str("weir-plugin.wit", &text.replace(from, to))?;
    Ok((resolve, package))
}

fn list(resolve: &Resolve, of: &[Type]) -> String {
    let names: Vec<String> = of.iter().map(|ty| name(resolve, ty)).collect();
    names.join(", ")
}

fn optional(resolve: &Resolve, ty: Option<&Type>) -> String {
    ty.map_or_else(|| "_".into(), |ty| name(resolve, ty))
}

/// A type where it is used.
fn name(resolve: &Resolve, ty: &Type) -> String {
    match ty {
        Type::Id(id) => match &resolve.types[*id].name {
            Some(name) => name.clone(),
            None => shape(resolve, *id),
        },
        plain => format!("{plain:?}").to_lowercase(),
    }
}

/// A type where it is said what it is.
fn shape(resolve: &Resolve, id: TypeId) -> String {
    let named = |cases: Vec<(&str, String)>| {
        let cases: Vec<String> = cases.iter().map(|(n, ty)| format!("{n}: {ty}")).collect();
        cases.join(", ")
    };
    match &resolve.types[id].kind {
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter();
            let fields = fields.map(|f| (&*f.name, name(resolve, &f.ty))).collect();
            format!("record {{ {} }}", named(fields))
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            let cases = cases.map(|c| (&*c.name, optional(resolve, c.ty.as_ref())));
            format!("variant {{ {} }}", named(cases.collect()))
        }
        TypeDefKind::Enum(cases) => {
            let names: Vec<&str> = cases.cases.iter().map(|case| &*case.name).collect();
            format!("enum {{ {} }}", names.join(", "))
        }
        TypeDefKind::Flags(flags) => {
            let names: Vec<&str> = flags.flags.iter().map(|flag| &*flag.name).collect();
            format!("flags {{ {} }}", names.join(", "))
        }
        TypeDefKind::Tuple(tuple) => format!("tuple<{}>", list(resolve, &tuple.types)),
        TypeDefKind::Option(ty) => format!("option<{}>", name(resolve, ty)),
        TypeDefKind::List(ty) => format!("list<{}>", name(resolve, ty)),
        TypeDefKind::Result(result) => format!(
            "result<{}, {}>",
            optional(resolve, result.ok.as_ref()),
            optional(resolve, result.err.as_ref())
        ),
        TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => name(resolve, &Type::Id(*id)),
        TypeDefKind::Type(ty) => name(resolve, ty),
        other => other.as_str().to_owned(),
    }
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters = function.params.iter();
    let parameters: Vec<String> = parameters
        .map(|(n, ty)| format!("{n}: {}", name(resolve, ty)))
        .collect();
    let result = function.result.as_ref();
    let result = result.map_or_else(String::new, |ty| format!(" -> {}", name(resolve, ty)));
    format!("{}: func({}){result}", function.name, parameters.join(", "))
}

/// One line for each item of the package.
fn items(resolve: &Resolve, package: PackageId) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let package = &resolve.packages[package];
    for (interface, id) in &package.interfaces {
        for (name, ty) in &resolve.interfaces[*id].types {
            lines.insert(format!("{interface}: {name} = {}", shape(resolve, *ty)));
        }
        for function in resolve.interfaces[*id].functions.values() {
            lines.insert(format!("{interface}: {}", signature(resolve, function)));
        }
    }
    for (world, id) in &package.worlds {
        let world_items = &resolve.worlds[*id];
        let imports = world_items.imports.iter().map(|item| ("import", item));
        let exports = world_items.exports.iter().map(|item| ("export", item));
        for (way, (key, item)) in imports.chain(exports) {
            let what = match (key, item) {
                (_, WorldItem::Function(function)) => signature(resolve, function),
                (WorldKey::Name(name), WorldItem::Type(ty)) => {
                    format!("{name} = {}", shape(resolve, *ty))
                }
                (key, _) => {
                    let key = resolve.name_world_key(key);
                    key.split('@').next().unwrap_or_default().to_owned()
                }
            };
            lines.insert(format!("world {world}: {way} {what}"));
        }
    }
    lines
}

/// What a component made for the older items would miss.
fn breaks(old: &BTreeSet<String>, new: &BTreeSet<String>) -> Vec<String> {
    let gone = old.difference(new).map(|line| format!("gone: {line}"));
    let worlds: BTreeSet<&str> = old
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(w, _)| w)
        .collect();
    let asked = new.difference(old).filter(|line| {
        let (place, what) = line.split_once(": ").unwrap_or_default();
        what.starts_with("export ") && worlds.contains(place)
    });
    gone.chain(asked.map(|line| format!("asked of every component: {line}")))
        .collect()
}

fn version(resolve: &Resolve, package: PackageId) -> Outcome<[u64; 3]> {
    let version = resolve.packages[package].name.version.as_ref();
    let version = version.ok_or("the package has no version")?;
    Ok([version.major, version.minor, version.patch])
}

fn frozen() -> Outcome<Vec<([u64; 3], BTreeSet<String>)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(wit().join("frozen"))? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let numbers = stem.and_then(|stem| stem.strip_prefix("weir-plugin-"));
        let numbers = numbers.ok_or("a strange file in wit/frozen")?;
        let numbers: Vec<u64> = numbers
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let numbers = <[u64; 3]>::try_from(numbers).map_err(|_| "no version")?;
        let lines = fs::read_to_string(path)?;
        all.push((numbers, lines.lines().map(str::to_owned).collect()));
    }
    all.sort();
    Ok(all)
}

#[test]
fn a_change_of_the_package_has_its_version() -> Outcome {
    let (resolve, package) = published()?;
    let now = version(&resolve, package)?;
    let items = items(&resolve, package);
    let [major, minor, patch] = now;
    let place = wit().join(format!("frozen/weir-plugin-{major}.{minor}.{patch}.txt"));
    if std::env::var_os("WEIR_FREEZE").is_some() && !place.exists() {
        let lines: Vec<&str> = items.iter().map(String::as_str).collect();
        fs::write(&place, lines.join("\n") + "\n")?;
    }
    let frozen = frozen()?;
    let (newest, last) = frozen.last().ok_or("nothing is frozen")?;
    assert_eq!(*newest, now, "write the new version down (wit/README.md)");
    let new: Vec<&String> = items.difference(last).collect();
    let gone: Vec<&String> = last.difference(&items).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "the package changed without a new version; new: {new:#?}; gone: {gone:#?}"
    );
    for (old, lines) in frozen.iter().filter(|(old, _)| old[0] == major) {
        let broken = breaks(lines, &items);
        assert!(broken.is_empty(), "{now:?} breaks {old:?}: {broken:#?}");
    }
    Ok(())
}

#[test]
fn breaking_changes_are_told_from_others() -> Outcome {
    let (resolve, package) = published()?;
    let old = items(&resolve, package);
    let changes = |from: &str, to: &str| -> Outcome<Vec<String>> {
        let (resolve, package) = edited(from, to)?;
        let new = items(&resolve, package);
        assert_ne!(new, old, "{to} changes nothing");
        Ok(breaks(&old, &new))
    };
    // What breaks components that exist.
    assert_eq!(changes("partitions: u32", "partitions: u64")?.len(), 2);
    assert_eq!(changes("timestamps: list<s64>,", "")?.len(), 1);
    assert_eq!(changes("    warn,\n", "")?.len(), 1);
    let asked = changes(
        "export transform:",
        "export flush: func();\n  @since(version = 1.0.0)\n  export transform:",
    )?;
    assert_eq!(
        asked,
        ["asked of every component: world transform: export flush: func()"]
    );
    // What does not.
    let function =
        "stream-time: func() -> s64;\n  @since(version = 1.0.0)\n  name: func() -> string;";
    assert!(changes("stream-time: func() -> s64;", function)?.is_empty());
    Ok(())
}

fn told(what: &str, docs: &Docs, since: &Stability) {
    let text = docs.contents.as_deref().unwrap_or_default();
    assert!(!text.trim().is_empty(), "{what} is not documented");
    assert!(
        since.is_stable(),
        "{what} does not say since when it exists"
    );
}

#[test]
fn every_item_is_documented_with_its_version() -> Outcome {
    let (resolve, package) = published()?;
    let package = &resolve.packages[package];
    let mut functions = 0;
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        told(name, &interface.docs, &interface.stability);
        for (name, id) in &interface.types {
            let ty = &resolve.types[*id];
            told(name, &ty.docs, &ty.stability);
            let parts: Vec<(&String, &Docs)> = match &ty.kind {
                TypeDefKind::Record(record) => {
                    record.fields.iter().map(|f| (&f.name, &f.docs)).collect()
                }
                TypeDefKind::Enum(cases) => {
                    cases.cases.iter().map(|c| (&c.name, &c.docs)).collect()
                }
                TypeDefKind::Variant(variant) => {
                    variant.cases.iter().map(|c| (&c.name, &c.docs)).collect()
                }
                _ => Vec::new(),
            };
            for (part, docs) in parts {
                told(&format!("{name}.{part}"), docs, &ty.stability);
            }
        }
        for (name, function) in &interface.functions {
            told(name, &function.docs, &function.stability);
            functions += 1;
        }
    }
    for (name, id) in &package.worlds {
        let world = &resolve.worlds[*id];
        told(name, &world.docs, &world.stability);
        for item in world.exports.values() {
            if let WorldItem::Function(function) = item {
                told(&function.name, &function.docs, &function.stability);
                functions += 1;
            }
        }
    }
    assert!(functions >= 10, "only {functions} functions were looked at");
    Ok(())
}

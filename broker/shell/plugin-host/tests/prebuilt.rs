//! The example plugins as components on the broker's own host: what each makes of a fixed batch.
//!
//! `plugins/prebuilt` is held against what is written here. Where `WEIR_PLUGINS_BUILT` names a
//! folder, what was built there must do the same as what is kept, and guests in other languages
//! must stay within the budgets (`cargo xtask plugins --check`, `--foreign`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_plugin::{BytesColumn, Columns, Output};
use weir_plugin_host::{Component, Context, Host, HostConfig, Instance, NoLog, Part};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const CONTEXT: Context<'static> = Context {
    topic: "orders",
    partition: 3,
    stream_time: 1_700_000_000_000,
};

/// Values of many kinds, one record each.
const VALUES: [Option<&str>; 8] = [
    Some(r#"{"id":1,"card":"4111111111111111","kind":"order","region":"eu"}"#),
    Some(r#"{"id":2,"card":"4222222222222222","kind":"refund","n":[1,2]}"#),
    None,
    Some("no JSON"),
    Some(""),
    Some(r#"{"card":{"number":1},"id":"x","kind":"order"}"#),
    Some(r#"[{"card":1}]"#),
    Some("{}"),
];

/// What is asked of each plugin.
const CASES: [(&str, &[(&str, &str)]); 9] = [
    ("mask-fields", &[("fields", "card")]),
    (
        "mask-fields",
        &[
            ("fields", "card, n[1]"),
            ("with", "#"),
            ("keep-last", "4"),
            ("headers", "h"),
        ],
    ),
    (
        "filter-by-expression",
        &[("keep", "value.id >= 2 or headers.h == 'h3' or key == 'k7'")],
    ),
    (
        "route-by-field",
        &[("field", "kind"), ("routes", "order=1,refund=drop")],
    ),
    (
        "json-enrich",
        &[
            ("fields", "from={topic}-{partition},id=9"),
            ("headers", "at={offset}"),
        ],
    ),
    ("dead-letter", &[("require", "id:number")]),
    ("region-router", &[("regions", "eu=0-2,us=3,*=4-7")]),
    (
        "region-router",
        &[("regions", "k=1,*=0"), ("field", "region")],
    ),
    (
        "avro-decoder",
        &[("value-schema", r#"{"type":"array","items":"long"}"#)],
    ),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../plugins/prebuilt")
}

fn batch(values: &[Option<&str>]) -> Columns {
    let mut columns = Columns::default();
    for (row, value) in values.iter().enumerate() {
        let place = i64::try_from(row).unwrap_or_default();
        columns.offsets.push(place);
        columns.timestamps.push(1_600_000_000_000 + place);
        let key = format!("{}:k{row}", if row % 2 == 0 { "eu" } else { "us" });
        let key = if row == 7 { "k7" } else { &key };
        columns.keys.push((row != 4).then_some(key.as_bytes()));
        columns.values.push(value.map(str::as_bytes));
        if row > 1 {
            let value = format!("h{row}");
            columns.headers.names.push(Some(b"h"));
            columns.headers.values.push(Some(value.as_bytes()));
        }
        let headers = u32::try_from(columns.headers.names.len()).unwrap_or(u32::MAX);
        columns.headers.ends.push(headers);
    }
    columns
}

fn component(host: &Host, folder: &Path, name: &str) -> Outcome<Component> {
    let file = folder.join(format!("{name}.wasm"));
    let bytes = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(host.compile(&bytes)?)
}

fn instance(component: &Component, parameters: &[(&str, &str)]) -> Outcome<Instance> {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    let parameters: BTreeMap<String, String> = parameters.iter().map(owned).collect();
    Ok(component.configure(&parameters)?.instance(Arc::new(NoLog)))
}

/// Everything that a plugin makes of the batch, as text.
fn behaviour(component: &Component, parameters: &[(&str, &str)]) -> Outcome<String> {
    let mut instance = instance(component, parameters)?;
    let columns = batch(&VALUES);
    Ok(match component.world() {
        weir_plugin::World::Transform => {
            format!("{:?}", instance.transform(CONTEXT, &columns).result)
        }
        weir_plugin::World::Partitioner => {
            format!("{:?}", instance.partition(&columns.keys, 8).result)
        }
        weir_plugin::World::Decoder => {
            let mut data = BytesColumn::default();
            data.push(Some(&[0, 0, 0, 0, 7, 4, 2, 4, 0]));
            data.push(Some(b"{}"));
            data.push(None);
            let read = instance.decode(Part::Value, &data).result;
            let written = instance.encode(Part::Value, &["[1,2]", "{}"]).result;
            format!("{read:?} {written:?}")
        }
    })
}

fn transformed(name: &str, parameters: &[(&str, &str)]) -> Outcome<Output> {
    let host = Host::new(HostConfig::default())?;
    let component = component(&host, &folder(), name)?;
    let mut instance = instance(&component, parameters)?;
    let report = instance.transform(CONTEXT, &batch(&VALUES));
    Ok(report.result.map_err(|failure| failure.message)?)
}

fn texts(column: Option<&BytesColumn>) -> Vec<Option<String>> {
    let Some(column) = column else {
        return Vec::new();
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (0..column.len())
        .map(|row| column.get(row).map(text))
        .collect()
}

fn refused(output: &Output) -> Vec<u32> {
    output.refusals.iter().map(|refusal| refusal.row).collect()
}

#[test]
fn mask_fields_masks() -> Outcome {
    let output = transformed("mask-fields", &[("fields", "card"), ("keep-last", "4")])?;
    assert_eq!(output.rows, Some(vec![0, 1, 2, 5, 6, 7]));
    assert_eq!(refused(&output), [3, 4]);
    let values = texts(output.values.as_ref());
    let first = r#"{"id":1,"card":"***1111","kind":"order","region":"eu"}"#;
    assert_eq!(values[0].as_deref(), Some(first));
    assert_eq!(values[2], None);
    assert_eq!(
        values[3].as_deref(),
        Some(r#"{"card":"***","id":"x","kind":"order"}"#)
    );
    assert_eq!(values[4].as_deref(), VALUES[6]);
    assert_eq!((output.keys, output.headers), (None, None));
    Ok(())
}

#[test]
fn the_filter_keeps_what_its_expression_holds_for() -> Outcome {
    let keep = "value.id >= 2 or headers.h == 'h3' or key == 'k7'";
    let output = transformed("filter-by-expression", &[("keep", keep)])?;
    assert_eq!(output.rows, Some(vec![1, 3, 7]));
    assert_eq!((output.values, output.refusals.len()), (None, 0));
    Ok(())
}

#[test]
fn routes_follow_the_field() -> Outcome {
    let routes = [("field", "kind"), ("routes", "order=1,refund=drop")];
    let output = transformed("route-by-field", &routes)?;
    assert_eq!(output.rows, Some(vec![0, 5]));
    assert_eq!(output.outputs, Some(vec![1, 1]));
    assert_eq!(refused(&output), [2, 3, 4, 6, 7]);
    Ok(())
}

#[test]
fn regions_have_their_partitions() -> Outcome {
    let host = Host::new(HostConfig::default())?;
    let component = component(&host, &folder(), "region-router")?;
    let mut router = instance(&component, &[("regions", "eu=0-2,us=3,*=4-7")])?;
    let chosen = router.partition(&batch(&VALUES).keys, 8).result;
    let chosen = chosen.map_err(|failure| failure.message)?;
    assert!(
        chosen[0] <= 2 && chosen[2] <= 2 && chosen[6] <= 2,
        "{chosen:?}"
    );
    assert_eq!((chosen[1], chosen[3], chosen[5]), (3, 3, 3));
    assert!(chosen[4] >= 4 && chosen[7] >= 4, "{chosen:?}");
    let few = router.partition(&batch(&VALUES).keys, 4).result;
    let message = few.map_err(|failure| failure.message).err();
    assert!(message.is_some_and(|it| it.contains("but the topic has 4")));
    Ok(())
}

#[test]
fn a_wrong_parameter_is_refused_in_the_plugin_s_words() -> Outcome {
    let host = Host::new(HostConfig::default())?;
    let component = component(&host, &folder(), "filter-by-expression")?;
    let Err(error) = instance(&component, &[("keep", "value.a = 1")]) else {
        return Err("it was taken".into());
    };
    let words = "wrong at byte 8: `==` is expected";
    assert!(error.to_string().contains(words), "{error}");
    Ok(())
}

#[test]
fn what_was_built_does_the_same_as_what_is_kept() -> Outcome {
    let host = Host::new(HostConfig::default())?;
    let built = std::env::var_os("WEIR_PLUGINS_BUILT").map_or_else(folder, PathBuf::from);
    for (name, parameters) in CASES {
        let kept = behaviour(&component(&host, &folder(), name)?, parameters)?;
        let new = behaviour(&component(&host, &built, name)?, parameters)?;
        assert_eq!(kept, new, "{name} {parameters:?}");
        // Every case does something: it neither fails as a whole nor leaves all as it was.
        assert!(!kept.starts_with("Err"), "{name} {parameters:?}: {kept}");
    }
    Ok(())
}

/// Components in that folder that mask digits, whatever they are written in.
fn mask_digits(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.contains("-mask-digits")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Runs a guest twenty times on the same thousand records and says what it costs.
fn measured(host: &Host, path: &Path) -> Outcome {
    let bytes = std::fs::read(path)?;
    let began = std::time::Instant::now();
    let component = host.compile(&bytes)?;
    let compiled = began.elapsed();
    let mut guest = instance(&component, &[("with", "#")])?;
    let value = "card 4111-1111, and some words to make it a hundred bytes long: x9".repeat(2);
    let value = &value[..100];
    let expected = value.replace(|c: char| c.is_ascii_digit(), "#");
    let values: Vec<Option<&str>> = (0..1_000).map(|row| (row != 5).then_some(value)).collect();
    let columns = batch(&values);
    let mut fastest = std::time::Duration::MAX;
    let mut used = weir_plugin_host::Usage::default();
    for round in 0..20 {
        let report = guest.transform(CONTEXT, &columns);
        let output = report.result.map_err(|failure| failure.message)?;
        let masked = texts(output.values.as_ref());
        assert_eq!(masked[5], None, "{}", path.display());
        assert_eq!(masked[999].as_ref(), Some(&expected), "{}", path.display());
        if round > 0 {
            fastest = fastest.min(report.usage.time);
            used = report.usage;
        }
    }
    println!(
        "{}: {} KB, compiled in {} ms, {} ns and {} fuel a record, {} KB of memory",
        path.file_name().unwrap_or_default().to_string_lossy(),
        bytes.len() / 1024,
        compiled.as_millis(),
        fastest.as_nanos() / 1_000,
        used.fuel / 1_000,
        used.memory_peak / 1024,
    );
    let Err(error) = instance(&component, &[("with", "##")]) else {
        return Err(format!("{} takes what is wrong", path.display()).into());
    };
    assert!(error.to_string().contains("one ASCII character"), "{error}");
    Ok(())
}

/// Guests in other languages are not kept, so without a folder of built ones there are none.
#[test]
fn guests_in_other_languages_stay_within_their_budgets() -> Outcome {
    let Some(built) = std::env::var_os("WEIR_PLUGINS_BUILT").map(PathBuf::from) else {
        return Ok(());
    };
    let host = Host::new(HostConfig::default())?;
    for path in mask_digits(&built)? {
        measured(&host, &path)?;
    }
    Ok(())
}

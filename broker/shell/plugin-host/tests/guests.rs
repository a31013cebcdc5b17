//! The plugins of this repository, as they are shipped in `plugins/prebuilt`, in the real host.

mod common;

use common::{CONTEXT, Outcome, columns, host, keys};
use std::{collections::BTreeMap, fs, path::Path, sync::Arc};
use weir_plugin::{FailureKind, Place, World};
use weir_plugin_host::{ConfigureError, Configured, NoLog, Part, Runner};

fn configured(name: &str, parameters: &[(&str, &str)]) -> Outcome<Configured> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../plugins/prebuilt");
    let bytes = fs::read(folder.join(format!("{name}.wasm")))?;
    let component = host()?.compile(&bytes)?;
    let parameters: BTreeMap<String, String> = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Ok(component.configure(&parameters)?)
}

#[test]
fn mask_fields_masks_and_refuses_what_it_cannot_read() -> Outcome {
    let configured = configured("mask-fields", &[("fields", "card")])?;
    assert_eq!(configured.component().world(), World::Transform);
    assert!(!configured.component().has_runtime());
    let mut runner = Runner::new(configured.instance(Arc::new(NoLog)), Place::Batch);
    let ruling = runner.run(CONTEXT, &columns(&[r#"{"card":"4111","id":1}"#, "no JSON"]));
    let output = ruling.verdict.output;
    assert_eq!(output.rows, Some(vec![0]));
    let values = output.values.ok_or("nothing changed")?;
    assert_eq!(values.get(0), Some(&br#"{"card":"***","id":1}"#[..]));
    let refused: Vec<u32> = output.refusals.iter().map(|refusal| refusal.row).collect();
    assert_eq!(refused, [1]);
    assert_eq!(ruling.runs, 1, "a refusal is no failure");
    Ok(())
}

#[test]
fn a_wrong_parameter_is_refused_in_the_plugins_words() -> Outcome {
    let error = configured("mask-fields", &[("fields", "a..b")]).err();
    let error = error.ok_or("it was taken")?;
    let Some(ConfigureError::Refused { plugin, reason }) = error.downcast_ref() else {
        return Err(error);
    };
    assert_eq!(plugin, "mask-fields");
    assert!(reason.contains("'fields'"), "{reason}");
    let error = configured("mask-fields", &[]).err().ok_or("it was taken")?;
    assert_eq!(
        error.to_string(),
        "plugin 'mask-fields' needs the parameter 'fields'"
    );
    Ok(())
}

#[test]
fn filter_by_expression_keeps_what_is_true() -> Outcome {
    let configured = configured("filter-by-expression", &[("keep", "value.id >= 2")])?;
    let mut instance = configured.instance(Arc::new(NoLog));
    let values: Vec<String> = (0..5).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let output = instance.transform(CONTEXT, &columns(&values)).result;
    let output = output.map_err(|failure| failure.message)?;
    assert_eq!(output.rows, Some(vec![2, 3, 4]));
    assert_eq!(output.values, None, "what stays is not copied");
    Ok(())
}

#[test]
fn region_router_chooses_the_same_every_time() -> Outcome {
    let configured = configured("region-router", &[("regions", "eu=0-3,us=4-7")])?;
    let keys = keys(&["eu:1", "us:1", "eu:2", "eu:1"]);
    let mut chosen = Vec::new();
    for _ in 0..2 {
        let mut instance = configured.instance(Arc::new(NoLog));
        let report = instance.partition(&keys, 8);
        chosen.push((
            report.result.map_err(|failure| failure.message)?,
            report.usage.fuel,
        ));
    }
    assert_eq!(chosen[0], chosen[1]);
    let choices = &chosen[0].0;
    assert_eq!(choices[0], choices[3]);
    assert!(
        choices[0] < 4 && (4..8).contains(&choices[1]),
        "{choices:?}"
    );
    Ok(())
}

#[test]
fn avro_decoder_reads_and_writes() -> Outcome {
    let schema = r#"{"type":"record","name":"r","fields":[{"name":"id","type":"long"}]}"#;
    let configured = configured("avro-decoder", &[("value-schema", schema)])?;
    assert_eq!(configured.component().world(), World::Decoder);
    let mut instance = configured.instance(Arc::new(NoLog));
    let json = [r#"{"id":7}"#, "no JSON"];
    let encoded = instance.encode(Part::Value, &json).result;
    let encoded = encoded.map_err(|failure| failure.message)?;
    let bytes = encoded[0].clone()?;
    assert!(encoded[1].is_err(), "{encoded:?}");
    let mut column = weir_plugin::BytesColumn::default();
    column.push(Some(&bytes));
    let decoded = instance.decode(Part::Value, &column).result;
    let decoded = decoded.map_err(|failure| failure.message)?;
    assert_eq!(decoded, [Ok(r#"{"id":7}"#.to_owned())]);
    Ok(())
}

#[test]
fn too_little_fuel_ends_a_real_guest_at_the_same_instruction() -> Outcome {
    let first = configured("mask-fields", &[("fields", "card")])?;
    let budget = weir_plugin_host::Budget {
        fuel_per_batch: 5_000,
        fuel_per_record: 0,
        ..*first.budget()
    };
    let parameters = BTreeMap::from([("fields".to_owned(), "card".to_owned())]);
    let short = first.component().configure_under(&parameters, budget)?;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let mut instance = short.instance(Arc::new(NoLog));
        let report = instance.transform(CONTEXT, &columns(&[r#"{"card":"4111"}"#; 50]));
        let failure = report.result.err().ok_or("it was enough")?;
        assert_eq!(failure.kind, FailureKind::OverBudget);
        seen.push((failure.message, report.usage.fuel));
    }
    // The names of the functions are in the message, so that it is the same place each time.
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[1], seen[2]);
    Ok(())
}

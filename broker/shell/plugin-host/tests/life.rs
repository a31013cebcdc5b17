//! What a component goes through: compiled, kept over restarts, configured, called, logged.

mod common;

use common::{CONTEXT, Lines, Module, Outcome, columns, compiled, configured, host, instance};
use std::{collections::BTreeMap, fs, sync::Arc};
use weir_plugin::{Output, World};
use weir_plugin_host::{CompileError, ConfigureError, Host, HostConfig, Level, Part, Standing};

#[test]
fn a_component_says_what_it_is() -> Outcome {
    let host = host()?;
    let bytes = Module::default().component()?;
    let component = host.compile(&bytes)?;
    assert_eq!(component.world(), World::Transform);
    assert_eq!(component.size_bytes(), bytes.len());
    let description = component.description();
    assert_eq!(
        (&*description.name, &*description.version),
        ("hostile", "1.0.0")
    );
    let [parameter] = &description.parameters[..] else {
        return Err(format!("{description:?}").into());
    };
    assert_eq!((&*parameter.name, parameter.required), ("level", false));
    assert_eq!(parameter.default.as_deref(), Some("7"));
    let imports: Vec<&str> = component
        .imports()
        .iter()
        .map(|import| &*import.name)
        .collect();
    assert!(imports.contains(&"weir:plugin/host@1.0.0"), "{imports:?}");
    assert!(
        component
            .imports()
            .iter()
            .all(|import| import.standing == Standing::Plugin)
    );
    assert!(!component.has_runtime());
    // The same bytes are the same component.
    assert_eq!(host.compile(&bytes)?.digest(), component.digest());
    assert!(host.known(&component.digest()).is_some());
    Ok(())
}

#[test]
fn parameters_are_held_against_the_description() -> Outcome {
    let component = compiled(&host()?, &Module::default())?;
    let configured = component.configure(&BTreeMap::new())?;
    assert_eq!(
        configured.parameters(),
        [("level".to_owned(), "7".to_owned())]
    );
    let unknown = BTreeMap::from([("levels".to_owned(), "8".to_owned())]);
    let error = component.configure(&unknown).err();
    assert_eq!(
        error.map(|error| error.to_string()).as_deref(),
        Some("plugin 'hostile' takes no parameter 'levels'; it takes level")
    );
    // The plugin itself refuses: an error with the text at 1056.
    let refuses = Module {
        configure: "(i32.store8 (i32.const 2048) (i32.const 1))
            (i32.store (i32.const 2052) (i32.const 1056))
            (i32.store (i32.const 2056) (i32.const 13))
            (i32.const 2048)",
        ..Module::default()
    };
    let error = compiled(&host()?, &refuses)?
        .configure(&BTreeMap::new())
        .err();
    assert_eq!(
        error,
        Some(ConfigureError::Refused {
            plugin: "hostile".into(),
            reason: "Behaves badly".into()
        })
    );
    Ok(())
}

#[test]
fn a_call_changes_nothing_and_tells_what_it_used() -> Outcome {
    let mut instance = instance(&host()?, &Module::default())?;
    let first = instance.transform(CONTEXT, &columns(&["a", "b"]));
    assert_eq!(first.result, Ok(Output::default()));
    let second = instance.transform(CONTEXT, &columns(&["a", "b"]));
    assert_eq!(second.result, Ok(Output::default()));
    assert_eq!(instance.begun(), 1);
    // Fuel is the same every time.
    assert_eq!(first.usage.fuel, second.usage.fuel);
    assert!(
        first.usage.fuel > 0 && first.usage.fuel < 2_000,
        "{:?}",
        first.usage
    );
    assert_eq!(first.usage.memory_peak, 4 << 16);
    Ok(())
}

#[test]
fn a_plugin_of_another_world_is_not_called() -> Outcome {
    const fn crosses_threads<T: Send>() {}
    crosses_threads::<weir_plugin_host::Runner>();
    let mut instance = instance(&host()?, &Module::default())?;
    let failure = instance.partition(&common::keys(&["a"]), 3).result.err();
    let words = failure.map(|failure| failure.message);
    assert_eq!(
        words.as_deref(),
        Some("it is a transform and no partitioner")
    );
    assert_eq!(instance.begun(), 0);
    Ok(())
}

#[test]
fn a_plugin_that_refuses_a_batch_goes_on_as_it_is() -> Outcome {
    let module = Module {
        body: "(i32.store8 (i32.const 2048) (i32.const 1))
            (i32.store (i32.const 2052) (i32.const 1056))
            (i32.store (i32.const 2056) (i32.const 13))
            (i32.const 2048)",
        ..Module::default()
    };
    let mut instance = instance(&host()?, &module)?;
    for _ in 0..3 {
        let report = instance.transform(CONTEXT, &columns(&["a"]));
        let words = report.result.err().map(|failure| failure.message);
        assert_eq!(words.as_deref(), Some("Behaves badly"));
    }
    assert_eq!(instance.begun(), 1);
    Ok(())
}

#[test]
fn decoders_answer_row_by_row() -> Outcome {
    // One text for the one row; nothing for two.
    let module = Module {
        world: "decoder",
        body: "(i32.store (i32.const 2048) (i32.const 1216))
            (i32.store (i32.const 2052) (i32.const 1))
            (i32.store8 (i32.const 1216) (i32.const 0))
            (i32.store (i32.const 1220) (i32.const 1184))
            (i32.store (i32.const 1224) (i32.const 1))
            (i32.const 2048)",
        ..Module::default()
    };
    let mut instance = instance(&host()?, &module)?;
    let mut column = weir_plugin::BytesColumn::default();
    column.push(Some(b"x"));
    let report = instance.decode(Part::Value, &column);
    assert_eq!(report.result, Ok(vec![Ok("7".to_owned())]));
    column.push(None);
    let report = instance.decode(Part::Value, &column);
    let words = report.result.err().map(|failure| failure.message);
    assert_eq!(words.as_deref(), Some("it gave back 1 results for 2 rows"));
    Ok(())
}

#[test]
fn lines_are_logged_and_too_many_are_counted() -> Outcome {
    let module = Module {
        body: "(loop $again
              (call $log (i32.const 2) (i32.const 1056) (i32.const 13))
              (local.set $row (i32.add (local.get $row) (i32.const 1)))
              (br_if $again (i32.lt_u (local.get $row) (i32.const 500))))
            (i32.const 2048)",
        ..Module::default()
    };
    let lines = Arc::new(Lines::default());
    let mut instance = configured(&host()?, &module)?.instance(lines.clone());
    let report = instance.transform(CONTEXT, &columns(&["a"]));
    assert_eq!(report.result, Ok(Output::default()));
    let lines = lines.take();
    assert_eq!(
        (lines[0].level, &*lines[0].message),
        (Level::Info, "Behaves badly")
    );
    // A machine that stands still may let another second's lines through.
    assert!(lines.len() >= 100 && lines.len() <= 400, "{}", lines.len());
    assert_eq!(lines[0].dropped, 0);
    Ok(())
}

#[test]
fn the_fixed_part_of_wasi_is_the_same_every_time() -> Outcome {
    // It logs bytes of randomness and of the time, and writes a line to standard error.
    let module = Module {
        imports: r#"(import "wasi:random/random@0.2.3" "get-random-u64" (func $random (result i64)))
            (import "wasi:clocks/wall-clock@0.2.3" "now" (func $now (param i32)))
            (import "wasi:cli/stderr@0.2.3" "get-stderr" (func $stderr (result i32)))
            (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))"#,
        wit: "import wasi:random/random@0.2.3; import wasi:clocks/wall-clock@0.2.3;
            import wasi:cli/stderr@0.2.3; import wasi:io/streams@0.2.3;",
        more: r#"(data (i32.const 1300) "first\nsecond\n")"#,
        body: "(call $now (i32.const 1216))
            (if (i64.ne (i64.load (i32.const 1216)) (i64.const 1700000000)) (then (unreachable)))
            (if (i32.ne (i32.load (i32.const 1224)) (i32.const 123000000)) (then (unreachable)))
            (if (i64.ne (call $time) (i64.const 1700000000123)) (then (unreachable)))
            (call $write (call $stderr) (i32.const 1300) (i32.const 13) (i32.const 1240))
            (if (i32.and (i32.wrap_i64 (call $random)) (i32.const 1)) (then (unreachable)))
            (i32.const 2048)",
        ..Module::default()
    };
    let host = host()?;
    let component = compiled(&host, &module)?;
    assert!(component.has_runtime());
    let fixed = component
        .imports()
        .iter()
        .filter(|it| it.standing == Standing::Fixed);
    assert!(fixed.count() >= 4);
    let configured = component.configure(&BTreeMap::new())?;
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let lines = Arc::new(Lines::default());
        let mut instance = configured.instance(lines.clone());
        let report = instance.transform(CONTEXT, &columns(&["a"]));
        let result = report.result.map_err(|failure| failure.message);
        let lines: Vec<(Level, String)> = lines
            .take()
            .into_iter()
            .map(|line| (line.level, line.message))
            .collect();
        assert_eq!(
            lines,
            [
                (Level::Error, "first".to_owned()),
                (Level::Error, "second".to_owned())
            ]
        );
        outcomes.push((result, report.usage.fuel));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[1], outcomes[2]);
    // If it trapped for its randomness, it says what it wrote; it did not for its clocks.
    if let Err(words) = &outcomes[0].0 {
        assert!(words.contains("it said: first\nsecond"), "{words}");
    }
    Ok(())
}

#[test]
fn an_exit_is_a_trap() -> Outcome {
    let module = Module {
        imports: r#"(import "wasi:cli/exit@0.2.3" "exit" (func $exit (param i32)))"#,
        wit: "import wasi:cli/exit@0.2.3;",
        body: "(call $exit (i32.const 1)) (i32.const 2048)",
        ..Module::default()
    };
    let mut instance = instance(&host()?, &module)?;
    let report = instance.transform(CONTEXT, &columns(&["a"]));
    let failure = report.result.err().ok_or("it did not fail")?;
    assert!(
        failure.message.starts_with("it called exit with failure"),
        "{}",
        failure.message
    );
    Ok(())
}

#[test]
fn what_was_compiled_is_kept_and_never_trusted_blindly() -> Outcome {
    let folder = tempfile::tempdir()?;
    let again = || {
        Host::new(HostConfig {
            cache_dir: Some(folder.path().join("compiled")),
            ..HostConfig::default()
        })
    };
    let bytes = Module::default().component()?;
    let first = again()?.compile(&bytes)?;
    let kept = || -> Outcome<std::path::PathBuf> {
        let mut entries = fs::read_dir(folder.path().join("compiled"))?;
        Ok(entries.next().ok_or("nothing is kept")??.path())
    };
    let path = kept()?;
    let whole = fs::read(&path)?;
    assert_eq!(again()?.compile(&bytes)?.digest(), first.digest());
    assert_eq!(
        fs::read(&path)?,
        whole,
        "what is whole is not written again"
    );
    // Every kind of damage is noticed, compiled anew and mended.
    for at in [0, 8, 40, 72, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged)?;
        let component = again()?.compile(&bytes)?;
        assert_eq!(component.description(), first.description());
        assert_eq!(fs::read(&path)?.len(), whole.len());
        assert_ne!(fs::read(&path)?, damaged, "byte {at}");
    }
    fs::write(&path, &whole[..whole.len() / 3])?;
    again()?.compile(&bytes)?;
    assert_eq!(fs::read(&path)?.len(), whole.len());
    // What another engine has left goes; other files do not.
    let left = path.with_file_name(format!("{}-0123456789abcdef.cwasm", "00".repeat(32)));
    let other = path.with_file_name("README");
    fs::write(&left, "old")?;
    fs::write(&other, "mine")?;
    again()?;
    assert!(!left.exists() && other.exists() && path.exists());
    fs::remove_file(other)?;
    // What belongs to another component is not taken for this one's.
    let other = Module {
        more: "(data (i32.const 3000) \"x\")",
        ..Module::default()
    };
    let other = other.component()?;
    let host = again()?;
    host.forget(&first.digest())?;
    assert!(kept().is_err());
    let component = host.compile(&other)?;
    fs::copy(kept()?, &path)?;
    assert_ne!(component.digest(), first.digest());
    assert_eq!(again()?.compile(&bytes)?.digest(), first.digest());
    Ok(())
}

#[test]
fn other_types_than_the_worlds_are_refused() -> Outcome {
    let component = wat::parse_str(
        r#"(component
          (core module $m (func (export "f")))
          (core instance $i (instantiate $m))
          (func $f (canon lift (core func $i "f")))
          (export "describe" (func $f))
          (export "configure" (func $f))
          (export "transform" (func $f)))"#,
    )?;
    let error = host()?.compile(&component).err();
    let Some(CompileError::WrongTypes { reason }) = error else {
        return Err(format!("{error:?}").into());
    };
    assert!(reason.contains("'describe' has another type"), "{reason}");
    Ok(())
}

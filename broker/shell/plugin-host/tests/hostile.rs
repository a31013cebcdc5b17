//! Components that mean harm: each has its own outcome and its own words, and the host goes on.

mod common;

use common::{CONTEXT, Module, OUT, Outcome, columns, compiled, configured, host, instance, keys};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use weir_plugin::{FailureKind, Place, limits::COMPONENT_BYTES_MAX};
use weir_plugin_host::{Budget, CompileError, ConfigureError, Host, HostConfig, NoLog, Runner};

const FOREVER: &str = "(loop $again (br $again)) (unreachable)";

/// Traps where a value begins with X, after it has said so.
const TRAPS_ON_X: Module<'_> = Module {
    world: "transform",
    describe: "",
    configure: "(i32.const 2048)",
    version: "1.0.0",
    imports: "",
    wit: "",
    more: r#"(data (i32.const 1200) "an X is not to be had")
  (func $looks_at_the_value (param $byte i32)
    (if (i32.eq (local.get $byte) (i32.const 88)) (then
      (call $log (i32.const 4) (i32.const 1200) (i32.const 21))
      (unreachable))))"#,
    body: r#"
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $row) (i32.load offset=56 (local.get $batch))))
      (local.set $end (i32.load (i32.add (i32.load offset=52 (local.get $batch)) (i32.shl (local.get $row) (i32.const 2)))))
      (if (i32.gt_u (local.get $end) (local.get $at)) (then
        (call $looks_at_the_value (i32.load8_u (i32.add (i32.load offset=60 (local.get $batch)) (local.get $at))))))
      (local.set $at (local.get $end))
      (local.set $row (i32.add (local.get $row) (i32.const 1)))
      (br $next)))
    (i32.const 2048)"#,
};

fn fails(host: &Host, body: &str, more: &str) -> Outcome<(FailureKind, String)> {
    let module = Module {
        body,
        more,
        ..Module::default()
    };
    let mut instance = instance(host, &module)?;
    let report = instance.transform(CONTEXT, &columns(&["a", "b"]));
    let failure = report.result.err().ok_or("it did not fail")?;
    // The next call begins anew and fails the same way.
    let again = instance.transform(CONTEXT, &columns(&["a", "b"]));
    assert_eq!(again.result.err().as_ref(), Some(&failure));
    assert_eq!(instance.begun(), 2);
    Ok((failure.kind, failure.message))
}

#[test]
fn an_endless_loop_uses_up_its_fuel() -> Outcome {
    let (kind, words) = fails(&host()?, FOREVER, "")?;
    assert_eq!(kind, FailureKind::OverBudget);
    assert!(
        words.starts_with("it used up its fuel of 10400000 instructions"),
        "{words}"
    );
    Ok(())
}

#[test]
fn the_clock_ends_what_fuel_does_not_and_tries_once_more() -> Outcome {
    let module = Module {
        body: FOREVER,
        ..Module::default()
    };
    let budget = Budget {
        fuel_per_batch: u64::MAX,
        call: Duration::from_millis(150),
        ..Budget::default()
    };
    let component = compiled(&host()?, &module)?;
    let configured = component.configure_under(&BTreeMap::new(), budget)?;
    let mut instance = configured.instance(Arc::new(NoLog));
    let report = instance.transform(CONTEXT, &columns(&["a"]));
    let failure = report.result.err().ok_or("it did not fail")?;
    assert_eq!(failure.kind, FailureKind::OverBudget);
    assert!(
        failure.message.starts_with("it ran for longer than 150 ms"),
        "{}",
        failure.message
    );
    assert_eq!(
        instance.begun(),
        2,
        "it is tried once more before it counts"
    );
    Ok(())
}

#[test]
fn a_batch_has_its_time_whatever_is_tried() -> Outcome {
    let module = Module {
        body: FOREVER,
        ..Module::default()
    };
    let budget = Budget {
        fuel_per_batch: u64::MAX,
        ..Budget::default()
    };
    let component = compiled(&host()?, &module)?;
    let configured = component.configure_under(&BTreeMap::new(), budget)?;
    let limit = Duration::from_millis(400);
    let instance = configured.instance(Arc::new(NoLog));
    let mut runner = Runner::new(instance, Place::Batch).within(limit);
    let ruling = runner.run(CONTEXT, &columns(&["a"; 64]));
    // Each call ends up to two ticks of 100 ms late, and nothing is begun after the limit.
    assert!(ruling.usage.time >= limit, "{ruling:?}");
    assert!(ruling.runs <= 3, "{} runs", ruling.runs);
    let rows: u32 = ruling
        .verdict
        .failures
        .iter()
        .map(|failed| failed.rows.len() as u32)
        .sum();
    assert_eq!(rows, 64, "all of them count as failed");
    Ok(())
}

#[test]
fn an_instruction_that_takes_long_is_seen_by_the_clock() -> Outcome {
    // It clears 60 MiB again and again: each time an instruction.
    let module = Module {
        body: "(drop (memory.grow (i32.const 960)))
            (loop $again
              (memory.fill (i32.const 65536) (i32.const 1) (i32.const 62914560))
              (br $again))
            (unreachable)",
        ..Module::default()
    };
    let budget = Budget {
        call: Duration::from_millis(150),
        ..Budget::default()
    };
    let component = compiled(&host()?, &module)?;
    let configured = component.configure_under(&BTreeMap::new(), budget)?;
    let mut instance = configured.instance(Arc::new(NoLog));
    let report = instance.transform(CONTEXT, &columns(&["a"]));
    let failure = report.result.err().ok_or("it did not fail")?;
    assert!(
        failure.message.starts_with("it ran for longer than 150 ms"),
        "{}",
        failure.message
    );
    Ok(())
}

#[test]
fn a_memory_bomb_stays_below_its_limit() -> Outcome {
    let body = "(loop $more (drop (i32.eqz (memory.grow (i32.const 16))))
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
        (br $more)) (unreachable)";
    let (kind, words) = fails(&host()?, body, "")?;
    assert_eq!(kind, FailureKind::OverBudget);
    assert!(
        words.starts_with("it asked for more memory than the 64 MiB it may have"),
        "{words}"
    );
    Ok(())
}

#[test]
fn a_stack_overflow_is_a_trap_with_its_functions() -> Outcome {
    let more = "(func $deeper (param i32) (result i32)
        (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";
    let (kind, words) = fails(&host()?, "(call $deeper (i32.const 0))", more)?;
    assert_eq!(kind, FailureKind::Trapped);
    assert!(
        words.starts_with("its stack overflowed; in deeper < deeper"),
        "{words}"
    );
    Ok(())
}

#[test]
fn one_record_of_a_thousand_costs_only_itself() -> Outcome {
    let configured = configured(&host()?, &TRAPS_ON_X)?;
    let mut runner = Runner::new(configured.instance(Arc::new(NoLog)), Place::Batch);
    let mut values = vec!["fine"; 1_000];
    values[499] = "X";
    let ruling = runner.run(CONTEXT, &columns(&values));
    let [failed] = &ruling.verdict.failures[..] else {
        return Err(format!("{:?}", ruling.verdict.failures).into());
    };
    assert_eq!(failed.rows, 499..500);
    assert_eq!(failed.failure.kind, FailureKind::Trapped);
    assert_eq!(
        failed.failure.message,
        "it trapped: it gave up (a panic, or an abort); it said: an X is not to be had; \
         in looks_at_the_value < world"
    );
    let rows: Vec<u32> = (0..499).chain(500..1_000).collect();
    assert_eq!(ruling.verdict.output.rows, Some(rows));
    assert!(ruling.runs <= 21, "{} runs", ruling.runs);
    // The next batch is fine at once.
    let ruling = runner.run(CONTEXT, &columns(&["fine"; 3]));
    assert_eq!((ruling.runs, ruling.verdict.failures.len()), (1, 0));
    Ok(())
}

#[test]
fn an_output_that_is_too_large_is_never_copied() -> Outcome {
    // Values of 32 MiB for two short records; nothing was written there.
    let body = "(drop (memory.grow (i32.const 512)))
        (i32.store8 (i32.const 2104) (i32.const 1))
        (i32.store (i32.const 2116) (i32.const 65536))
        (i32.store (i32.const 2120) (i32.const 33554432))
        (i32.const 2048)";
    assert_eq!(OUT + 4 + 52, 2104);
    let (kind, words) = fails(&host()?, body, "")?;
    assert_eq!(kind, FailureKind::OverBudget);
    assert!(
        words.starts_with("it gave back more than the 1048"),
        "{words}"
    );
    Ok(())
}

#[test]
fn outputs_that_cannot_be_read_are_invalid() -> Outcome {
    // Rows that begin behind the end of the memory.
    let body = "(i32.store8 (i32.const 2052) (i32.const 1))
        (i32.store (i32.const 2056) (i32.const 0x7ffffff0))
        (i32.store (i32.const 2060) (i32.const 4))
        (i32.const 2048)";
    let (kind, words) = fails(&host()?, body, "")?;
    assert_eq!(kind, FailureKind::Invalid);
    assert!(
        words.starts_with("what it gave back cannot be read: "),
        "{words}"
    );
    // More refusals than rows, all of them the same.
    let body = "(i32.store (i32.const 2204) (i32.const 0)) (i32.store (i32.const 2208) (i32.const 3)) (i32.const 2048)";
    let (kind, words) = fails(&host()?, body, "")?;
    assert_eq!(
        (kind, &*words),
        (FailureKind::Invalid, "it refuses 3 rows of 2")
    );
    Ok(())
}

#[test]
fn outputs_that_break_a_rule_are_invalid_for_every_record() -> Outcome {
    // Row 5 stays, of two.
    let body = "(i32.store8 (i32.const 2052) (i32.const 1))
        (i32.store (i32.const 2056) (i32.const 1216))
        (i32.store (i32.const 2060) (i32.const 1))
        (i32.store (i32.const 1216) (i32.const 5))
        (i32.const 2048)";
    let module = Module {
        body,
        ..Module::default()
    };
    let mut runner = Runner::new(instance(&host()?, &module)?, Place::Batch);
    let ruling = runner.run(CONTEXT, &columns(&["a", "b"]));
    let failures = ruling.verdict.failures;
    assert_eq!(failures.len(), 2);
    assert_eq!(failures[1].rows, 1..2);
    assert_eq!(failures[1].failure.kind, FailureKind::Invalid);
    assert_eq!(
        failures[1].failure.message,
        "rows names row 5, but the batch has 1 rows, counted from 0"
    );
    Ok(())
}

#[test]
fn a_partition_that_is_not_there_is_invalid() -> Outcome {
    // The number of partitions for the one key.
    let module = Module {
        world: "partitioner",
        body: "(i32.store (i32.const 1216) (local.get $partitions))
            (i32.store (i32.const 2052) (i32.const 1216))
            (i32.store (i32.const 2056) (i32.const 1))
            (i32.const 2048)",
        ..Module::default()
    };
    let mut instance = instance(&host()?, &module)?;
    let mut words = |all: &[&str]| {
        let result = instance.partition(&keys(all), 4).result;
        result.map_err(|failure| (failure.kind, failure.message))
    };
    let one = words(&["a"]).err().ok_or("it did not fail")?;
    assert_eq!(one.0, FailureKind::Invalid);
    assert!(one.1.contains("chose partition 4 for row 0"), "{}", one.1);
    let two = words(&["a", "b"]).err().ok_or("it did not fail")?;
    assert!(two.1.contains("chose 1 partitions for 2 keys"), "{}", two.1);
    Ok(())
}

#[test]
fn what_is_not_granted_is_named() -> Outcome {
    let module = Module {
        imports: r#"(import "evil:things/files@1.0.0" "open" (func (result i32)))"#,
        wit: "import evil:things/files@1.0.0;",
        ..Module::default()
    };
    let error = host()?.compile(&module.component()?).err();
    assert_eq!(
        error,
        Some(CompileError::NotGranted {
            names: vec!["evil:things/files@1.0.0".into()]
        })
    );
    Ok(())
}

#[test]
fn what_is_no_component_is_told_apart() -> Outcome {
    let host = host()?;
    let words = |bytes: &[u8]| host.compile(bytes).err().map(|error| error.to_string());
    let large = vec![0; COMPONENT_BYTES_MAX + 2];
    assert_eq!(
        words(&large).as_deref(),
        Some("the component has 50331650 bytes, but may have 50331648")
    );
    assert_eq!(
        words(b"hello").as_deref(),
        Some("this is not WebAssembly: it does not begin with '\\0asm'")
    );
    assert_eq!(host.compile(b"").err(), Some(CompileError::NotWasm));
    assert_eq!(
        host.compile(&wat::parse_str("(module)")?).err(),
        Some(CompileError::CoreModule)
    );
    let none = wat::parse_str("(component)")?;
    assert!(matches!(
        host.compile(&none).err(),
        Some(CompileError::NoWorld { .. })
    ));
    let mut damaged = Module::default().component()?;
    let middle = damaged.len() / 2;
    damaged.truncate(middle);
    assert!(matches!(
        host.compile(&damaged).err(),
        Some(CompileError::Invalid { .. })
    ));
    Ok(())
}

#[test]
fn a_newer_package_is_refused_with_both_versions() -> Outcome {
    let module = Module {
        version: "1.1.0",
        ..Module::default()
    };
    let error = host()?.compile(&module.component()?).err();
    let words = error.map(|error| error.to_string()).unwrap_or_default();
    assert!(
        words.contains("weir:plugin@1.1.0") && words.contains("knows up to weir:plugin@1.0.0"),
        "{words}"
    );
    Ok(())
}

#[test]
fn a_configure_that_never_returns_is_over_its_budget() -> Outcome {
    let module = Module {
        configure: FOREVER,
        ..Module::default()
    };
    let error = compiled(&host()?, &module)?
        .configure(&BTreeMap::new())
        .err();
    let Some(ConfigureError::Failed {
        plugin,
        failure,
        kind,
    }) = error
    else {
        return Err(format!("{error:?}").into());
    };
    assert_eq!((&*plugin, kind), ("hostile", FailureKind::OverBudget));
    assert!(
        failure.contains("fuel") || failure.contains("longer than"),
        "{failure}"
    );
    let module = Module {
        describe: "(loop $again (br $again))",
        ..Module::default()
    };
    let error = host()?.compile(&module.component()?).err();
    assert!(
        matches!(error, Some(CompileError::NoDescription { .. })),
        "{error:?}"
    );
    Ok(())
}

#[test]
fn compiling_has_its_time() -> Outcome {
    let host = Host::new(HostConfig {
        compile: Duration::ZERO,
        ..HostConfig::default()
    })?;
    let error = host.compile(&Module::default().component()?).err();
    assert_eq!(error, Some(CompileError::TooSlow { limit_ms: 0 }));
    Ok(())
}

#[test]
fn wasi_beyond_the_fixed_part_traps_with_its_name() -> Outcome {
    let module = Module {
        imports: r#"(import "wasi:sockets/instance-network@0.2.3" "open" (func $open (result i32)))"#,
        wit: "import wasi:sockets/instance-network@0.2.3;",
        body: "(drop (call $open)) (i32.const 2048)",
        ..Module::default()
    };
    let mut instance = instance(&host()?, &module)?;
    let report = instance.transform(CONTEXT, &columns(&["a"]));
    let failure = report.result.err().ok_or("it did not fail")?;
    assert_eq!(failure.kind, FailureKind::Trapped);
    assert!(
        failure.message.starts_with(
            "it called 'wasi:sockets/instance-network@0.2.3#open', which plugins are not granted"
        ),
        "{}",
        failure.message
    );
    Ok(())
}

/// Memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> Outcome<usize> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = text.split(' ').nth(1).ok_or("no such field")?.parse()?;
    Ok(pages * 4096)
}

#[cfg(target_os = "linux")]
#[test]
fn memory_returns_to_where_it_was() -> Outcome {
    // It fills all the memory it may have, and then asks for more.
    let body = "(block $full (loop $more
          (br_if $full (i32.eq (memory.grow (i32.const 64)) (i32.const -1)))
          (br $more)))
        (memory.fill (i32.const 65536) (i32.const 1) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 65536)))
        (unreachable)";
    let module = Module {
        body,
        ..Module::default()
    };
    let budget = Budget {
        fuel_per_batch: 1_000_000_000,
        ..Budget::default()
    };
    let component = compiled(&host()?, &module)?;
    let configured = component.configure_under(&BTreeMap::new(), budget)?;
    let mut instance = configured.instance(Arc::new(NoLog));
    let mut bomb = || {
        let report = instance.transform(CONTEXT, &columns(&["a"]));
        assert!(report.usage.memory_peak > 60 << 20, "{:?}", report.usage);
        report.result.err().map(|failure| failure.kind)
    };
    assert_eq!(bomb(), Some(FailureKind::OverBudget));
    let before = resident()?;
    for _ in 0..20 {
        assert_eq!(bomb(), Some(FailureKind::OverBudget));
    }
    let after = resident()?;
    // Other tests of this program run beside this one, each below 64 MiB.
    assert!(
        after < before + (200 << 20),
        "{before} before, {after} after twenty times 64 MiB"
    );
    Ok(())
}

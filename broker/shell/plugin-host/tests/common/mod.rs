//! Components of tests: core modules as text, made into components of `weir:plugin`.
//!
//! A module is put together from what it does in `configure` and in its world's function. It has
//! the name `hostile`, an allocator that only goes forward and is reset after each call, and
//! `$log` and `$time` of the host.
#![allow(dead_code, reason = "each test takes its part")]

use std::{
    collections::BTreeMap,
    error::Error,
    path::Path,
    sync::{Arc, Mutex},
};
use weir_plugin::{BytesColumn, Columns, HeadersColumn};
use weir_plugin_host::{
    Component, Configured, Context, Host, HostConfig, Instance, Line, LogSink, NoLog,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Where a module may put what it gives back: the bytes behind are zero.
pub(crate) const OUT: usize = 2048;

/// A module's parts, in the text format.
#[derive(Clone, Copy)]
pub(crate) struct Module<'a> {
    /// The world.
    pub(crate) world: &'a str,
    /// What `describe` does before it answers.
    pub(crate) describe: &'a str,
    /// What `configure` does; an `i32` stays on the stack, where the result is.
    pub(crate) configure: &'a str,
    /// What the world's function does with its parameters; an `i32` stays on the stack.
    pub(crate) body: &'a str,
    /// Further functions and data.
    pub(crate) more: &'a str,
    /// Further imports: functions of the core module.
    pub(crate) imports: &'a str,
    /// Further imports of the world.
    pub(crate) wit: &'a str,
    /// The version of the package.
    pub(crate) version: &'a str,
}

impl Default for Module<'_> {
    fn default() -> Self {
        Self {
            world: "transform",
            describe: "",
            configure: "(i32.const 2048)",
            body: "(i32.const 2048)",
            more: "",
            imports: "",
            wit: "",
            version: "1.0.0",
        }
    }
}

impl Module<'_> {
    fn text(&self) -> String {
        let (signature, name) = match self.world {
            "transform" => ("(param $batch i32)", "transform"),
            "partitioner" => (
                "(param $ends i32) (param $rows i32) (param $data i32) (param $bytes i32) (param $nulls i32) (param $nulled i32) (param $partitions i32)",
                "partition",
            ),
            _ => (
                "(param $part i32) (param $ends i32) (param $rows i32) (param $data i32) (param $bytes i32) (param $nulls i32) (param $nulled i32)",
                "decode",
            ),
        };
        let encode = if self.world == "decoder" {
            "(func (export \"encode\") (param i32 i32 i32) (result i32) (i32.const 2048))"
        } else {
            ""
        };
        let Self {
            describe,
            configure,
            body,
            more,
            imports,
            version,
            ..
        } = self;
        format!(
            r#"(module $hostile
  (import "weir:plugin/host@{version}" "log" (func $log (param i32 i32 i32)))
  (import "weir:plugin/host@{version}" "stream-time" (func $time (result i64)))
  {imports}
  (memory (export "memory") 4)
  (global $heap (mut i32) (i32.const 65536))
  (data (i32.const 512) "\00\04\00\00\07\00\00\00\10\04\00\00\05\00\00\00\20\04\00\00\0d\00\00\00\40\04\00\00\01\00\00\00")
  (data (i32.const 1024) "hostile")
  (data (i32.const 1040) "1.0.0")
  (data (i32.const 1056) "Behaves badly")
  (data (i32.const 1088) "\80\04\00\00\05\00\00\00\90\04\00\00\09\00\00\00\00\00\00\00\01\00\00\00\a0\04\00\00\01\00\00\00")
  (data (i32.const 1152) "level")
  (data (i32.const 1168) "How badly")
  (data (i32.const 1184) "7")
  (func (export "cabi_realloc") (param $old i32) (param $had i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.set $heap (i32.add (local.get $at) (local.get $new)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $fits (i32.ne (i32.const -1) (memory.grow
        (i32.add (i32.const 1) (i32.shr_u (local.get $new) (i32.const 16))))))
      (unreachable))
    (local.get $at))
  (func (export "describe") (result i32) {describe} (i32.const 512))
  (func (export "configure") (param $list i32) (param $count i32) (result i32) {configure})
  (func $world (export "{name}") {signature} (result i32)
    (local $row i32) (local $at i32) (local $end i32) (local $values i32)
    {body})
  (func (export "cabi_post_{name}") (param i32) (global.set $heap (i32.const 65536)))
  {encode}
  {more})"#
        )
    }

    /// The component.
    pub(crate) fn component(&self) -> Outcome<Vec<u8>> {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../wit/weir-plugin");
        let mut resolve = Resolve::default();
        let mut text = String::new();
        for file in ["records", "description", "host", "worlds"] {
            text += &std::fs::read_to_string(wit.join(format!("{file}.wit")))?;
        }
        let text = text.replace("plugin@1.0.0", &format!("plugin@{}", self.version));
        resolve.push_str("weir-plugin.wit", &text)?;
        resolve.push_str("wasi.wit", WASI)?;
        let guest = format!(
            "package test:guest; world guest {{ include weir:plugin/{}@{}; {} }}",
            self.world, self.version, self.wit
        );
        let package = resolve.push_str("guest.wit", &guest)?;
        let world = resolve.select_world(package, Some("guest"))?;
        let mut module = wat::parse_str(self.text())?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        Ok(ComponentEncoder::default()
            .module(&module)?
            .validate(true)
            .encode()?)
    }
}

/// A little of WASI, with an interface that no plugin gets.
const WASI: &str = "
package test:others;
package wasi:random@0.2.3 { interface random { get-random-u64: func() -> u64; } }
package wasi:clocks@0.2.3 { interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; } }
package wasi:cli@0.2.3 {
  interface exit { exit: func(status: result); }
  interface stderr { use wasi:io/streams@0.2.3.{output-stream}; get-stderr: func() -> output-stream; }
}
package wasi:io@0.2.3 {
  interface error { resource error { to-debug-string: func() -> string; } }
  interface streams {
    use error.{error};
    variant stream-error { last-operation-failed(error), closed }
    resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
  }
}
package wasi:sockets@0.2.3 { interface instance-network { open: func() -> u32; } }
package evil:things@1.0.0 { interface files { open: func() -> u32; } }
";

/// A host without a folder.
pub(crate) fn host() -> Outcome<Host> {
    Ok(Host::new(HostConfig::default())?)
}

/// A module, compiled.
pub(crate) fn compiled(host: &Host, module: &Module<'_>) -> Outcome<Component> {
    Ok(host.compile(&module.component()?)?)
}

/// A module, configured without parameters.
pub(crate) fn configured(host: &Host, module: &Module<'_>) -> Outcome<Configured> {
    Ok(compiled(host, module)?.configure(&BTreeMap::new())?)
}

/// A module, ready to be called.
pub(crate) fn instance(host: &Host, module: &Module<'_>) -> Outcome<Instance> {
    Ok(configured(host, module)?.instance(Arc::new(NoLog)))
}

/// Records with these values.
pub(crate) fn columns(values: &[&str]) -> Columns {
    let mut columns = Columns::default();
    for (row, value) in (0_i64..).zip(values) {
        columns.offsets.push(row);
        columns.timestamps.push(1_000 + row);
        columns.keys.push(None);
        columns.values.push(Some(value.as_bytes()));
        columns.headers.ends.push(0);
    }
    columns.finish();
    columns
}

/// A column of these keys.
pub(crate) fn keys(keys: &[&str]) -> BytesColumn {
    let mut column = BytesColumn::default();
    for key in keys {
        column.push(Some(key.as_bytes()));
    }
    column
}

/// No headers for so many rows.
pub(crate) fn no_headers(rows: usize) -> HeadersColumn {
    HeadersColumn {
        ends: vec![0; rows],
        ..HeadersColumn::default()
    }
}

/// Somewhere.
pub(crate) const CONTEXT: Context<'static> = Context {
    topic: "orders",
    partition: 3,
    stream_time: 1_700_000_000_123,
};

/// Keeps lines.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<Line>>);

impl Lines {
    /// Takes what was logged.
    pub(crate) fn take(&self) -> Vec<Line> {
        self.0
            .lock()
            .map(|mut lines| std::mem::take(&mut *lines))
            .unwrap_or_default()
    }
}

impl LogSink for Lines {
    fn log(&self, line: Line) {
        if let Ok(mut lines) = self.0.lock() {
            lines.push(line);
        }
    }
}

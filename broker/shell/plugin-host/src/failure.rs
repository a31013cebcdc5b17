//! Turns what the engine reports into a failure that people can read.

use crate::{limits::FRAMES_MAX, log::cut, state::State};
use std::time::Duration;
use wasmtime::{Error, Store, Trap, WasmBacktrace};
use weir_plugin::{Failure, FailureKind, limits::REASON_BYTES_MAX};

/// What a call was allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) fuel: u64,
    pub(crate) output_bytes: usize,
    pub(crate) time: Duration,
}

/// Why a call did not end well.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The clock ended it; that may be the machine's fault.
    Clock(Failure),
    /// The plugin itself said no, and goes on as it is.
    Refused(Failure),
    /// The instance is not to be used again.
    Broken(Failure),
}

impl Stop {
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Clock(failure) | Self::Refused(failure) | Self::Broken(failure) => failure,
        }
    }

    /// What the plugin gave back breaks a rule.
    pub(crate) fn invalid(message: String) -> Self {
        Self::Broken(failure(FailureKind::Invalid, message))
    }

    /// The plugin's own words.
    pub(crate) fn refused(message: String) -> Self {
        Self::Refused(failure(FailureKind::Refused, message))
    }
}

fn failure(kind: FailureKind, message: String) -> Failure {
    let mut message = message;
    message.truncate(cut(&message, REASON_BYTES_MAX).len());
    Failure { kind, message }
}

/// What an error of the engine means.
pub(crate) fn stop(store: &Store<State>, error: &Error, allowed: Allowance) -> Stop {
    let broken = |kind, message| Stop::Broken(failure(kind, message));
    let over = |message: String| broken(FailureKind::OverBudget, message);
    let memory = &store.data().memory;
    let trap = error.downcast_ref::<Trap>();
    match trap {
        _ if memory.exceeded => over(format!(
            "it asked for more memory than the {} MiB it may have{}",
            memory.limit() >> 20,
            place(store, error)
        )),
        Some(Trap::OutOfFuel) => over(format!(
            "it used up its fuel of {} instructions{}",
            allowed.fuel,
            place(store, error)
        )),
        Some(Trap::Interrupt) => Stop::Clock(failure(
            FailureKind::OverBudget,
            format!(
                "it ran for longer than {} ms{}",
                allowed.time.as_millis(),
                place(store, error)
            ),
        )),
        Some(Trap::StackOverflow) => broken(
            FailureKind::Trapped,
            format!("its stack overflowed{}", place(store, error)),
        ),
        Some(trap) => broken(
            FailureKind::Trapped,
            format!("it trapped: {}{}", words(*trap), place(store, error)),
        ),
        None => untrapped(store, error, allowed),
    }
}

/// An error that is no trap of the guest's own code.
fn untrapped(store: &Store<State>, error: &Error, allowed: Allowance) -> Stop {
    let cause = error.root_cause().to_string();
    if cause.contains("fuel allocated for hostcalls") {
        return Stop::Broken(failure(
            FailureKind::OverBudget,
            format!(
                "it gave back more than the {} bytes it may for this input",
                allowed.output_bytes
            ),
        ));
    }
    // A function of the host that refuses has the guest's functions behind it.
    if error.downcast_ref::<WasmBacktrace>().is_some() {
        return Stop::Broken(failure(
            FailureKind::Trapped,
            format!("{cause}{}", place(store, error)),
        ));
    }
    Stop::invalid(format!("what it gave back cannot be read: {cause}"))
}

const fn words(trap: Trap) -> &'static str {
    match trap {
        Trap::MemoryOutOfBounds => "access outside its memory",
        Trap::TableOutOfBounds => "access outside a table",
        Trap::IndirectCallToNull => "call of a function that is not there",
        Trap::BadSignature => "call of a function of another type",
        Trap::IntegerOverflow => "integer overflow",
        Trap::IntegerDivisionByZero => "division by zero",
        Trap::BadConversionToInteger => "a float that is no integer",
        Trap::UnreachableCodeReached => "it gave up (a panic, or an abort)",
        Trap::CannotEnterComponent => "it was called while it may not be",
        _ => "a fault in its code",
    }
}

/// What the plugin said last, and in which functions it was.
fn place(store: &Store<State>, error: &Error) -> String {
    let mut text = String::new();
    let said = store.data().log.error();
    if !said.is_empty() {
        text.push_str("; it said: ");
        text.push_str(said);
    }
    let frames = error.downcast_ref::<WasmBacktrace>();
    let frames = frames.map(WasmBacktrace::frames).unwrap_or_default();
    let names = frames.iter().filter_map(|frame| frame.func_name());
    let names: Vec<&str> = names.take(FRAMES_MAX).collect();
    if !names.is_empty() {
        text.push_str("; in ");
        text.push_str(&names.join(" < "));
    }
    text
}

//! The native side of `host`: each import, answered by the test host that is running on this thread.

use super::world::{LogLine, World};
use crate::bindings::hookfast::plugin::{effects, state::Item, types, upstream::Outgoing};
use std::cell::RefCell;

thread_local! {
    static RUNNING: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Lends a world to this thread for the length of `run`, which must not unwind.
pub(super) fn with_world<T>(world: World, run: impl FnOnce() -> T) -> (T, World) {
    let outer = RUNNING.replace(Some(world));
    let result = run();
    let world = RUNNING.replace(outer).expect("lent above, and taken back only here");
    (result, world)
}

fn running<T>(import: impl FnOnce(&mut World) -> T) -> T {
    RUNNING.with_borrow_mut(|world| import(world.as_mut().expect("outside WebAssembly, only test::Host runs handlers")))
}

pub(crate) fn call(outgoing: &Outgoing) -> Result<types::Response, types::Fault> {
    running(|world| world.call(outgoing))
}

pub(crate) fn begin(step: &str) -> Result<String, types::Fault> {
    running(|world| world.begin(step))
}

pub(crate) fn state_get(key: &str) -> Result<Option<Item>, types::Fault> {
    running(|world| world.state()?.get(key))
}

pub(crate) fn state_set(key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), types::Fault> {
    running(|world| world.state()?.set(key, value, ttl_ms))
}

pub(crate) fn state_delete(key: &str) -> Result<(), types::Fault> {
    running(|world| world.state()?.delete(key))
}

pub(crate) fn state_expect_version(key: &str, version: Option<u64>) -> Result<(), types::Fault> {
    running(|world| world.state()?.expect_version(key, version))
}

pub(crate) fn state_increment(key: &str, by: i64) -> Result<i64, types::Fault> {
    running(|world| world.state()?.increment(key, by))
}

pub(crate) fn emit(event: &effects::NewEvent) -> Result<String, types::Fault> {
    running(|world| world.emit(event))
}

pub(crate) fn deliver(request: &effects::Delivery) -> Result<String, types::Fault> {
    running(|world| world.deliver(request))
}

pub(crate) fn config(key: &str) -> Option<String> {
    running(|world| world.config.get(key).cloned())
}

pub(crate) fn verify(secret: &str, form: &str, algorithm: &str, message: &[u8], signature: &[u8]) -> Result<bool, types::Fault> {
    running(|world| world.verify(secret, form, algorithm, message, signature))
}

pub(crate) fn sign(secret: &str, form: &str, algorithm: &str, message: &[u8]) -> Result<Vec<u8>, types::Fault> {
    running(|world| world.sign(secret, form, algorithm, message))
}

pub(crate) fn is(secret: &str, text: &[u8]) -> Result<bool, types::Fault> {
    running(|world| world.is(secret, text))
}

pub(crate) fn now_ms() -> u64 {
    running(|world| world.now_ms)
}

pub(crate) fn remaining_ms() -> u64 {
    running(|world| u64::try_from(world.remaining.as_millis()).unwrap_or(u64::MAX))
}

pub(crate) fn random(length: u32) -> Vec<u8> {
    running(|world| world.random(length))
}

/// Never panics: the panic hook logs through it, also for panics of tests that run no handler.
pub(crate) fn log(level: u8, message: &str, fields: &[(String, String)]) {
    RUNNING.with(|running| {
        if let Ok(mut running) = running.try_borrow_mut()
            && let Some(world) = running.as_mut()
        {
            world.logs.push(LogLine::new(level, message, fields));
        }
    });
}

//! The host's functions under one set of names: the component's imports on WebAssembly, the test host elsewhere.
//! Nothing is decided here.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::hookfast::plugin::{
    clock::{now as now_ms, remaining as remaining_ms},
    config::get as config,
    crypto::{is, sign, verify},
    log::write as log,
    random::bytes as random,
    upstream::call,
};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::test::imports::{call, config, is, log, now_ms, random, remaining_ms, sign, verify};

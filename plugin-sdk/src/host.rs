//! The host's functions under one set of names: the component's imports on WebAssembly, the test host elsewhere.
//! Nothing is decided here.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::hookfast::plugin::{
    clock::{now as now_ms, remaining as remaining_ms},
    config::get as config,
    crypto::{is, sign, verify},
    effects::{deliver, emit},
    log::write as log,
    random::bytes as random,
    state::{
        delete as state_delete, expect_version as state_expect_version, get as state_get, increment as state_increment, set as state_set,
    },
    upstream::{begin, call},
};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::test::imports::{
    begin, call, config, deliver, emit, is, log, now_ms, random, remaining_ms, sign, state_delete, state_expect_version, state_get,
    state_increment, state_set, verify,
};

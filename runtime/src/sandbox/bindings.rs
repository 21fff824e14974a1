//! The contract of `plugin-sdk/wit` as Rust types, host's side: a world for plugins that handle events, one for those that also
//! take back what was done, and one for those that prove requests. All have the same imports.

pub(super) mod handling {
    wasmtime::component::bindgen!({
        path: "../plugin-sdk/wit",
        world: "handling",
        imports: {
            "hookfast:plugin/upstream.call": async | trappable,
            "hookfast:plugin/upstream.begin": async | trappable,
            "hookfast:plugin/state.get": async | trappable,
            "hookfast:plugin/state.set": async | trappable,
            "hookfast:plugin/state.delete": async | trappable,
            "hookfast:plugin/state.increment": async | trappable,
            default: trappable,
        },
        exports: { default: async },
    });
}

pub(super) mod receiving {
    wasmtime::component::bindgen!({
        path: "../plugin-sdk/wit",
        world: "receiving",
        exports: { default: async },
        with: {
            "hookfast:plugin/types": super::handling::hookfast::plugin::types,
            "hookfast:plugin/log": super::handling::hookfast::plugin::log,
            "hookfast:plugin/config": super::handling::hookfast::plugin::config,
            "hookfast:plugin/upstream": super::handling::hookfast::plugin::upstream,
            "hookfast:plugin/state": super::handling::hookfast::plugin::state,
            "hookfast:plugin/effects": super::handling::hookfast::plugin::effects,
            "hookfast:plugin/clock": super::handling::hookfast::plugin::clock,
            "hookfast:plugin/random": super::handling::hookfast::plugin::random,
            "hookfast:plugin/crypto": super::handling::hookfast::plugin::crypto,
        },
    });
}

pub(super) mod compensating {
    wasmtime::component::bindgen!({
        path: "../plugin-sdk/wit",
        world: "compensating",
        exports: { default: async },
        with: {
            "hookfast:plugin/types": super::handling::hookfast::plugin::types,
            "hookfast:plugin/log": super::handling::hookfast::plugin::log,
            "hookfast:plugin/config": super::handling::hookfast::plugin::config,
            "hookfast:plugin/upstream": super::handling::hookfast::plugin::upstream,
            "hookfast:plugin/state": super::handling::hookfast::plugin::state,
            "hookfast:plugin/effects": super::handling::hookfast::plugin::effects,
            "hookfast:plugin/clock": super::handling::hookfast::plugin::clock,
            "hookfast:plugin/random": super::handling::hookfast::plugin::random,
            "hookfast:plugin/crypto": super::handling::hookfast::plugin::crypto,
        },
    });
}

pub(super) use handling::hookfast::plugin as imports;

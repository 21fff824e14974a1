//! The contract of `plugin-sdk/wit` as Rust types, host's side: a world for plugins that handle events, and one for those that prove
//! requests. Both have the same imports.

pub(super) mod handling {
    wasmtime::component::bindgen!({
        path: "../plugin-sdk/wit",
        world: "handling",
        imports: {
            "hookfast:plugin/upstream.call": async | trappable,
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
            "hookfast:plugin/clock": super::handling::hookfast::plugin::clock,
            "hookfast:plugin/random": super::handling::hookfast::plugin::random,
            "hookfast:plugin/crypto": super::handling::hookfast::plugin::crypto,
        },
    });
}

pub(super) use handling::hookfast::plugin as imports;

//! The contract of `plugin-sdk/wit` as Rust types, host's side.

wasmtime::component::bindgen!({
    path: "../plugin-sdk/wit",
    world: "plugin",
    imports: {
        "hookfast:plugin/upstream.call": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});

//! Running plugins: the only home of wasmtime. A plugin gets nothing by default; every capability, byte and millisecond is
//! granted and bounded here. Knows no store and no HTTP client: what a guest asks of the world goes out through [`Outside`].

mod engine;
mod bindings;
mod plugin;
mod describe;
mod load;
mod fixtures;
mod cache;
mod registry;
mod directory;
mod run;
mod compensate;
mod outside;
mod draft;
mod wishes;
mod wasi_http;
mod admit;
mod instance;
mod instantiate;
mod guest;
mod host;
mod keys;
mod meter;
mod failure;

pub use admit::{Inquiry, Keyring, Ruled};
pub use directory::{Change, Directory};
pub use engine::{Engine, EngineSettings};
pub use load::{LoadFailure, LoadStage, Loader, WASM_BYTES_MAX, digest};
pub use outside::{Called, Outside, Soon, Standing, Unavailable};
pub use plugin::{Description, Fixture, Plugin};
pub use registry::{PluginState, PluginStatus, Plugins};
pub use run::{Ran, Run};

/// The engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// wasmtime refuses every configuration that we know.
    #[error("the WebAssembly engine cannot start")]
    Engine(#[source] wasmtime::Error),
    /// The ticker's thread could not be started: without it no guest could be interrupted.
    #[error("the thread that interrupts guests cannot start")]
    Ticker(#[source] std::io::Error),
    /// The cache of compiled plugins cannot be used.
    #[error("the plugin cache {} cannot be used", .0.display())]
    Cache(std::path::PathBuf, #[source] std::io::Error),
}

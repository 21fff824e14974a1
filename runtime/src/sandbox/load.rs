//! From bytes to a plugin that may run: each stage can fail, and says what to do about it. Nothing here makes it live.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::component::{Component, Linker};

use super::bindings::handling::Handling;
use super::cache::Cache;
use super::describe::describe;
use super::engine::Engine;
use super::fixtures;
use super::guest::Guest;
use super::instance::Waiting;
use super::plugin::{Exports, Plugin};
use crate::domain::{Digest, Grant, PluginName};
use crate::random::Random;

/// The largest `.wasm` that is compiled.
pub const WASM_BYTES_MAX: usize = 64 << 20;
const WASM_MAGIC: &[u8] = b"\0asm";
const CORE_MODULE_VERSION: &[u8] = &[1, 0, 0, 0];

/// Where a load failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadStage {
    /// The file cannot be read.
    Read,
    /// The bytes are no WebAssembly component.
    Validate,
    /// It does not compile.
    Compile,
    /// Its imports and exports do not fit the contract.
    TypeCheck,
    /// It wants more than it is granted.
    Grant,
    /// It does not describe itself.
    Describe,
    /// One of its own fixtures did not end as done.
    Fixtures,
    /// It is good, and cannot be written into the plugin directory.
    Keep,
}

impl LoadStage {
    /// A stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Validate => "validate",
            Self::Compile => "compile",
            Self::TypeCheck => "type_check",
            Self::Grant => "grant",
            Self::Describe => "describe",
            Self::Fixtures => "fixtures",
            Self::Keep => "keep",
        }
    }
}

/// Why a plugin did not load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LoadFailure {
    /// Where it failed.
    pub stage: LoadStage,
    /// What is wrong and what to do.
    pub message: String,
}

impl LoadFailure {
    /// A sentence for the operator that begins after the plugin's name.
    pub fn new(stage: LoadStage, message: String) -> Self {
        Self { stage, message }
    }
}

/// Machine code.
struct Compiled {
    component: Component,
    /// Whether it stands in a file that is mapped.
    is_in_file: bool,
}

/// Loads plugins for one engine.
pub struct Loader {
    engine: Arc<Engine>,
    linker: Linker<Guest>,
    cache: Option<Cache>,
}

impl Loader {
    /// A loader whose compiled code is kept in `cache`.
    pub fn new(engine: Arc<Engine>, cache: &Path, random: Random) -> Result<Self, super::SandboxError> {
        let cache = Cache::open(cache, engine.wasmtime(), random)?;
        Ok(Self { cache: Some(cache), ..Self::uncached(engine)? })
    }

    /// A loader that compiles every time: for looking at a plugin once.
    pub fn uncached(engine: Arc<Engine>) -> Result<Self, super::SandboxError> {
        let linker = linker(engine.wasmtime()).map_err(super::SandboxError::Engine)?;
        Ok(Self { engine, linker, cache: None })
    }

    /// Takes a plugin through every stage.
    pub async fn load(self: &Arc<Self>, name: PluginName, wasm: Vec<u8>, grant: Arc<Grant>) -> Result<Plugin, LoadFailure> {
        let plugin = self.inspect(name, wasm).await?;
        within_grant(&plugin, &grant)?;
        fixtures::pass(&self.engine, &plugin, &grant).await?;
        plugin.rest();
        Ok(plugin)
    }

    /// Takes a plugin through every stage that does not depend on what it is granted.
    pub async fn inspect(self: &Arc<Self>, name: PluginName, wasm: Vec<u8>) -> Result<Plugin, LoadFailure> {
        let digest = digest(&wasm);
        let wasm_bytes = wasm.len();
        let loader = Arc::clone(self);
        // Compiling takes up to seconds of CPU: off the runtime that answers requests.
        let compiled = tokio::task::spawn_blocking(move || loader.compile(&wasm, digest)).await;
        let Compiled { component, is_in_file } =
            compiled.map_err(|_| LoadFailure::new(LoadStage::Compile, "the compiler panicked; please report this plugin".into()))??;
        let exports = self.linker.instantiate_pre(&component).and_then(|pre| Exports::of(&pre));
        let exports = exports.map_err(|error| LoadFailure::new(LoadStage::TypeCheck, type_mismatch(&error)))?;
        let description = describe(&self.engine, &exports).await?;
        Ok(Plugin { name, digest, wasm_bytes, description, is_in_file, exports, waiting: Waiting::default() })
    }

    fn compile(&self, wasm: &[u8], digest: Digest) -> Result<Compiled, LoadFailure> {
        validate(wasm)?;
        let engine = self.engine.wasmtime();
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.get(engine, digest)) {
            return Ok(Compiled { component, is_in_file: true });
        }
        let component = Component::new(engine, wasm)
            .map_err(|error| LoadFailure::new(LoadStage::Compile, format!("is not a valid component: {error:#}")))?;
        Ok(match self.cache.as_ref().and_then(|cache| cache.put(engine, digest, &component)) {
            Some(component) => Compiled { component, is_in_file: true },
            None => Compiled { component, is_in_file: false },
        })
    }
}

/// The SHA-256 that pins a plugin's bytes.
pub fn digest(wasm: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(wasm).into())
}

fn validate(wasm: &[u8]) -> Result<(), LoadFailure> {
    let failure = |message: &str| Err(LoadFailure::new(LoadStage::Validate, message.into()));
    if wasm.len() > WASM_BYTES_MAX {
        return failure("is larger than 64 MiB");
    }
    // Precompiled artifacts are native code: they are only ever read from our own cache.
    if wasmtime::Engine::detect_precompiled(wasm).is_some() {
        return failure("is a precompiled artifact, which is never accepted; give the .wasm component itself");
    }
    match wasm.strip_prefix(WASM_MAGIC) {
        None => failure("is not WebAssembly; build it with `hookfast plugin build`"),
        Some(rest) if rest.starts_with(CORE_MODULE_VERSION) => {
            failure("is a core module, not a component; build it for wasm32-wasip2, as `hookfast plugin build` does")
        }
        Some(_) => Ok(()),
    }
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    // Whoever proves requests imports the same.
    Handling::add_to_linker::<_, wasmtime::component::HasSelf<_>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

fn type_mismatch(error: &wasmtime::Error) -> String {
    format!("does not fit `hookfast:plugin@1.0.0`: {error:#}; an import named here is not offered or not granted to plugins")
}

fn within_grant(plugin: &Plugin, grant: &Grant) -> Result<(), LoadFailure> {
    if plugin.is_within(grant) {
        return Ok(());
    }
    let name = &plugin.name;
    let missing: Vec<_> = plugin.missing_upstreams(grant).collect();
    let list = missing.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let message = format!("wants upstreams it is not granted: {list}; add {list} to `upstreams` under [grants.{name}] to allow it");
    Err(LoadFailure::new(LoadStage::Grant, message))
}

//! Building plugins: installs the WebAssembly target if it is missing, runs cargo, and publishes each component by rename, so
//! that a server which watches the directory never sees half a file. Knows cargo, and nothing of servers or sandboxes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::domain::{Digest, PluginName};
use crate::sandbox;

const TARGET: &str = "wasm32-wasip2";

/// What whoever started this process has set for another build: flags for another target, another place for the results.
const OF_ANOTHER_BUILD: &[&str] = &[
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
];

/// A plugin's stack where nothing else is asked for: room for JSON that is nested 127 deep, as deep as `serde_json` reads. The
/// linker's own 1 MiB makes each fresh instance dearer: the server wipes it by hand or gives it back.
pub const STACK_BYTES: u32 = 128 << 10;

/// A plugin that was built and published.
#[derive(Debug)]
pub struct Built {
    /// Its package's name, which is the plugin's.
    pub name: String,
    /// Where it is now: `NAME.wasm` in the directory that was asked for.
    pub wasm: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
}

/// The argument of cargo that links components with a stack of so many bytes.
pub fn stack_argument(bytes: u32) -> String {
    format!("--config=target.{TARGET}.rustflags=[\"-Clink-arg=-zstack-size={bytes}\"]")
}

/// Builds the plugins in `directory`, a crate or a workspace of crates, and puts each into `out` as `NAME.wasm`, with a stack of
/// `stack_bytes`. Cargo's own output goes to stderr.
///
/// # Errors
/// If the target cannot be installed, the code does not compile, or there is no plugin in `directory`.
pub fn build_plugins(directory: &Path, out: &Path, stack_bytes: u32) -> anyhow::Result<Vec<Built>> {
    let manifest = directory.join("Cargo.toml");
    let place = directory.canonicalize().ok().filter(|_| manifest.is_file());
    let place = place.with_context(|| format!("there is no Cargo.toml in {}; give a plugin's directory", directory.display()))?;
    ensure_target()?;
    let mut plugins = compile(&place, stack_bytes)?;
    plugins.sort_by(|a, b| a.name.cmp(&b.name));
    ensure!(!plugins.is_empty(), "there is no plugin in {}; its Cargo.toml needs: [lib] crate-type = [\"cdylib\"]", directory.display());
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    plugins.into_iter().map(|plugin| publish(plugin, out)).collect()
}

/// Makes sure that Rust can compile for plugins' target; installs it with rustup where it is missing, and says so on stderr.
///
/// # Errors
/// If it is missing and cannot be installed; the message holds the command to run.
pub fn ensure_target() -> anyhow::Result<()> {
    if has_target()? {
        return Ok(());
    }
    eprintln!("the Rust target {TARGET} is not installed; running: rustup target add {TARGET}");
    let added = Command::new("rustup").args(["target", "add", TARGET]).stdout(Stdio::null()).status();
    ensure!(
        added.is_ok_and(|status| status.success()) && has_target()?,
        "the Rust target {TARGET} could not be installed; run this and try again: rustup target add {TARGET}"
    );
    Ok(())
}

fn has_target() -> anyhow::Result<bool> {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::inherit()).output();
    let Output { status, stdout, .. } = asked.context("rustc cannot be started; install Rust from https://rustup.rs")?;
    ensure!(status.success(), "this Rust does not know the target {TARGET}; run this and try again: rustup update stable");
    Ok(Path::new(String::from_utf8_lossy(&stdout).trim()).is_dir())
}

/// A component where cargo left it.
struct Compiled {
    name: PluginName,
    wasm: PathBuf,
}

fn compile(directory: &Path, stack_bytes: u32) -> anyhow::Result<Vec<Compiled>> {
    let mut command = Command::new(cargo());
    OF_ANOTHER_BUILD.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    command.arg(stack_argument(stack_bytes));
    let output = command.current_dir(directory).stderr(Stdio::inherit()).output();
    let Output { status, stdout, .. } = output.context("cargo cannot be started; install Rust from https://rustup.rs")?;
    ensure!(status.success(), "cargo could not build {}", directory.display());
    let messages = stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Message>(line).ok());
    messages.filter_map(|message| message.component(directory)).map(compiled).collect()
}

/// The cargo that started this process, where one did: it is of the toolchain that the user chose.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// What cargo says of a finished artifact (doc.rust-lang.org/cargo/reference/external-tools.html).
#[derive(Deserialize)]
struct Message {
    manifest_path: PathBuf,
    target: Target,
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

impl Message {
    /// Manifest and file of a component whose crate lies in `directory`; dependencies may be `cdylib` as well, and are not asked for.
    fn component(self, directory: &Path) -> Option<(PathBuf, PathBuf)> {
        let is_own = self.manifest_path.starts_with(directory) && self.target.crate_types.iter().any(|kind| kind == "cdylib");
        let wasm = self.filenames.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "wasm"));
        wasm.filter(|_| is_own).map(|wasm| (self.manifest_path, wasm))
    }
}

#[derive(Deserialize)]
struct Manifest {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

fn compiled((manifest, wasm): (PathBuf, PathBuf)) -> anyhow::Result<Compiled> {
    let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let Manifest { package } = toml::from_str(&text).with_context(|| format!("cannot read {}", manifest.display()))?;
    match package.name.parse() {
        Ok(name) => Ok(Compiled { name, wasm }),
        Err(error) => bail!("the package `{}` cannot be a plugin's name: {error}", package.name),
    }
}

fn publish(Compiled { name, wasm }: Compiled, out: &Path) -> anyhow::Result<Built> {
    let bytes = fs::read(&wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
    let target = out.join(format!("{name}.wasm"));
    let temporary = out.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::write(&temporary, &bytes).and_then(|()| fs::rename(&temporary, &target));
    written.inspect_err(|_| drop(fs::remove_file(&temporary))).with_context(|| format!("cannot write {}", target.display()))?;
    Ok(Built { name: name.to_string(), wasm: target, bytes: bytes.len() as u64, digest: sandbox::digest(&bytes) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn component(kind: &str, manifest: &str, file: &str) -> Option<(PathBuf, PathBuf)> {
        let message = json!({ "manifest_path": manifest, "target": { "crate_types": [kind] }, "filenames": [file] });
        let message: Message = serde_json::from_value(message).expect("a message of cargo");
        message.component(Path::new("/src/plugins"))
    }

    #[test]
    fn only_components_of_the_directory_itself_are_plugins() {
        let manifest = "/src/plugins/a/Cargo.toml";
        assert_eq!(component("cdylib", manifest, "/t/a.wasm"), Some((manifest.into(), "/t/a.wasm".into())));
        assert_eq!(component("rlib", manifest, "/t/liba.rlib"), None);
        assert_eq!(component("cdylib", "/cargo/registry/b/Cargo.toml", "/t/b.wasm"), None);
    }

    #[test]
    fn other_messages_of_cargo_are_passed_over() {
        assert!(serde_json::from_value::<Message>(json!({ "reason": "build-finished", "success": true })).is_err());
    }
}

//! Builds what the tests run: guests for WebAssembly and the real binary. Once a test process, behind a lock that all processes
//! share; what is fresh costs cargo's look at it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use hookfast::cli::build::{STACK_BYTES, stack_argument};

const TARGET: &str = "wasm32-wasip2";
const INSTALL: &str = "rustup target add wasm32-wasip2";

/// The bytes of a guest of `plugins/` or `tests/guests/`, by its plugin name.
///
/// # Panics
/// If the guests cannot be built.
pub fn guest(name: &str) -> Vec<u8> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let path = FOLDER.get_or_init(build_guests).join(format!("{}.wasm", name.replace('-', "_")));
    fs::read(&path).unwrap_or_else(|error| panic!("there is no guest `{name}`: {}: {error}", path.display()))
}

/// The real `hookfast`, built in the profile of the tests.
///
/// # Panics
/// If it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(build_binary)
}

/// The same component with a custom section more: other bytes, thus another digest, and the same behaviour.
pub fn another_version(wasm: &[u8], version: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("shorter than a LEB128 byte holds");
    let name = "version";
    let content = [&[length(name)], name.as_bytes(), version.as_bytes()].concat();
    let header = [0, u8::try_from(content.len()).expect("a short section")];
    [wasm, &header, &content].concat()
}

fn build_guests() -> PathBuf {
    let _lock = lock();
    ensure_target();
    let target = root().join("plugins/target");
    for workspace in ["plugins", "tests/guests"] {
        let mut cargo = cargo(&root().join(workspace));
        cargo.env("CARGO_TARGET_DIR", &target).args(["build", "--release", "--locked", "--target", TARGET]);
        // As `hookfast plugin build` does.
        cargo.arg(stack_argument(STACK_BYTES));
        succeed(&mut cargo);
    }
    target.join(TARGET).join("release")
}

fn build_binary() -> PathBuf {
    let _lock = lock();
    let mut cargo = cargo(&root());
    cargo.args(["build", "-p", "hookfast", "--bin", "hookfast", "--message-format", "json-render-diagnostics"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let told = succeed(&mut cargo);
    let path = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).find_map(|message| {
        let is_it = message["target"]["name"] == "hookfast";
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    });
    path.expect("cargo names the executable that it built")
}

/// Installs the guests' target where it is missing, and says so.
fn ensure_target() {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let is_there = asked.is_ok_and(|told| Path::new(String::from_utf8_lossy(&told.stdout).trim()).exists());
    if is_there {
        return;
    }
    eprintln!("the Rust target {TARGET} is missing; running `{INSTALL}`");
    let mut words = INSTALL.split(' ');
    let installed = Command::new(words.next().expect("a program")).args(words).status();
    assert!(installed.is_ok_and(|status| status.success()), "guests need the Rust target {TARGET}: run `{INSTALL}` and try again");
}

/// Held while building, by one test process at a time.
fn lock() -> File {
    let path = root().join("plugins/target");
    fs::create_dir_all(&path).expect("a target directory");
    let file = File::create(path.join("tests.lock")).expect("a lock file");
    file.lock().expect("a lock");
    file
}

fn cargo(directory: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    // What the cargo that runs the tests says of this package is taken by build scripts for a change of their own: they, and all that
    // depends on them, would be built anew, and once more the next time.
    let of_this_package = std::env::vars_os().map(|(name, _)| name);
    let of_this_package = of_this_package
        .filter(|name| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes())));
    of_this_package.for_each(|name| {
        cargo.env_remove(name);
    });
    cargo.current_dir(directory).stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    cargo
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root of the repository")
}

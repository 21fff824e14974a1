//! Lists the provider files of `catalogue/`, so that a file that is put there is compiled in.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

#[expect(clippy::disallowed_methods, reason = "cargo speaks to a build script by the environment")]
fn main() {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo names the package's folder")).join("catalogue");
    println!("cargo::rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(&folder).expect("the catalogue is a folder");
    let mut files: Vec<_> =
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a provider's name is ASCII");
        writeln!(list, "    ({name:?}, include_str!({:?})),", file.display().to_string()).expect("a String takes all");
    }
    list.push(']');
    let out = Path::new(&env::var("OUT_DIR").expect("cargo names a folder for what is built")).join("catalogue.rs");
    fs::write(out, list).expect("the folder for what is built can be written");
}

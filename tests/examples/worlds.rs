//! Makes a component of each world of the contract as it is now: one that imports everything the world offers, describes itself, and is
//! done with every event. Run once for each released version; what it has written is committed and never made again:
//!
//! cargo run -p hookfast-tests --example worlds

use std::fmt::Write as _;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Function, Resolve, WorldId, WorldItem, WorldKey};

const WORLDS: [&str; 4] = ["handling", "receiving", "compensating", "plugin"];

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the project");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(root.join("plugin-sdk/wit"))?;
    let version = resolve.packages[package].name.version.clone().expect("the contract has a version");
    let folder = root.join(format!("tests/worlds/{version}"));
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(root.join("plugin-sdk/wit/plugin.wit"), folder.join("plugin.wit"))?;
    for name in WORLDS {
        let world = resolve.select_world(&[package], Some(name))?;
        let mut module = wat::parse_str(module(&resolve, world, name))?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        let component = ComponentEncoder::default().validate(true).module(&module)?.encode()?;
        std::fs::write(folder.join(format!("{name}.wasm")), component)?;
    }
    Ok(())
}

/// A core module with every import and export of the world.
fn module(resolve: &Resolve, world: WorldId, name: &str) -> String {
    let world = &resolve.worlds[world];
    let mut text = String::from("(module\n");
    for (interface, function) in functions(resolve, world.imports.iter()) {
        let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
        let _ = writeln!(text, "(import \"{interface}\" \"{}\" (func {}))", function.name, types(&signature.params, &signature.results));
    }
    for (interface, function) in functions(resolve, world.exports.iter()) {
        let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
        let types = types(&signature.params, &signature.results);
        let body = match function.name.as_str() {
            "describe" => "i32.const 16",
            // Zeros: ok, without a note.
            "handle" | "exhausted" => "i32.const 1024",
            _ => "unreachable",
        };
        let _ = writeln!(text, "(func (export \"{interface}#{}\") {types} {body})", function.name);
    }
    let admits = world.exports.keys().any(|key| resolve.name_world_key(key).contains("ingress"));
    let compensates = world.exports.keys().any(|key| resolve.name_world_key(key).contains("compensation"));
    let description = format!(r#"{{"name":"{name}","version":"1","admits":{admits},"compensates":{compensates}}}"#);
    let (at, length) = (32_u32, u32::try_from(description.len()).expect("a short text"));
    let pair: String = [at, length].iter().flat_map(|number| number.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect();
    let _ = writeln!(
        text,
        r#"(memory (export "memory") 64)
(global $top (mut i32) (i32.const 4096))
(data (i32.const 16) "{pair}") (data (i32.const {at}) "{}")
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
  (global.set $top (i32.add (local.get $at) (local.get 3)))
  (local.get $at)))"#,
        description.replace('"', "\\22")
    );
    text
}

fn functions<'r>(
    resolve: &'r Resolve,
    items: impl Iterator<Item = (&'r WorldKey, &'r WorldItem)>,
) -> impl Iterator<Item = (String, &'r Function)> {
    items.flat_map(|(key, item)| {
        let WorldItem::Interface { id, .. } = item else { return Vec::new() };
        let name = resolve.name_world_key(key);
        resolve.interfaces[*id].functions.values().map(|function| (name.clone(), function)).collect()
    })
}

fn types(params: &[WasmType], results: &[WasmType]) -> String {
    let list = |word: &str, types: &[WasmType]| {
        let types: Vec<_> = types.iter().map(|one| if *one == WasmType::I64 { "i64" } else { "i32" }).collect();
        if types.is_empty() { String::new() } else { format!("({word} {})", types.join(" ")) }
    };
    format!("{} {}", list("param", params), list("result", results))
}

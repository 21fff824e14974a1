//! The contract with plugins is frozen: components of every released version load and run for ever, and a change of the contract that
//! would break one is found before it is released.

use std::path::{Path, PathBuf};

use hookfast::domain::JobState;
use hookfast_tests::plan::{Plan, Source};
use wit_parser::Resolve;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the project").into()
}

/// The folders of the released versions.
fn releases() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(root().join("tests/worlds")).expect("a folder of released worlds");
    let releases: Vec<_> = folder.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    assert!(!releases.is_empty());
    releases
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_of_every_released_world_load_and_run() {
    for release in releases() {
        for world in ["handling", "compensating", "plugin"] {
            let wasm = read(&release.join(format!("{world}.wasm")));
            let plan = Plan::default().plugin(world, wasm).source(Source::new("shop", "github").to(world));
            let world = plan.start().await;
            let id = world.send("shop", "ping").await;
            world.settle().await;
            assert_eq!(world.event(id).await.jobs[0].state, JobState::Done, "{}", release.display());
            world.finish().await;
        }
        let wasm = read(&release.join("receiving.wasm"));
        let world = Plan::default().plugin("receiving", wasm).source(Source::new("shop", "plugin:receiving")).start().await;
        assert!(
            world.plugin("receiving").and_then(|status| status.description).is_some_and(|description| description.admits),
            "{}",
            release.display()
        );
        world.finish().await;
    }
}

#[test]
fn the_contract_only_grows() {
    let current = String::from_utf8(read(&root().join("plugin-sdk/wit/plugin.wit"))).expect("text");
    for release in releases() {
        let released = String::from_utf8(read(&release.join("plugin.wit"))).expect("text");
        if let Err(break_) = compatible(&released, &current) {
            panic!("a plugin of {} would not load any more: {break_:#}", release.display());
        }
    }
}

#[test]
fn a_change_that_breaks_plugins_is_found() {
    let released = String::from_utf8(read(&root().join("tests/worlds/1.0.0/plugin.wit"))).expect("text");
    for (from, to) in [
        ("record response { status: u16,", "record response { reason: string, status: u16,"),
        ("get: func(key: string) -> result<option<item>, fault>;", ""),
        ("increment: func(key: string, by: s64)", "increment: func(key: string, by: u64)"),
        ("export handler;", "export handler;\n  export metrics: interface { read: func(); }"),
    ] {
        let changed = released.replacen(from, to, 1);
        assert_ne!(changed, released, "nothing to change at {from}");
        assert!(compatible(&released, &changed).is_err(), "{from} became {to}, and nobody minded");
    }
    let grown = released.replacen("interface clock {", "interface clock {\n  zone: func() -> string;", 1);
    compatible(&released, &grown).expect("what only grows breaks nobody");
}

/// Whether components of the worlds of one contract fit those of the other. Texts: of equal versions, too.
fn compatible(released: &str, current: &str) -> anyhow::Result<()> {
    let package = |text: &str, version: &str| {
        let (head, rest) = text.split_once("package hookfast:plugin@").expect("a package");
        let (_, rest) = rest.split_once(';').expect("a version");
        format!("{head}package hookfast:plugin@{version};{rest}")
    };
    let mut resolve = Resolve::default();
    let before = resolve.push_str("before.wit", &package(released, "0.0.1"))?;
    let after = resolve.push_str("after.wit", &package(current, "0.0.2"))?;
    let worlds: Vec<_> = resolve.packages[before].worlds.iter().map(|(name, id)| (name.clone(), *id)).collect();
    for (name, world) in worlds {
        let now = resolve.select_world(&[after], Some(&name))?;
        wit_component::semver_check(resolve.clone(), world, now)?;
    }
    Ok(())
}

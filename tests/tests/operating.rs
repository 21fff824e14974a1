//! What whoever runs a server under a container engine or a service manager relies on: its health, the place of its own files, and
//! that each configuration which is shipped or stands in the documentation is a right one.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hookfast::app::TOKEN_FILE;
use hookfast::clock::Clock;
use hookfast_tests::build::{binary, root};
use hookfast_tests::directory::Directory;
use hookfast_tests::sender::Wire;
use hookfast_tests::skip::skipped;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Gate, Plan, Reply, Sender, Site, Source, Upstream, World};

/// Exit code, and what it told on stdout and stderr.
fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_what_the_server_says_from_its_start_to_its_end() {
    let gate = Gate::shut();
    let upstream = Upstream::start().await;
    upstream.script([Reply::Held(gate.clone())]);
    let site = Site::new(&Plan::default().source(Source::new("stripe", "stripe").to("forward")), upstream.address);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
    site.edit(|file| file.replace("admin = \"127.0.0.1:0\"", &format!("admin = \"127.0.0.1:{port}\"")));
    let health = |arguments: &[&str]| told(&site.hookfast(&[&["health"], arguments].concat()));

    let (code, line) = health(&[]);
    assert!(code == Some(3) && line.contains(&format!("127.0.0.1:{port}")) && line.contains("hookfast serve"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");

    // Neither its token nor a configuration without mistakes is needed.
    let server = site.start().await;
    site.remove(TOKEN_FILE);
    site.edit(|file| format!("{file}\n[sources.stripe]\nmistake ="));
    assert_eq!(health(&[]), (Some(0), format!("http://127.0.0.1:{port} is ready\n")));
    assert_eq!(health(&["--live"]), (Some(0), format!("http://127.0.0.1:{port} is alive\n")));
    // Nor any configuration where the address is given.
    let elsewhere = |arguments: &[&str]| Command::new(binary()).args(["health", "--config", "nowhere.toml"]).args(arguments).output();
    assert_eq!(told(&elsewhere(&["--url", &server.admin_url()]).expect("a process")).0, Some(0));
    assert_eq!(told(&elsewhere(&[]).expect("a process")).0, Some(78));

    // While it finishes what runs it lives, and takes no more.
    let delivery = Sender::new("stripe", "stripe", "shared-secret").delivery("invoice.paid", "evt_1", Clock::system().now());
    Wire::new().send(server.ingest, &delivery).await.expect("an answer").event();
    upstream.called(1).await;
    server.terminate();
    eventually("the server to drain", async || health(&[]).0 == Some(3)).await;
    assert_eq!(health(&[]).1, format!("error: http://127.0.0.1:{port} is not ready: it answered 503 draining\n"));
    assert_eq!(health(&["--live"]).0, Some(0));
    gate.open();
    server.ended().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compiled_code_stands_in_its_file_from_the_first_start_on_and_takes_memory_once_it_runs() {
    let world = World::stripe().start().await;
    let cache = world.path("plugin-cache");
    let loaded = code_in_memory(&cache);
    assert!(loaded.size > 100, "no code of {} is mapped: {loaded:?}", cache.display());
    world.send("stripe", "invoice.paid").await;
    world.settle().await;
    let used = code_in_memory(&cache);
    assert!(used.resident > 0, "{used:?}");
    let kind = Command::new("stat").args(["-f", "-c", "%T"]).arg(&cache).output().expect("coreutils");
    if kind.stdout.starts_with(b"tmpfs") {
        skipped("idle code takes no memory", "temporary files are on a tmpfs, which is memory itself");
    } else {
        assert!(loaded.resident < used.resident / 4, "{loaded:?}, and once it ran {used:?}");
    }
    world.finish().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_proves_requests_stays_in_memory_for_the_first_of_them() {
    let world = World::with(Source::new("accounts", "plugin:exact-online")).start().await;
    let loaded = code_in_memory(&world.path("plugin-cache"));
    assert!(loaded.size > 100 && loaded.resident > loaded.size / 4, "{loaded:?}");
    world.finish().await;
}

/// Machine code that is mapped from files below this directory, and what of it is in memory; KiB.
#[derive(Debug)]
struct Code {
    size: u64,
    resident: u64,
}

fn code_in_memory(directory: &Path) -> Code {
    let directory = directory.to_str().expect("a name in UTF-8");
    let mappings = fs::read_to_string("/proc/self/smaps").expect("the kernel tells");
    let mut code = Code { size: 0, resident: 0 };
    let mut is_code = false;
    for line in mappings.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["Size:", size, "kB"] if is_code => code.size += size.parse::<u64>().expect("a number"),
            ["Rss:", resident, "kB"] if is_code => code.resident += resident.parse::<u64>().expect("a number"),
            [_, permissions, _, _, _, ..] if !words[0].ends_with(':') => is_code = permissions == "r-xp" && line.contains(directory),
            _ => {}
        }
    }
    code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_keeps_its_own_files_where_it_is_told_to() {
    let upstream = Upstream::start().await;
    let site = Site::new(&Plan::default().source(Source::new("stripe", "stripe")).storage("directory = \"state/own\""), upstream.address);
    let server = site.start().await;
    assert!(site.path("state/own").join(TOKEN_FILE).is_file() && site.path("state/own/plugin-cache").is_dir());
    assert!(site.path("hookfast.db").is_file() && !site.path(TOKEN_FILE).exists() && !site.path("plugin-cache").exists());
    // And a command that talks to it finds the token there.
    let (code, line) = told(&site.hookfast(&["events", "list", "--url", &server.admin_url()]));
    assert_eq!(code, Some(0), "{line}");
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ended_in_peace_leaves_one_whole_database_file() {
    let upstream = Upstream::start().await;
    let site = Site::new(&Plan::default().source(Source::new("stripe", "stripe")), upstream.address);
    let server = site.start().await;
    let delivery = Sender::new("stripe", "stripe", "shared-secret").delivery("invoice.paid", "evt_1", Clock::system().now());
    let event = Wire::new().send(server.ingest, &delivery).await.expect("an answer").event();
    // Read by a connection that only reads, and so cannot write the log back.
    assert_eq!(site.get(&server, &format!("/api/v1/events/{event}")).await.status, 200);
    assert!(site.path("hookfast.db-wal").exists());
    server.terminate();
    server.ended().await;
    assert!(!site.path("hookfast.db-wal").exists(), "its newest commits are not in the database");
}

#[test]
fn every_configuration_that_is_shipped_or_told_of_is_right() {
    let mut configurations = Vec::new();
    for page in files(&root().join("docs"), "md") {
        let text = fs::read_to_string(&page).expect("a page");
        let blocks = text.split("\n```toml\n").skip(1).map(|block| block.split("\n```").next().expect("a block").to_owned());
        configurations.extend(blocks.map(|block| (page.clone(), block)));
    }
    for file in files(&root().join("packaging"), "toml") {
        let text = fs::read_to_string(&file).expect("a file");
        configurations.push((file, text));
    }
    assert!(configurations.len() >= 3, "only {} configurations found", configurations.len());
    let directory = Directory::new();
    for (number, (origin, text)) in configurations.iter().enumerate() {
        let (code, told) = check(&directory.path().join(number.to_string()), text);
        assert_eq!(code, Some(0), "{}:\n{text}\n{told}", origin.display());
        assert!(!told.contains("in plain sight"), "{}: {told}", origin.display());
    }
}

/// All files below a folder whose names end so.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|own| own == extension));
    files.chain(folders.iter().flat_map(|folder| self::files(folder, extension))).collect()
}

/// What `hookfast check` says of a configuration whose secrets are there: files below the folder, and variables.
fn check(folder: &Path, text: &str) -> (Option<i32>, String) {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let text = text.replace("\"file:/", "\"file:");
    fs::create_dir_all(folder).expect("a folder");
    for path in references(&text, "file:") {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("pem" | "key") => drop(
                fs::copy(root().join(format!("runtime/src/upstream/tests/certificates/{}", of_the_tests(&path))), path).expect("a file"),
            ),
            _ => fs::write(path, SECRET).expect("a file"),
        }
    }
    fs::write(folder.join("hookfast.toml"), &text).expect("a file");
    let value = |name: &str| if name.contains("DATABASE") { "postgres://hookfast@localhost/hookfast" } else { SECRET };
    let variables = references(&text, "env:").map(|name| (name, value(name)));
    let output = Command::new(binary()).arg("check").current_dir(folder).envs(variables).output();
    told(&output.expect("a process"))
}

/// The certificate or key of the tests that stands in for one of this name.
fn of_the_tests(path: &Path) -> &'static str {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("client.pem") => "client.pem",
        Some("client.key") => "client.key",
        _ => "ca.pem",
    }
}

fn references<'t>(text: &'t str, scheme: &str) -> impl Iterator<Item = &'t str> {
    text.split('"').filter_map(move |word| word.strip_prefix(scheme))
}

//! The house style, as far as a machine can see it: arrows that only point down, one home for each foreign crate, names, sizes.
//! A rule that stands here needs no remark in a review.

use std::fs;
use std::path::Path;

use hookfast_tests::build::root;

/// The modules of the runtime by height: each uses lower ones only, so those of one line do not know each other.
const HEIGHTS: [&[&str]; 9] = [
    &["domain"],
    &["document", "metrics", "memory", "clock", "random", "telemetry"],
    &["store", "sandbox", "upstream", "verify"],
    &["config"],
    &["alerts"],
    &["http", "worker"],
    &["app"],
    &["cli"],
    &["lib", "main"],
];

/// A foreign crate and the only modules, or files, that name it.
const HOMES: [(&str, &[&str]); 19] = [
    ("sqlx", &["store"]),
    ("rusqlite", &["store"]),
    ("wasmtime", &["sandbox"]),
    ("wasmtime_wasi", &["sandbox"]),
    ("axum", &["http"]),
    ("tower_service", &["http", "upstream"]),
    // The demo brings the upstream that its plugin calls.
    ("hyper", &["http/listen.rs", "upstream", "cli/demo/upstream.rs"]),
    ("hyper_util", &["http/listen.rs", "upstream", "cli/demo/upstream.rs"]),
    ("hyper_rustls", &["upstream"]),
    ("flate2", &["http/ingest/decode.rs"]),
    ("ipnet", &["config/network.rs"]),
    ("rustls", &["upstream"]),
    ("url", &["upstream/base_url.rs"]),
    ("hmac", &["verify", "upstream/signature.rs", "upstream/hmac_signature.rs"]),
    ("ring", &["verify"]),
    ("clap", &["cli"]),
    // A plugin author's manifest is cargo's to check; nothing of ours is configured by it.
    ("toml", &["document", "cli/build.rs"]),
    ("prometheus_client", &["metrics"]),
    ("tracing_subscriber", &["telemetry"]),
];

/// What the words of the glossary must do without.
const IMPURE: [&str; 9] = ["sqlx", "rusqlite", "wasmtime", "axum", "tokio", "hyper", "rand", "std::fs", "std::net"];

const BANNED_NAMES: [&str; 11] =
    ["utils", "util", "helpers", "common", "misc", "types", "models", "manager", "service", "impl", "handlers"];

const LINES_MAX: usize = 400;
/// Longer files, and why they may be.
const LONG_FILES: [(&str, &str); 1] = [("plugin-sdk/src/bindings.rs", "generated from the WIT")];

/// Where Rust is written by hand or committed.
const CODE: [&str; 8] = ["runtime/src", "plugin-sdk/src", "plugin-sdk/tests", "plugins", "bench/src", "fuzz", "tests/src", "tests/tests"];

/// What is built or installed; in a worktree `.git` is a file, and says where the repository is.
const NOT_OURS: [&str; 4] = ["target", ".git", "node_modules", ".venv"];

/// A file of the repository.
struct Source {
    /// From the root, as in `runtime/src/store/work.rs`.
    path: String,
    text: String,
}

impl Source {
    /// The text without comments and without the unit tests at its end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let unit_tests = self.text.find("\n#[cfg(test)]\nmod tests {");
        let lines = self.text[..unit_tests.unwrap_or(self.text.len())].lines().enumerate();
        lines.map(|(number, line)| (number + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// The module of the runtime and the file's path below `runtime/src`.
    fn module(&self) -> Option<(&str, &str)> {
        let below = self.path.strip_prefix("runtime/src/")?;
        let name = below.split('/').next()?;
        Some((name.strip_suffix(".rs").unwrap_or(name), below))
    }
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    CODE.iter().for_each(|folder| collect(&root().join(folder), "rs", &mut sources));
    assert!(sources.len() > 100, "only {} files found", sources.len());
    sources
}

fn collect(folder: &Path, extension: &str, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if NOT_OURS.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        if path.is_dir() {
            collect(&path, extension, sources);
        } else if extension.is_empty() || path.extension().is_some_and(|own| own == extension) {
            // What is not UTF-8 is no text of ours.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let path = path.strip_prefix(root()).expect("below the root").display().to_string();
            sources.push(Source { path, text });
        }
    }
}

/// Fails with every breach at once.
fn check(rule: &str, breaches: impl IntoIterator<Item = String>) {
    let breaches: Vec<_> = breaches.into_iter().collect();
    assert!(breaches.is_empty(), "{rule}\n{}", breaches.join("\n"));
}

fn height(module: &str) -> Option<usize> {
    HEIGHTS.iter().position(|line| line.contains(&module))
}

/// Whether a line of code names this path, as a whole word.
fn names(line: &str, path: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let before_ok = before.is_none_or(|c| !is_word(c) && c != ':' && c != '"' && c != '.');
        let after = &line[at + path.len()..];
        before_ok && (after.starts_with("::") || after.starts_with(';') && line.trim_start().starts_with("use "))
    })
}

#[test]
fn arrows_point_down() {
    let mut breaches = Vec::new();
    for source in sources() {
        let Some((own, _)) = source.module() else { continue };
        let Some(from) = height(own) else {
            breaches.push(format!("{}: module `{own}` has no height; give it one in tests/tests/tidy.rs", source.path));
            continue;
        };
        for (number, line) in source.code() {
            for used in modules_used(line).filter(|used| *used != own) {
                if height(used).is_none_or(|to| to >= from) {
                    breaches.push(format!("{}:{number}: `{own}` may not use `{used}`: {}", source.path, line.trim()));
                }
            }
        }
    }
    check("an arrow points up or sideways (see `HEIGHTS`)", breaches);
}

/// The modules that a line names by `crate::`, also in braces.
fn modules_used(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").filter(|(at, _)| !line[..*at].ends_with('$')).flat_map(|(at, found)| {
        let rest = &line[at + found.len()..];
        let list = match rest.strip_prefix('{') {
            Some(braced) => braced.split('}').next().unwrap_or(braced).split(',').collect(),
            None => vec![rest],
        };
        let first = |item: &'_ str| item.trim_start().find(|c: char| !c.is_alphanumeric() && c != '_').map_or(item.len(), |end| end);
        list.into_iter().map(str::trim_start).map(move |item| &item[..first(item).min(item.len())]).collect::<Vec<_>>()
    })
}

#[test]
fn each_foreign_crate_has_one_home() {
    let mut breaches = Vec::new();
    for source in sources() {
        let Some((own, below)) = source.module() else { continue };
        for (number, line) in source.code() {
            for (name, homes) in HOMES.iter().filter(|(name, _)| names(line, name)) {
                if !homes.contains(&own) && !homes.contains(&below) {
                    breaches.push(format!("{}:{number}: only {} names {name}: {}", source.path, homes.join(", "), line.trim()));
                }
            }
        }
    }
    check("a crate outside its home (see `HOMES`)", breaches);
}

#[test]
fn the_words_of_the_glossary_are_pure() {
    let domain = sources().into_iter().filter(|source| source.path.starts_with("runtime/src/domain/"));
    let breaches = domain.flat_map(|source| {
        let found = source.code().filter(|(_, line)| IMPURE.iter().any(|name| names(line, name)));
        found.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim())).collect::<Vec<_>>()
    });
    check("`domain` is pure: no I/O, no runtime, no framework", breaches);
}

#[test]
fn files_are_named_after_what_they_own() {
    let is_banned = |path: &str| path.split('/').any(|part| BANNED_NAMES.contains(&part.strip_suffix(".rs").unwrap_or(part)));
    let breaches = sources().into_iter().map(|source| source.path).filter(|path| is_banned(path));
    check("a name that says nothing", breaches);
}

#[test]
fn files_are_small() {
    let is_long = |source: &Source| source.text.lines().count() > LINES_MAX && !LONG_FILES.iter().any(|(path, _)| source.path == *path);
    let breaches = sources().into_iter().filter(is_long).map(|source| format!("{}: {} lines", source.path, source.text.lines().count()));
    check("more lines than a reader keeps in mind; split it, or give the reason in `LONG_FILES`", breaches);
    for (path, _) in LONG_FILES {
        let lines = fs::read_to_string(root().join(path)).map_or(0, |text| text.lines().count());
        assert!(lines > LINES_MAX, "{path} needs no exemption any more");
    }
}

#[test]
fn files_open_with_what_they_own() {
    let breaches = sources().into_iter().filter(|source| !source.text.starts_with("//! ")).map(|source| source.path);
    check("a file opens with `//!`: what it owns and what it must never do", breaches);
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let mut breaches = Vec::new();
    let is_generated = |source: &Source| LONG_FILES.iter().any(|(path, _)| source.path == *path);
    for source in sources().iter().filter(|source| !source.is_test() && !is_generated(source)) {
        for (number, line) in source.code().filter(|(_, line)| line.contains(".unwrap()")) {
            breaches.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    check("say `expect(\"why it cannot fail\")`", breaches);
}

#[test]
fn nothing_knows_the_machine_it_was_written_on() {
    // Put together here, so that this file does not hold what it looks for.
    let paths = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat(), ["/ho", "me/"].concat()];
    let mut files = Vec::new();
    collect(&root(), "", &mut files);
    let mut breaches = Vec::new();
    for file in files.iter().filter(|file| !file.path.ends_with("Cargo.lock")) {
        for (number, line) in file.text.lines().enumerate().filter(|(_, line)| paths.iter().any(|path| line.contains(path))) {
            breaches.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
        }
    }
    check("a path of one machine", breaches);
}

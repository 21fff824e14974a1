//! The README, followed to the letter: its files are written, its commands run in order. Only ports, delays and the path to the
//! SDK are changed, so that it can run anywhere and at once.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hookfast_tests::build;

/// Far longer than any command takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn every_command_of_the_readme_works() {
    let readme = fs::read_to_string(build::root().join("README.md")).expect("a README");
    let reader = Reader::new();
    let blocks = blocks(&readme);
    for file in blocks.iter().filter_map(Block::file) {
        reader.write(file.0, file.1);
    }
    // What stands in a sentence is a command that there is.
    for command in inline(&readme, "hookfast ") {
        reader.expect_success(&format!("{command} --help"));
    }
    let mut commands = blocks.iter().filter(|block| block.language == "sh").flat_map(|block| block.text.lines());
    let in_ci = fs::read_to_string(build::root().join(".ci/run")).expect("the CI script");
    assert!(in_ci.lines().any(|line| line == "cargo build --release"), "CI builds what the README tells to build");
    for command in ["cargo run --release -- demo", "cargo test --workspace"] {
        assert_eq!(commands.next(), Some(command), "the README begins with the two commands");
        assert!(in_ci.lines().any(|line| line == command), "CI runs `{command}`");
    }
    let mut server = None;
    for command in commands {
        match command {
            "hookfast serve" => server = Some(reader.serve()),
            command if command.starts_with("hookfast dlq replay") => {
                reader.until(|| String::from_utf8_lossy(&reader.run("hookfast dlq list").stdout).contains("evt_"));
                reader.expect_success(command);
            }
            command => reader.expect_success(command),
        }
    }
    let events = reader.run("hookfast events list --json");
    assert!(String::from_utf8_lossy(&events.stdout).contains("order.created"), "the README's event was stored");
    drop(server);
}

/// A person with a terminal in a folder of their own.
struct Reader {
    folder: PathBuf,
    ports: [u16; 2],
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the commands will have noticed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Reader {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("hookfast-readme-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        Self { folder, ports: [free(), free()] }
    }

    fn write(&self, path: &str, text: &str) {
        let sdk = build::root().join("plugin-sdk");
        let text = text
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", self.ports[0]))
            .replace("127.0.0.1:8081", &format!("127.0.0.1:{}", self.ports[1]))
            .replace("[\"1s\", \"5s\", \"30s\"]", "[\"10ms\", \"10ms\", \"10ms\"]")
            .replace("../../plugin-sdk", &sdk.display().to_string());
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn shell(&self, command: &str) -> Command {
        let binaries = build::binary().parent().expect("a folder").display().to_string();
        let path = format!("{binaries}:{}", std::env::var_os("PATH").unwrap_or_default().display());
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", command]).current_dir(&self.folder).env("PATH", path).stdin(Stdio::null());
        shell.env("CARGO_TARGET_DIR", build::root().join("plugins/target"));
        shell
    }

    fn run(&self, command: &str) -> Output {
        self.shell(command).output().expect("bash")
    }

    fn expect_success(&self, command: &str) {
        let output = self.run(command);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{command}` ended with {}:\n{text}", output.status);
    }

    fn serve(&self) -> Server {
        let server = self.shell("exec hookfast serve").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Server(server.expect("a server"));
        self.until(|| self.run("hookfast events list").status.success());
        server
    }

    fn until(&self, mut holds: impl FnMut() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < PATIENCE, "it does not come true");
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // What is left in the temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The code in sentences that begins so, without its flags.
fn inline(markdown: &str, start: &str) -> Vec<String> {
    let outside: String = markdown.split("\n```").step_by(2).collect();
    let spans = outside.split('`').skip(1).step_by(2).filter(|span| span.starts_with(start));
    spans.map(|span| span.split(' ').take_while(|word| !word.starts_with('-')).collect::<Vec<_>>().join(" ")).collect()
}

/// A fenced block, and the line before it.
struct Block<'a> {
    before: &'a str,
    language: &'a str,
    text: &'a str,
}

impl<'a> Block<'a> {
    /// Path and text, where the line before names a file: "`path`:" or "… this `path`:".
    fn file(&self) -> Option<(&'a str, &'a str)> {
        let path = self.before.strip_suffix("`:")?.rsplit('`').next()?;
        Path::new(path).extension().map(|_| (path, self.text))
    }
}

fn blocks(markdown: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = markdown;
    while let Some((before, block)) = rest.split_once("\n```") {
        let (language, block) = block.split_once('\n').expect("a block");
        let (text, after) = block.split_once("```").expect("a block's end");
        let before = before.trim_end().lines().last().unwrap_or_default();
        blocks.push(Block { before, language, text: text.trim_end() });
        rest = after;
    }
    blocks
}

//! Bad configuration through the real binary: every mistake of the file in one run, each with its place and what is allowed; and
//! the exit codes that scripts rely on.

mod sources;
mod alerts;
mod upstreams;
mod credentials;

use std::process::{Command, Output};

use expect_test::{Expect, expect};
use hookfast_tests::build;
use hookfast_tests::directory::Directory;

/// A folder with a `hookfast.toml`.
struct Folder(Directory);

impl Folder {
    fn with(config: &str) -> Self {
        let directory = Directory::new();
        directory.write("hookfast.toml", config);
        Self(directory)
    }

    fn and(self, name: &str, text: &str) -> Self {
        self.0.write(name, text);
        self
    }

    fn hookfast(&self, arguments: &[&str]) -> Output {
        Command::new(build::binary()).args(arguments).current_dir(self.0.path()).output().expect("a process")
    }

    fn exit_code(&self, arguments: &[&str]) -> Option<i32> {
        self.hookfast(arguments).status.code()
    }
}

fn check(folder: &Folder, code: i32, expected: &Expect) {
    for command in ["check", "serve"] {
        let output = folder.hookfast(&[command]);
        assert_eq!(output.status.code(), Some(code), "{command}");
        if command == "check" {
            expected.assert_eq(&String::from_utf8_lossy(&output.stderr));
        }
    }
}

const GOOD: &str = "[server]\ningest = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:1\"\n[storage]\nurl = \"sqlite:h.db\"\n\
     [sources.shop]\nprovider = \"stripe\"\nsecrets = [\"literal:s\"]\n";

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let config = r#"
[server]
ingest = "nowhere"
admn = "127.0.0.1:8081"

[sources.shop]
provider = "stipe"
secrets = ["env:NOT_SET_ANYWHERE"]

[sources.Bad]
provider = "stripe"
secrets = "literal:s"

[sources.pay]
provider = "stripe"
secrets = ["hunter2"]
max_body = "64 MiB"
ordering = { key = "customer", policy = "block", skip_after = 2 }
retry = { strategy = "sometimes" }

[upstreams.crm]
url = "ftp://crm"

[grants.crm-plugin]
upstreams = ["crm", "chat"]
limits = { cpu = "1h" }
"#;
    check(
        &Folder::with(config),
        78,
        &expect![[r#"
            error: `server.ingest` is `nowhere`: invalid socket address syntax
              --> hookfast.toml:3:10
             3 | ingest = "nowhere"
               |          ^^^^^^^^^

            error: unknown key `admn` in [server]
              --> hookfast.toml:4:1
             4 | admn = "127.0.0.1:8081"
               | ^^^^
              help: did you mean `admin`? allowed here: admin, body_budget, body_timeout, drain, forwarded_header, header_timeout, ingest, trusted_proxies

            error: no provider is called `stipe`
              --> hookfast.toml:7:12
             7 | provider = "stipe"
               |            ^^^^^^^
              help: did you mean `stripe`? `hookfast providers list` shows all 276; add your own in catalogue.d/

            error: `sources.shop.secrets[0]` cannot be resolved: the environment has no variable `NOT_SET_ANYWHERE`
              --> hookfast.toml:8:12
             8 | secrets = ["env:NOT_SET_ANYWHERE"]
               |            ^^^^^^^^^^^^^^^^^^^^^^

            error: `sources.Bad` is `Bad`: a name is 1 to 64 of the characters a-z, 0-9, `_` and `-`
              --> hookfast.toml:10:10
             10 | [sources.Bad]
                |          ^^^

            error: `sources.Bad.secrets` must be a list, found string
              --> hookfast.toml:12:11
             12 | secrets = "........."
                |           ^^^^^^^^^^^

            error: `sources.pay.secrets[0]` is not a secret reference
              --> hookfast.toml:16:12
             16 | (not shown: it holds a secret)
              help: a secret is a reference: env:NAME, file:PATH or literal:TEXT

            error: `sources.pay.max_body` is 67108864; it must be between 1 and 33554432
              --> hookfast.toml:17:12
             17 | max_body = "64 MiB"
                |            ^^^^^^^^

            error: `policy = "block"` and `skip_after` contradict each other; keep one
              --> hookfast.toml:18:12
             18 | ordering = { key = "customer", policy = "block", skip_after = 2 }
                |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

            error: `sources.pay.ordering.key` is `customer`: a location is a JSON pointer such as `/data/id`, or `header:NAME`
              --> hookfast.toml:18:20
             18 | ordering = { key = "customer", policy = "block", skip_after = 2 }
                |                    ^^^^^^^^^^

            error: `sources.pay.retry.strategy` cannot be `sometimes`
              --> hookfast.toml:19:22
             19 | retry = { strategy = "sometimes" }
                |                      ^^^^^^^^^^^
              help: allowed here: exponential, schedule

            error: `upstreams.crm.url` is `ftp://crm`: an upstream's URL begins with https:// or http://
              --> hookfast.toml:22:7
             22 | url = "ftp://crm"
                |       ^^^^^^^^^^^

            error: upstream `chat` is not configured
              --> hookfast.toml:25:21
             25 | upstreams = ["crm", "chat"]
                |                     ^^^^^^
              help: add [upstreams.chat], or grant one that is there

            error: `grants.crm-plugin.limits.cpu` must be between 10ms and 60s
              --> hookfast.toml:26:18
             26 | limits = { cpu = "1h" }
                |                  ^^^^

            14 errors, 0 warnings in hookfast.toml
        "#]],
    );
}

#[test]
fn mistakes_about_the_edge_are_told_with_their_places() {
    let config = r#"
[server]
ingest = "127.0.0.1:0"
admin = "127.0.0.1:1"
body_budget = "1 KiB"
trusted_proxies = ["10.0.0.0/8", "proxy.example.com"]
forwarded_header = "x-real-ip"

[sources.shop]
provider = "stripe"
secrets = ["literal:s"]
max_body = "33554433 B"
rate = "fast"
allow_from = []
content_encodings = ["gzip", "br"]
response = { status = 204, body = "ok", headers = { connection = "close", content-length = "2", "a b" = "c", x-ok = "no\nsecond" } }

[sources.more]
provider = "stripe"
secrets = ["hunter2"]
max_body = "32 MiB"
rate = { per_second = 0, burst = 10 }
allow_from = ["3.18.12.0/33"]
"#;
    check(
        &Folder::with(config),
        78,
        &expect![[r#"
            error: `server.body_budget` is 1024; it must be between 1048576 and 1099511627776
              --> hookfast.toml:5:15
             5 | body_budget = "1 KiB"
               |               ^^^^^^^

            error: `server.trusted_proxies[1]` is `proxy.example.com`: a network is an address or a CIDR, as in "3.18.12.0/24"
              --> hookfast.toml:6:34
             6 | trusted_proxies = ["10.0.0.0/8", "proxy.example.com"]
               |                                  ^^^^^^^^^^^^^^^^^^^

            error: `server.forwarded_header` cannot be `x-real-ip`
              --> hookfast.toml:7:20
             7 | forwarded_header = "x-real-ip"
               |                    ^^^^^^^^^^^
              help: allowed here: x-forwarded-for, forwarded

            warning: `sources.shop.secrets[0]` holds a secret in plain sight
              --> hookfast.toml:11:12
             11 | secrets = ["........."]
                |            ^^^^^^^^^^^
              help: put it into a file or the environment, and refer to it with file: or env:

            error: `sources.shop.max_body` is 33554433; it must be between 1 and 33554432
              --> hookfast.toml:12:12
             12 | max_body = "33554433 B"
                |            ^^^^^^^^^^^^

            error: `sources.shop.rate` is `fast`: a rate is a whole number up to 1000000 and one of /s, /m, /h, as in "100/s"
              --> hookfast.toml:13:8
             13 | rate = "fast"
                |        ^^^^^^

            error: `sources.shop.allow_from` is empty: nobody could send
              --> hookfast.toml:14:14
             14 | allow_from = []
                |              ^^
              help: leave it out to take requests from anywhere

            error: `sources.shop.content_encodings[1]` cannot be `br`
              --> hookfast.toml:15:30
             15 | content_encodings = ["gzip", "br"]
                |                              ^^^^
              help: allowed here: gzip, deflate

            error: an answer of status 204 has no body
              --> hookfast.toml:16:35
             16 | response = { status = 204, body = "ok", headers = { connection = "close", content-length = "2", "a b" = "c", x-ok = "no\nsecond" } }
                |                                   ^^^^
              help: leave `body` out, or answer 200

            error: `connection` belongs to the connection, not to the answer
              --> hookfast.toml:16:66
             16 | response = { status = 204, body = "ok", headers = { connection = "close", content-length = "2", "a b" = "c", x-ok = "no\nsecond" } }
                |                                                                  ^^^^^^^
              help: leave it out; the server sets it

            error: `content-length` belongs to the connection, not to the answer
              --> hookfast.toml:16:92
             16 | response = { status = 204, body = "ok", headers = { connection = "close", content-length = "2", "a b" = "c", x-ok = "no\nsecond" } }
                |                                                                                            ^^^
              help: leave it out; the server sets it

            error: `a b` is not the name of a header
              --> hookfast.toml:16:105
             16 | response = { status = 204, body = "ok", headers = { connection = "close", content-length = "2", "a b" = "c", x-ok = "no\nsecond" } }
                |                                                                                                         ^^^

            error: `sources.shop.response.headers.x-ok` is not the value of a header: visible ASCII on one line
              --> hookfast.toml:16:117
             16 | response = { status = 204, body = "ok", headers = { connection = "close", content-length = "2", "a b" = "c", x-ok = "no\nsecond" } }
                |                                                                                                                     ^^^^^^^^^^^^

            error: `sources.more.secrets[0]` is not a secret reference
              --> hookfast.toml:20:12
             20 | (not shown: it holds a secret)
              help: a secret is a reference: env:NAME, file:PATH or literal:TEXT

            error: `sources.more.rate.per_second` is 0; it must be between 0.001 and 1000000
              --> hookfast.toml:22:23
             22 | rate = { per_second = 0, burst = 10 }
                |                       ^

            error: `sources.more.allow_from[0]` is `3.18.12.0/33`: a network is an address or a CIDR, as in "3.18.12.0/24"
              --> hookfast.toml:23:15
             23 | allow_from = ["3.18.12.0/33"]
                |               ^^^^^^^^^^^^^^

            15 errors, 1 warning in hookfast.toml
        "#]],
    );
}

#[test]
fn a_file_that_is_not_toml_is_read_as_far_as_it_goes() {
    check(
        &Folder::with("[server]\ningest = \n[sources.x]\nprovider = \"stripe\"\n"),
        78,
        &expect![[r#"
            error: string values must be quoted, expected literal string
              --> hookfast.toml:2:10
             2 | ingest = 
               |          ^

            error: `server.ingest` is ``: invalid socket address syntax
              --> hookfast.toml:2:10
             2 | ingest = 
               |          ^

            error: `secrets` is missing or empty: nothing could be verified; write `secrets = ["env:NAME"]` or `["file:PATH"]`
              --> hookfast.toml:3:1
             3 | [sources.x]
               | ^^^^^^^^^^^

            3 errors, 0 warnings in hookfast.toml
        "#]],
    );
}

#[test]
fn two_sources_on_one_path_are_a_mistake() {
    let again = "[sources.shop]\nprovider = \"github\"\nsecrets = [\"literal:s\"]\n";
    check(
        &Folder::with(GOOD).and("conf.d/more.toml", again),
        78,
        &expect![[r#"
            error: this source stands in another file too
              --> conf.d/more.toml:1:10
             1 | [sources.shop]
               |          ^^^^

            warning: `sources.shop.secrets[0]` holds a secret in plain sight
              --> conf.d/more.toml:3:12
             3 | secrets = ["........."]
               |            ^^^^^^^^^^^
              help: put it into a file or the environment, and refer to it with file: or env:

            warning: `sources.shop.secrets[0]` holds a secret in plain sight
              --> hookfast.toml:8:12
             8 | secrets = ["........."]
               |            ^^^^^^^^^^^
              help: put it into a file or the environment, and refer to it with file: or env:

            1 error, 2 warnings in hookfast.toml
        "#]],
    );
}

#[test]
fn a_secret_in_the_file_is_never_shown() {
    let config = format!("{GOOD}[sources.pay]\nprovider = \"stripe\"\nsecrets = [\"hunter2\", \"literal:hunter3\"]\n");
    let folder = Folder::with(&config);
    for command in ["check", "serve"] {
        let output = folder.hookfast(&[command]);
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains("hookfast.toml:11:12"), "{told}");
        assert!(!told.contains("hunter"), "{told}");
    }
}

#[test]
fn a_port_that_is_taken_is_said_and_nothing_has_run() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let folder = Folder::with(&GOOD.replace("127.0.0.1:0", &address).replace("127.0.0.1:1", "127.0.0.1:0"));
    let output = folder.hookfast(&["serve"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("cannot listen on {address} (server.ingest)")), "{told}");
}

#[test]
fn a_route_to_a_plugin_that_is_not_there_is_a_warning() {
    let folder = Folder::with(&format!("{GOOD}routes = [{{ plugin = \"ghost\" }}]\n"));
    assert_eq!(folder.exit_code(&["check"]), Some(0));
    assert_eq!(folder.exit_code(&["check", "--deny-warnings"]), Some(78));
    let told = String::from_utf8_lossy(&folder.hookfast(&["check"]).stderr).into_owned();
    assert!(told.contains("`ghost`"), "{told}");
}

#[test]
fn exit_codes_tell_scripts_what_happened() {
    let folder = Folder::with(GOOD);
    assert_eq!(folder.exit_code(&["no-such-command"]), Some(2));
    assert_eq!(folder.exit_code(&["send", "nobody", "invoice.paid"]), Some(6));
    assert_eq!(folder.exit_code(&["send", "shop", "invoice.paid", "--url", "http://127.0.0.1:1"]), Some(3));
    assert_eq!(folder.exit_code(&["events", "list"]), Some(3), "no server has made a token yet");
    assert_eq!(folder.exit_code(&["check", "--config", "elsewhere.toml"]), Some(78));
    assert_eq!(folder.exit_code(&["plugin", "inspect", "hookfast.toml"]), Some(1));
}

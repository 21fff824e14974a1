//! A guest that misbehaves: the event's type says how. Each way ends at one bound of the sandbox, and must never end anything else.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use hookfast_sdk::prelude::*;

hookfast_sdk::plugin! {
    name: "hostile",
    admit => admit,
    on "spin" => spin,
    on "allocate" => allocate,
    on "recurse" => recurse,
    on "panic" => panic,
    on "trap" => trap,
    on "log" => flood_the_log,
    on "log_forever" => log_forever,
    on "call_forever" => call_forever,
    on "reason" => reason,
    on "nap" => nap,
    on "snoop" => snoop,
    on "ask_elsewhere" => ask_elsewhere,
    on "memory" => allocate_some,
    on "deep" => read_deep,
    on "count" => count,
    on "calls" => call_often,
    on "long_header" => long_header,
}

fn spin(_: Event, _: &mut Context) -> Outcome {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn allocate(_: Event, _: &mut Context) -> Outcome {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1_u8; 1 << 20]);
        black_box(&hoard);
    }
}

/// Allocates as many MiB as the body says, and is done.
fn allocate_some(event: Event, _: &mut Context) -> Outcome {
    let mebibytes: usize = event.data_at("/mebibytes")?;
    black_box(vec![1_u8; mebibytes << 20]);
    done(format!("had {mebibytes} MiB"))
}

fn recurse(_: Event, _: &mut Context) -> Outcome {
    done(descend(1, 2).to_string())
}

/// Not a loop to any compiler: what comes back is needed in two ways.
#[inline(never)]
fn descend(depth: u64, seed: u64) -> u64 {
    if depth == black_box(u64::MAX) {
        return seed;
    }
    let below = descend(depth + 1, seed.rotate_left(7) ^ depth);
    below.wrapping_mul(depth).rotate_left((below % 63) as u32) ^ seed
}

fn panic(event: Event, _: &mut Context) -> Outcome {
    panic!("nobody expects the type {}", event.event_type.unwrap_or_default())
}

/// Ends as an abort does in WebAssembly, and says nothing.
fn trap(_: Event, _: &mut Context) -> Outcome {
    std::process::abort()
}

fn flood_the_log(_: Event, cx: &mut Context) -> Outcome {
    for line in 0..2000 {
        cx.info("a line that nobody will miss among so many others", &[("line", &line)]);
    }
    done("logged 2000 lines")
}

fn log_forever(_: Event, cx: &mut Context) -> Outcome {
    loop {
        cx.info("again", &[]);
    }
}

fn call_forever(_: Event, cx: &mut Context) -> Outcome {
    loop {
        let _ = black_box(cx.config("nothing"));
    }
}

/// Calls into the host as often as the body says, and is done.
fn call_often(event: Event, cx: &mut Context) -> Outcome {
    let calls: u32 = event.data_at("/calls")?;
    (0..calls).for_each(|_| drop(black_box(cx.config("nothing"))));
    done(format!("called {calls} times"))
}

/// Longer than a header's name may be anywhere.
fn long_header(_: Event, cx: &mut Context) -> Outcome {
    cx.get("target", "/").header(&"x".repeat(70_000), "1").send()?.success()?;
    done("answered")
}

fn reason(_: Event, _: &mut Context) -> Outcome {
    dead_letter("garbage \0 \u{1f4a9} ".repeat(200_000))
}

/// Waits in a call: no CPU, only time.
fn nap(_: Event, cx: &mut Context) -> Outcome {
    cx.get("target", "/").send()?.success()?;
    done("rested")
}

/// Looks for everything a sandbox should not have.
fn snoop(event: Event, _: &mut Context) -> Outcome {
    let address: String = event.data_at("/address")?;
    let files = std::fs::read_dir("/").is_ok() || std::fs::read("/etc/hostname").is_ok() || std::fs::write("/tmp/found", "x").is_ok();
    let environment = std::env::vars().next().is_some() || std::env::args().next().is_some();
    let network = std::net::TcpStream::connect(address).is_ok();
    done(format!("files {files}, environment {environment}, network {network}"))
}

fn ask_elsewhere(_: Event, cx: &mut Context) -> Outcome {
    cx.get("crm", "/secrets").send()?.success()?;
    done("answered")
}

/// How many events this instance has seen, and its parts of the world that must be new for each.
fn count(event: Event, cx: &mut Context) -> Outcome {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    let seen = SEEN.fetch_add(1, Ordering::Relaxed) + 1;
    cx.info("seen", &[("events", &seen)]);
    if event.data_at::<bool>("/stderr").is_ok() {
        eprintln!("a word");
    }
    done(format!("event {seen} of this instance"))
}

/// Reads a body that is nested as deep as JSON is read, with everything that recurses on it: parse, clone, compare, write, drop.
fn read_deep(event: Event, _: &mut Context) -> Outcome {
    let value: Value = event.data_at("")?;
    let same = black_box(value.clone()) == value;
    done(format!("{} bytes, {same}", value.to_string().len()))
}

fn answer(headers: &[(&str, &str)]) -> Ruling {
    let headers = headers.iter().map(|(name, value)| hookfast_sdk::Header::new(name, *value)).collect();
    Ok(hookfast_sdk::Admission::Respond { status: 200, headers, body: b"ok".to_vec() })
}

/// Proves requests as badly as events are handled: the body's first word says how.
fn admit(request: Incoming, cx: &mut Context) -> Ruling {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let (word, rest) = body.split_once(' ').unwrap_or((&body, ""));
    match word {
        "token" => cx.secret("default").is(rest).and_then(|()| accept(Arrival::new().event_type("token"))),
        "split" => accept_all(rest.split(' ').map(|key| Arrival::new().event_type("nap").dedupe_key(key).body(key))),
        "echo" => respond(200, rest),
        "ignore" => ignore(rest),
        "receipt" => Ok(hookfast_sdk::Admission::Accept {
            events: vec![Arrival::new()],
            receipt: rest.parse().ok().map(|status| (status, b"told".to_vec())),
        }),
        "headers" => answer(&[("set-cookie", "a=b"), ("content-length", "7"), ("transfer-encoding", "chunked"), ("x-told", "yes")]),
        "heavy" => answer(&[("x-told", &"x".repeat(8 << 10))]),
        "nothing" => accept_all([]),
        "long" => accept(Arrival::new().event_type("x".repeat(257))),
        "call" => {
            let called = cx.get("target", "/").send();
            reject("called", called.map_or_else(|fault| fault.code, |_| "answered".to_owned()))
        }
        "spin" => loop {
            black_box(rest);
        },
        "panic" => panic!("admit panics"),
        word => reject("unknown", word),
    }
}

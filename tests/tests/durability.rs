//! A database that does not keep what it says is on its disk: a node refuses to serve on it.

use hookfast::clock::Clock;
use hookfast_tests::postgres::Postgres;
use hookfast_tests::sender::Wire;
use hookfast_tests::{Plan, Sender, Site, Source, Upstream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_commits_are_not_on_its_disk_is_refused_by_the_settings_name() {
    let database = tokio::task::spawn_blocking(Postgres::start).await.expect("no panic");
    let url = database.database();
    let upstream = Upstream::start().await;
    let site = Site::new(&Plan::default().source(Source::new("stripe", "stripe")).postgres(&url), upstream.address);
    for setting in ["fsync", "full_page_writes"] {
        database.run(&format!("ALTER SYSTEM SET {setting} = off"), "postgres");
        database.crash();
        let refused = site.hookfast(&["serve"]);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && told.contains(&format!("{setting} is off and must be on")), "{told}");
        database.run(&format!("ALTER SYSTEM RESET {setting}"), "postgres");
    }
    database.crash();

    // What a node sets for itself does not matter.
    database.run("ALTER SYSTEM SET synchronous_commit = off", "postgres");
    database.run("SELECT pg_reload_conf()", "postgres");
    let server = site.start().await;
    let delivery = Sender::new("stripe", "stripe", "shared-secret").delivery("invoice.paid", "evt_1", Clock::system().now());
    assert_eq!(Wire::new().send(server.ingest, &delivery).await.expect("an answer").status, 202);
    server.kill().await;
}

//! Where a measured server lives: a folder with its configuration, its plugins and its database. The configuration is that of a
//! plain installation; what differs from the defaults is said here and nowhere else.

use std::fmt::Write;
use std::path::PathBuf;

use hookfast_tests::SlowDisk;
use hookfast_tests::build::guest;
use hookfast_tests::directory::Directory;

use crate::databases::Database;
use crate::load::SECRET;
use crate::server::Server;
use crate::upstream::Upstreams;

/// The default number of places of a worker.
pub(crate) const PLACES: u32 = 128;

/// The source whose job never ends.
pub(crate) const HOLD: &str = "hold";

pub(crate) struct Site {
    directory: Directory,
    database: Database,
}

impl Site {
    /// An empty folder on this database.
    pub(crate) fn new(database: Database) -> Self {
        Self { directory: Directory::new(), database }
    }

    /// Its database.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Publishes a plugin.
    pub(crate) fn plugin(&self, name: &str, wasm: &[u8]) {
        self.directory.write(&format!("plugins/{name}.wasm"), wasm);
    }

    /// Writes the configuration: each of `routes` is a source and its plugin; so many places; nothing else is unusual.
    pub(crate) fn configure(&self, places: u32, routes: &[(&str, &str)], upstreams: &Upstreams) {
        self.configure_with(places, routes, upstreams, "");
    }

    /// The same with more sections.
    pub(crate) fn configure_with(&self, places: u32, routes: &[(&str, &str)], upstreams: &Upstreams, sections: &str) {
        let Upstreams { answering, silent, .. } = upstreams;
        let url = self.database.url();
        let mut file = format!(
            "[server]\ningest = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\n[storage]\nurl = \"{url}\"\n\n[worker]\nconcurrency = {places}\n\n\
             [upstreams.crm]\nurl = \"http://{answering}\"\nallow_private = true\n\n\
             [upstreams.target]\nurl = \"http://{silent}\"\nallow_private = true\ntimeouts = {{ read = \"15m\", total = \"15m\" }}\n\n\
             [upstreams.notify]\nurl = \"http://{answering}\"\nallow_private = true\n\n\
             [grants.forward]\nupstreams = [\"target\"]\nlimits = {{ wall = \"15m\" }}\n\n"
        );
        for (source, plugin) in routes {
            let _ = writeln!(
                file,
                "[sources.{source}]\nprovider = \"stripe\"\nsecrets = [\"literal:{SECRET}\"]\nroutes = [{{ plugin = \"{plugin}\" }}]\n"
            );
        }
        if !sections.contains("[grants.stripe-crm]") {
            file.push_str("[grants.stripe-crm]\nupstreams = [\"crm\"]\n\n");
        }
        file.push_str(sections);
        self.directory.write("hookfast.toml", file);
    }

    /// Publishes the plugins of these names that come with Hookfast or its tests.
    pub(crate) fn guests(&self, names: &[&str]) {
        names.iter().for_each(|name| self.plugin(name, &guest(name)));
    }

    /// Starts the server and waits until it serves.
    pub(crate) fn start(&self) -> anyhow::Result<Server> {
        self.start_with("info", None)
    }

    /// The same with another `--log`.
    pub(crate) fn start_logging(&self, log: &str) -> anyhow::Result<Server> {
        self.start_with(log, None)
    }

    /// The same with another `--log`, and perhaps on another disk.
    pub(crate) fn start_with(&self, log: &str, disk: Option<&SlowDisk>) -> anyhow::Result<Server> {
        let path = |name: &str| -> PathBuf { self.directory.path().join(name) };
        Server::start(&path("hookfast.toml"), &path("log"), log, disk)
    }
}

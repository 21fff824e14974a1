//! What a world is made of, said before it starts: a configuration file as an operator would write it, plugins, the
//! upstream's first answers.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::build::guest;
use crate::upstream::Reply;

/// One `[sources.NAME]`.
#[derive(Clone)]
pub struct Source {
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) secret: String,
    plugins: Vec<String>,
    lines: Vec<String>,
}

impl Source {
    /// A source that stores what it receives, with a secret of the provider's form.
    pub fn new(name: &str, provider: &str) -> Self {
        let secret = match provider {
            "standard-webhooks" | "svix" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            _ => "shared-secret",
        };
        let (name, provider, secret) = (name.into(), provider.into(), secret.into());
        Self { name, provider, secret, plugins: Vec::new(), lines: Vec::new() }
    }

    /// The plugin that proves its requests, where one does.
    pub fn adapter(&self) -> Option<&str> {
        self.provider.strip_prefix("plugin:")
    }

    /// Without a secret: its provider publishes its keys.
    pub fn keyless(self) -> Self {
        Self { secret: String::new(), ..self }
    }

    /// Hands every event to this plugin, too.
    pub fn to(mut self, plugin: &str) -> Self {
        self.plugins.push(plugin.into());
        self
    }

    /// Retries after these delays, and then gives up.
    pub fn retry(self, delays: &[&str]) -> Self {
        self.set(&format!("retry = {{ strategy = \"schedule\", delays = {delays:?} }}"))
    }

    /// One more line of its section.
    pub fn set(mut self, line: &str) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Its section.
    pub fn section(&self) -> String {
        let routes: Vec<_> = self.plugins.iter().map(|plugin| format!("{{ plugin = \"{plugin}\" }}")).collect();
        let Self { name, provider, secret, .. } = self;
        let (routes, lines) = (routes.join(", "), self.lines.join("\n"));
        let secrets = if secret.is_empty() { String::new() } else { format!("secrets = [\"literal:{secret}\"]\n") };
        format!("[sources.{name}]\nprovider = \"{provider}\"\n{secrets}routes = [{routes}]\n{lines}\n")
    }
}

/// What a world will be.
#[derive(Clone)]
pub struct Plan {
    pub(crate) sources: Vec<Source>,
    pub(crate) plugins: BTreeMap<String, Vec<u8>>,
    pub(crate) replies: Vec<Reply>,
    pub(crate) files: BTreeMap<String, String>,
    server: Vec<String>,
    upstream: Vec<String>,
    limits: Vec<String>,
    grants: Vec<String>,
    sections: Vec<String>,
    places: u32,
    storage: String,
}

impl Default for Plan {
    fn default() -> Self {
        let (sources, plugins, replies) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self {
            sources,
            plugins,
            replies,
            files: BTreeMap::new(),
            server: Vec::new(),
            upstream: Vec::new(),
            limits: Vec::new(),
            grants: Vec::new(),
            sections: Vec::new(),
            places: 8,
            storage: "url = \"sqlite:hookfast.db\"".into(),
        }
    }
}

impl Plan {
    /// With this source, and the guests that it names.
    pub fn source(mut self, source: Source) -> Self {
        for plugin in source.plugins.iter().map(String::as_str).chain(source.adapter()) {
            self.plugins.entry(plugin.into()).or_insert_with(|| guest(plugin));
        }
        self.sources.push(source);
        self
    }

    /// With this file as a plugin; said before the source that names it.
    pub fn plugin(mut self, name: &str, wasm: Vec<u8>) -> Self {
        self.plugins.insert(name.into(), wasm);
        self
    }

    /// With another file beside the configuration.
    pub fn beside(mut self, name: &str, text: &str) -> Self {
        self.files.insert(name.into(), text.into());
        self
    }

    /// Without a plugin's file.
    pub fn without_plugin(mut self, name: &str) -> Self {
        self.plugins.remove(name);
        self
    }

    /// With these answers of the upstream to its first calls.
    pub fn upstream<R: Into<Reply>>(mut self, replies: impl IntoIterator<Item = R>) -> Self {
        self.replies.extend(replies.into_iter().map(Into::into));
        self
    }

    /// With one more line in `[server]`.
    pub fn server(mut self, line: &str) -> Self {
        self.server.push(line.into());
        self
    }

    /// With one more limit of every plugin.
    pub fn limit(mut self, line: &str) -> Self {
        self.limits.push(line.into());
        self
    }

    /// With one more line in the grant of every plugin.
    pub fn grant(mut self, line: &str) -> Self {
        self.grants.push(line.into());
        self
    }

    /// With more sections.
    pub fn sections(mut self, text: &str) -> Self {
        self.sections.push(text.into());
        self
    }

    /// With one more line for every upstream.
    pub fn upstreams(mut self, line: &str) -> Self {
        self.upstream.push(line.into());
        self
    }

    /// With so many attempts at once.
    pub fn places(mut self, places: u32) -> Self {
        self.places = places;
        self
    }

    /// On this PostgreSQL, under short leases.
    pub fn postgres(mut self, url: &str) -> Self {
        self.storage = format!("url = \"{url}\"\nlease = \"1s\"");
        self
    }

    /// With one more line in `[storage]`.
    pub fn storage(mut self, line: &str) -> Self {
        self.storage = format!("{}\n{line}", self.storage);
        self
    }

    /// The file. The scripted upstream has three names, and each of the known guests is granted the one that it wants.
    pub(crate) fn file(&self, upstream: std::net::SocketAddr) -> String {
        let (server, own, limits) = (self.server.join("\n"), self.upstream.join("\n"), self.limits.join(", "));
        let grants = self.grants.join("\n");
        let Self { places, storage, .. } = self;
        let mut file = format!(
            "[server]\ningest = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{server}\n\n[storage]\n{storage}\n\n\
             [worker]\nconcurrency = {places}\n\n"
        );
        for name in ["crm", "chat", "target"] {
            let _ = writeln!(file, "[upstreams.{name}]\nurl = \"http://{upstream}/{name}\"\nallow_private = true\n{own}\n");
        }
        for (plugin, name) in [("stripe-crm", "crm"), ("github-notify", "chat"), ("forward", "target"), ("hostile", "target")] {
            let _ = writeln!(file, "[grants.{plugin}]\nupstreams = [\"{name}\"]\nlimits = {{ {limits} }}\n{grants}\n");
        }
        self.sources.iter().for_each(|source| file.push_str(&source.section()));
        self.sections.iter().for_each(|section| file.push_str(&format!("{section}\n")));
        file
    }
}

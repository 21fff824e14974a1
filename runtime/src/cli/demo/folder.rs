//! The temporary folder of one demo: configuration, secrets, plugins, and what the server writes. Gone at the end unless it is kept.

use std::fs::{self, DirBuilder};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::app::TOKEN_FILE;
use crate::random::Random;

const CONFIGURATION: &str = include_str!("hookfast.toml");

/// Three delays, so four attempts; the default policy takes hours over sixteen.
pub(super) const DELAYS_MS: [u64; 3] = [200, 400, 800];

/// The folder, and who listens where.
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
    /// Where the server takes webhooks.
    pub(super) ingest: SocketAddr,
    /// Where the server answers operators.
    pub(super) admin: SocketAddr,
    /// What Stripe and we know.
    pub(super) stripe_secret: String,
    /// What GitHub and we know.
    pub(super) github_secret: String,
}

impl Folder {
    /// A folder that only its owner can read, with two free ports and fresh secrets.
    pub(super) fn create(keep: bool, random: &Random) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("hookfast-demo-{}", hex::encode(random.bytes::<4>())));
        DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let (ingest, admin) = free_addresses().context("no port is free on 127.0.0.1")?;
        let secret = || hex::encode(random.bytes::<16>());
        let (stripe_secret, github_secret) = (format!("whsec_{}", secret()), secret());
        Ok(Self { path, keep, ingest, admin, stripe_secret, github_secret })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// `hookfast.toml`.
    pub(super) fn config(&self) -> PathBuf {
        self.path.join("hookfast.toml")
    }

    /// What the server logs.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    /// The admin API's token.
    pub(super) fn token(&self) -> PathBuf {
        self.path.join(TOKEN_FILE)
    }

    /// Where the components are built to, before any of them is a plugin.
    pub(super) fn built(&self) -> PathBuf {
        self.path.join("built")
    }

    /// Writes configuration and secrets; the scripted upstream is at `upstream`.
    pub(super) fn configure(&self, upstream: SocketAddr) -> anyhow::Result<()> {
        let files = [
            ("hookfast.toml", configuration(self.ingest, self.admin, upstream)),
            ("stripe.secret", self.stripe_secret.clone()),
            ("github.secret", self.github_secret.clone()),
        ];
        fs::create_dir(self.path.join("plugins")).context("cannot create the plugin directory")?;
        files.iter().try_for_each(|(name, text)| fs::write(self.path.join(name), text)).context("cannot write the configuration")
    }

    /// Makes a built component the plugin `name`, the way an operator does: by rename, so that nobody sees half a file.
    pub(super) fn publish(&self, component: &Path, name: &str) -> anyhow::Result<()> {
        let (coming, place) = (self.path.join("coming"), self.path.join("plugins").join(format!("{name}.wasm")));
        fs::copy(component, &coming).and_then(|_| fs::rename(&coming, &place)).with_context(|| format!("cannot write {}", place.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // What is left is in the machine's temporary directory, which is cleaned anyway.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The plugins' sources: `plugins/` of the checkout we are in, or of the one that `cargo run` was called for.
pub(super) fn plugin_sources() -> anyhow::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "cargo run says where the checkout is; nothing is configured by it")]
    let manifest = std::env::var("CARGO_MANIFEST_DIR").ok().map(PathBuf::from);
    let here = std::env::current_dir().context("the current directory cannot be read")?;
    let above = |start: &Path| start.ancestors().map(|folder| folder.join("plugins")).find(|folder| folder.join("Cargo.toml").is_file());
    let found = above(&here).or_else(|| above(&manifest?));
    found.context("the demo builds the plugins of Hookfast's own repository, and this is not a checkout of it; run it in one")
}

/// Two ports that were free a moment ago. The server needs them fixed: after a crash it has to come back where it was.
fn free_addresses() -> std::io::Result<(SocketAddr, SocketAddr)> {
    let (first, second) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((first.local_addr()?, second.local_addr()?))
}

fn configuration(ingest: SocketAddr, admin: SocketAddr, upstream: SocketAddr) -> String {
    let delays = DELAYS_MS.map(|delay| format!("\"{delay}ms\"")).join(", ");
    let values = [("INGEST", ingest.to_string()), ("ADMIN", admin.to_string()), ("UPSTREAM", upstream.to_string()), ("DELAYS", delays)];
    values.iter().fold(CONFIGURATION.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

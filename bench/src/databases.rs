//! The two databases. PostgreSQL is a throwaway server with factory settings, free to use both cores.

use std::fmt;
use std::sync::{Arc, OnceLock};

use hookfast_tests::postgres::Postgres;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// Makes databases; starts PostgreSQL when the first is wanted.
#[derive(Default)]
pub(crate) struct Databases {
    postgres: OnceLock<Arc<Postgres>>,
}

impl Databases {
    /// An empty one. With PostgreSQL, what earlier ones left to be written is written first.
    pub(crate) fn empty(&self, kind: Kind) -> Database {
        match kind {
            Kind::Sqlite => Database::Sqlite,
            Kind::Postgres => {
                let server = self.postgres.get_or_init(|| Arc::new(Postgres::start()));
                server.run("CHECKPOINT", "postgres");
                Database::Postgres { url: server.database(), server: Arc::clone(server) }
            }
        }
    }
}

/// One database, gone when it is dropped.
pub(crate) enum Database {
    /// A file in the folder of its server.
    Sqlite,
    /// On the throwaway server.
    Postgres { url: String, server: Arc<Postgres> },
}

impl Database {
    /// As the configuration names it.
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Sqlite => "sqlite:hookfast.db",
            Self::Postgres { url, .. } => url,
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // In a panic a second one would end the whole run; the server's folder goes with the process anyway.
        if let Self::Postgres { url, server } = self
            && !std::thread::panicking()
        {
            let name = url.rsplit('/').next().unwrap_or_default();
            server.run(&format!("DROP DATABASE {name} WITH (FORCE)"), "postgres");
        }
    }
}

//! Where the database is, without ever showing its password.

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// `postgres://user:password@host:port/database?sslmode=…`; what it leaves out comes from the `PG…` environment variables, as
/// with libpq (<https://www.postgresql.org/docs/current/libpq-connect.html>). Shown without its password.
#[derive(Clone)]
pub struct PostgresUrl(pub(super) Box<PgConnectOptions>);

impl FromStr for PostgresUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().map(Box::new).map(Self).map_err(drop)
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(options) = self;
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        write!(f, "postgres://{}@{}:{}/{database}", options.get_username(), options.get_host(), options.get_port())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url: PostgresUrl = "postgres://hook:hunter2@db.example.com:5433/events?sslmode=require".parse().expect("a URL");
        assert_eq!(format!("{url} {url:?}"), "postgres://hook@db.example.com:5433/events postgres://hook@db.example.com:5433/events");
        assert!("postgres://[".parse::<PostgresUrl>().is_err());
    }
}

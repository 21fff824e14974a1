//! Who may use the API: whoever knows the token that the first start wrote beside the database, readable by its owner only.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::{Admin, problem};
use crate::domain::Secret;
use crate::random::Random;

/// The bearer token of the admin API.
#[derive(Debug, Clone)]
pub struct ApiToken(Secret);

impl ApiToken {
    /// Reads the token file, or makes one with mode 0600.
    pub fn read_or_create(path: &Path, random: &Random) -> io::Result<Self> {
        match Self::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let token = format!("hf_{}", hex::encode(random.bytes::<32>()));
        write(path, &token)?;
        Ok(Self(Secret::new(token.into_bytes())))
    }

    /// Reads the token file.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        match text.trim() {
            "" => Err(io::Error::new(io::ErrorKind::InvalidData, "the token file is empty; remove it and start the server again")),
            token => Ok(Self(Secret::new(token.as_bytes().to_vec()))),
        }
    }

    /// The value of an `Authorization` header.
    pub fn bearer(&self) -> Vec<u8> {
        [b"Bearer ", self.0.expose()].concat()
    }
}

/// Under its name only once it is on the disk: a power cut must not leave an empty file, with which no server starts.
fn write(path: &Path, token: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

/// Lets a request through if it carries the token.
pub(super) async fn require(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    if bool::from(given.ct_eq(&admin.token.bearer())) {
        return next.run(request).await;
    }
    problem::unauthorized()
}

//! The admin API's token, in a file beside the database.

use anyhow::Context;

use crate::config::Storage;
use crate::http::ApiToken;
use crate::random::Random;

/// The token file's name; the server makes it at its first start, the command line reads it.
pub const TOKEN_FILE: &str = "admin-token";

pub(super) fn open(storage: &Storage, random: &Random) -> anyhow::Result<ApiToken> {
    let folder = storage.directory();
    std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let path = storage.beside(TOKEN_FILE);
    ApiToken::read_or_create(&path, random).with_context(|| format!("the token file {} cannot be used", path.display()))
}

//! Secrets are references with a scheme, resolved after parsing, so that a value can never change the file's structure:
//! `env:NAME`, `file:PATH` (one newline at the end is trimmed), `literal:TEXT` (warned about).

use std::path::Path;

use chrono::DateTime;

use crate::document::{Field, Section};
use crate::domain::{Secret, Timestamp};
use crate::verify::SecretSpec;

/// A secret of a source, and how its operator calls it.
#[derive(Debug, Clone)]
pub struct SourceSecret {
    /// What a plugin that proves requests asks for it by.
    pub name: Option<String>,
    /// As it is written: `env:STRIPE_SECRET`. Of a literal one only that it is one.
    pub reference: String,
    /// The secret, and when it is valid.
    pub spec: SecretSpec,
}

/// A reference, or `{ value = "env:…", not_before = "2026-01-01T00:00:00Z", not_after = … }` while secrets are rotated; with a `name` for a
/// plugin that proves requests.
pub(super) fn read(field: &Field<'_>, directory: &Path) -> Option<SourceSecret> {
    if !field.is_table() {
        return read_always_valid(field, directory);
    }
    let read = |section: &Section<'_>| {
        let moment = |key| section.field(key).map(|field| field.parse_with(read_moment)).map_or(Some(None), |moment| moment.map(Some));
        let (not_before, not_after) = (moment("not_before"), moment("not_after"));
        let mut secret = read_always_valid(&section.required("value")?, directory)?;
        secret.name = section.field("name").map_or(Some(None), |field| field.as_str().map(|name| Some(name.to_owned())))?;
        (secret.spec.not_before, secret.spec.not_after) = (not_before?, not_after?);
        Some(secret)
    };
    field.section(read).flatten()
}

fn read_always_valid(field: &Field<'_>, directory: &Path) -> Option<SourceSecret> {
    let spec = SecretSpec { secret: resolve(field, directory)?, not_before: None, not_after: None };
    let reference = field.as_str().map(|text| if text.starts_with("literal:") { "literal:…" } else { text });
    Some(SourceSecret { name: None, reference: reference?.to_owned(), spec })
}

fn read_moment(text: &str) -> Result<Timestamp, String> {
    let moment = DateTime::parse_from_rfc3339(text).map_err(|_| "a moment is RFC 3339, as in \"2026-01-31T12:00:00Z\"")?;
    Ok(Timestamp::from_millis(moment.timestamp_millis()))
}

/// The secret that a field refers to; what is wrong is reported without its value.
pub(super) fn resolve(field: &Field<'_>, directory: &Path) -> Option<Secret> {
    let text = field.as_str()?;
    let help = Some("a secret is a reference: env:NAME, file:PATH or literal:TEXT".to_owned());
    let resolved = match text.split_once(':') {
        Some(("env", name)) => environment(name).ok_or_else(|| format!("the environment has no variable `{name}`")),
        Some(("file", path)) => file(&directory.join(path)),
        Some(("literal", literal)) => {
            let help = Some("put it into a file or the environment, and refer to it with file: or env:".into());
            field.warning(format!("`{}` holds a secret in plain sight", field.path()), help);
            Ok(literal.as_bytes().to_vec())
        }
        _ => {
            field.secret_error(format!("`{}` is not a secret reference", field.path()), help);
            return None;
        }
    };
    match resolved {
        Ok(bytes) if bytes.is_empty() => field.error(format!("`{}` refers to an empty secret", field.path()), None),
        Ok(bytes) => return Some(Secret::new(bytes)),
        Err(reason) => field.error(format!("`{}` cannot be resolved: {reason}", field.path()), None),
    }
    None
}

#[expect(clippy::disallowed_methods, reason = "the one home of the environment")]
fn environment(name: &str) -> Option<Vec<u8>> {
    std::env::var(name).ok().map(String::into_bytes)
}

fn file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

//! Secrets are references with a scheme, resolved after parsing, so that a value can never change the file's structure:
//! `env:NAME`, `file:PATH` (one newline at the end is trimmed), `literal:TEXT` (warned about).

use std::path::Path;

use crate::document::Field;
use crate::domain::Secret;

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

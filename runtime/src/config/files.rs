//! Which files make up the configuration, their text, and whether they have changed.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::document::{self, Mistake, Mistakes, Severity};

type NamedText = (String, String);

/// The texts of all files.
pub(super) struct Files {
    pub(super) main: NamedText,
    pub(super) more: Vec<NamedText>,
    pub(super) catalogue: Vec<NamedText>,
}

impl Files {
    /// Says whether two nodes are configured alike: a digest of all but each node's own sections. Secrets count by reference.
    pub(super) fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        let mut add = |text: &str| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        };
        add(&document::canonical(&self.main.1, &["server", "storage", "worker", "plugins"]));
        self.more.iter().chain(&self.catalogue).for_each(|(_, text)| add(&document::canonical(text, &[])));
        hex::encode(&hasher.finalize()[..6])
    }
}

pub(super) fn read(path: &Path, mistakes: &Mistakes) -> Option<Files> {
    let (more, catalogue) = (read_beside(path, "conf.d", mistakes), read_catalogue(path, mistakes));
    Some(Files { main: read_one(path, mistakes)?, more, catalogue })
}

/// The operator's own providers.
pub(super) fn read_catalogue(path: &Path, mistakes: &Mistakes) -> Vec<NamedText> {
    read_beside(path, "catalogue.d", mistakes)
}

fn read_beside(path: &Path, folder: &str, mistakes: &Mistakes) -> Vec<NamedText> {
    let folder = path.parent().unwrap_or(Path::new("")).join(folder);
    let files = toml_files(&folder).unwrap_or_else(|error| {
        let message = format!("cannot be read: {error}");
        mistakes.push(Mistake::of_file(Severity::Error, folder.display().to_string(), message, None));
        Vec::new()
    });
    files.iter().filter_map(|path| read_one(path, mistakes)).collect()
}

/// A number that changes when any of the files does, or one that is named in them as `file:…`: their names and texts.
pub fn fingerprint(path: &Path) -> u64 {
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut hasher = DefaultHasher::new();
    let more = ["conf.d", "catalogue.d"].into_iter().flat_map(|folder| toml_files(&directory.join(folder)).unwrap_or_default());
    for path in std::iter::once(path.to_owned()).chain(more) {
        let text = fs::read(&path).ok();
        let text_of = text.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        text_of.split("file:").skip(1).for_each(|rest| {
            let named = rest.split(['"', '\'']).next().unwrap_or_default();
            fs::read(directory.join(named)).ok().hash(&mut hasher);
        });
        (&path, &text).hash(&mut hasher);
    }
    hasher.finish()
}

fn read_one(path: &Path, mistakes: &Mistakes) -> Option<NamedText> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Some((name, text)),
        Err(error) => {
            let help = Some("give the file with --config".into());
            mistakes.push(Mistake::of_file(Severity::Error, name, format!("cannot be read: {error}"), help));
            None
        }
    }
}

/// A folder that is not there is empty; one that cannot be read is an error.
fn toml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<_> = paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    files.sort();
    Ok(files)
}

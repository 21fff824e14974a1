//! Reading TOML by hand, so that every mistake of a file is reported in one run with line, column and what is allowed.
//! Knows nothing of what the files mean: configuration and provider catalogue are both read through it.

mod field;
mod mistake;
mod quantity;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use field::Field;
pub use mistake::{Mistake, Mistakes, Severity, nearest};
pub use quantity::{parse_bytes, parse_duration};

/// Parses `text` and hands its top level to `read`, which asks for what it knows. Syntax errors, wrong types and unknown keys
/// of one file are all collected in `mistakes`; `read` still sees what could be parsed.
pub fn read<T>(file: &str, text: &str, mistakes: &Mistakes, read: impl FnOnce(&Section<'_>) -> T) -> T {
    let (root, errors) = DeTable::parse_recoverable(text);
    let source = Source { file, text, mistakes };
    for error in errors {
        source.error(error.span().unwrap_or(0..0), error.message().to_owned(), None);
    }
    let section = Section { source, table: root.get_ref(), span: 0..0, path: String::new(), asked: RefCell::default() };
    let value = read(&section);
    section.report_unknown_keys();
    value
}

/// What a file says, in an order of its own and without these of its sections: equal where two files say the same.
pub fn canonical(text: &str, without: &[&str]) -> String {
    let Ok(mut table) = text.parse::<toml::Table>() else { return String::new() };
    table.retain(|key, _| !without.contains(&key));
    table.to_string()
}

#[derive(Clone, Copy)]
struct Source<'d> {
    file: &'d str,
    text: &'d str,
    mistakes: &'d Mistakes,
}

impl Source<'_> {
    fn error(&self, span: Range<usize>, message: String, help: Option<String>) {
        self.mistakes.push(Mistake::new(Severity::Error, self.file, self.text, span, message, help));
    }

    fn warning(&self, span: Range<usize>, message: String, help: Option<String>) {
        self.mistakes.push(Mistake::new(Severity::Warning, self.file, self.text, span, message, help));
    }
}

/// One table of the file. Every key that is asked for counts as known; the others are mistakes.
pub struct Section<'d> {
    source: Source<'d>,
    table: &'d DeTable<'d>,
    span: Range<usize>,
    path: String,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'d> Section<'d> {
    /// The value under `key`, if it is there.
    pub fn field(&self, key: &'static str) -> Option<Field<'d>> {
        self.asked.borrow_mut().insert(key);
        self.table.get(key).map(|value| Field::new(self.source, value, self.child_path(key)))
    }

    /// The value under `key`; its absence is a mistake.
    pub fn required(&self, key: &'static str) -> Option<Field<'d>> {
        let field = self.field(key);
        if field.is_none() {
            self.error(format!("`{key}` is missing in {}", self.name()));
        }
        field
    }

    /// Reads the table under `key` with `read`, if it is there.
    pub fn section<T>(&self, key: &'static str, read: impl FnOnce(&Section<'d>) -> T) -> Option<T> {
        self.field(key).and_then(|field| field.section(read))
    }

    /// Reads each table below `key`, as in `[sources.NAME]`: `read` gets the name as a field of its own, and the table.
    pub fn each<T>(&self, key: &'static str, mut read: impl FnMut(&Field<'d>, &Section<'d>) -> T) -> Vec<T> {
        let Some(outer) = self.field(key) else { return Vec::new() };
        let Some(table) = outer.table() else { return Vec::new() };
        let entries = table.iter().map(|(name, value)| {
            let path = format!("{}.{}", self.child_path(key), name.get_ref());
            let name = Field::of_name(self.source, name.get_ref(), name.span(), path.clone());
            Field::new(self.source, value, path).section(|section| read(&name, section))
        });
        entries.flatten().collect()
    }

    /// All keys and values of a table whose keys are free, such as a plugin's `config`.
    pub fn entries(&self) -> Vec<(String, Field<'d>)> {
        let entry = |(key, value): (&Spanned<std::borrow::Cow<'d, str>>, &'d Spanned<DeValue<'d>>)| {
            let key = key.get_ref().to_string();
            let path = self.child_path(&key);
            (key, Field::new(self.source, value, path))
        };
        self.asked.borrow_mut().insert("*");
        self.table.iter().map(entry).collect()
    }

    /// Whether `key` is written, without counting as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Reports a mistake of the table as a whole.
    pub fn error(&self, message: impl Into<String>) {
        self.source.error(self.span.clone(), message.into(), None);
    }

    fn child_path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn name(&self) -> String {
        if self.path.is_empty() { "the file".into() } else { format!("[{}]", self.path) }
    }

    fn report_unknown_keys(&self) {
        let asked = self.asked.borrow();
        if asked.contains("*") {
            return;
        }
        for key in self.table.keys().filter(|key| !asked.contains(&**key.get_ref())) {
            let written: &str = key.get_ref();
            let message = format!("unknown key `{written}` in {}", self.name());
            self.source.error(key.span(), message, Some(mistake::suggestion(written, asked.iter().copied())));
        }
    }
}

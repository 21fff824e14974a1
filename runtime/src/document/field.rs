//! One value of a TOML file, with its place, asked for by type.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Mistake, Section, Severity, Source, mistake, parse_bytes, parse_duration};

/// A value and where it stands. Each `as_…` reports a wrong type or an illegal value and returns `None`.
#[derive(Clone)]
pub struct Field<'d> {
    source: Source<'d>,
    value: Written<'d>,
    span: Range<usize>,
    path: String,
}

#[derive(Clone, Copy)]
enum Written<'d> {
    Value(&'d DeValue<'d>),
    Name(&'d str),
}

impl<'d> Field<'d> {
    pub(super) fn new(source: Source<'d>, value: &'d Spanned<DeValue<'d>>, path: String) -> Self {
        Self { source, value: Written::Value(value.get_ref()), span: value.span(), path }
    }

    pub(super) fn of_name(source: Source<'d>, name: &'d str, span: Range<usize>, path: String) -> Self {
        Self { source, value: Written::Name(name), span, path }
    }

    /// Where the value stands in the configuration, as in `sources.stripe.retry`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports a mistake at this value.
    pub fn error(&self, message: impl Into<String>, help: Option<String>) {
        self.source.error(self.span.clone(), message.into(), help);
    }

    /// Reports a mistake at this value, whose text is a secret and is not shown.
    pub fn secret_error(&self, message: impl Into<String>, help: Option<String>) {
        self.source.mistakes.push(self.mistake(Severity::Error, message, help).without_excerpt());
    }

    /// A mistake at this value that is not reported yet: whether it is one is known only later.
    pub fn mistake(&self, severity: Severity, message: impl Into<String>, help: Option<String>) -> Mistake {
        Mistake::new(severity, self.source.file, self.source.text, self.span.clone(), message.into(), help)
    }

    /// Reports something that works and should not stay.
    pub fn warning(&self, message: impl Into<String>, help: Option<String>) {
        self.source.warning(self.span.clone(), message.into(), help);
    }

    /// The text.
    pub fn as_str(&self) -> Option<&'d str> {
        match self.value {
            Written::Name(name) => Some(name),
            Written::Value(value) => self.expected(value.as_str(), "a string"),
        }
    }

    /// The text as a `T`; the parse error becomes the mistake.
    pub fn parse<T: FromStr<Err: Display>>(&self) -> Option<T> {
        self.parse_with(|text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// The text as whatever `parse` makes of it; its error becomes the mistake.
    pub fn parse_with<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.as_str()?;
        parse(text).map_err(|error| self.error(format!("`{}` is `{text}`: {error}", self.path), None)).ok()
    }

    /// One of the listed words.
    pub fn one_of<T: Copy>(&self, allowed: &[(&'static str, T)]) -> Option<T> {
        let text = self.as_str()?;
        let found = allowed.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let help = mistake::suggestion(text, allowed.iter().map(|(word, _)| *word));
            self.error(format!("`{}` cannot be `{text}`", self.path), Some(help));
        }
        found
    }

    /// `true` or `false`.
    pub fn as_bool(&self) -> Option<bool> {
        self.expected(self.written().and_then(DeValue::as_bool), "true or false")
    }

    /// A whole number within `range`.
    pub fn as_integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let number = self.written().and_then(DeValue::as_integer);
        let number = number.and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        let number = self.expected(number, "a whole number")?;
        self.within(number, &range)
    }

    /// A number within `range`, with or without a fraction.
    pub fn as_number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let value = self.written();
        let text = value.and_then(|v| v.as_float().map(|f| f.as_str()).or_else(|| v.as_integer().map(|i| i.as_str())));
        let number = self.expected(text.and_then(|text| text.parse().ok()), "a number")?;
        self.within(number, &range)
    }

    /// A duration such as `"30s"`, `"5m"`, `"250ms"`, `"72h"`, `"30d"`, within `range`.
    pub fn as_duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = self.parse_with(parse_duration)?;
        if range.contains(&duration) {
            return Some(duration);
        }
        self.error(format!("`{}` must be between {:?} and {:?}", self.path, range.start(), range.end()), None);
        None
    }

    /// A number of bytes such as `"1 MiB"`, `"64 KiB"`, within `range`.
    pub fn as_bytes(&self, range: RangeInclusive<usize>) -> Option<usize> {
        let bytes = self.parse_with(parse_bytes)?;
        self.within(bytes, &range)
    }

    /// The elements of an array.
    pub fn as_list(&self) -> Option<Vec<Self>> {
        let array = self.expected(self.written().and_then(DeValue::as_array), "a list")?;
        let element = |(position, value)| Self::new(self.source, value, format!("{}[{position}]", self.path));
        Some(array.iter().enumerate().map(element).collect())
    }

    /// Whether it is `true` or `false`.
    pub fn is_bool(&self) -> bool {
        self.written().is_some_and(DeValue::is_bool)
    }

    /// Whether the value is a string.
    pub fn is_text(&self) -> bool {
        self.written().is_some_and(DeValue::is_str)
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        self.written().is_some_and(DeValue::is_array)
    }

    /// Whether the value is a table.
    pub fn is_table(&self) -> bool {
        self.written().is_some_and(DeValue::is_table)
    }

    /// Reads the value as a table; keys that `read` does not ask for are mistakes.
    pub fn section<T>(&self, read: impl FnOnce(&Section<'d>) -> T) -> Option<T> {
        let table = self.table()?;
        let section = Section { source: self.source, table, span: self.span.clone(), path: self.path.clone(), asked: RefCell::default() };
        let value = read(&section);
        section.report_unknown_keys();
        Some(value)
    }

    pub(super) fn table(&self) -> Option<&'d DeTable<'d>> {
        self.expected(self.written().and_then(DeValue::as_table), "a table")
    }

    fn written(&self) -> Option<&'d DeValue<'d>> {
        match self.value {
            Written::Value(value) => Some(value),
            Written::Name(_) => None,
        }
    }

    fn expected<T>(&self, value: Option<T>, wanted: &str) -> Option<T> {
        if value.is_none() {
            let found = self.written().map_or("a name", DeValue::type_str);
            self.error(format!("`{}` must be {wanted}, found {found}", self.path), None);
        }
        value
    }

    fn within<T: PartialOrd + Display>(&self, value: T, range: &RangeInclusive<T>) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        self.error(format!("`{}` is {value}; it must be between {} and {}", self.path, range.start(), range.end()), None);
        None
    }
}

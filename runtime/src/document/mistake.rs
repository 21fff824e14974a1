//! A mistake in a file: where it is, what is wrong, what is allowed.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// The mistakes of a reading, in the order they were found.
#[derive(Debug, Default)]
pub struct Mistakes(RefCell<Vec<Mistake>>);

impl Mistakes {
    /// Adds one.
    pub fn push(&self, mistake: Mistake) {
        self.0.borrow_mut().push(mistake);
    }

    /// Whether one of them forbids using the file.
    pub fn any_error(&self) -> bool {
        self.0.borrow().iter().any(|mistake| mistake.severity == Severity::Error)
    }

    /// All of them, by file and place.
    pub fn into_vec(self) -> Vec<Mistake> {
        let mut mistakes = self.0.into_inner();
        mistakes.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        mistakes
    }
}

/// Whether a mistake forbids using the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is not used.
    Error,
    /// The file is used; the mistake is shown.
    Warning,
}

/// One mistake, told so that it can be mended without looking anything up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Whether it forbids using the file.
    pub severity: Severity,
    /// The file's name as the user gave it.
    pub file: String,
    /// From 1; 0 where the mistake is of no one line.
    pub line: usize,
    /// From 1, in characters; 0 where the mistake is of no one line.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do or what is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    #[serde(skip)]
    excerpt: Option<(String, usize)>,
}

impl Mistake {
    pub(super) fn new(severity: Severity, file: &str, text: &str, span: Range<usize>, message: String, help: Option<String>) -> Self {
        let before = &text[..text.floor_char_boundary(span.start.min(text.len()))];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[line_start..].chars().count() + 1;
        let line = without_userinfo(without_secret_values(&without_literal_secrets(text[line_start..].lines().next().unwrap_or(""))));
        let message = without_userinfo(message);
        let width = text.get(span).map_or(1, |t| t.lines().next().unwrap_or("").chars().count().max(1));
        let line_number = before.matches('\n').count() + 1;
        Self { severity, file: file.into(), line: line_number, column, message, help, excerpt: Some((line, width)) }
    }

    /// The same mistake without the line's text, which holds a secret.
    pub(super) fn without_excerpt(self) -> Self {
        Self { excerpt: self.excerpt.map(|(_, _)| (String::from("(not shown: it holds a secret)"), 0)), ..self }
    }

    /// A mistake of a file as a whole: it cannot be read, it clashes with another.
    pub fn of_file(severity: Severity, file: impl Into<String>, message: impl Into<String>, help: Option<String>) -> Self {
        Self { severity, file: file.into(), line: 0, column: 0, message: message.into(), help, excerpt: None }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.severity == Severity::Error { "error" } else { "warning" };
        writeln!(f, "{severity}: {}", self.message)?;
        match &self.excerpt {
            None => writeln!(f, "  --> {}", self.file)?,
            Some((text, width)) => {
                let number = self.line.to_string();
                writeln!(f, "  --> {}:{}:{}", self.file, self.line, self.column)?;
                writeln!(f, " {number} | {text}")?;
                if *width > 0 {
                    writeln!(f, " {} | {}{}", " ".repeat(number.len()), " ".repeat(self.column - 1), "^".repeat(*width))?;
                }
            }
        }
        self.help.iter().try_for_each(|help| writeln!(f, "  help: {help}"))
    }
}

/// A line as it may be shown: what follows `literal:` up to the closing quote becomes dots of the same length.
fn without_literal_secrets(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("literal:") {
        let (before, secret) = rest.split_at(at + "literal:".len());
        let end = secret.find(['"', '\'']).unwrap_or(secret.len());
        shown.push_str(before);
        shown.extend(secret[..end].chars().map(|_| '.'));
        rest = &secret[end..];
    }
    shown + rest
}

/// What keys that hold secrets, or are mistaken for those that do, have in them.
const SECRETIVE: [&str; 6] = ["secret", "token", "passw", "auth", "bearer", "credential"];

/// A line as it may be shown: behind the first key that sounds like a secret's, quoted texts become dots, unless they only say where one is.
fn without_secret_values(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let is_key = |at: usize| {
        let rest = line[at..].trim_start_matches(|c: char| c.is_alphanumeric() || "-_.\"'".contains(c)).trim_start();
        rest.starts_with('=') && !rest.starts_with("==")
    };
    let keys = SECRETIVE.iter().flat_map(|word| lower.match_indices(word).map(|(at, _)| at));
    let Some(at) = keys.filter(|at| is_key(*at)).min() else { return line.to_owned() };
    let value_at = at + line[at..].find('=').map_or(0, |equals| equals + 1);
    let (before, values) = line.split_at(value_at);
    let mut shown = before.to_owned();
    let mut quote = None;
    for piece in values.split_inclusive(['"', '\'']) {
        let text = piece.trim_end_matches(['"', '\'']);
        let is_reference = text.strip_prefix("file:").is_some()
            || text
                .strip_prefix("env:")
                .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'));
        match quote {
            Some(_) if !is_reference => shown.extend(text.chars().map(|_| '.')),
            _ => shown.push_str(text),
        }
        let mark = &piece[text.len()..];
        shown.push_str(mark);
        quote = if quote.is_none() && !mark.is_empty() { Some(()) } else { None };
    }
    shown
}

/// A text without what stands before the `@` of a URL.
fn without_userinfo(text: String) -> String {
    if !text.contains("://") {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'`".contains(c)).unwrap_or(after.len());
        let start = after[..end].rfind('@').unwrap_or(0);
        shown.extend(after[..start].chars().map(|_| '.'));
        rest = &after[start..];
    }
    shown + rest
}

/// `did you mean …? allowed here: …` for a word that is none of the allowed ones.
pub(super) fn suggestion<'a>(written: &str, allowed: impl Iterator<Item = &'a str>) -> String {
    let allowed: Vec<&str> = allowed.collect();
    let list = format!("allowed here: {}", allowed.join(", "));
    match nearest(written, allowed.into_iter()) {
        Some(word) => format!("did you mean `{word}`? {list}"),
        None => list,
    }
}

/// The allowed word that was probably meant.
pub fn nearest<'a>(written: &str, allowed: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, word) = allowed.map(|word| (strsim::osa_distance(written, word), word)).min()?;
    (distance <= 3 && distance < word.len()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        Mistake::new(Severity::Error, "hookfast.toml", line, 0..1, String::new(), None).excerpt.expect("an excerpt").0
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        for (line, expected) in [
            (r#"secrets = "whsec_SUPER""#, r#"secrets = "...........""#),
            (
                r#"secret = ["a", 'b', "env:PAY_SECRET", "file:pay.secret", "env:whsec_SUPER"]"#,
                r#"secret = [".", '.', "env:PAY_SECRET", "file:pay.secret", "..............."]"#,
            ),
            (r#"signing_secret = "SUPER" # of "stripe""#, r#"signing_secret = "....." # of "......""#),
            (r#"headers = { Authorization = "Bearer SUPER" }"#, r#"headers = { Authorization = "............" }"#),
            (r#"auth = { bearer = "SUPER" }"#, r#"auth = { bearer = "....." }"#),
            (r#"secrets = ["literal:SUPER"#, r#"secrets = ["............."#),
            (r#"name = "literal:SUPER""#, r#"name = "literal:.....""#),
            (r#"url = "https://user:SUPER@crm.example/x@y""#, r#"url = "https://..........@crm.example/x@y""#),
        ] {
            assert_eq!(shown(line), expected);
        }
    }

    #[test]
    fn what_is_none_is_shown() {
        for line in
            [r#"algorithm = "token""#, r#"provider = "stripe"  # no secret"#, r#"url = "https://crm.example/a@b""#, "[sources.auth]"]
        {
            assert_eq!(shown(line), line);
        }
    }

    #[test]
    fn a_message_does_not_tell_the_password_of_a_url() {
        let message = "`upstreams.crm.url` is `https://user:SUPER@crm.example`: has a user".to_owned();
        let mistake = Mistake::new(Severity::Error, "hookfast.toml", "x", 0..1, message, None);
        assert_eq!(mistake.message, "`upstreams.crm.url` is `https://..........@crm.example`: has a user");
    }
}

//! JSON as text: other blanks between its tokens and other escapes in its texts, all else byte for byte. Takes valid JSON only, and leaves
//! the order of keys and the digits of numbers as they are, which a tree of values would not.

use std::fmt::Write as _;

/// The blanks between tokens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layout {
    /// None.
    Compact,
    /// One after each comma and colon.
    Spaced,
    /// A line for each element, indented by so many blanks a level.
    Indented(usize),
}

/// Which characters stand escaped though they need not.
#[derive(Debug, Clone, Copy)]
pub(super) enum Escapes {
    /// All that are not ASCII, with small digits (Python).
    Unicode,
    /// All that are not ASCII, with capital digits (.NET).
    UnicodeUpper,
    /// Slashes.
    Slashes,
    /// Slashes, and all that are not ASCII (PHP).
    SlashesAndUnicode,
    /// `<`, `>` and `&` (Go).
    Html,
}

/// What JSON may grow to, in times of what it was: indented a thousand levels deep it would be a thousand times as long.
const GROWTH_MAX: usize = 8;

/// Writes the JSON anew under a layout; `None` where that makes too much of it.
pub(super) fn lay_out(json: &str, layout: Layout) -> Option<String> {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut tokens = tokens(json).peekable();
    while let Some(token) = tokens.next() {
        let next = tokens.peek().copied();
        match token {
            "{" | "[" => depth += 1,
            "}" | "]" => depth -= 1,
            _ => {}
        }
        let is_empty = matches!((token, next), ("{", Some("}")) | ("[", Some("]")));
        text.push_str(token);
        match (layout, token, next) {
            (Layout::Spaced, "," | ":", _) | (Layout::Indented(_), ":", _) => text.push(' '),
            (Layout::Indented(by), "{" | "[" | ",", _) if !is_empty => break_line(&mut text, by * depth),
            (Layout::Indented(by), _, Some("}" | "]")) if !is_empty => break_line(&mut text, by * (depth - 1)),
            _ => {}
        }
        if text.len() / GROWTH_MAX > json.len() {
            return None;
        }
    }
    Some(text)
}

fn break_line(text: &mut String, indent: usize) {
    let _ = write!(text, "\n{:indent$}", "");
}

/// Strings, marks, and whatever stands between them, without blanks.
fn tokens(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let length = match rest.bytes().next()? {
            b'"' => string_length(rest),
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            _ => rest.find(['{', '}', '[', ']', ',', ':', '"', ' ', '\t', '\r', '\n']).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(token)
    })
}

fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().enumerate().skip(1).find(|(_, byte)| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The JSON without the escapes that it does not need.
pub(super) fn unescaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        let (written, length) = needless(escape).unwrap_or_else(|| (escape.get(..2).unwrap_or(escape).to_owned(), 2));
        text.push_str(&written);
        rest = escape.get(length..).unwrap_or_default();
    }
    text + rest
}

/// What an escape stands for, where that could stand there by itself, and how long it is.
fn needless(escape: &str) -> Option<(String, usize)> {
    if escape.starts_with("\\/") {
        return Some(("/".into(), 2));
    }
    let unit = |at: usize| u16::from_str_radix(escape.get(at..)?.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let units: Vec<u16> = unit(0).into_iter().chain(unit(6)).collect();
    let char = char::decode_utf16(units).next()?.ok()?;
    let is_plain = !char.is_control() && char != '"' && char != '\\';
    is_plain.then(|| (char.to_string(), 6 * char.len_utf16()))
}

impl Escapes {
    pub(super) const ALL: [Self; 5] = [Self::Unicode, Self::UnicodeUpper, Self::Slashes, Self::SlashesAndUnicode, Self::Html];

    /// Writes these escapes into JSON that has none of them.
    pub(super) fn write(self, plain: &str) -> String {
        let mut text = String::with_capacity(plain.len());
        for char in plain.chars() {
            match (self, char) {
                (Self::Slashes | Self::SlashesAndUnicode, '/') => text.push_str("\\/"),
                (Self::Html, '<' | '>' | '&') => escape(&mut text, char, false),
                (Self::Unicode | Self::SlashesAndUnicode, char) if !char.is_ascii() => escape(&mut text, char, false),
                (Self::UnicodeUpper, char) if !char.is_ascii() => escape(&mut text, char, true),
                (_, char) => text.push(char),
            }
        }
        text
    }
}

fn escape(text: &mut String, char: char, upper: bool) {
    for unit in char.encode_utf16(&mut [0; 2]) {
        let _ = if upper { write!(text, "\\u{unit:04X}") } else { write!(text, "\\u{unit:04x}") };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    proptest! {
        #[test]
        fn what_json_means_never_changes(text in "[ -~\\n\u{e9}\u{2028}\u{1f600}]{0,12}", number: i64) {
            let value = serde_json::json!({ &text: [text, number, {}, [], null, { "b": &text }], "a": { "t": &text } });
            let plain = unescaped(&value.to_string());
            for layout in [Layout::Compact, Layout::Spaced, Layout::Indented(2), Layout::Indented(4)] {
                for escapes in Escapes::ALL {
                    let written = lay_out(&escapes.write(&plain), layout).expect("it is small");
                    prop_assert_eq!(serde_json::from_str::<Value>(&written).expect("JSON"), value.clone(), "{}", written);
                }
            }
            prop_assert_eq!(lay_out(&value.to_string(), Layout::Compact), Some(value.to_string()));
            let pretty = serde_json::to_string_pretty(&value).expect("JSON");
            prop_assert_eq!(lay_out(&value.to_string(), Layout::Indented(2)), Some(pretty));
        }
    }

    #[test]
    fn only_blanks_change() {
        let json = " {\"b\" : [1.50, {} ,[ ]], \"a\\\"]\":\n\"x, y\" ,\"n\":null}\r\n";
        let check = |layout, expected: &str| assert_eq!(lay_out(json, layout).as_deref(), Some(expected));
        check(Layout::Compact, r#"{"b":[1.50,{},[]],"a\"]":"x, y","n":null}"#);
        check(Layout::Spaced, r#"{"b": [1.50, {}, []], "a\"]": "x, y", "n": null}"#);
        let indented = "{\n  \"b\": [\n    1.50,\n    {},\n    []\n  ],\n  \"a\\\"]\": \"x, y\",\n  \"n\": null\n}";
        check(Layout::Indented(2), indented);
    }

    #[test]
    fn what_is_deep_is_not_made_endless() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(lay_out(&deep(4), Layout::Indented(4)).is_some());
        assert_eq!(lay_out(&deep(100_000), Layout::Indented(4)), None);
        assert_eq!(lay_out(&deep(100_000), Layout::Spaced), Some(deep(100_000)));
    }

    #[test]
    fn escapes_that_are_needed_stay() {
        assert_eq!(unescaped(r#""\u00e9\/\ud83d\ude00 \n\"\\u00e9 \u0022 \ud83d \u003c""#), r#""é/😀 \n\"\\u00e9 \u0022 \ud83d <""#);
        assert_eq!(Escapes::Unicode.write("\"é😀/\""), r#""\u00e9\ud83d\ude00/""#);
        assert_eq!(Escapes::UnicodeUpper.write("é"), "\\u00E9");
        assert_eq!(Escapes::SlashesAndUnicode.write("é/"), "\\u00e9\\/");
        assert_eq!(Escapes::Html.write("<&é"), "\\u003c\\u0026é");
    }

    #[test]
    fn nothing_panics_on_what_is_cut_off() {
        for json in ["", "\"", "\"\\", "\"\\u", "\"\\u00", "\"\\ud83d\\u", "]", "}", "é\\é"] {
            unescaped(json);
            if json != "]" && json != "}" {
                lay_out(json, Layout::Indented(2));
            }
        }
    }
}

//! The path of a call: what a plugin may write, and what of it the journal keeps. Knows no URL type and no network.

/// Path and query together, bytes.
const PATH_BYTES_MAX: usize = 8 << 10;

/// Of a path in the journal, characters.
const JOURNAL_CHARS_MAX: usize = 512;

/// Passes a path that stays below the upstream's base URL: is empty, which is that URL itself, or begins with one `/`, is visible ASCII without `#` and `\`, is at most
/// 8 KiB long, and has no segment that any server on the way could read as `.` or `..`. Else one sentence for the author.
pub fn check(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Ok(());
    }
    if !path.starts_with('/') || path.starts_with("//") {
        return Err("a path begins with one `/`; it is appended to the upstream's base URL");
    }
    if path.len() > PATH_BYTES_MAX {
        return Err("a path with its query is at most 8 KiB long");
    }
    if !path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'\\')) {
        return Err("a path is visible ASCII without `#` and `\\`; percent-encode the rest");
    }
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    if has_dot_segment(path) {
        return Err("a path has no `.` or `..` segments, percent-encoded or not");
    }
    Ok(())
}

/// Servers disagree on whether `%2f` and `%5c` part segments and whether `;…` belongs to one (RFC 3986 §3.3), so each reading counts.
fn has_dot_segment(path: &str) -> bool {
    if !path.contains(['.', '%']) {
        return false;
    }
    let decoded = path.replace("%2e", ".").replace("%2E", ".").replace("%2f", "/").replace("%2F", "/");
    let decoded = decoded.replace("%5c", "/").replace("%5C", "/").replace("%3b", ";").replace("%3B", ";");
    decoded.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).any(|segment| matches!(segment, "." | ".."))
}

/// The path as the journal keeps it: without the query's values, which may be personal or secret; at most 512 characters.
pub(super) fn without_values(path: &str) -> String {
    let path = path.split_once('#').map_or(path, |(path, _)| path);
    let Some((path, query)) = path.split_once('?') else { return shortened(path) };
    let keys: Vec<_> = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(key, _)| key)).collect();
    shortened(&format!("{path}?{}", keys.join("&")))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(JOURNAL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_pass() {
        for path in [
            "",
            "/",
            "/v1/customers?email=a%40b&x=..",
            "/a//b",
            "/a...b/.well-known/..x",
            "/group%2Fproject",
            "/a;v=1/b",
            "/?u=http://x/..",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn a_path_cannot_climb_out_of_the_base() {
        for path in [
            "/..",
            "/../x",
            "/a/..",
            "/a/../b",
            "/.",
            "/a/./b",
            "/%2e%2e/x",
            "/%2E./x",
            "/.%2e",
            "/a/%2e/b",
            "/..%2fadmin",
            "/x%2F..%2Fy",
            "/..%5cadmin",
            "/..;/admin",
            "/..;x=1/admin",
            "/..%3b/admin",
            "/a/..?x",
        ] {
            assert!(check(path).is_err(), "{path} was taken");
        }
    }

    #[test]
    fn a_path_names_no_other_host_and_no_bytes_that_are_not_plain() {
        for path in [
            "x",
            "*",
            "?x",
            "//evil.example",
            "http://evil.example/",
            "/a#b",
            "/a b",
            "/a\tb",
            "/a\r\nx: y",
            "/a\0",
            "/ä",
            "/a\\b",
            "/\u{7f}",
        ] {
            assert!(check(path).is_err(), "{path:?} was taken");
        }
    }

    #[test]
    fn eight_kibibytes_pass_and_one_more_byte_does_not() {
        assert!(check(&format!("/{}", "a".repeat(PATH_BYTES_MAX - 1))).is_ok());
        assert!(check(&format!("/{}", "a".repeat(PATH_BYTES_MAX))).is_err());
    }

    #[test]
    fn the_journal_keeps_the_names_of_a_query_and_not_its_values() {
        for (path, kept) in [("/x", "/x"), ("/x?a=1&b=2&c", "/x?a&b&c"), ("/x?a==?b=1", "/x?a"), ("/x?", "/x?"), ("/x#token", "/x")] {
            assert_eq!(without_values(path), kept);
        }
        assert_eq!(without_values(&"ä".repeat(600)), format!("{}…", "ä".repeat(512)));
    }
}

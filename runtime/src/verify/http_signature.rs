//! Signatures over parts of an HTTP message that the request itself lists: HTTP Message Signatures (RFC 9421), and the draft before them
//! (draft-cavage-http-signatures-12). What must be listed is checked: a signature over less would prove less.

use crate::domain::RefusalCause;

use super::carrier;
use super::message::Context;
use super::view::View;

/// The header that lists what is signed (RFC 9421 §4.1).
pub(super) const INPUT: &str = "signature-input";
/// How many parts a message may list.
const COMPONENTS_MAX: usize = 32;

/// The members of a dictionary (RFC 8941 §3.2), as they are written.
pub(super) fn members(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_inside) = (false, false);
    let separates = move |byte: &u8| {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'(' if !is_quoted => is_inside = true,
            b')' if !is_quoted => is_inside = false,
            _ => {}
        }
        *byte == b',' && !is_quoted && !is_inside
    };
    text.split(separates).map(<[u8]>::trim_ascii)
}

/// The bytes of a member `label=:BASE64:` (RFC 8941 §3.3.5).
pub(super) fn byte_sequence(member: &[u8]) -> Option<&[u8]> {
    let at = member.iter().position(|byte| *byte == b'=')?;
    member[at + 1..].strip_prefix(b":")?.strip_suffix(b":")
}

/// When the signature says that it was made.
pub(super) fn created<'a>(view: &View<'a>, value: &[u8]) -> Result<&'a [u8], RefusalCause> {
    let parameters = Listed::of(view, value)?.parameters;
    let created = parameters.split(|byte| *byte == b';').find_map(|parameter| parameter.strip_prefix(b"created="));
    created.ok_or_else(|| malformed("a `created` parameter"))
}

/// The signature base of RFC 9421 §2.5. `content-digest` must be among its parts where there is a body.
pub(super) fn rfc9421(context: &Context<'_>) -> Result<Vec<u8>, RefusalCause> {
    let listed = Listed::of(context.view, context.value)?;
    if !context.view.body().is_empty() && !listed.components.contains(&"content-digest") {
        return Err(malformed("`content-digest` among what is signed"));
    }
    base(context.view, &listed)
}

fn base(view: &View<'_>, listed: &Listed<'_>) -> Result<Vec<u8>, RefusalCause> {
    let mut base = Vec::new();
    for name in &listed.components {
        let value = component(view, name)?;
        base.extend_from_slice(&[b"\"", name.as_bytes(), b"\": ", &value, b"\n"].concat());
    }
    base.extend_from_slice(&[b"\"@signature-params\": ", listed.text].concat());
    Ok(base)
}

/// The parts that a signature lists, with the text that lists them.
struct Listed<'a> {
    components: Vec<&'a str>,
    parameters: &'a [u8],
    text: &'a [u8],
}

impl<'a> Listed<'a> {
    /// Those of the member that has the signature's label.
    fn of(view: &View<'a>, value: &[u8]) -> Result<Self, RefusalCause> {
        let label = value.iter().position(|byte| *byte == b'=').map(|at| &value[..=at]).ok_or_else(|| malformed("a label"))?;
        let input = carrier::only(view.headers(), INPUT)?;
        let mut own = members(input).filter_map(|member| member.strip_prefix(label));
        let text = own.next().filter(|_| own.next().is_none()).ok_or_else(|| malformed("one member with the signature's label"))?;
        let inner =
            text.strip_prefix(b"(").and_then(|rest| rest.iter().position(|byte| *byte == b')').map(|at| (&rest[..at], &rest[at + 1..])));
        let (list, parameters) = inner.ok_or_else(|| malformed("a list in parentheses"))?;
        let list = std::str::from_utf8(list).map_err(|_| malformed("ASCII"))?;
        // Components with parameters of their own (`;sf`, `;req`) are read in as many ways as there are libraries.
        let name = |item: &'a str| item.strip_prefix('"')?.strip_suffix('"').filter(|name| !name.contains('"'));
        let components: Option<Vec<&str>> = list.split(' ').filter(|item| !item.is_empty()).map(name).collect();
        let components = components.filter(|names| names.len() <= COMPONENTS_MAX && is_once(names));
        Ok(Self { components: components.ok_or_else(|| malformed("plain names, each once"))?, parameters, text })
    }
}

fn is_once(names: &[&str]) -> bool {
    names.iter().enumerate().all(|(at, name)| !names[..at].contains(name))
}

/// RFC 9421 §2.1 and §2.2.
fn component(view: &View<'_>, name: &str) -> Result<Vec<u8>, RefusalCause> {
    let url = || view.url().ok_or_else(|| RefusalCause::MissingField { field: "public_url".into() });
    let (path, query) = view.target().split_once('?').map_or((view.target(), ""), |(path, query)| (path, query));
    Ok(match name {
        "@method" => view.method().into(),
        "@target-uri" => url()?.into(),
        "@scheme" => url()?.split("://").next().unwrap_or_default().into(),
        "@authority" => {
            let host = url()?.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default().to_ascii_lowercase();
            let host = host.strip_suffix(":443").or(host.strip_suffix(":80")).unwrap_or(&host);
            host.into()
        }
        "@request-target" => view.target().into(),
        "@path" => path.into(),
        "@query" => format!("?{query}").into(),
        name if name.starts_with('@') => return Err(malformed("components of RFC 9421 §2.2")),
        name => carrier::only(view.headers(), name)?.trim_ascii().into(),
    })
}

/// The signing string of the draft, §2.3: the parts that the pair `headers` names, `(request-target)`, `date` and `digest` among them.
pub(super) fn cavage(context: &Context<'_>) -> Result<Vec<u8>, RefusalCause> {
    let (view, malformed) = (context.view, || context.scheme.malformed());
    let names = carrier::names(context.scheme.pair(context.value, "headers")?, b' ').ok_or_else(malformed)?;
    if ["(request-target)", "date", "digest"].iter().any(|needed| !names.iter().any(|name| name == needed)) {
        return Err(malformed());
    }
    let line = |name: &String| match name.as_str() {
        "(request-target)" => Ok(format!("{name}: {} {}", view.method().to_ascii_lowercase(), view.target()).into_bytes()),
        name if name.starts_with('(') => Err(malformed()),
        // Proxies rewrite it; what the provider sent it to is what the source says.
        "host" if view.url().is_some() => Ok([b"host: ", &component(view, "@authority")?[..]].concat()),
        name => Ok([name.as_bytes(), b": ", carrier::only(view.headers(), name)?.trim_ascii()].concat()),
    };
    Ok(names.iter().map(line).collect::<Result<Vec<_>, _>>()?.join(&b"\n"[..]))
}

fn malformed(expected: &str) -> RefusalCause {
    RefusalCause::MalformedHeader { header: INPUT.into(), expected: expected.into() }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    use super::*;
    use crate::domain::{RawRequest, Timestamp};

    /// The request of RFC 9421 appendix B.2.
    fn request(input: &str) -> RawRequest {
        let mut headers = crate::domain::Headers::default();
        for (name, value) in [("date", "Tue, 20 Apr 2021 02:07:55 GMT"), ("content-type", "application/json"), (INPUT, input)] {
            headers.push(name, value);
        }
        let target = "/foo?param=Value&Pet=dog".into();
        RawRequest { method: "POST".into(), target, headers, body: bytes::Bytes::new(), received_at: Timestamp::from_millis(0) }
    }

    fn of(input: &str) -> Result<Vec<u8>, RefusalCause> {
        let request = request(input);
        let view = View::new(&request, Some("https://example.com/foo"));
        base(&view, &Listed::of(&view, b"sig-b25=:AA==:")?)
    }

    #[test]
    fn the_example_of_the_rfc_holds() {
        let input = r#"other=("date"), sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
        let key =
            STANDARD.decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==").expect("base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        mac.update(&of(input).expect("a base"));
        assert_eq!(STANDARD.encode(mac.finalize().into_bytes()), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
        let request = request(input);
        let view = View::new(&request, None);
        assert_eq!(created(&view, b"sig-b25=:AA==:"), Ok(&b"1618884473"[..]));
    }

    #[test]
    fn derived_parts_are_those_of_the_request() {
        let list = r#"sig-b25=("@method" "@target-uri" "@scheme" "@authority" "@request-target" "@path" "@query");created=1"#;
        let expected = "\"@method\": POST\n\"@target-uri\": https://example.com/foo?param=Value&Pet=dog\n\"@scheme\": https\n\
             \"@authority\": example.com\n\"@request-target\": /foo?param=Value&Pet=dog\n\"@path\": /foo\n\"@query\": ?param=Value&Pet=dog\n";
        let base = String::from_utf8(of(list).expect("a base")).expect("text");
        assert!(base.starts_with(expected), "{base}");
    }

    #[test]
    fn what_is_listed_in_two_ways_is_refused() {
        for input in [
            r#"sig-b25=("date" "date");created=1"#,
            r#"sig-b25=("date";sf);created=1"#,
            r#"sig-b25=("date");created=1, sig-b25=("content-type");created=1"#,
            r#"sig-b25=("@status");created=1"#,
            r#"sig-b25="date""#,
            r#"other=("date");created=1"#,
        ] {
            assert!(of(input).is_err(), "{input}");
        }
    }

    #[test]
    fn members_are_split_outside_of_quotes_and_lists() {
        let all: Vec<&[u8]> = members(br#"a=("x" "y");k="1,2", b=:AA==: ,c=("(,")"#).collect();
        assert_eq!(all, [&br#"a=("x" "y");k="1,2""#[..], b"b=:AA==:", br#"c=("(,")"#]);
        assert_eq!((byte_sequence(b"b=:AA==:"), byte_sequence(b"b=AA==")), (Some(&b"AA=="[..]), None));
    }
}

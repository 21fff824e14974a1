//! Where an upstream is: scheme, host, port and path prefix, and nothing else. Credentials never stand in a URL.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use url::{Position, Url};

use super::address::is_public;
use super::path;

/// An `http` or `https` URL below which an upstream is called: no user, no query, no fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    /// Empty, or begins with `/` and does not end with it.
    prefix: String,
}

/// Why a text is no base URL; one sentence for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidBaseUrl(&'static str);

impl BaseUrl {
    /// Whether it is reached over TLS.
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The address of its host, where the URL spells out one that is not on the public internet.
    pub fn private_address(&self) -> Option<IpAddr> {
        address_of(self.authority.host()).filter(|address| !is_public(*address))
    }

    /// Scheme and host, and whether there is a path: a path may be a secret, as Slack's is.
    pub(super) fn shown(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, if self.prefix.is_empty() { "" } else { "/…" })
    }

    /// Path and query of a URL below this base; `None` for one that is elsewhere.
    pub(super) fn rest_of(&self, url: &Uri) -> Option<String> {
        let port = |authority: &Authority| authority.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 });
        let theirs = url.authority()?;
        let is_there = url.scheme() == Some(&self.scheme)
            && theirs.host().eq_ignore_ascii_case(self.authority.host())
            && !theirs.as_str().contains('@')
            && port(theirs) == port(&self.authority);
        let path = url.path_and_query().map_or("/", PathAndQuery::as_str);
        let rest = path.strip_prefix(&self.prefix).filter(|_| is_there)?;
        match rest.chars().next() {
            Some('/') => Some(rest.to_owned()),
            Some('?') | None => Some(format!("/{rest}")),
            Some(_) => None,
        }
    }

    /// The address below the base of a path that [`path::check`] has passed; `None` where a URL may not contain it.
    pub(super) fn join(&self, path: &str) -> Option<Uri> {
        self.at(&format!("{}{path}", self.prefix))
    }

    /// What `reference` names (RFC 3986 §5) where it stands in an answer from `here`, without its fragment; `None` where that is no URL, has
    /// a user, or is not below the base.
    pub(super) fn resolve(&self, here: &Uri, reference: &str) -> Option<Uri> {
        let here = Url::parse(&here.to_string()).ok()?;
        let there = here.join(reference).ok()?;
        if there.origin() != here.origin() || !there.username().is_empty() || there.password().is_some() {
            return None;
        }
        let path = &there[Position::BeforePath..Position::AfterQuery];
        let below = path.strip_prefix(&self.prefix)?;
        // The prefix `/v1` has `/v1`, `/v1?x` and `/v1/x` below it, and not `/v10`.
        let is_below = below.is_empty() || below.starts_with(['/', '?']);
        if !is_below || path::check(path).is_err() {
            return None;
        }
        self.at(path)
    }

    /// The address of a path on the same host.
    fn at(&self, path: &str) -> Option<Uri> {
        let path = PathAndQuery::try_from(if path.is_empty() { "/" } else { path }).ok()?;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).ok()
    }
}

/// The address that a URL's host spells out, brackets of IPv6 taken off; `None` for a name, which has to be resolved.
pub(super) fn literal_address(uri: &Uri) -> Option<IpAddr> {
    address_of(uri.host()?)
}

fn address_of(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        // The URI type drops a fragment without a word.
        if text.contains(['?', '#']) {
            return Err(InvalidBaseUrl("an upstream's URL has no query and no fragment; a plugin adds the query to its path"));
        }
        let parts =
            text.parse::<Uri>().map_err(|_| InvalidBaseUrl("this is not a URL; write it like https://crm.example.com/api"))?.into_parts();
        let scheme = parts.scheme.filter(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
        let scheme = scheme.ok_or(InvalidBaseUrl("an upstream's URL begins with https:// or http://"))?;
        let authority = parts.authority.ok_or(InvalidBaseUrl("an upstream's URL needs a host"))?;
        check_authority(&authority)?;
        let prefix = parts.path_and_query.as_ref().map_or("", PathAndQuery::path).trim_end_matches('/').to_owned();
        if !prefix.is_empty() && path::check(&prefix).is_err() {
            return Err(InvalidBaseUrl("the path of an upstream's URL has no `.` or `..` segments and no backslash"));
        }
        Ok(Self { scheme, authority, prefix })
    }
}

fn check_authority(authority: &Authority) -> Result<(), InvalidBaseUrl> {
    if authority.as_str().contains('@') {
        return Err(InvalidBaseUrl("credentials do not stand in the URL; use `auth`"));
    }
    // `%` would be an IPv6 zone or an escaped name, neither of which is a public host.
    if authority.host().is_empty() || authority.host().contains('%') {
        return Err(InvalidBaseUrl("an upstream's URL needs a host name or an IP address"));
    }
    // `host:` and a port over 65535 pass as text, but name no port.
    if authority.as_str() != authority.host() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(InvalidBaseUrl("the port of an upstream's URL is a number from 1 to 65535"));
    }
    Ok(())
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> BaseUrl {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_path_is_appended_to_the_prefix() {
        for (url, joined) in [
            ("https://crm.example.com", "https://crm.example.com/v1?a=b"),
            ("HTTPS://crm.example.com/", "https://crm.example.com/v1?a=b"),
            ("http://10.0.0.1:81/api/", "http://10.0.0.1:81/api/v1?a=b"),
            ("http://[::1]:81/api/x", "http://[::1]:81/api/x/v1?a=b"),
        ] {
            assert_eq!(base(url).join("/v1?a=b").expect("a URL").to_string(), joined);
        }
        for (url, joined) in
            [("https://a.example", "https://a.example/"), ("https://a.example/services/x/", "https://a.example/services/x")]
        {
            assert_eq!(base(url).join("").expect("a URL").to_string(), joined);
        }
    }

    #[test]
    fn a_redirect_stays_below_the_base() {
        let base = base("https://crm.example.com/v1");
        let here = "https://crm.example.com/v1/a/b?c=d".parse().expect("a URL");
        let resolved = |reference: &str| base.resolve(&here, reference).map(|uri| uri.to_string());
        for (reference, path) in [
            ("x", "/v1/a/x"),
            ("../x?y", "/v1/x?y"),
            ("/v1/x#fragment", "/v1/x"),
            ("?e", "/v1/a/b?e"),
            ("https://CRM.example.com:443/v1/x", "/v1/x"),
            ("//crm.example.com/v1", "/v1"),
        ] {
            assert_eq!(resolved(reference), Some(format!("https://crm.example.com{path}")), "{reference}");
        }
        for elsewhere in [
            "http://crm.example.com/v1/x",
            "https://crm.example.com:444/v1/x",
            "https://evil.example/v1/x",
            "//evil.example/v1",
            "https://u:p@crm.example.com/v1/x",
            "https://crm.example.com.evil.example/v1",
            "\\\\evil.example/v1",
            "/v2/x",
            "/v10",
            "/v1/../v2",
            "../../x",
            "/v1/..%2fv2",
            "javascript:alert(1)",
            "https://",
        ] {
            assert_eq!(resolved(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn what_is_no_base_is_refused() {
        for text in [
            "",
            "/",
            "crm.example.com",
            "crm.example.com/api",
            "//crm",
            "ftp://crm",
            "https://",
            "https:///x",
            "https://:80",
            "https://a b",
            "https://crm?x",
            "https://crm/?x",
            "https://crm#x",
            "https://u:p@crm",
            "https://u@crm",
            "https://crm:",
            "https://crm:0",
            "https://crm:99999",
            "https://crm/../x",
            "https://crm/%2E%2e/x",
            "https://crm/a\\b",
            "https://[fe80::1%25eth0]/",
            "https://crm//x",
        ] {
            assert!(text.parse::<BaseUrl>().is_err(), "{text} was taken");
        }
    }

    #[test]
    fn literal_addresses_are_seen_in_every_bracket() {
        let literal = |text: &str| literal_address(&text.parse().expect("a URL"));
        assert_eq!(literal("http://127.0.0.1:80/"), "127.0.0.1".parse().ok());
        assert_eq!(literal("http://[::ffff:127.0.0.1]/"), "::ffff:127.0.0.1".parse().ok());
        assert_eq!(literal("http://localhost/"), None);
    }
}

//! `[upstreams.NAME]`: an outbound target with its credentials and bounds.

use std::path::Path;
use std::time::Duration;

use super::secret;
use crate::document::{Field, Section};
use crate::domain::UpstreamName;
use crate::upstream::{Auth, Timeouts, UpstreamSettings, standard_webhooks_key};

pub(super) fn read(name: &Field<'_>, section: &Section<'_>, directory: &Path) -> Option<UpstreamSettings> {
    let upstream_name: Option<UpstreamName> = name.parse();
    let base = section.required("url").and_then(|field| field.parse());
    let auth = section.section("auth", |auth| read_auth(auth, directory)).unwrap_or(Some(Auth::None));
    let timeouts = section.section("timeouts", read_timeouts).unwrap_or_default();
    let allow_private = section.field("allow_private").and_then(|field| field.as_bool()).unwrap_or(false);
    let response_bytes_max = section.field("max_response").and_then(|field| field.as_bytes(1..=32 << 20)).unwrap_or(1 << 20);
    Some(UpstreamSettings { name: upstream_name?, base: base?, auth: auth?, timeouts, allow_private, response_bytes_max })
}

fn read_auth(section: &Section<'_>, directory: &Path) -> Option<Auth> {
    let kinds = ["bearer", "basic", "header", "standard_webhooks"].into_iter().filter(|kind| section.has(kind)).count();
    let bearer = section.field("bearer").map(|field| secret::resolve(&field, directory).map(Auth::Bearer));
    let basic = section.section("basic", |basic| read_basic(basic, directory));
    let header = section.section("header", |header| read_header(header, directory));
    let signature = section.field("standard_webhooks").map(|field| read_signature(&field, directory));
    if kinds != 1 {
        section.error("`auth` is one of: { bearer = \"env:…\" }, { basic = { user, password } }, { header = { name, value } }, { standard_webhooks = \"env:…\" }");
        return None;
    }
    let auth = bearer.or(basic).or(header).or(signature).flatten()?;
    auth.check().map_err(|reason| section.error(format!("these credentials cannot be sent: {reason}"))).ok()?;
    Some(auth)
}

fn read_basic(section: &Section<'_>, directory: &Path) -> Option<Auth> {
    let user = section.required("user").and_then(|field| field.as_str());
    let password = section.required("password").and_then(|field| secret::resolve(&field, directory));
    Some(Auth::Basic { user: user?.to_owned(), password: password? })
}

fn read_header(section: &Section<'_>, directory: &Path) -> Option<Auth> {
    let name = section.required("name").and_then(|field| field.as_str());
    let value = section.required("value").and_then(|field| secret::resolve(&field, directory));
    Some(Auth::Header { name: name?.to_owned(), value: value? })
}

fn read_signature(field: &Field<'_>, directory: &Path) -> Option<Auth> {
    let secret = secret::resolve(field, directory)?;
    let key = std::str::from_utf8(secret.expose()).map_err(|_| "is not text".to_owned()).and_then(standard_webhooks_key);
    key.map(Auth::StandardWebhooks).map_err(|reason| field.error(format!("`{}`: {reason}", field.path()), None)).ok()
}

fn read_timeouts(section: &Section<'_>) -> Timeouts {
    let default = Timeouts::default();
    let range = Duration::from_millis(10)..=Duration::from_mins(15);
    let duration = |key, otherwise| section.field(key).and_then(|field| field.as_duration(range.clone())).unwrap_or(otherwise);
    Timeouts {
        connect: duration("connect", default.connect),
        read: duration("read", default.read),
        total: duration("total", default.total),
    }
}

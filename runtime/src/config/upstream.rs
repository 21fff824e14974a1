//! `[upstreams.NAME]`: an outbound target with its credentials and bounds.

use std::path::Path;
use std::time::Duration;

use super::{auth, policies, secret};
use crate::document::{Field, Section};
use crate::domain::UpstreamName;
use crate::upstream::{Auth, BaseUrl, Faults, Identity, Timeouts, Tls, UpstreamSettings};

pub(super) fn read(name: &Field<'_>, section: &Section<'_>, directory: &Path) -> Option<UpstreamSettings> {
    let upstream_name: Option<UpstreamName> = name.parse();
    let url = section.required("url");
    let base: Option<BaseUrl> = url.as_ref().and_then(Field::parse);
    let timeouts = section.section("timeouts", read_timeouts).unwrap_or_default();
    let allow_private = section.field("allow_private").and_then(|field| field.as_bool()).unwrap_or(false);
    let response_bytes_max = section.field("max_response").and_then(|field| field.as_bytes(1..=32 << 20)).unwrap_or(1 << 20);
    let policies = policies::read(section, timeouts.total);
    let auth = section.section("auth", |auth| auth::read(auth, directory, allow_private)).unwrap_or(Some(Auth::None));
    let tls = section.section("tls", |tls| read_tls(tls, directory)).unwrap_or_else(|| Some(Tls::default()));
    if section.has("tls") && base.as_ref().is_some_and(|base| !base.is_https()) {
        section.error("`tls` goes with an https URL only: this upstream is called in the clear");
    }
    if let (Some(url), Some(base), false) = (&url, &base, allow_private) {
        warn_of_way(url, base, auth.as_ref());
    }
    let redirects_max = section.field("redirects").and_then(|field| field.as_integer(0..=10)).unwrap_or(0);
    let stale_range = Duration::from_secs(1)..=Duration::from_hours(30 * 24);
    let stale_if_error = section.field("stale_if_error").and_then(|field| field.as_duration(stale_range));
    Some(UpstreamSettings {
        name: upstream_name?,
        base: base?,
        auth: auth?,
        timeouts,
        allow_private,
        response_bytes_max,
        tls: tls?,
        redirects_max: u32::try_from(redirects_max).expect("at most 10"),
        stale_if_error,
        faults: Faults::default(),
        policies,
    })
}

/// What is odd about the way to an upstream that is on the public internet.
fn warn_of_way(url: &Field<'_>, base: &BaseUrl, auth: Option<&Auth>) {
    if let Some(address) = base.private_address() {
        let help = "`allow_private = true` allows this upstream to be in the own network".to_owned();
        url.warning(format!("`{}` is at {address}, which is not on the public internet: its calls are refused", url.path()), Some(help));
    } else if !base.is_https() && auth.is_some_and(Auth::is_sent) {
        let help = "use https; in the own network `allow_private = true` allows it".to_owned();
        url.warning(format!("`{}` is not https: credentials cross the internet in the clear", url.path()), Some(help));
    }
}

fn read_tls(section: &Section<'_>, directory: &Path) -> Option<Tls> {
    let file = |key| section.field(key).map_or(Some(None), |field| secret::resolve(&field, directory).map(Some));
    let (certificate, key, ca) = (file("certificate"), file("key"), file("ca"));
    let identity = match (certificate?, key?) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (None, None) => None,
        _ => {
            section.error("`certificate` and `key` of `tls` belong together");
            return None;
        }
    };
    let tls = Tls { ca: ca?, identity };
    tls.check().map_err(|reason| section.error(format!("these certificates cannot be used: {reason}"))).ok()?;
    Some(tls)
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

//! `auth` of `[upstreams.NAME]`: the credentials that the host adds to each call.

use std::path::Path;

use super::secret;
use crate::document::{Field, Section};
use crate::upstream::{
    Auth, ClientAuthentication, HmacAlgorithm, HmacEncoding, HmacSigning, OAuth, SigningTemplate, standard_webhooks_key, token_url,
};

/// `allow_private` is what the operator says of the upstream: then its token endpoint may be in the clear, too.
pub(super) fn read(section: &Section<'_>, directory: &Path, allow_private: bool) -> Option<Auth> {
    const KINDS: [&str; 6] = ["bearer", "basic", "header", "oauth2", "hmac", "standard_webhooks"];
    let kinds = KINDS.into_iter().filter(|kind| section.has(kind)).count();
    let bearer = section.field("bearer").map(|field| secret::resolve(&field, directory).map(Auth::Bearer));
    let basic = section.section("basic", |basic| read_basic(basic, directory));
    let header = section.section("header", |header| read_header(header, directory));
    let oauth = section.section("oauth2", |oauth| read_oauth(oauth, directory, allow_private));
    let hmac = section.section("hmac", |hmac| read_hmac(hmac, directory));
    let signature = section.field("standard_webhooks").map(|field| read_signature(&field, directory));
    if kinds != 1 {
        section.error(
            "`auth` is one of: { bearer = \"env:…\" }, { basic = { user, password } }, { header = { name, value } }, \
             { oauth2 = { token_url, client_id, client_secret } }, { hmac = { secret } }, { standard_webhooks = \"env:…\" }",
        );
        return None;
    }
    let auth = bearer.or(basic).or(header).or(oauth).or(hmac).or(signature).flatten()?;
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

fn read_oauth(section: &Section<'_>, directory: &Path, allow_private: bool) -> Option<Auth> {
    let token_url = section.required("token_url").and_then(|field| read_token_url(&field, allow_private));
    let client_id = section.required("client_id").and_then(|field| field.as_str());
    let client_secret = section.required("client_secret").and_then(|field| secret::resolve(&field, directory));
    let styles = [("basic", ClientAuthentication::Basic), ("body", ClientAuthentication::Body)];
    let style = section.field("style").map_or(Some(ClientAuthentication::Basic), |field| field.one_of(&styles));
    let text = |key| section.field(key).map_or(Some(None), |field| field.as_str().map(|text| Some(text.to_owned())));
    let (scope, audience) = (text("scope"), text("audience"));
    let refresh_token = section.field("refresh_token").map_or(Some(None), |field| secret::resolve(&field, directory).map(Some));
    let parameters = section.section("parameters", read_parameters).unwrap_or(Some(Vec::new()));
    Some(Auth::OAuth(OAuth {
        token_url: token_url?,
        client_id: client_id?.to_owned(),
        client_secret: client_secret?,
        style: style?,
        scope: scope?,
        audience: audience?,
        refresh_token: refresh_token?,
        parameters: parameters?,
    }))
}

fn read_token_url(field: &Field<'_>, allow_private: bool) -> Option<http::Uri> {
    let url = field.parse_with(token_url)?;
    if url.scheme_str() == Some("http") && !allow_private {
        field.error(
            format!("`{}` is not https: id and secret would cross the internet in the clear (RFC 6749 §3.2)", field.path()),
            Some("in the own network `allow_private = true` allows it".into()),
        );
        return None;
    }
    Some(url)
}

fn read_parameters(section: &Section<'_>) -> Option<Vec<(String, String)>> {
    section.entries().into_iter().map(|(name, field)| Some((name, field.as_str()?.to_owned()))).collect()
}

fn read_hmac(section: &Section<'_>, directory: &Path) -> Option<Auth> {
    const ALGORITHMS: [(&str, HmacAlgorithm); 3] =
        [("sha256", HmacAlgorithm::Sha256), ("sha1", HmacAlgorithm::Sha1), ("sha512", HmacAlgorithm::Sha512)];
    const ENCODINGS: [(&str, HmacEncoding); 2] = [("hex", HmacEncoding::Hex), ("base64", HmacEncoding::Base64)];
    let secret = section.required("secret").and_then(|field| secret::resolve(&field, directory));
    let algorithm = section.field("algorithm").map_or(Some(HmacAlgorithm::Sha256), |field| field.one_of(&ALGORITHMS));
    let encoding = section.field("encoding").map_or(Some(HmacEncoding::Hex), |field| field.one_of(&ENCODINGS));
    let header = section.field("header").map_or(Some("x-signature"), |field| field.as_str());
    let prefix = section.field("prefix").map_or(Some(SigningTemplate::default()), |field| field.parse());
    let over = section.field("over").map_or_else(|| "{timestamp}.{body}".parse().ok(), |field| field.parse());
    let own_timestamp = section.field("timestamp_header").map(|field| field.as_str());
    let (over, prefix): (SigningTemplate, SigningTemplate) = (over?, prefix?);
    // What is signed has to be sent, and by nothing but the message in its header or one of its own.
    let needs_timestamp = over.has_timestamp() && !prefix.has_timestamp();
    let timestamp_header = own_timestamp.unwrap_or_else(|| Some("x-timestamp").filter(|_| needs_timestamp));
    if own_timestamp == Some(None) {
        return None;
    }
    Some(Auth::Hmac(HmacSigning {
        secret: secret?,
        algorithm: algorithm?,
        encoding: encoding?,
        header: header?.to_owned(),
        prefix,
        over,
        timestamp_header: timestamp_header.map(str::to_owned),
    }))
}

//! `GET /api/v1/sources` and `GET /api/v1/sources/{name}`: what a source checks, and which of its secrets were used when. The numbers are
//! this node's since its start; no secret of the source's is shown, only how the operator calls it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::Admin;
use super::problem::Problem;
use super::rotation::{self, SecretView, Warning};
use crate::config::{InForce, Source};
use crate::domain::{OfferedSecret, RouteName, SourceName, Timestamp};
use crate::store::Page;

/// A source for people and machines.
#[derive(Serialize)]
pub(super) struct SourceView {
    name: SourceName,
    provider: String,
    /// `verified`, `authenticated`, `unverified`, or `plugin` where that is a plugin's word.
    class: &'static str,
    /// What is looked at, strongest first.
    proofs: Vec<ProofView>,
    /// Whether the provider asks something first, which is answered.
    handshake: bool,
    /// The URL as it is registered with the provider.
    public_url: Option<String>,
    routes: Vec<RouteName>,
    counts: CountsView,
    secrets: Vec<SecretView>,
    /// What came with handshakes, newest first: whoever set the provider up takes the one of that moment.
    offered_secrets: Vec<OfferView>,
    warnings: Vec<Warning>,
}

/// Where a proof stands, and how.
#[derive(Serialize)]
struct ProofView {
    carrier: String,
    form: String,
}

/// A secret that the provider, or whoever says to be it, means to sign with. The one place where a secret is shown: nobody else knows it.
#[derive(Serialize)]
struct OfferView {
    secret: String,
    at: Timestamp,
}

/// What became of what the source received: new events, events that were there already, refused requests.
#[derive(Serialize)]
struct CountsView {
    accepted: u64,
    duplicates: u64,
    refused: u64,
}

pub(super) async fn list(State(admin): State<Admin>) -> Json<Page<SourceView>> {
    let (in_force, now) = (admin.current.load(), admin.clock.now());
    let data = in_force.settings.sources.values().filter_map(|source| view(source, &in_force, now)).collect();
    Json(Page { data, next_cursor: None })
}

pub(super) async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Result<Json<SourceView>, Problem> {
    let in_force = admin.current.load();
    let source = in_force.settings.sources.get(name.as_str());
    let view = source.and_then(|source| view(source, &in_force, admin.clock.now()));
    view.map(Json).ok_or_else(|| Problem::not_found("there is no source of this name; `hookfast sources list` shows those that are"))
}

fn offer(offered: &OfferedSecret) -> OfferView {
    OfferView { secret: String::from_utf8_lossy(offered.secret.expose()).into_owned(), at: offered.at }
}

fn view(source: &Arc<Source>, in_force: &InForce, now: Timestamp) -> Option<SourceView> {
    let usage = in_force.usage(&source.name)?;
    let (verifier, counts) = (&source.verifier, usage.counts());
    let secrets = source.secrets.iter().zip(usage.secrets()).enumerate();
    let secrets: Vec<_> = secrets.map(|(position, (secret, usage))| SecretView::new(position, secret, usage, now)).collect();
    Some(SourceView {
        name: source.name.clone(),
        provider: verifier.provider().name.clone(),
        class: source.class(),
        proofs: verifier.schemes().map(|scheme| ProofView { carrier: scheme.carrier.to_string(), form: scheme.to_string() }).collect(),
        handshake: !verifier.provider().handshakes.is_empty(),
        public_url: verifier.public_url().map(Into::into),
        routes: source.routes.iter().map(|route| route.name.clone()).collect(),
        counts: CountsView { accepted: counts.accepted(), duplicates: counts.duplicates(), refused: counts.refused() },
        offered_secrets: usage.offers().iter().map(offer).collect(),
        warnings: rotation::warnings(&secrets, now),
        secrets,
    })
}

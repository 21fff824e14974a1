//! `/api/v1/plugins`: which serve, which failed to load and why; loading another version.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use tokio::sync::oneshot;

use super::Admin;
use super::problem::Problem;
use crate::domain::{Digest, PluginName};
use crate::sandbox::{LoadFailure, PluginStatus, digest};
use crate::store::Page;

/// A version that somebody wants to be live. Whoever keeps the plugin directory takes it from here.
pub struct Upload {
    /// The plugin.
    pub name: PluginName,
    /// Its component.
    pub wasm: Bytes,
    /// Told once it is in the directory, or why it is not.
    pub answer: oneshot::Sender<Result<(), LoadFailure>>,
}

pub(super) async fn list(State(admin): State<Admin>) -> Json<Page<PluginStatus>> {
    Json(Page { data: admin.plugins.statuses(), next_cursor: None })
}

/// Takes a component through every stage of loading and answers once it is live, or says where it failed. What serves goes on
/// serving until then.
pub(super) async fn load(State(admin): State<Admin>, Path(name): Path<String>, wasm: Bytes) -> Result<Json<PluginStatus>, Problem> {
    let name: PluginName = name.parse().map_err(|_| Problem::bad_request("the path's last part is not a plugin's name"))?;
    let uploaded = digest(&wasm);
    let (answer, answered) = oneshot::channel();
    let stopping = || Problem::unavailable("the server is stopping");
    admin.uploads.send(Upload { name: name.clone(), wasm, answer }).await.map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())?.map_err(|failure| Problem::refused_plugin(&name, &failure))?;
    let status = admin.plugins.statuses().into_iter().find(|status| status.name == name);
    status.filter(|status| status.digest == Some(uploaded)).map(Json).ok_or_else(|| older(&name, uploaded))
}

fn older(name: &PluginName, uploaded: Digest) -> Problem {
    let digest = uploaded.short();
    Problem::conflict(format!("{name} {digest} was live before, and the nodes run a later version; build it anew to go back to it"))
}

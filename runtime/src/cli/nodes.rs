//! `hookfast nodes`: which processes share the database, and where they differ and should not.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::Deserialize;

use super::arguments::Connection;
use super::client::{self, Client, Page};
use super::output::Output;
use super::table::Table;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hookfast nodes")]
pub(super) struct Nodes {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    host: String,
    role: String,
    version: String,
    started_at: String,
    lease_ms_left: Option<i64>,
    running: u32,
    configuration: String,
    plugins: BTreeMap<String, String>,
}

pub(super) async fn run(arguments: Nodes) -> anyhow::Result<()> {
    let document = Client::open(&arguments.connection)?.get("/nodes", &[]).await?;
    let Page { data, .. } = client::read::<Page<Node>>(&document)?;
    let output = Output::new(arguments.connection.json);
    let skews = skews(&data);
    output.show(&document, |times| {
        let row = |node: Node| {
            let lease = node.lease_ms_left.map(|left| format!("{:.1} s", Seconds::from(left).0)).unwrap_or_default();
            [
                node.id,
                node.host,
                node.role,
                node.version,
                times.write(&node.started_at),
                lease,
                node.running.to_string(),
                node.configuration,
            ]
        };
        let heading = ["ID", "HOST", "ROLE", "VERSION", "STARTED", "LEASE LEFT", "RUNNING", "CONFIGURATION"];
        Table::new(heading, data.into_iter().map(row)).to_string()
    })?;
    skews.iter().for_each(|skew| output.hint(&format!("warning: {skew}")));
    Ok(())
}

/// A lease's rest, for people.
struct Seconds(f64);

impl From<i64> for Seconds {
    fn from(millis: i64) -> Self {
        Self(std::time::Duration::from_millis(u64::try_from(millis).unwrap_or(0)).as_secs_f64())
    }
}

/// In what the nodes differ, one sentence each.
fn skews(nodes: &[Node]) -> Vec<String> {
    let mut skews = Vec::new();
    let versions: BTreeSet<&str> = nodes.iter().map(|node| node.version.as_str()).collect();
    if versions.len() > 1 {
        skews.push(format!("nodes run different versions: {}", join(&versions)));
    }
    let configurations: BTreeSet<&str> = nodes.iter().map(|node| node.configuration.as_str()).filter(|digest| !digest.is_empty()).collect();
    if configurations.len() > 1 {
        skews.push(format!("nodes have different configurations of sources, upstreams or grants: {}", join(&configurations)));
    }
    let names: BTreeSet<&String> = nodes.iter().flat_map(|node| node.plugins.keys()).collect();
    for name in names {
        let digests: BTreeSet<&str> = nodes.iter().filter_map(|node| node.plugins.get(name)).map(String::as_str).collect();
        if digests.len() > 1 {
            skews.push(format!("nodes run different versions of plugin `{name}`: {}", join(&digests)));
        }
        let without: BTreeSet<&str> = nodes.iter().filter(|node| !node.plugins.contains_key(name)).map(|node| node.id.as_str()).collect();
        if !without.is_empty() {
            skews.push(format!(
                "plugin `{name}` is live on some nodes and not on {}, whose logs say why: what is owed to it is for the others",
                join(&without)
            ));
        }
    }
    skews
}

fn join(words: &BTreeSet<&str>) -> String {
    words.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(version: &str, configuration: &str, digest: &str) -> Node {
        Node {
            id: "node_1".into(),
            host: "a".into(),
            role: "all".into(),
            version: version.into(),
            started_at: String::new(),
            lease_ms_left: Some(9500),
            running: 0,
            configuration: configuration.into(),
            plugins: [("crm".to_owned(), digest.to_owned())].into(),
        }
    }

    #[test]
    fn what_differs_is_told_and_what_does_not_is_not() {
        assert_eq!(skews(&[node("1", "c1", "d1"), node("1", "c1", "d1")]), Vec::<String>::new());
        let told = skews(&[node("1", "c1", "d1"), node("2", "c2", "d2"), node("2", "", "d2")]);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[2].contains("plugin `crm`: d1, d2"), "{told:?}");
        let without = Node { id: "node_2".into(), plugins: BTreeMap::new(), ..node("1", "c1", "d1") };
        let told = skews(&[node("1", "c1", "d1"), without]);
        assert!(matches!(&told[..], [one] if one.contains("plugin `crm` is live on some nodes and not on node_2")), "{told:?}");
    }
}

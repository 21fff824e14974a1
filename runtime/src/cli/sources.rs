//! `hookfast sources`: what each source of a running server checks, and which of its secrets were used when. What a node has counted
//! since its start is all that it knows.

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::arguments::Connection;
use super::client::{self, Client, Page};
use super::output::{Output, count, plain};
use super::table::Table;
use super::time::Times;
use crate::domain::SourceName;

const COUNTED: &str = "counted by this node since it started";

#[derive(Debug, Subcommand)]
pub(super) enum Sources {
    /// List the sources, what they check, and what became of what they received
    #[command(after_help = "Counts are those of the node that answers, since it started.\n\nExample:\n  hookfast sources list")]
    List(List),
    /// Show one source, and which of its secrets were used when: what a secret's rotation waits for
    #[command(after_help = "Counts are those of the node that answers, since it started.\n\nExample:\n  hookfast sources show stripe")]
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The source, as the configuration names it
    name: SourceName,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Deserialize)]
struct Source {
    name: String,
    provider: String,
    class: String,
    proofs: Vec<Proof>,
    handshake: bool,
    public_url: Option<String>,
    routes: Vec<String>,
    counts: Counts,
    secrets: Vec<Secret>,
    #[serde(default)]
    offered_secrets: Vec<Offer>,
    warnings: Vec<Warning>,
}

#[derive(Deserialize)]
struct Proof {
    carrier: String,
    form: String,
}

#[derive(Deserialize)]
struct Counts {
    accepted: u64,
    duplicates: u64,
    refused: u64,
}

#[derive(Deserialize)]
struct Secret {
    position: u64,
    name: Option<String>,
    reference: String,
    not_before: Option<String>,
    not_after: Option<String>,
    state: String,
    uses: u64,
    last_used_at: Option<String>,
    counted_since: String,
}

#[derive(Deserialize)]
struct Offer {
    secret: String,
    at: String,
}

#[derive(Deserialize)]
struct Warning {
    message: String,
}

pub(super) async fn run(command: Sources) -> anyhow::Result<()> {
    match command {
        Sources::List(arguments) => list(&arguments.connection).await,
        Sources::Show(arguments) => show(&arguments).await,
    }
}

async fn list(connection: &Connection) -> anyhow::Result<()> {
    let document = Client::open(connection)?.get("/sources", &[]).await?;
    let Page { data, .. } = client::read::<Page<Source>>(&document)?;
    let output = Output::new(connection.json);
    output.show(&document, |_| table(&data))?;
    output.hint(if data.is_empty() { "no sources; add [sources.NAME] to the configuration" } else { COUNTED });
    data.iter().for_each(|source| source.warn(output));
    Ok(())
}

async fn show(arguments: &Show) -> anyhow::Result<()> {
    let document = Client::open(&arguments.connection)?.get(&format!("/sources/{}", arguments.name), &[]).await?;
    let source = client::read::<Source>(&document)?;
    let output = Output::new(arguments.connection.json);
    output.show(&document, |times| source.write(times))?;
    output.hint(COUNTED);
    source.warn(output);
    Ok(())
}

fn table(sources: &[Source]) -> String {
    let row = |source: &Source| {
        let Counts { accepted, duplicates, refused } = &source.counts;
        let counts = [source.secrets.len() as u64, *accepted, *duplicates, *refused].map(|count| count.to_string());
        let [secrets, accepted, duplicates, refused] = counts;
        let routes = source.routes.join(", ");
        [source.name.clone(), source.provider.clone(), source.class.clone(), routes, secrets, accepted, duplicates, refused]
    };
    let heading = ["SOURCE", "PROVIDER", "CLASS", "ROUTES", "SECRETS", "ACCEPTED", "DUPLICATES", "REFUSED"];
    Table::new(heading, sources.iter().map(row)).to_string()
}

impl Source {
    fn write(&self, times: Times) -> String {
        let Counts { accepted, duplicates, refused } = &self.counts;
        let proofs: Vec<_> = self.proofs.iter().map(|Proof { carrier, form }| format!("{carrier}: {form}")).collect();
        let facts = [
            ("provider", self.provider.clone()),
            ("class", self.class.clone()),
            ("proof", if proofs.is_empty() { self.without_scheme() } else { proofs.join("; or ") }),
            ("handshake", if self.handshake { "answered".into() } else { "none".into() }),
            ("public URL", self.public_url.clone().unwrap_or_else(|| "-".into())),
            ("routes", if self.routes.is_empty() { "none: events are stored only".into() } else { self.routes.join(", ") }),
            ("events", format!("{accepted} accepted, {}", count(*duplicates, "duplicate"))),
            ("refused", count(*refused, "request")),
        ];
        let offer = |offer: &Offer| {
            format!(
                "  offered     {}, {}: put it into `secrets` if the provider was set up then\n",
                plain(&offer.secret),
                times.write(&offer.at)
            )
        };
        let offers: String = self.offered_secrets.iter().map(offer).collect();
        let facts = facts.map(|(name, value)| format!("  {name:12}{}\n", plain(&value))).concat();
        let secrets = self.secrets.iter().map(|secret| secret.row(times));
        let heading = ["SECRET", "REFERENCE", "STATE", "VALID FROM", "VALID UNTIL", "LAST USED", "USES", "COUNTED SINCE"];
        let secrets = Table::new(heading, secrets).to_string();
        let gap = if secrets.is_empty() { "" } else { "\n" };
        format!("{}\n{facts}{offers}{gap}{secrets}", plain(&self.name))
    }

    fn without_scheme(&self) -> String {
        if self.class == "plugin" { "as the plugin says".into() } else { "none: nothing is checked".into() }
    }

    fn warn(&self, output: Output) {
        self.warnings.iter().for_each(|warning| output.hint(&format!("warning: {}: {}", plain(&self.name), plain(&warning.message))));
    }
}

impl Secret {
    fn row(&self, times: Times) -> [String; 8] {
        let time = |time: &Option<String>| time.as_ref().map(|time| times.write(time)).unwrap_or_default();
        let state = self.state.replace('_', " ");
        let (from, until, last) = (time(&self.not_before), time(&self.not_after), time(&self.last_used_at));
        let (position, uses) = (self.position.to_string(), self.uses.to_string());
        let name = self.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        [position, format!("{}{name}", self.reference), state, from, until, last, uses, times.write(&self.counted_since)]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_source_is_shown_with_what_its_rotation_waits_for() {
        let document = json!({
            "name": "pay", "provider": "stripe", "class": "verified", "proofs": [{ "carrier": "header:x", "form": "`<token>`" }],
            "handshake": false, "public_url": null, "routes": ["crm"],
            "counts": { "accepted": 2, "duplicates": 1, "refused": 0 },
            "secrets": [{
                "position": 1, "name": null, "reference": "env:PAY", "not_before": null, "not_after": "2026-02-01T00:00:00.000Z", "state": "not_yet",
                "uses": 0, "last_used_at": null, "counted_since": "2026-01-01T00:00:00.000Z",
            }],
            "offered_secrets": [{ "secret": "b537207f20cbfa02357cf448134da559", "at": "2026-01-01T00:00:00.000Z" }],
            "warnings": [],
        });
        let source = client::read::<Source>(&document).expect("a source");
        let expected = "pay
  provider    stripe
  class       verified
  proof       header:x: `<token>`
  handshake   none
  public URL  -
  routes      crm
  events      2 accepted, 1 duplicate
  refused     0 requests
  offered     b537207f20cbfa02357cf448134da559, 2026-01-01T00:00:00.000Z: put it into `secrets` if the provider was set up then

SECRET  REFERENCE  STATE    VALID FROM  VALID UNTIL               LAST USED  USES  COUNTED SINCE
1       env:PAY    not yet  -           2026-02-01T00:00:00.000Z  -          0     2026-01-01T00:00:00.000Z
";
        assert_eq!(source.write(Times::Absolute), expected);
    }
}

//! The set of known providers: the files compiled in from `runtime/catalogue`, and those an operator adds. A file compiled in is read
//! when its provider is first asked for: a server uses a handful of hundreds.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use crate::document::{Mistake, Mistakes, Severity};

use super::provider::Provider;
use super::read;

/// The files compiled in: the provider's name, which is the file's, and the text, in the order of the names.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

static BUILTIN: LazyLock<BTreeMap<&str, Builtin>> =
    LazyLock::new(|| FILES.iter().map(|(name, text)| (*name, Builtin { text, provider: OnceLock::new() })).collect());

struct Builtin {
    text: &'static str,
    provider: OnceLock<Option<Arc<Provider>>>,
}

/// Providers by name.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(BTreeMap<String, Arc<Provider>>);

impl Catalogue {
    /// The providers compiled in. A test keeps their files free of mistakes.
    pub fn builtin() -> Self {
        Self::default()
    }

    /// The provider of this name.
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.0.get(name).or_else(|| {
            let builtin = BUILTIN.get(name)?;
            builtin.provider.get_or_init(|| read::provider(name, builtin.text, &Mistakes::default()).map(Arc::new)).as_ref()
        })
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self.0.keys().map(String::as_str).chain(BUILTIN.keys().copied()).collect();
        names.sort_unstable();
        names.into_iter()
    }

    /// Adds the provider of a file, unless the file has a mistake or the name is taken.
    pub fn add(&mut self, file: &str, text: &str, mistakes: &Mistakes) {
        let own = Mistakes::default();
        let provider = read::provider(file, text, &own).filter(|_| !own.any_error());
        own.into_vec().into_iter().for_each(|mistake| mistakes.push(mistake));
        let Some(provider) = provider else { return };
        if self.0.contains_key(&provider.name) || BUILTIN.contains_key(provider.name.as_str()) {
            let message = format!("provider `{}` is in the catalogue already", provider.name);
            let help = Some("choose another `name`; a source says which provider it means".into());
            mistakes.push(Mistake::of_file(Severity::Error, file, message, help));
            return;
        }
        self.0.insert(provider.name.clone(), Arc::new(provider));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: &str = r#"
name = "acme"
title = "Acme"
documentation = "https://acme.example/webhooks"
retries = true
event_id = "/id"

[[schemes]]
carrier = "header:x-acme-signature"
parse = { separator = ",", signature = "s" }
algorithm = "hmac-sha256"
encoding = "hex"
key = "utf8"
message = "{timestamp}.{body}"
timestamp = { at = "pair:t", unit = "ms", tolerance = "2m" }
"#;

    fn mistakes_of(text: &str) -> Vec<String> {
        let (mistakes, mut catalogue) = (Mistakes::default(), Catalogue::builtin());
        catalogue.add("acme.toml", text, &mistakes);
        assert_eq!(catalogue.provider("acme").is_none(), mistakes.any_error(), "a file with a mistake is not used");
        mistakes.into_vec().into_iter().map(|m| format!("{}:{} {}", m.line, m.column, m.message)).collect()
    }

    #[test]
    fn the_files_compiled_in_have_no_mistakes() {
        let mistakes = Mistakes::default();
        for (name, text) in FILES {
            let Some(provider) = read::provider(&format!("{name}.toml"), text, &mistakes) else { continue };
            assert_eq!(provider.name, *name);
            assert!(provider.documentation.is_none_or(|page| page.starts_with("https://")), "{name}");
        }
        assert_eq!(mistakes.into_vec(), []);
        assert!(FILES.len() >= 273, "providers were lost");
    }

    #[test]
    fn a_provider_can_be_added() {
        assert_eq!(mistakes_of(ACME), [""; 0]);
    }

    #[test]
    fn a_name_that_is_taken_is_refused() {
        let mistakes = mistakes_of(&ACME.replace("\"acme\"", "\"stripe\"").replace("Acme", "acme"));
        assert_eq!(mistakes, ["0:0 provider `stripe` is in the catalogue already"]);
    }

    #[test]
    fn every_mistake_of_a_file_is_reported_in_one_run() {
        let text = ACME.replace("hmac-sha256", "hmac-sha265").replace("\"/id\"", "\"id\"").replace("title", "titel");
        let mistakes = mistakes_of(&text).join("\n");
        for expected in ["`titel`", "`title` is missing", "`event_id` is `id`", "cannot be `hmac-sha265`"] {
            assert!(mistakes.contains(expected), "{expected} in\n{mistakes}");
        }
    }

    #[test]
    fn schemes_that_would_prove_nothing_are_refused() {
        let check = |from: &str, to: &str, expected: &str| {
            assert!(ACME.contains(from), "{from}");
            let mistakes = mistakes_of(&ACME.replace(from, to)).join("\n");
            assert!(mistakes.contains(expected), "{expected} in\n{mistakes}");
        };
        check("{timestamp}.{body}", "{body}", "the timestamp is not signed");
        check("{timestamp}.{body}", "{timestamp}", "or the scheme says `partial = true`");
        check("{timestamp}.{body}", "{timestamp}{?{body}.{query:a}}", "or the scheme says `partial = true`");
        let unsigned = "message = \"{timestamp}\"\nrequire = [{ value = \"{header:digest}\", equals = \"{body|sha256|hex}\" }]";
        check("message = \"{timestamp}.{body}\"", unsigned, "or the scheme says `partial = true`");
        check("{timestamp}.{body}", "{timestamp}.{body|crc32}", "or the scheme says `partial = true`");
        check("{timestamp}.{body}", "{?{timestamp}{query:a}}.{body}", "the timestamp is not signed");
        check("{timestamp}.{body}", "{timestamp}.{header:x-acme-signature}.{body}", "in which the signature itself stands");
        check("{timestamp}.{body}", "{timestamp}.{body}{?.{query:a}.{header:x-acme-signature}}", "in which the signature itself stands");
        check("timestamp = {", "#", "nothing says where it stands");
        check("parse = {", "#", "needs `parse` with pairs");
        check("\"utf8\"", "\"whpk\"", "does not go with the algorithm");
        check("hmac-sha256", "token", "unknown key `message`");
        check("header:x-acme-signature", "cookie:sig", "a carrier is `header:NAME`");
    }
}

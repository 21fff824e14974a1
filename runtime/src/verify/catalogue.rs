//! The set of known providers: the files compiled in from `runtime/catalogue`, and those an operator adds.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::{Mistake, Mistakes, Severity};

use super::provider::Provider;
use super::read;

macro_rules! builtin {
    ($name:literal) => {
        (concat!($name, ".toml"), include_str!(concat!("../../catalogue/", $name, ".toml")))
    };
}

/// The files compiled in: name and text.
const BUILTIN: &[(&str, &str)] = &[
    builtin!("github"),
    builtin!("gitlab"),
    builtin!("hmac"),
    builtin!("shopify"),
    builtin!("slack"),
    builtin!("standard-webhooks"),
    builtin!("stripe"),
    builtin!("svix"),
    builtin!("token"),
];

/// Providers by name.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(BTreeMap<String, Arc<Provider>>);

impl Catalogue {
    /// The providers compiled in. A test keeps their files free of mistakes.
    pub fn builtin() -> Self {
        let mut catalogue = Self::default();
        let mistakes = Mistakes::default();
        BUILTIN.iter().for_each(|(file, text)| catalogue.add(file, text, &mistakes));
        catalogue
    }

    /// The provider of this name.
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.0.get(name)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Adds the provider of a file, unless the file has a mistake or the name is taken.
    pub fn add(&mut self, file: &str, text: &str, mistakes: &Mistakes) {
        let own = Mistakes::default();
        let provider = read::provider(file, text, &own).filter(|_| !own.any_error());
        own.into_vec().into_iter().for_each(|mistake| mistakes.push(mistake));
        let Some(provider) = provider else { return };
        if self.0.contains_key(&provider.name) {
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
        let (mistakes, mut catalogue) = (Mistakes::default(), Catalogue::default());
        for (file, text) in BUILTIN {
            catalogue.add(file, text, &mistakes);
            let name = file.strip_suffix(".toml").expect("a .toml");
            let provider = catalogue.provider(name).unwrap_or_else(|| panic!("{file} holds no `{name}`"));
            assert!(provider.documentation.starts_with("https://"), "{file}");
        }
        assert_eq!(mistakes.into_vec(), []);
        assert!(Catalogue::builtin().names().eq(catalogue.names()));
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
        let text = ACME
            .replace("hmac-sha256", "hmac-sha265")
            .replace("\"/id\"", "\"id\"")
            .replace("retries = true\n", "")
            .replace("title", "titel");
        let mistakes = mistakes_of(&text).join("\n");
        for expected in ["`titel`", "`title` is missing", "`retries` is missing", "`event_id` is `id`", "cannot be `hmac-sha265`"] {
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
        check("{timestamp}.{body}", "{timestamp}", "`{body}` exactly once");
        check("timestamp = {", "#", "nothing says where it stands");
        check("parse = {", "#", "needs `parse` with pairs");
        check("\"utf8\"", "\"whpk\"", "`ed25519` goes with");
        check("hmac-sha256", "token", "unknown key `message`");
        check("header:x-acme-signature", "query:sig", "a carrier is `header:NAME`");
        check("[[schemes]]", "schemes = []\n[other]", "at least one scheme");
    }
}

//! Any text as a file of `catalogue.d/`: mistakes or a provider, and a provider can be armed and asked.

#![no_main]

use hookfast::document::Mistakes;
use hookfast::domain::{Headers, RawRequest};
use hookfast::verify::Catalogue;
use hookfast_fuzz::{NOW, SECRETS, arm};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (mistakes, mut catalogue) = (Mistakes::default(), Catalogue::builtin());
    let known = catalogue.names().count();
    catalogue.add("sample.toml", text, &mistakes);
    if catalogue.names().count() == known {
        assert!(mistakes.any_error(), "neither a provider nor a mistake");
        return;
    }
    let builtin = Catalogue::builtin();
    let name = catalogue.names().find(|name| builtin.provider(name).is_none()).expect("counted above").to_owned();
    let provider = catalogue.provider(&name).expect("named above");
    let mut headers = Headers::default();
    headers.push("x-signature", "t=1760000000,v1=c2FtcGxl");
    let body = r#"{"signature":"c2FtcGxl","items":[{"id":1}]}"#.into();
    let request = RawRequest { method: "POST".into(), target: "/?a=1".into(), headers, body, received_at: NOW };
    for secret in SECRETS {
        let Ok(verifier) = arm(provider, secret.as_bytes()) else { continue };
        let _ = (verifier.verify(&request, NOW), verifier.handshake(&request, None, NOW));
    }
});

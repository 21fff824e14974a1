//! What a source's requests are worth: by what it checks of them, or that it checks nothing. Claims no more than was checked.

use std::sync::Arc;

use super::key::SetupError;
use super::options::Options;
use super::provider::{Class, Provider};
use super::scheme::Scheme;
use super::verifier::Verifier;

impl Verifier {
    /// Takes every request for what it says it is. Only for a provider that proves nothing, and only where the source says that it takes that.
    pub fn unproved(provider: &Provider, options: &Options) -> Result<Self, SetupError> {
        if !provider.schemes.is_empty() {
            return Err(SetupError::SomethingToCheck { provider: provider.name.clone() });
        }
        let mut verifier = Self::with(Arc::new(options.apply(provider)?), Vec::new(), &[], options);
        verifier.takes_unproved = true;
        Ok(verifier)
    }

    /// The schemes that it has secrets for, strongest first.
    pub fn schemes(&self) -> impl Iterator<Item = &Scheme> {
        self.armed.iter().map(|armed| self.scheme(armed))
    }

    /// Whether it takes requests for what they say they are.
    pub fn takes_unproved(&self) -> bool {
        self.takes_unproved
    }

    /// What its requests are, by the strongest scheme that it has a secret for.
    pub fn class(&self) -> Class {
        // Of a source that has no secret yet, that of its provider: nothing is let in unproved.
        let first = self.schemes().next().or(self.provider.schemes.first());
        first.map_or(Class::Unverified, |scheme| self.provider.class_by(scheme))
    }
}

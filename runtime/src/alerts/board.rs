//! What fires on this node, for whoever asks.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::Alert;
use crate::domain::Timestamp;

/// Written by the watch at each look, read by the admin API.
#[derive(Debug, Default)]
pub struct Board(Mutex<Vec<Shown>>);

/// An alert that fires.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// What fires.
    #[serde(flatten)]
    pub alert: Alert,
    /// When it was told last; absent while it waits for others that begin with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
}

impl Board {
    /// What fires, by rule and subject.
    pub fn firing(&self) -> Vec<Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn show(&self, firing: Vec<Shown>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = firing;
    }
}

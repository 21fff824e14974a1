//! Hookfast: webhooks, made fast. The modules in reading order, from the words up to the program.

pub mod clock;
pub mod document;
pub mod domain;
pub mod memory;
pub mod metrics;
pub mod random;
pub mod verify;
pub mod store;
pub mod sandbox;
pub mod upstream;
pub mod config;
pub mod alerts;
pub mod worker;
pub mod http;
pub mod telemetry;
pub mod app;
pub mod cli;

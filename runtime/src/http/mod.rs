//! The two listeners: ingest, where providers send to, and admin, where operators look. The only home of axum and hyper's
//! server. May look at plugins and ask one to prove a request; never runs an event
//! through one.

mod listen;
mod ingest;
mod admin;

pub use admin::{Admin, ApiToken, Upload};
pub use ingest::{BodyBudget, FrontDoor, KeyFetcher, RefusalLog, Reverifier};
pub use listen::{ListenLimits, Listener};

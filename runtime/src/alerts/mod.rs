//! What the operator is told of: rules over what this node sees, told as events of the topic `alerts`, and from there by the outbox.
//! What is pure stands apart: rules find, standings decide what fires, notices decide what is told when. It must never deliver anything
//! itself, and never let a sender's or an upstream's text into a notice.

mod alert;
mod series;
mod rules;
mod standings;
mod notices;
mod message;
mod heard;
mod event;
mod board;
mod health;
mod watch;

pub use alert::{Alert, Measure, Rule};
pub use board::{Board, Shown};
pub use health::UpstreamHealth;
pub use message::Message;
pub use watch::Watch;

//! The box that tests are written in: a whole server with real plugins in a world they control — its clock, its randomness,
//! its directory, the sender before it and the upstream behind it. Nothing of Hookfast is replaced by something else.

pub mod world;
pub mod plan;
pub mod sender;
pub mod upstream;
pub mod server;
pub mod postgres;
pub mod build;
pub mod disk;
pub mod slow_disk;
pub mod wall_clock;
pub mod wait;
pub mod skip;
pub mod logs;
pub mod directory;
mod preload;

pub use disk::Disk;
pub use plan::{Plan, Source};
pub use sender::{Answer, Delivery, Sender};
pub use server::{Server, Site};
pub use skip::skipped;
pub use slow_disk::SlowDisk;
pub use upstream::{Call, Gate, Reply, Upstream};
pub use wall_clock::WallClock;
pub use world::World;

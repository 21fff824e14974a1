//! Stories: a provider sends, a plugin handles, an upstream answers; and everything that can go wrong on the way.

mod delivery;
mod handshake;
mod refusal;
mod limits;
mod address;
mod encoding;
mod unproved;
mod response;
mod retention;
mod retry;
mod ordering;
mod plugin;
mod reload;
mod rotation;
mod restart;
mod alone;

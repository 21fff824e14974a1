//! Stories: a provider sends, a plugin handles, an upstream answers; and everything that can go wrong on the way.

mod delivery;
mod handshake;
mod keys;
mod offer;
mod refusal;
mod diagnosis;
mod quarantine;
mod limits;
mod adapter;
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
mod batch;

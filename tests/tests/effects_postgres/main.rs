//! Effects over one PostgreSQL: what several nodes commit at once, what comes too late, and what is left when the database, or the way to
//! it, breaks at any point.

mod asking;
mod nodes;
mod crash;
mod broken_off;
mod given_up;

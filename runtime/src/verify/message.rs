//! A request's signed message, in pieces: what stands in the request as it is signed is not copied.

use std::collections::BTreeMap;

use serde_json::Value;

use super::scheme::Scheme;
use super::template::PARTS_MAX;
use super::view::View;

/// What a message is made from.
pub(super) struct Context<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) scheme: &'a Scheme,
    /// The carrier's value.
    pub(super) value: &'a [u8],
    /// The timestamp's text as sent.
    pub(super) timestamp: &'a [u8],
    /// The item of a batch that is looked at, in place of the document.
    pub(super) item: Option<&'a Value>,
    /// The URL, where it is another than the view's.
    pub(super) url: Option<&'a str>,
    /// What the source says of itself.
    pub(super) parameters: &'a BTreeMap<String, String>,
}

/// A request's message.
pub(super) struct Message<'a> {
    pub(super) pieces: [Piece<'a>; PARTS_MAX],
    pub(super) count: usize,
}

/// A part of a message.
pub(super) enum Piece<'a> {
    Slice(&'a [u8]),
    Made(Vec<u8>),
    /// Here the secret stands.
    Secret,
}

impl<'a> Message<'a> {
    pub(super) fn new() -> Self {
        Self { pieces: std::array::from_fn(|_| Piece::Slice(b"")), count: 0 }
    }

    /// These bytes.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let mut message = Self::new();
        message.push(Piece::Slice(bytes));
        message
    }

    pub(super) fn push(&mut self, piece: Piece<'a>) {
        // The template's length was checked when it was read.
        if let Some(slot) = self.pieces.get_mut(self.count) {
            *slot = piece;
            self.count += 1;
        }
    }

    /// The bytes that are signed, in order; `secret` where the secret stands.
    pub(super) fn parts<'m>(&'m self, secret: &'m [u8]) -> impl Iterator<Item = &'m [u8]> {
        self.pieces[..self.count].iter().map(move |piece| match piece {
            Piece::Slice(bytes) => *bytes,
            Piece::Made(bytes) => bytes.as_slice(),
            Piece::Secret => secret,
        })
    }

    /// The bytes in one piece.
    pub(super) fn whole(&self) -> Vec<u8> {
        self.parts(b"").collect::<Vec<_>>().concat()
    }
}

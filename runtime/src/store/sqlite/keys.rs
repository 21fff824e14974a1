//! The dedupe keys in memory: 48 bytes a key, and six to twelve for finding it, however many there are.

use hashbrown::HashTable;

use super::dedupe::Seen;

/// So many entries are allocated at a time: growing neither copies them nor doubles what they take.
const CHUNK: usize = 8192;

/// Keys by their hash.
#[derive(Default)]
pub(super) struct Keys {
    /// All full but the last.
    chunks: Vec<Vec<Entry>>,
    /// Where each entry stands, counted through the chunks.
    places: HashTable<u32>,
}

struct Entry {
    hash: [u8; 16],
    seen: Seen,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn get(&self, hash: &[u8; 16]) -> Option<Seen> {
        self.place(hash).map(|place| entry(&self.chunks, place).seen)
    }

    /// Puts a key in, or what is known of it now in place of what was.
    pub(super) fn insert(&mut self, hash: [u8; 16], seen: Seen) {
        match self.place(&hash) {
            Some(place) => self.chunks[place as usize / CHUNK][place as usize % CHUNK].seen = seen,
            None => self.push(Entry { hash, seen }),
        }
    }

    /// Forgets the others, chunk by chunk, so that old and new are hardly ever there together.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&Seen) -> bool) {
        if self.chunks.iter().flatten().all(|entry| is_kept(&entry.seen)) {
            return;
        }
        for chunk in std::mem::take(self).chunks {
            chunk.into_iter().filter(|entry| is_kept(&entry.seen)).for_each(|entry| self.push(entry));
        }
    }

    fn push(&mut self, entry: Entry) {
        let place = u32::try_from(self.len()).expect("fewer keys than the bound, which is far below four billion");
        if place as usize / CHUNK == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let hashed = short(&entry.hash);
        self.chunks.last_mut().expect("one was pushed").push(entry);
        let chunks = &self.chunks;
        self.places.insert_unique(hashed, place, |place| short(&self::entry(chunks, *place).hash));
    }

    fn place(&self, hash: &[u8; 16]) -> Option<u32> {
        self.places.find(short(hash), |place| entry(&self.chunks, *place).hash == *hash).copied()
    }
}

fn entry(chunks: &[Vec<Entry>], place: u32) -> &Entry {
    &chunks[place as usize / CHUNK][place as usize % CHUNK]
}

/// Keys are SHA-256 output: their first 8 bytes are as good a hash as any.
fn short(hash: &[u8; 16]) -> u64 {
    u64::from_le_bytes(*hash.first_chunk().expect("16 bytes hold 8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn seen(number: u32, expires: i64) -> Seen {
        Seen::new([u8::try_from(number % 251).expect("below 251"); 16], [0; 8], Timestamp::from_millis(expires))
    }

    fn hash(number: u32) -> [u8; 16] {
        let mut hash = [0; 16];
        // Neighbours share their short hash: found all the same.
        hash[..4].copy_from_slice(&(number / 2).to_le_bytes());
        hash[15] = u8::from(number.is_multiple_of(2));
        hash
    }

    #[test]
    fn keys_are_found_over_many_chunks_and_forgotten_when_their_time_has_passed() {
        let count = u32::try_from(CHUNK * 2 + 5).expect("small");
        let mut keys = Keys::default();
        (0..count).for_each(|number| keys.insert(hash(number), seen(number, i64::from(number % 3))));
        keys.insert(hash(7), seen(8, 9));
        assert_eq!(keys.len(), count as usize);
        keys.retain(|seen| seen.is_live(Timestamp::from_millis(1)));
        for number in 0..count {
            let expected = if number == 7 { Some(seen(8, 9)) } else { (number % 3 == 2).then(|| seen(number, 2)) };
            assert_eq!(keys.get(&hash(number)), expected, "{number}");
        }
        assert_eq!(keys.len(), keys.chunks.iter().map(Vec::len).sum::<usize>());
    }
}

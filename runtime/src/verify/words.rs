//! The words that files have for values, looked up both ways.

/// The word for a value; every value has one.
pub(super) fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words.iter().find(|(_, own)| own == value).map(|(word, _)| *word).expect("every value has a word")
}

/// The value that a word stands for.
pub(super) fn value_of<T: Copy>(words: &[(&'static str, T)], text: &str) -> Option<T> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
}

//! Memory that was freed and that the allocator keeps for later: given back to the system after what happens rarely and takes much.

/// Gives back what is free. Takes some milliseconds, in which other threads that allocate may wait for a part of it; does nothing where
/// the C library is not glibc.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointers and may be called at any time, by any thread (malloc_trim(3)).
    #[expect(unsafe_code, reason = "there is no safe way to ask the allocator for this")]
    unsafe {
        libc::malloc_trim(0);
    }
}

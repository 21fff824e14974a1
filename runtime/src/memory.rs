//! Memory given back to the system: what was freed and the allocator keeps for later, and what can be read from its file again.

use std::ops::Range;

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

/// Takes the pages of a mapped file out of memory: they are read from the file again when they are used, for the price of reads from the
/// disk. Of pages that were written to nothing is lost. Does nothing where the system is not Linux.
///
/// `range` begins where a page does.
pub fn page_out(range: &Range<*const u8>) {
    #[cfg(target_os = "linux")]
    // SAFETY: this is advice that changes no byte of what is mapped there (MADV_PAGEOUT, madvise(2)); of a range that is not mapped it is
    // refused.
    #[expect(unsafe_code, reason = "there is no safe way to advise the system")]
    unsafe {
        libc::madvise(range.start.cast_mut().cast(), range.end.addr() - range.start.addr(), libc::MADV_PAGEOUT);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = range;
}

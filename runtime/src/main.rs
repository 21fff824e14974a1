//! The `hookfast` binary: see `cli` for what it can do.

use std::process::ExitCode;

/// An attempt makes hundreds of small allocations on one thread and frees them on another; glibc's allocator pays for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookfast::cli::main()
}

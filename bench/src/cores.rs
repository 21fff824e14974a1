//! Which core does what: servers on the first, the load generator and upstreams on the second. On a machine with one core
//! nothing is pinned, and the report says so.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow, ensure};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    /// What is measured.
    Server,
    /// Who measures.
    Load,
}

impl Core {
    fn number(self) -> &'static str {
        match self {
            Self::Server => "0",
            Self::Load => "1",
        }
    }

    /// A command that runs the program on this core, as the same process.
    pub(crate) fn command(self, program: &std::path::Path) -> Command {
        if !are_pinned() {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["-c", self.number()]).arg(program);
        command
    }
}

/// Whether there is a core for each.
pub(crate) fn are_pinned() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

/// Runs this on a thread of its own, on that core, and waits for it.
pub(crate) fn pinned<T: Send + 'static>(
    core: Core,
    name: &str,
    run: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let should_pin = are_pinned();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if should_pin {
            pin(core)?;
        }
        run()
    })?;
    thread.join().map_err(|_| anyhow!("the thread panicked"))?
}

/// Moves the calling thread to a core. By a tool, since the system call is not to be had without `unsafe`.
fn pin(core: Core) -> anyhow::Result<()> {
    let own = fs::read_link("/proc/thread-self")?;
    let id = own.file_name().and_then(|id| id.to_str()).context("a thread's id")?.to_owned();
    let mut taskset = Command::new("taskset");
    let status = taskset.args(["-c", "-p", core.number(), &id]).stdout(Stdio::null()).status();
    ensure!(status.context("taskset of util-linux is installed")?.success(), "the thread was not moved to core {}", core.number());
    Ok(())
}

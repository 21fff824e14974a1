//! Disks of a test's own: one that fills up, and one whose power can be cut. Both are mounted, which needs root; where a disk cannot be
//! had, the test is told why and says so.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::directory::Directory;

/// Holds a database with some thousands of events.
const IMAGE_MIB: u64 = 128;
/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH` (Linux, `fs/ext4/ext4.h`): what was not synced is gone. From Perl, since the
/// call is unsafe in Rust.
const CUT: &str = "open(my $disk, '<', $ARGV[0]) or die \"$!\\n\"; my $how = pack('L', 2); ioctl($disk, 0x8004587d, $how) or die \"$!\\n\"";

/// A mounted file system, gone with the test.
pub struct Disk {
    directory: Directory,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// An ext4 file system in a file.
    Image,
    /// A tmpfs of so many KiB.
    Memory(u32),
}

impl Disk {
    /// A disk whose power can be cut, proven by a trial.
    ///
    /// # Errors
    /// Why there can be none on this machine.
    pub fn with_power() -> Result<Self, String> {
        let disk = Self { directory: Directory::new(), kind: Kind::Image };
        File::create(disk.image()).and_then(|image| image.set_len(IMAGE_MIB << 20)).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()))?;
        disk.mount()?;
        let (synced, unsynced) = (disk.path().join("synced"), disk.path().join("unsynced"));
        fs::write(&synced, "1").map_err(|error| error.to_string())?;
        disk.sync();
        fs::write(&unsynced, "1").map_err(|error| error.to_string())?;
        disk.try_cut_power()?;
        disk.plug_in_again();
        let is_there = |path: &Path| fs::read(path).is_ok_and(|content| content == b"1");
        match (is_there(&synced), is_there(&unsynced)) {
            (true, false) => Ok(disk),
            found => Err(format!("a trial of the shutdown left (synced, unsynced) = {found:?}")),
        }
    }

    /// A disk of so many KiB.
    ///
    /// # Errors
    /// Why there can be none on this machine.
    pub fn of_memory(kib: u32) -> Result<Self, String> {
        let disk = Self { directory: Directory::new(), kind: Kind::Memory(kib) };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    /// Cuts the power: from now on nothing is read or written, and what was not synced is gone.
    ///
    /// # Panics
    /// If it cannot be cut, though it could in the trial.
    pub fn cut_power(&self) {
        self.try_cut_power().expect("a second cut like the first");
    }

    fn try_cut_power(&self) -> Result<(), String> {
        run(Command::new("perl").args(["-e", CUT]).arg(self.path()))
    }

    /// Mounts what was synced. Nobody may have a file open.
    ///
    /// # Panics
    /// If it cannot be mounted.
    pub fn plug_in_again(&self) {
        run(Command::new("umount").arg(self.path())).expect("nobody has a file open");
        self.mount().expect("a journal that can be replayed");
    }

    /// Writes everything to the disk.
    ///
    /// # Panics
    /// If coreutils' `sync` is not installed.
    pub fn sync(&self) {
        run(Command::new("sync").arg("--file-system").arg(self.path())).expect("sync of coreutils is installed");
    }

    /// Takes all space but so many KiB.
    ///
    /// # Panics
    /// If it has less already.
    pub fn fill_but(&self, kib: u64) {
        let told = output(Command::new("df").args(["--output=avail", "-k"]).arg(self.path())).expect("df of coreutils is installed");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let free: u64 = told.lines().last().and_then(|line| line.trim().parse().ok()).expect("a number of KiB");
        let ballast = free.checked_sub(kib).expect("more space than that");
        run(Command::new("fallocate").args(["--length", &format!("{ballast}KiB")]).arg(self.ballast())).expect("space for the ballast");
    }

    /// Gives that space again.
    ///
    /// # Panics
    /// If it was not taken.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("the ballast");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn mount(&self) -> Result<(), String> {
        fs::create_dir_all(self.path()).map_err(|error| error.to_string())?;
        let mut mount = Command::new("mount");
        match self.kind {
            // Nothing reaches the disk because time passes: only a sync brings it there.
            Kind::Image => mount.args(["-t", "ext4", "-o", "loop,commit=300"]).arg(self.image()),
            Kind::Memory(kib) => mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]),
        };
        run(mount.arg(self.path()))
    }
}

impl Drop for Disk {
    /// Lazily, since a server that is being killed may still have files open.
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy", "--quiet"]).arg(self.path()).output();
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    output(command).map(drop)
}

fn output(command: &mut Command) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() { Ok(output) } else { Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())) }
}

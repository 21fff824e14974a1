//! A throwaway PostgreSQL from the installed server binaries: one server a test process, one database a test. It ends with the
//! process that started it, however that ends.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};

use crate::disk::Disk;
use crate::wall_clock::WallClock;

/// PostgreSQL refuses to run as root; then it runs as this user (`nobody`).
const NOBODY: u32 = 65534;
const SUPERUSER: &str = "hookfast";
/// One call to sync the whole file system after a crash, in place of one for each of a thousand files.
const QUICK_RECOVERY: &str = "recovery_init_sync_method=syncfs";

/// A server of one's own, for tests that kill it.
pub struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
    child: Mutex<Child>,
    clock: Option<Arc<WallClock>>,
}

/// A database of the process's shared server, empty; its URL.
///
/// # Panics
/// If no server can be started.
pub async fn database() -> String {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    tokio::task::spawn_blocking(|| SHARED.get_or_init(Postgres::start).database()).await.expect("no panic")
}

impl Postgres {
    /// Starts a server with its factory settings on a free port, and waits until it answers.
    ///
    /// # Panics
    /// If the binaries are not installed or the server does not start.
    pub fn start() -> Self {
        Self::start_with(&[], None)
    }

    /// The same under this clock.
    ///
    /// # Panics
    /// As without.
    pub fn start_under(clock: &Arc<WallClock>) -> Self {
        Self::start_with(&[], Some(Arc::clone(clock)))
    }

    /// The same with its write-ahead log on this disk, in small segments.
    ///
    /// # Panics
    /// As without.
    pub fn start_with_log_on(disk: &Disk) -> Self {
        let log = own_folder(&disk.path().join("log"));
        Self::start_with(&["--wal-segsize=1".as_ref(), "--waldir".as_ref(), log.as_os_str()], None)
    }

    fn start_with(arguments: &[&OsStr], clock: Option<Arc<WallClock>>) -> Self {
        let bin = binaries();
        let folder = folder();
        let data = folder.join("data");
        let mut initdb = unprivileged(&bin.join("initdb"));
        initdb
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username", SUPERUSER, "--pgdata"])
            .arg(&data)
            .args(arguments);
        succeed(&initdb.output().expect("initdb runs"), "initdb");
        let port = free_port();
        let child = Mutex::new(spawn(&bin, &data, port, clock.as_deref()));
        let server = Self { bin, folder, port, child, clock };
        server.until_ready();
        server
    }

    /// A new, empty database; its URL.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.run(&format!("CREATE DATABASE {name}"), "postgres");
        self.url(&name)
    }

    /// A new, empty database whose tables are on this disk; its URL.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn database_on(&self, disk: &Disk) -> String {
        let tables = own_folder(&disk.path().join("tables"));
        self.run(&format!("CREATE TABLESPACE small LOCATION '{}'", tables.display()), "postgres");
        self.run("CREATE DATABASE small TABLESPACE small", "postgres");
        self.url("small")
    }

    /// Kills all its processes at once and starts it anew: what was not synced is gone.
    ///
    /// # Panics
    /// If it does not start again.
    pub fn crash(&self) {
        self.kill();
        self.start_again();
    }

    /// Ends it at once, as a crash would, and leaves it so.
    ///
    /// # Panics
    /// If it does not end.
    pub fn kill(&self) {
        let data = self.folder.join("data");
        let mut stop = unprivileged(&self.bin.join("pg_ctl"));
        succeed(&stop.args(["stop", "--mode=immediate", "--pgdata"]).arg(data).output().expect("pg_ctl runs"), "pg_ctl stop");
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
    }

    /// Stops all its processes where they are, as a machine that hangs, or a network that loses everything.
    ///
    /// # Panics
    /// If they cannot be signalled.
    pub fn pause(&self) {
        let server = self.id();
        // First the one that starts others.
        succeed(&Command::new("kill").args(["-STOP", &server]).output().expect("kill is installed"), "kill");
        succeed(&Command::new("kill").arg("-STOP").args(self.workers()).output().expect("kill is installed"), "kill");
    }

    /// Lets them go on.
    ///
    /// # Panics
    /// If they cannot be signalled.
    pub fn resume(&self) {
        // Last the one that starts others: until then none ends and is gone.
        let processes = self.workers().into_iter().chain([self.id()]);
        succeed(&Command::new("kill").arg("-CONT").args(processes).output().expect("kill is installed"), "kill");
    }

    fn id(&self) -> String {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).id().to_string()
    }

    /// The processes that it has started.
    fn workers(&self) -> Vec<String> {
        let server = self.id();
        let workers = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).expect("the kernel tells");
        workers.split_whitespace().map(str::to_owned).collect()
    }

    /// Starts it on the same data and port.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&self) {
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) =
            spawn(&self.bin, &self.folder.join("data"), self.port, self.clock.as_deref());
        self.until_ready();
    }

    /// Starts it if it has ended by itself, as an operator would.
    pub fn start_if_ended(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if child.try_wait().expect("a child").is_some() {
            *child = spawn(&self.bin, &self.folder.join("data"), self.port, self.clock.as_deref());
        }
    }

    /// A connection that stays open.
    ///
    /// # Panics
    /// If `psql` is not installed.
    pub fn session(&self, url: &str) -> Session {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-XAtq", url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = psql.spawn().expect("psql runs");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Session { child, output }
    }

    /// Runs a statement and gives what it prints.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self, sql: &str, database: &str) -> String {
        let output = self.psql(sql, database);
        succeed(&output, sql);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }

    fn psql(&self, sql: &str, database: &str) -> Output {
        Command::new(self.bin.join("psql")).args(["-XAtqc", sql, &self.url(database)]).stdin(Stdio::null()).output().expect("psql runs")
    }

    fn until_ready(&self) {
        // Each try waits for the server's own answer: a refused connection or "starting up".
        for _ in 0..600 {
            if self.psql("SELECT 1", "postgres").status.success() {
                return;
            }
            let ended = self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().expect("a child");
            assert!(ended.is_none(), "PostgreSQL ended: see {}", self.folder.join("log").display());
        }
        panic!("PostgreSQL does not answer");
    }
}

/// A connection that holds what a test wants held. Dropping it ends it, and its transaction.
pub struct Session {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Runs a statement to its end.
    ///
    /// # Panics
    /// If the connection breaks.
    pub fn run(&mut self, sql: &str) {
        writeln!(self.child.stdin.as_mut().expect("a pipe"), "{sql};\n\\echo done").expect("psql reads");
        let mut told = String::new();
        while !told.ends_with("done\n") {
            assert!(self.output.read_line(&mut told).expect("text") > 0, "psql ended: {told}");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Spawned by a thread that lives as long as the process, and told to die with it.
fn spawn(bin: &Path, data: &Path, port: u16, clock: Option<&WallClock>) -> Child {
    let mut postgres = Command::new("setpriv");
    postgres.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        postgres.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]);
    }
    postgres.arg(bin.join("postgres")).arg("-D").arg(data).args([
        "-h",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-c",
        "unix_socket_directories=",
        "-c",
        QUICK_RECOVERY,
    ]);
    if let Some(clock) = clock {
        clock.govern(&mut postgres);
    }
    let log = fs::OpenOptions::new().create(true).append(true).open(data.with_file_name("log")).expect("a log file");
    postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    spawner().send(postgres)
}

/// The thread that starts servers.
struct Spawner(Mutex<(mpsc::Sender<Command>, mpsc::Receiver<Child>)>);

impl Spawner {
    fn send(&self, command: Command) -> Child {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        thread.0.send(command).expect("the thread lives");
        thread.1.recv().expect("setpriv of util-linux and PostgreSQL's server are installed")
    }
}

fn spawner() -> &'static Spawner {
    static SPAWNER: OnceLock<Spawner> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (commands, asked) = mpsc::channel::<Command>();
        let (started, children) = mpsc::channel();
        std::thread::spawn(move || {
            for mut command in asked {
                started.send(command.spawn().expect("a process")).expect("somebody waits");
            }
        });
        Spawner(Mutex::new((commands, children)))
    })
}

/// An empty folder that the server's user may write to. Those of processes that are gone go, too: the shared server outlives every
/// test, so that nothing is dropped at its end.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    const PREFIX: &str = "hookfast-postgres-";
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let folder = std::env::temp_dir().join(format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    own_folder(&folder)
}

/// A new folder of the server's user.
fn own_folder(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).expect("a folder");
    if is_root() {
        chown(folder, Some(NOBODY), Some(NOBODY)).expect("another owner");
    }
    folder.to_owned()
}

fn unprivileged(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]).arg(program);
        setpriv
    } else {
        Command::new(program)
    };
    command.stdin(Stdio::null()).current_dir("/");
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// On the PATH, or where Debian keeps them.
fn binaries() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let has_all = |folder: &PathBuf| ["initdb", "postgres", "pg_ctl"].iter().all(|name| folder.join(name).exists());
    let found = std::env::split_paths(&path).chain(debian).find(has_all);
    let found = found.expect("tests need PostgreSQL's server binaries (initdb, postgres, pg_ctl): install the package `postgresql`");
    // Next to the real binary are its companions, wherever a link on the PATH points from.
    found.join("initdb").canonicalize().ok().and_then(|initdb| initdb.parent().map(Path::to_owned)).unwrap_or(found)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn succeed(output: &Output, what: &str) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Those that are paused would stay so.
        let workers = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.id())).unwrap_or_default();
        let _ = Command::new("kill").arg("-CONT").args(workers.split_whitespace()).stderr(Stdio::null()).status();
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
        // What its last processes still hold goes when the next server makes its folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

//! The file itself: made whole or not at all, and never taken for ours when it is not.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Error, ErrorKind, Result};

/// "shrd" in the header of the file; SQLite and `file` show it.
const APPLICATION_ID: i32 = 0x7368_7264;
const VERSION: i32 = 1;

/// Other names write in the same file; a write takes milliseconds, so this is ample.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
    CREATE TABLE checkpoint (
        name  TEXT PRIMARY KEY NOT NULL,
        state TEXT NOT NULL,
        crc   INTEGER NOT NULL,
        saved INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE gap (id INTEGER PRIMARY KEY, name TEXT NOT NULL, gap TEXT NOT NULL) STRICT;
    CREATE TABLE quarantine (
        id       INTEGER PRIMARY KEY,
        name     TEXT NOT NULL,
        shard    TEXT NOT NULL,
        sequence TEXT,
        reason   TEXT NOT NULL,
        raw      BLOB NOT NULL
    ) STRICT;
    CREATE INDEX gap_name ON gap (name);
    CREATE INDEX quarantine_name ON quarantine (name);
";

/// One spelling for one file, so that every path to it meets the same lock.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    if let Ok(whole) = fs::canonicalize(path) {
        return Ok(whole);
    }
    let name = path.file_name().ok_or_else(|| {
        Error::usage(format!("checkpoint {:?} does not name a file", path.display().to_string()))
    })?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory =
        fs::canonicalize(parent.unwrap_or(Path::new("."))).map_err(|cause| unusable(path, cause))?;
    Ok(directory.join(name))
}

pub(super) fn open_or_create(path: &Path) -> Result<Connection> {
    if !path.try_exists().map_err(|cause| unusable(path, cause))? {
        create(path)?;
    }
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if connection.is_readonly("main").map_err(|cause| reading(path, cause))? {
        return Err(unusable(path, io::Error::from(io::ErrorKind::PermissionDenied)));
    }
    Ok(connection)
}

pub(super) fn open_to_read(path: &Path) -> Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn open(path: &Path, access: OpenFlags) -> Result<Connection> {
    let file = fs::metadata(path).map_err(|cause| unusable(path, cause))?;
    if file.is_dir() {
        return Err(unusable(path, io::Error::from(io::ErrorKind::IsADirectory)));
    }
    if file.is_file() && file.len() == 0 {
        // SQLite would take it for a new database, and the consumer for its first start.
        return Err(corrupt(path, "it is empty"));
    }
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|cause| reading(path, cause))?;
    configure(&connection).map_err(|cause| reading(path, cause))?;
    check_identity(&connection, path)?;
    check_integrity(&connection, path)?;
    check_tables(&connection, path)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // FULL: in WAL mode only this syncs the log at every commit.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Only matters on macOS, where fsync alone does not reach the disk.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)
}

fn check_identity(connection: &Connection, path: &Path) -> Result<()> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = pragma("application_id").map_err(|cause| reading(path, cause))?;
    let version = pragma("user_version").map_err(|cause| reading(path, cause))?;
    if application != APPLICATION_ID {
        return Err(foreign(path));
    }
    if version != VERSION {
        let message = format!(
            "the checkpoint file {} has version {version} but this one reads version {VERSION}; \
             use the version of shardarrow that wrote it",
            path.display()
        );
        return Err(Error::new(ErrorKind::CheckpointCorrupt, message));
    }
    Ok(())
}

fn check_integrity(connection: &Connection, path: &Path) -> Result<()> {
    let check = connection.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0));
    match check.map_err(|cause| reading(path, cause))?.as_str() {
        "ok" => Ok(()),
        finding => Err(corrupt(path, finding.trim())),
    }
}

/// A table that is missing or damaged is found now, not when the first gap is to be written.
fn check_tables(connection: &Connection, path: &Path) -> Result<()> {
    let tables = [
        "SELECT name, state, crc, saved FROM checkpoint",
        "SELECT name, gap FROM gap",
        "SELECT name, shard, sequence, reason, raw FROM quarantine",
    ];
    tables
        .into_iter()
        .try_for_each(|select| connection.prepare(select).map(drop).map_err(|cause| reading(path, cause)))
}

/// Makes the file beside its place and links it there when it is complete.
///
/// So nobody ever sees half a file, two creators cannot both win, and an empty file is damage.
fn create(path: &Path) -> Result<()> {
    let log = beside(path, "-wal");
    if log.exists() {
        // SQLite would replay it into the new file.
        let message = format!("{} is left of a checkpoint file that is gone", log.display());
        return Err(corrupt(path, message));
    }
    let draft = draft_path(path);
    let made = write_draft(&draft).map_err(|cause| writing(path, cause));
    let placed = made.and_then(|()| place(&draft, path).map_err(|cause| unusable(path, cause)));
    let _ = fs::remove_file(&draft);
    placed
}

fn draft_path(path: &Path) -> PathBuf {
    static DRAFTS: AtomicU32 = AtomicU32::new(0);
    let count = DRAFTS.fetch_add(1, Ordering::Relaxed);
    beside(path, &format!(".new-{}-{count}", std::process::id()))
}

fn write_draft(draft: &Path) -> rusqlite::Result<()> {
    let _ = fs::remove_file(draft);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = Connection::open_with_flags(draft, flags)?;
    configure(&connection)?;
    // One transaction: otherwise every statement is one, with four syncs.
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    connection.close().map_err(|(_, cause)| cause)
}

fn place(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Ok(()) => {}
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(_) => copy_new(draft, path)?,
    }
    match path.parent() {
        Some(directory) if cfg!(unix) => File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

/// For file systems without hard links. Killed in the middle it leaves a damaged file, which is refused;
/// where it fails it leaves none.
fn copy_new(draft: &Path, path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        opened => opened?,
    };
    let copied = File::open(draft).and_then(|mut draft| io::copy(&mut draft, &mut file));
    let whole = copied.and_then(|_| file.sync_all());
    if whole.is_err() {
        let _ = fs::remove_file(path);
    }
    whole
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn corrupt(path: &Path, finding: impl AsRef<str>) -> Error {
    let message = format!(
        "the checkpoint file {} is damaged: {}; restore it (with its -wal file) from a copy, or remove it to start again",
        path.display(),
        finding.as_ref()
    );
    Error::new(ErrorKind::CheckpointCorrupt, message)
}

fn foreign(path: &Path) -> Error {
    let message = format!(
        "{} is not a checkpoint file, or its beginning is damaged; choose another path, or restore it from a copy",
        path.display()
    );
    Error::new(ErrorKind::CheckpointCorrupt, message)
}

fn unusable(path: &Path, cause: io::Error) -> Error {
    let message = format!(
        "the checkpoint file {} cannot be used ({cause}); choose a path this process may write",
        path.display()
    );
    Error::new(ErrorKind::CheckpointStore, message).with_cause(cause)
}

/// A failure while reading: the device's fault when it is known to be, else the file's.
pub(super) fn reading(path: &Path, cause: rusqlite::Error) -> Error {
    match cause.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => foreign(path).with_cause(cause),
        _ if is_of_the_device(&cause) => writing(path, cause),
        _ => corrupt(path, cause.to_string()).with_cause(cause),
    }
}

/// A failure while writing: the file's fault when it is known to be, else the device's.
pub(super) fn writing(path: &Path, cause: rusqlite::Error) -> Error {
    match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            corrupt(path, cause.to_string()).with_cause(cause)
        }
        _ => {
            let message = format!("the checkpoint file {} failed ({cause})", path.display());
            Error::new(ErrorKind::CheckpointStore, message).with_cause(cause)
        }
    }
}

fn is_of_the_device(cause: &rusqlite::Error) -> bool {
    let Some(failure) = cause.sqlite_error() else { return false };
    let short_read = failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ;
    let device = matches!(
        failure.code,
        ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::DiskFull
            | ErrorCode::OutOfMemory
            | ErrorCode::SystemIoFailure
    );
    device && !short_read
}

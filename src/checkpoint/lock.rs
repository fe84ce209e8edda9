//! One consumer per name: a lock the operating system releases when its holder dies.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// Held from opening a checkpoint until it is dropped.
///
/// The lock is on a file of its own beside the checkpoint, because closing any descriptor of a
/// SQLite file releases SQLite's own locks on it. That file is never removed: removing it would
/// let one process lock the old file and another the new one.
#[derive(Debug)]
pub struct ConsumerLock {
    file: File,
    holder: u32,
}

impl ConsumerLock {
    /// Locks `name` beside the checkpoint at `path`.
    ///
    /// # Errors
    /// `CheckpointBusy` when another holder lives, `CheckpointStore` when the lock file cannot be made.
    pub fn acquire(path: &Path, name: &str) -> Result<Self> {
        let beside = lock_path(path, name);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&beside);
        let mut file = open.map_err(|cause| cannot_lock(&beside, cause))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy(path, name, &mut file)),
            Err(TryLockError::Error(cause)) => return Err(cannot_lock(&beside, cause)),
        }
        // The process id only serves the message above; a lock without it is held all the same.
        let holder = std::process::id();
        let _ = file.set_len(0).and_then(|()| write!(file, "{holder}"));
        Ok(Self { file, holder })
    }
}

/// A process forked meanwhile shares the lock. Closing our descriptor would leave it with the
/// child, so we unlock; and a child that drops its copy must not unlock for us.
impl Drop for ConsumerLock {
    fn drop(&mut self) {
        if self.holder == std::process::id() {
            let _ = self.file.unlock();
        }
    }
}

fn cannot_lock(beside: &Path, cause: std::io::Error) -> Error {
    let message = format!(
        "the lock file {} of the checkpoint cannot be used ({cause}); choose a directory this process may write",
        beside.display()
    );
    Error::new(ErrorKind::CheckpointStore, message).with_cause(cause)
}

fn busy(path: &Path, name: &str, file: &mut File) -> Error {
    let mut holder = String::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(20).read_to_string(&mut holder));
    let holder = match read.ok().and_then(|_| holder.trim().parse::<u32>().ok()) {
        Some(pid) if pid == std::process::id() => "this process".to_owned(),
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    };
    let message = format!(
        "the checkpoint {} is held under the name {name:?} by {holder}; stop it, or use another name",
        path.display()
    );
    Error::new(ErrorKind::CheckpointBusy, message)
}

/// `orders.ckpt` and `default` give `orders.ckpt.default.lock`.
///
/// Every other byte than `a-z 0-9 - _` is written as `%xx`, capitals too, so that two names
/// never share a file, not even where file names ignore case.
fn lock_path(path: &Path, name: &str) -> PathBuf {
    let mut file = OsString::from(path);
    let mut suffix = String::from(".");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => suffix.push(char::from(byte)),
            _ => suffix.push_str(&format!("%{byte:02x}")),
        }
    }
    suffix.push_str(".lock");
    file.push(suffix);
    PathBuf::from(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_never_share_a_lock_file_nor_leave_the_directory() {
        let path = |name| lock_path(Path::new("/data/orders.ckpt"), name).to_str().unwrap().to_owned();
        assert_eq!(path("default"), "/data/orders.ckpt.default.lock");
        assert_eq!(path("a/../B"), "/data/orders.ckpt.a%2f%2e%2e%2f%42.lock");
        assert_eq!(path("é"), "/data/orders.ckpt.%c3%a9.lock");
        assert_ne!(path("%2f"), path("/"));
    }

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.ckpt");
        let first = ConsumerLock::acquire(&path, "a").unwrap();
        let _other = ConsumerLock::acquire(&path, "b").unwrap();
        let error = ConsumerLock::acquire(&path, "a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CheckpointBusy);
        assert!(error.message().contains("this process"), "{error}");
        drop(first);
        ConsumerLock::acquire(&path, "a").unwrap();
    }

    #[test]
    fn letting_go_does_not_wait_for_a_descriptor_left_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.ckpt");
        let mut lock = ConsumerLock::acquire(&path, "a").unwrap();
        let elsewhere = lock.file.try_clone().unwrap();
        drop(lock);
        lock = ConsumerLock::acquire(&path, "a").unwrap();
        // As after a fork, in the child.
        lock.holder += 1;
        let _parent = lock.file.try_clone().unwrap();
        drop(lock);
        assert!(ConsumerLock::acquire(&path, "a").is_err());
        drop(elsewhere);
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = ConsumerLock::acquire(Path::new("/nowhere/at/all.ckpt"), "a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CheckpointStore);
        assert!(error.message().contains("/nowhere/at/all.ckpt.a.lock"), "{error}");
    }
}

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::checkpoint::{FORMAT, ShardState};
use crate::decode::{ColumnState, SchemaState};
use crate::error::ErrorKind;
use crate::position::Position;

const TABLE: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders";

fn number(text: &str) -> SequenceNumber {
    SequenceNumber::parse(text).unwrap()
}

fn checkpoint(after: &str) -> Checkpoint {
    let shard = ShardState {
        parents: vec!["shard-0".into()],
        position: Position::After(number(after)),
        created_before: Some(1),
        verified: None,
        parents_gone: false,
        finished: None,
    };
    let column = ColumnState { name: "größe \"x\"".into(), kind: "int64".into() };
    Checkpoint {
        format: FORMAT,
        table: "orders".into(),
        table_arn: TABLE.into(),
        stream_arn: format!("{TABLE}/stream/2026-01-01T00:00:00.000"),
        epoch: 0,
        epoch_begun: 0,
        start: "latest".into(),
        shards: [("shard-1".into(), shard)].into(),
        schema: Arc::new(SchemaState { columns: vec![column], keys: Vec::new() }),
        snapshot: None,
    }
}

fn save(after: &str) -> Save {
    Save { through: 0, checkpoint: checkpoint(after), gaps: Vec::new(), quarantined: Vec::new() }
}

fn gap() -> Gap {
    Gap {
        shard: Some("shard-1".into()),
        from: Some(Position::After(number("7"))),
        to: None,
        cause: "trimmed".into(),
        stream_arn: TABLE.into(),
        found: Some(5),
    }
}

fn quarantined() -> QuarantinedRecord {
    let raw = Bytes::from_static(b"{\"a\":\xff\x00}");
    let record = Quarantined { sequence: Some(number("8")), raw, reason: "no such type".into() };
    QuarantinedRecord { shard: "shard-1".into(), record }
}

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.ckpt");
    (dir, path)
}

fn open(path: &Path) -> Result<SqliteStore> {
    SqliteStore::open(path, "default")
}

#[test]
fn what_is_saved_is_there_after_reopening() {
    let (_dir, path) = place();
    let mut store = open(&path).unwrap();
    assert_eq!(store.load().unwrap(), None);
    store.save(&save("9")).unwrap();
    let with_more = Save { gaps: vec![gap()], quarantined: vec![quarantined()], ..save("10") };
    store.save(&with_more).unwrap();
    drop(store);

    let mut store = open(&path).unwrap();
    assert_eq!(store.load().unwrap(), Some(checkpoint("10")));
    assert_eq!(store.gaps().unwrap(), [gap()]);
    assert_eq!(store.quarantined().unwrap(), [quarantined()]);
    assert!(store.is_durable());
}

#[test]
fn a_save_that_fails_leaves_nothing_of_itself() {
    let (_dir, path) = place();
    let mut store = open(&path).unwrap();
    store.save(&save("9")).unwrap();
    let breaks = "CREATE TEMP TRIGGER full BEFORE INSERT ON main.quarantine
                  BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    store.connection.execute_batch(breaks).unwrap();
    let failing = Save { gaps: vec![gap()], quarantined: vec![quarantined()], ..save("10") };
    let error = store.save(&failing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CheckpointStore);
    assert!(error.message().contains("orders.ckpt"), "{error}");
    assert_eq!(store.load().unwrap(), Some(checkpoint("9")));
    assert_eq!(store.gaps().unwrap(), []);
    store.connection.execute_batch("DROP TRIGGER full").unwrap();
    store.save(&failing).unwrap();
    assert_eq!(store.load().unwrap(), Some(checkpoint("10")));
}

#[test]
fn a_checkpoint_never_goes_backwards_not_even_after_reopening() {
    let (_dir, path) = place();
    open(&path).unwrap().save(&save("10")).unwrap();
    let mut store = open(&path).unwrap();
    let error = store.save(&save("9")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(store.load().unwrap(), Some(checkpoint("10")));
}

#[test]
fn names_share_a_file_and_nothing_else() {
    let (_dir, path) = place();
    let mut a = SqliteStore::open(&path, "a").unwrap();
    let mut b = SqliteStore::open(&path, "B/ö").unwrap();
    a.save(&Save { gaps: vec![gap()], ..save("1") }).unwrap();
    b.save(&Save { quarantined: vec![quarantined()], ..save("2") }).unwrap();
    assert_eq!(a.load().unwrap(), Some(checkpoint("1")));
    assert_eq!(a.quarantined().unwrap(), []);
    assert_eq!(b.gaps().unwrap(), []);

    let found = SqliteStore::inspect(&path).unwrap();
    let names: Vec<_> = found.iter().map(|saved| (saved.name.as_str(), saved.quarantined)).collect();
    assert_eq!(names, [("B/ö", 1), ("a", 0)]);
    assert_eq!(found[1].gaps, [gap()]);
    assert_eq!(found[0].checkpoint, checkpoint("2"));
    assert!(found[0].saved > 1_700_000_000_000);
}

#[test]
fn many_names_write_one_file_at_once() {
    let (_dir, path) = place();
    std::thread::scope(|scope| {
        for consumer in 0..8 {
            let path = &path;
            scope.spawn(move || {
                let mut store = SqliteStore::open(path, &format!("consumer-{consumer}")).unwrap();
                for position in 1..=20 {
                    store.save(&save(&position.to_string())).unwrap();
                }
            });
        }
    });
    let found = SqliteStore::inspect(&path).unwrap();
    assert_eq!(found.len(), 8);
    assert!(found.iter().all(|saved| saved.checkpoint == checkpoint("20")));
}

/// The test starts itself as a second process, which holds the checkpoint until it is killed.
#[test]
fn another_process_is_refused_by_name_until_the_holder_is_killed() {
    const ROLE: &str = "SHARDARROW_TEST_HOLDS";
    if let Some(path) = std::env::var_os(ROLE) {
        let mut store = open(Path::new(&path)).unwrap();
        store.save(&save("10")).unwrap();
        std::io::stdout().write_all(b"\nheld\n").unwrap();
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let (_dir, path) = place();
    let name = "checkpoint::sqlite::tests::another_process_is_refused_by_name_until_the_holder_is_killed";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ROLE, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"));

    let error = open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CheckpointBusy);
    for part in ["orders.ckpt", "\"default\"", &child.id().to_string()] {
        assert!(error.message().contains(part), "{error} does not name {part}");
    }
    assert_eq!(SqliteStore::inspect(&path).unwrap()[0].checkpoint, checkpoint("10"));
    SqliteStore::open(&path, "other").unwrap().save(&save("3")).unwrap();

    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(open(&path).unwrap().load().unwrap(), Some(checkpoint("10")));
}

#[test]
fn an_empty_name_is_a_usage_error() {
    let (_dir, path) = place();
    assert_eq!(SqliteStore::open(&path, "").unwrap_err().kind(), ErrorKind::Usage);
}

fn refused(path: &Path, word: &str) {
    for error in [open(path).unwrap_err(), SqliteStore::inspect(path).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::CheckpointCorrupt, "{error}");
        assert!(error.message().contains(&path.display().to_string()), "{error}");
        assert!(error.message().contains(word), "{error}");
    }
}

#[test]
fn files_that_are_not_ours_are_refused_and_left_alone() {
    let (dir, path) = place();
    for foreign in [&b"hello"[..], &[0xa5; 20_000]] {
        fs::write(&path, foreign).unwrap();
        refused(&path, "not a checkpoint file");
        assert_eq!(fs::read(&path).unwrap(), foreign);
        fs::remove_file(&path).unwrap();
    }
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE checkpoint (name TEXT)").unwrap();
    other.close().unwrap();
    refused(&path, "not a checkpoint file");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_newer_file_asks_for_the_version_that_wrote_it() {
    let (_dir, path) = place();
    let store = open(&path).unwrap();
    store.connection.pragma_update(None, "user_version", 2).unwrap();
    drop(store);
    refused(&path, "version 2");
}

#[test]
fn a_newer_checkpoint_inside_is_refused_too() {
    let (_dir, path) = place();
    let mut store = open(&path).unwrap();
    let newer = Checkpoint { format: FORMAT + 1, ..checkpoint("1") };
    store.save(&Save { checkpoint: newer, ..save("1") }).unwrap();
    drop(store);
    refused(&path, "format 2");
}

#[test]
fn an_empty_or_truncated_file_is_never_a_fresh_start() {
    let (_dir, path) = place();
    open(&path).unwrap().save(&save("10")).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in [0, 50, 100, 4096, whole.len() / 2, whole.len() - 4096, whole.len() - 4095] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = open(&path).map(|mut store| store.load()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CheckpointCorrupt, "cut at {length}: {error}");
    }
    fs::write(&path, b"").unwrap();
    refused(&path, "it is empty");
    fs::write(&path, &whole).unwrap();
    assert_eq!(open(&path).unwrap().load().unwrap(), Some(checkpoint("10")));
}

#[test]
fn a_changed_byte_of_the_state_is_found() {
    let (_dir, path) = place();
    open(&path).unwrap().save(&save("1234567890")).unwrap();
    for (from, to) in [("1234567890", "1234567891"), ("default", "defaulu")] {
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        for at in 0..changed.len() - from.len() {
            if whole[at..].starts_with(from.as_bytes()) {
                changed[at..at + from.len()].copy_from_slice(to.as_bytes());
            }
        }
        assert_ne!(whole, changed);
        fs::write(&path, &changed).unwrap();
        refused(&path, "damaged");
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_damaged_table_is_found_before_anything_is_to_be_written_into_it() {
    let (_dir, path) = place();
    open(&path).unwrap().save(&save("10")).unwrap();
    let whole = fs::read(&path).unwrap();
    for (from, to) in [("gap TEXT NOT NULL", "gbp TEXT NOT NULL"), ("reason   TEXT", "raisin   TEXT")] {
        let at = whole.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
        let mut changed = whole.clone();
        changed[at..at + from.len()].copy_from_slice(to.as_bytes());
        fs::write(&path, &changed).unwrap();
        refused(&path, "damaged");
    }
}

#[test]
fn a_log_without_its_file_is_not_replayed_into_a_new_one() {
    let (_dir, path) = place();
    let mut store = open(&path).unwrap();
    store.save(&save("10")).unwrap();
    let log = path.with_file_name("orders.ckpt-wal");
    let copy = fs::read(&log).unwrap();
    drop(store);
    fs::remove_file(&path).unwrap();
    fs::write(&log, copy).unwrap();
    let error = open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CheckpointCorrupt);
    assert!(error.message().contains("orders.ckpt-wal"), "{error}");
}

#[test]
fn places_that_cannot_hold_a_checkpoint_are_named() {
    let (dir, path) = place();
    fs::write(&path, "a file, not a directory").unwrap();
    let inside = path.join("inside.ckpt");
    let missing = dir.path().join("missing/orders.ckpt");
    for bad in [inside.as_path(), &missing, dir.path()] {
        let error = open(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CheckpointStore, "{error}");
        assert!(error.message().contains(&bad.display().to_string()), "{error}");
    }
    let error = SqliteStore::inspect(&dir.path().join("none.ckpt")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CheckpointStore);
    assert_eq!(open(Path::new("/")).unwrap_err().kind(), ErrorKind::CheckpointStore);
    assert_eq!(open(Path::new("")).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn no_draft_is_left_beside_the_file() {
    let (dir, path) = place();
    drop(open(&path).unwrap());
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["orders.ckpt", "orders.ckpt.default.lock"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn damage_is_an_error_or_harmless_but_never_a_fresh_start(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
    ) {
        let (_dir, path) = place();
        open(&path).unwrap().save(&Save { gaps: vec![gap()], quarantined: vec![quarantined()], ..save("10") }).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        for (at, flip) in damage {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        fs::write(&path, &bytes).unwrap();
        let _ = SqliteStore::inspect(&path);
        if let Ok(mut store) = open(&path) {
            prop_assert_eq!(store.load().unwrap(), Some(checkpoint("10")));
            let _ = store.gaps();
            let _ = store.quarantined();
        }
    }

    /// The log of a killed process: SQLite drops what is damaged of it and what follows.
    #[test]
    fn damage_to_the_log_goes_back_at_most_to_the_first_save(
        at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<bool>(),
    ) {
        let (_dir, path) = place();
        let mut store = open(&path).unwrap();
        for position in ["9", "10", "11"] {
            store.save(&save(position)).unwrap();
        }
        let (_copy_dir, copy) = place();
        let log = |path: &Path| path.with_file_name("orders.ckpt-wal");
        fs::copy(&path, &copy).unwrap();
        let mut bytes = fs::read(log(&path)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        bytes.truncate(if cut { at } else { bytes.len() });
        fs::write(log(&copy), &bytes).unwrap();
        if let Ok(mut store) = open(&copy) {
            let loaded = store.load().unwrap();
            prop_assert!(["9", "10", "11"].into_iter().any(|position| loaded == Some(checkpoint(position))));
        }
    }
}

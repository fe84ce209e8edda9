//! The checker notices when the crate is broken: seeds of each fault of `broken::ALL`, until one is a violation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use shardarrow::broken;

use crate::broken::tables_until_noticed;
use crate::failures_broken;
use crate::kinesis_broken::NOTICED_HERE;
use crate::seeds::violations;

/// Seeds after which a fault counts as unnoticed.
const MOST: u64 = 600;

/// What noticed a fault, and in the how manieth story.
#[derive(Debug)]
struct Noticed {
    by: String,
    stories: u64,
}

fn notice(fault: &'static str) -> Option<Noticed> {
    if let Some(stories) = tables_until_noticed(fault) {
        return Some(Noticed { by: "I3".into(), stories });
    }
    if failures_broken::NOTICED_HERE.iter().any(|(name, _)| *name == fault) {
        return Some(Noticed { by: "`failures_broken.rs`".into(), stories: 0 });
    }
    if NOTICED_HERE.contains(&fault) {
        return Some(Noticed { by: "`kinesis_broken.rs`".into(), stories: 0 });
    }
    let _broken = broken::on(fault);
    (0..MOST).find_map(|seed| {
        let (_, violations) = violations(seed);
        let by = violations.first()?.split(':').next()?.to_owned();
        Some(Noticed { by, stories: seed + 1 })
    })
}

#[allow(clippy::print_stdout)]
fn notice_all() -> BTreeMap<&'static str, Option<Noticed>> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((fault, _)) = broken::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let noticed = notice(fault);
                    println!("{fault}: {noticed:?}");
                    found.lock().unwrap().insert(*fault, noticed);
                }
            });
        }
    });
    found.into_inner().unwrap()
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/seeded-bugs.md")
}

const HEAD: &str = "\
# Bugs on purpose

Written by `make seeded-bugs`; do not edit. Each row is a bug that the tests put into the library
([how](../decisions/0014-faults-on-purpose.md)), what noticed it, and in the how manieth story: the seeds 0, 1, 2, …
of `make sim` (0: a test of its own in the file of `tests/simulation/` that is named), or the small tables of `tests/simulation/snapshot.rs` for a bug of the scan that shows only there. The
invariants stand in `tests/simulation/checker.rs`; `panic` is one of the crate's own checks.

| bug | what is wrong | noticed by | stories |
|---|---|---|---|
";

fn table(found: &BTreeMap<&'static str, Option<Noticed>>) -> String {
    let mut text = HEAD.to_owned();
    for (fault, sentence) in broken::ALL {
        let (by, stories) = match &found[fault] {
            Some(noticed) => (noticed.by.as_str(), noticed.stories.to_string()),
            None => ("**nothing**", format!("> {MOST}")),
        };
        writeln!(text, "| `{fault}` | {sentence} | {by} | {stories} |").unwrap();
    }
    text
}

/// With `SHARDARROW_WRITE_BUGS=1` the table is written, too.
#[test]
fn every_bug_on_purpose_is_noticed() {
    let found = notice_all();
    if std::env::var("SHARDARROW_WRITE_BUGS").is_ok_and(|write| write == "1") {
        std::fs::write(page(), table(&found)).unwrap();
    }
    let unnoticed: Vec<_> =
        found.iter().filter(|(_, noticed)| noticed.is_none()).map(|(fault, _)| fault).collect();
    assert!(unnoticed.is_empty(), "nothing notices {unnoticed:?}");
    assert!(found.len() >= 40);
}

#[test]
fn the_table_has_every_bug() {
    let text = std::fs::read_to_string(page()).unwrap();
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<_> =
        broken::ALL.iter().map(|(fault, sentence)| format!("| `{fault}` | {sentence} |")).collect();
    assert_eq!(rows.len(), expected.len(), "make seeded-bugs writes the table");
    let differs = rows.iter().zip(&expected).find(|(row, expected)| !row.starts_with(expected.as_str()));
    assert_eq!(differs, None, "make seeded-bugs writes the table");
    assert!(!text.contains("**nothing**"));
}

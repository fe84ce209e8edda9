//! The corpus of the fuzzer, replayed on stable: every input kept, and simple damage to each.

mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use targets::{TARGETS, Target};

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = files
        .map(|file| {
            let path = file.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
            let input = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, input)
        })
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("{name} is no target")).1
}

/// Says which input it was when one of them panics.
struct Naming<'a>(&'a Path, &'static str);

impl Drop for Naming<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("input {} {}", self.0.display(), self.1);
        }
    }
}

fn replay(name: &str) {
    let run = target(name);
    for (path, input) in corpus(name) {
        let _naming = Naming(&path, "as it is");
        run(&input);
    }
}

/// Cut at each place, and with each byte changed, up to some hundred of both: what a fuzzer does first.
fn damage(name: &str) {
    const MOST: usize = 150;
    let run = target(name);
    for (path, input) in corpus(name) {
        let step = input.len().div_ceil(MOST).max(1);
        for place in (0..input.len()).step_by(step) {
            let _naming = Naming(&path, "damaged");
            run(&input[..place]);
            let mut changed = input.clone();
            changed[place] ^= 1 << (place % 8);
            run(&changed);
        }
    }
}

macro_rules! replayed {
    ($($name:ident),*) => {
        $(mod $name {
            #[test]
            fn the_corpus_holds() {
                super::replay(stringify!($name));
            }

            #[test]
            fn damaged_inputs_hold() {
                super::damage(stringify!($name));
            }
        })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),*];
            assert!(TARGETS.iter().all(|(name, _)| replayed.contains(name)));
            assert_eq!(TARGETS.len(), replayed.len());
        }
    };
}

replayed!(
    aggregate,
    attribute,
    change_page,
    checkpoint_file,
    checkpoint_state,
    envelope,
    kinesis_page,
    names,
    scan_page,
    schema,
    sequence_number
);

#[test]
fn every_target_has_a_binary_for_the_fuzzer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is missing in fuzz/Cargo.toml");
        assert!(root.join(format!("fuzz_targets/{name}.rs")).exists(), "{name} has no binary");
    }
}

//! The one entry: `make sim SEED=…`, `make sim-long SECONDS=…`, `make sim-figures SEEDS=…`, and some seeds in
//! every test run.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::figures;
use crate::story::{Kind, Told, tell};

/// Seeds of `make test`.
const USUAL: u64 = 1_200;

/// Tells one seed's story; what the crate should never do, such as panic, is a violation too.
pub fn violations(seed: u64) -> (Option<Told>, Vec<String>) {
    match catch_unwind(AssertUnwindSafe(|| tell(seed))) {
        Ok(told) => {
            let violations = told.violations.clone();
            (Some(told), violations)
        }
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            (None, vec![format!("panic: {}", said.unwrap_or_default())])
        }
    }
}

#[derive(Default)]
pub struct Sum {
    pub seeds: u64,
    pub hours: f64,
    pub lives: u64,
    pub records: u64,
    pub used: u64,
    pub kinds: BTreeMap<Kind, u64>,
    pub struck: BTreeMap<&'static str, u64>,
    trace: Vec<String>,
    pub failed: BTreeMap<u64, Vec<String>>,
}

impl Sum {
    fn add(&mut self, seed: u64) {
        let (told, violations) = violations(seed);
        self.seeds += 1;
        if let Some(told) = told {
            self.hours += told.hours;
            self.lives += told.lives;
            self.records += told.records;
            self.used += told.used;
            *self.kinds.entry(told.kind).or_default() += 1;
            self.trace = told.trace;
            told.trouble
                .struck
                .iter()
                .for_each(|(kind, times)| *self.struck.entry(kind).or_default() += times);
        }
        if !violations.is_empty() {
            self.failed.insert(seed, violations);
        }
    }

    fn join(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.hours += other.hours;
        self.lives += other.lives;
        self.records += other.records;
        self.used += other.used;
        other.kinds.iter().for_each(|(kind, count)| *self.kinds.entry(*kind).or_default() += count);
        other.struck.iter().for_each(|(kind, count)| *self.struck.entry(kind).or_default() += count);
        self.failed.extend(other.failed);
        self.trace = if other.trace.is_empty() { std::mem::take(&mut self.trace) } else { other.trace };
    }

    fn text(&self) -> String {
        let kinds = self.kinds.iter().map(|(kind, count)| format!("{count} {kind:?}")).collect::<Vec<_>>();
        let mut lines = vec![
            format!("seeds: {} ({})", self.seeds, kinds.join(", ")),
            format!("simulated hours: {:.1}", self.hours),
            format!("processes started: {}", self.lives),
            format!("records written: {}, used: {}", self.records, self.used),
        ];
        lines.extend(self.struck.iter().map(|(kind, times)| format!("{kind}: {times}")));
        lines.push(format!("violations: {}", self.failed.len()));
        for (seed, violations) in self.failed.iter().take(20) {
            lines.extend(violations.iter().map(|line| format!("seed {seed}: {line}")));
            lines.push(format!("reproduce: make sim SEED={seed}"));
        }
        lines.join("\n")
    }
}

/// Runs seeds from `first` on, on all cores, while `goes_on(seed)`.
fn sum_while(first: u64, goes_on: impl Fn(u64) -> bool + Sync) -> Sum {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let (next, sum) = (AtomicU64::new(first), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Sum::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !goes_on(seed) {
                        break;
                    }
                    own.add(seed);
                }
                sum.lock().unwrap().join(own);
            });
        }
    });
    sum.into_inner().unwrap()
}

fn number_of(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}; it must be a number")))
}

#[test]
#[allow(clippy::print_stdout)]
fn every_seed_keeps_every_invariant() {
    let first = number_of("SHARDARROW_SEED");
    let sum = match (first, number_of("SHARDARROW_SECONDS"), number_of("SHARDARROW_SEEDS")) {
        (first, Some(seconds), _) => {
            let end = Instant::now() + Duration::from_secs(seconds);
            sum_while(first.unwrap_or(0), |_| Instant::now() < end)
        }
        (first, None, Some(count)) => {
            let first = first.unwrap_or(0);
            sum_while(first, |seed| seed < first + count)
        }
        (Some(seed), None, None) => sum_while(seed, |at| at == seed),
        (None, None, None) => sum_while(0, |seed| seed < USUAL),
    };
    // Of one seed that failed, everything.
    let trace = sum.trace.iter().filter(|_| sum.seeds == 1 && !sum.failed.is_empty());
    trace.for_each(|line| println!("{line}"));
    println!("{}", sum.text());
    if let Ok(when) = std::env::var("SHARDARROW_FIGURES") {
        figures::write(&sum, first.unwrap_or(0), &when);
    }
    assert!(sum.failed.is_empty(), "{}", sum.text());
}

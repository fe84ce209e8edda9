//! What many seeds came to, as a page of the docs. `make sim-figures` writes it.

use std::fmt::Write as _;
use std::path::Path;

use crate::seeds::Sum;

const HEAD: &str = "\
# What the simulation has seen

Written by `make sim-figures`; do not edit. A seed is a story: a table or a stream that changes, rolls over, splits and
merges, a service that misbehaves, a process that is killed and started again. The core that runs in production reads it
in virtual time, and after every step a checker looks whether what is promised holds
(`tests/simulation/checker.rs` has the list). `make sim SEED=7` tells one of them again.

";

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join(",")
}

fn text(sum: &Sum, first: u64, when: &str) -> String {
    let mut text = HEAD.to_owned();
    let again = match first {
        0 => format!("make sim-figures SEEDS={}", sum.seeds),
        first => format!("make sim-figures SEEDS={} SEED={first}", sum.seeds),
    };
    let kinds = sum.kinds.iter().map(|(kind, count)| format!("{} {}", grouped(*count), kind.in_words()));
    let kills = sum.struck.get("kill").copied().unwrap_or(0);
    let faults: u64 = sum.struck.values().sum();
    let rows = [
        ("When", when.to_owned()),
        ("Seeds", grouped(sum.seeds)),
        ("Stories", kinds.collect::<Vec<_>>().join(", ")),
        ("Simulated hours", grouped(sum.hours as u64)),
        ("Processes started", grouped(sum.lives)),
        ("Kills", grouped(kills)),
        ("Faults and events", grouped(faults)),
        ("Records written", grouped(sum.records)),
        ("Records used", grouped(sum.used)),
        ("Violations", grouped(sum.failed.len() as u64)),
        ("To repeat it", format!("`{again}`")),
    ];
    text.push_str("| | |\n|---|---|\n");
    rows.iter().for_each(|(name, value)| writeln!(text, "| {name} | {value} |").unwrap());
    text.push_str("\n## Faults and events\n\nWhat went wrong or came to pass, and how often.\n\n| what | times |\n|---|---|\n");
    sum.struck.iter().for_each(|(kind, times)| writeln!(text, "| {kind} | {} |", grouped(*times)).unwrap());
    text
}

pub fn write(sum: &Sum, first: u64, when: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/simulation.md");
    std::fs::write(page, text(sum, first, when)).unwrap();
}

#[test]
fn numbers_are_written_in_groups_of_three() {
    let written = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
    written.iter().for_each(|(number, text)| assert_eq!(grouped(*number), *text));
}

//! `count WORKLOAD NAME N`: decodes a page N times and nothing else, under a tool that counts instructions.
#![allow(dead_code)]

#[path = "../../src/ours.rs"]
mod ours;
#[path = "../../src/pages.rs"]
mod pages;
#[path = "../../src/random.rs"]
mod random;
#[path = "../../src/shapes.rs"]
mod shapes;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Some(()) => ExitCode::SUCCESS,
        None => {
            eprintln!("usage: count WORKLOAD NAME N, such as: count streams/medium ours 2");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Option<()> {
    let [workload, name, passes] = words else { return None };
    let mut ours = ours::ours(name, &ours::Workload::named(workload)?)?;
    for _ in 0..passes.parse::<usize>().ok()? {
        ours.pass();
    }
    Some(())
}

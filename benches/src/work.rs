//! Takes measurements one by one from standard input, so that the driver can interleave them.
//!
//! A line names workload and contender; the answer is one JSON object.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clock::thread_seconds;
use crate::contenders::{Contender, Workload, contender};

/// How long one measurement goes on.
const LONG: Duration = Duration::from_millis(60);

/// Passes are timed together up to this: asking the clock takes half a microsecond.
const SHORTEST: Duration = Duration::from_micros(100);

#[derive(Debug, Serialize)]
pub struct Measured {
    /// Of the page.
    bytes: usize,
    /// Processor time of the median pass.
    seconds: f64,
    passes: usize,
}

/// Answers until the input ends.
///
/// # Errors
/// A line that names nothing, or what reading and writing say.
pub fn serve(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut known = HashMap::new();
    for line in input.lines() {
        let line = line?;
        if !known.contains_key(&line) {
            let made =
                make(&line).ok_or_else(|| io::Error::other(format!("{line:?} names nothing to measure")))?;
            known.insert(line.clone(), made);
        }
        if let Some((bytes, contender)) = known.get_mut(&line) {
            let (seconds, passes) = measure(contender.as_mut());
            serde_json::to_writer(&mut output, &Measured { bytes: *bytes, seconds, passes })?;
            output.write_all(b"\n")?;
            output.flush()?;
        }
    }
    Ok(())
}

fn make(line: &str) -> Option<(usize, Box<dyn Contender>)> {
    let (workload, name) = line.split_once(' ')?;
    let workload = Workload::named(workload)?;
    Some((workload.answer.body().len(), contender(name, &workload)?))
}

fn measure(contender: &mut dyn Contender) -> (f64, usize) {
    contender.pass();
    let together = SHORTEST.as_secs_f64() / seconds(contender, 1).max(1e-9);
    let together = together.ceil() as usize;
    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed() < LONG || times.len() < 3 {
        times.push(seconds(contender, together) / together as f64);
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times.len() * together)
}

/// Processor time of so many passes.
fn seconds(contender: &mut dyn Contender, passes: usize) -> f64 {
    let before = thread_seconds();
    for _ in 0..passes {
        contender.pass();
    }
    thread_seconds() - before
}

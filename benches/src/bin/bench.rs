//! What `benches/e2e` drives.
#![allow(clippy::print_stdout)]

use std::io;
use std::process::ExitCode;

use benches::contenders::Workload;
use mimalloc::MiMalloc;

/// As in the wheel: both sides of a row allocate alike.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const USAGE: &str = "usage: bench work                       measures what standard input names
       bench page WORKLOAD              writes the page of a workload to standard output
       bench serve                      serves prepared pages until its input ends
       bench raw ADDRESS TABLE          reads a table's first shard without SDK and Python";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> io::Result<()> {
    match words {
        ["work"] => benches::work::serve(io::stdin().lock(), io::stdout().lock()),
        ["page", workload] => io::Write::write_all(&mut io::stdout(), named(workload)?.answer.body()),
        ["serve"] => serve(),
        ["raw", address, table] => {
            println!("{}", serde_json::to_string(&benches::raw::read(address, table)?)?);
            Ok(())
        }
        _ => Err(io::Error::other(USAGE)),
    }
}

/// The process ends with its parent.
fn serve() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.spawn(benches::server::serve(|address| {
        println!("listening on {address}");
        let _ = io::Write::flush(&mut io::stdout());
    }));
    io::copy(&mut io::stdin().lock(), &mut io::sink()).map(drop)
}

fn named(workload: &str) -> io::Result<Workload> {
    Workload::named(workload).ok_or_else(|| io::Error::other(format!("there is no workload {workload:?}")))
}

//! The twin as a process: `twin [--port N] [--seed N] [--virtual-time] [--until-stdin-closes]`.
#![allow(clippy::print_stdout)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use twin::{Aws, Millis, serve};

const USAGE: &str = "usage: twin [--port N] [--seed N] [--virtual-time] [--until-stdin-closes]";

#[derive(Default)]
struct Options {
    port: u16,
    seed: u64,
    virtual_time: bool,
    until_stdin_closes: bool,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--port" => options.port = words.next()?.parse().ok()?,
                "--seed" => options.seed = words.next()?.parse().ok()?,
                "--virtual-time" => options.virtual_time = true,
                "--until-stdin-closes" => options.until_stdin_closes = true,
                _ => return None,
            }
        }
        Some(options)
    }
}

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(run(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("twin: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut aws = Aws::new(options.seed);
    if !options.virtual_time {
        aws.start_at(real_now());
        aws.follow_real_time(true);
    }
    let server = serve(SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)), aws).await?;
    println!("listening on {}", server.addr());
    io::stdout().flush()?;
    let closed = stdin_closed(options.until_stdin_closes);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        Ok(()) = closed => {}
    }
    server.stop().await;
    Ok(())
}

fn real_now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// Resolves when standard input ends; never when nobody asked for it. A thread of its own
/// waits, since a blocking read cannot be cancelled and must not hold the runtime back.
fn stdin_closed(watch: bool) -> oneshot::Receiver<()> {
    let (closed, receiver) = oneshot::channel();
    if watch {
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
            let _ = closed.send(());
        });
    }
    receiver
}

//! The twin as a process: it says where it listens, and leaves when it should.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

fn start(arguments: &[&str]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_twin"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let addr = line.strip_prefix("listening on ").unwrap().trim_end().to_owned();
    (child, addr)
}

#[test]
fn it_leaves_when_its_input_closes() {
    let (mut child, addr) = start(&["--until-stdin-closes", "--virtual-time", "--seed", "9"]);
    let mut connection = TcpStream::connect(addr).unwrap();
    connection.write_all(b"POST /__twin HTTP/1.1\r\nHost: t\r\n").unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_leaves_when_terminated() {
    let (mut child, addr) = start(&[]);
    assert!(TcpStream::connect(addr).is_ok());
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn wrong_usage_is_refused() {
    for wrong in [&["--port"][..], &["--port", "x"], &["--what"]] {
        let status =
            Command::new(env!("CARGO_BIN_EXE_twin")).args(wrong).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{wrong:?}");
    }
}

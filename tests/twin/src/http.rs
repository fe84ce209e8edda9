//! The twin as a server on loopback: HTTP/1.1, and HTTP/2 where a client begins with it.

use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::aws::Aws;
use crate::respond::respond;

/// A running server; dropping it stops accepting and ends all connections.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

/// The model behind the server, and word of its changes.
#[derive(Debug)]
pub(crate) struct Shared {
    aws: Mutex<Aws>,
    changed: watch::Sender<()>,
}

/// The model, held; letting go of it tells those who wait for changes.
#[derive(Debug)]
pub struct Held<'a> {
    aws: MutexGuard<'a, Aws>,
    changed: &'a watch::Sender<()>,
}

/// What happens to a whole connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Stay,
    /// No further requests; those that run end as they should.
    GoAway,
    Reset,
}

/// Binds `addr`, which must be on loopback, and serves `aws` until the handle is dropped.
///
/// # Errors
/// Whatever the binding says; `InvalidInput` when the address is not on loopback.
pub async fn serve(addr: SocketAddr, aws: Aws) -> io::Result<Server> {
    if !addr.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the twin serves loopback only"));
    }
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    let shared = Arc::new(Shared { aws: Mutex::new(aws), changed: watch::Sender::new(()) });
    let (stop, stopped) = watch::channel(false);
    let accepting = tokio::spawn(accept(listener, shared.clone(), stopped));
    Ok(Server { addr, shared, stop, accepting })
}

impl Server {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The model behind the server; hold it briefly, requests wait for it.
    pub fn aws(&self) -> Held<'_> {
        self.shared.hold()
    }

    /// Stops and waits until all connections are closed.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Shared {
    pub(crate) fn hold(&self) -> Held<'_> {
        Held { aws: self.look(), changed: &self.changed }
    }

    /// The model, for those who change nothing that others wait for.
    pub(crate) fn look(&self) -> MutexGuard<'_, Aws> {
        // A panic in one request must not take the others' answers with it.
        self.aws.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

impl Deref for Held<'_> {
    type Target = Aws;

    fn deref(&self) -> &Aws {
        &self.aws
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Aws {
        &mut self.aws
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.changed.send_replace(());
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            stream = next(&listener) => drop(connections.spawn(connection(stream, shared.clone()))),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    connections.shutdown().await;
}

/// The next connection. Accepting fails when file descriptors run out; some have to be closed first.
async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let (signal, mut signalled) = watch::channel(Signal::Stay);
    let Ok((stream, socket)) = twice(stream) else { return };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let streams = shared.look().knobs().kinesis.http2_streams;
    builder.http2().max_concurrent_streams(streams.or(Some(200)));
    let service = service_fn(|request| respond(request, shared.clone(), signal.clone()));
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    loop {
        tokio::select! {
            _ = serving.as_mut() => return,
            _ = signalled.changed() => {}
        }
        let signal = *signalled.borrow_and_update();
        match signal {
            Signal::Stay => {}
            Signal::GoAway => serving.as_mut().graceful_shutdown(),
            // Closing with a zero linger sends RST instead of FIN.
            Signal::Reset => return drop(socket.set_zero_linger()),
        }
    }
}

/// A second handle to the socket, for settings while hyper owns the first.
fn twice(stream: TcpStream) -> io::Result<(TcpStream, TcpStream)> {
    let stream = stream.into_std()?;
    let second = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, TcpStream::from_std(second)?))
}

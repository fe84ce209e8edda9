//! ferrokinesis on the loopback port that is asked for (its own binary listens on every interface).
use ferrokinesis::store::StoreOptions;
use ferrokinesis::{create_app, serve_plain_http};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
    let options = StoreOptions {
        create_stream_ms: 10,
        delete_stream_ms: 10,
        update_stream_ms: 10,
        shard_limit: 1_000,
        enforce_limits: true,
        ..StoreOptions::default()
    };
    let (app, _store) = create_app(options);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    serve_plain_http(listener, app, std::future::pending()).await
}

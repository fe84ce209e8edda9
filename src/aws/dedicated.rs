//! An HTTP client that opens a connection of its own for every request: for answers that go on for minutes.
//!
//! docs/decisions/0015-a-connection-for-each-subscription.md says why such an answer shares its connection with nothing.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connect, HttpConnector as TcpConnector};
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// What the service may send before anybody reads: all the memory that an answer takes while it waits.
/// It is enough for the 2 MB a second of one shard as long as a round trip takes less than a quarter of a second.
const WINDOW: u32 = 512 << 10;

/// A connection that does not answer a ping for this long is dead.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a connection for each request and gives it up with the answer's body.
///
/// HTTP/2 where TLS agrees on it, else HTTP/1.1, as an emulator without TLS speaks.
#[derive(Clone, Debug, Default)]
pub struct DedicatedClient {
    /// Made with the first request that needs it: the certificates are read from disk.
    tls: Arc<OnceLock<Result<HttpsConnector<TcpConnector>, String>>>,
    /// HTTP/2 also without TLS.
    prior_knowledge: bool,
}

impl DedicatedClient {
    /// For tests of HTTP/2 itself: spoken without TLS.
    #[cfg(test)]
    pub(crate) fn with_prior_knowledge() -> Self {
        Self { prior_knowledge: true, ..Self::default() }
    }

    fn https(&self, tcp: TcpConnector) -> Result<HttpsConnector<TcpConnector>, ConnectorError> {
        let made = self.tls.get_or_init(|| {
            let builder = HttpsConnectorBuilder::new().with_native_roots();
            let builder =
                builder.map_err(|cause| format!("no certificates to check the service by: {cause}"))?;
            Ok(builder.https_or_http().enable_all_versions().wrap_connector(tcp))
        });
        made.clone().map_err(|reason| ConnectorError::user(Box::new(io::Error::other(reason))))
    }
}

impl HttpClient for DedicatedClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(settings.connect_timeout());
        SharedHttpConnector::new(DedicatedConnector { client: self.clone(), tcp })
    }
}

#[derive(Debug)]
struct DedicatedConnector {
    client: DedicatedClient,
    tcp: TcpConnector,
}

impl HttpConnector for DedicatedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let builder = builder(self.client.prior_knowledge);
        if !request.uri().starts_with("https:") {
            return send(builder.build(self.tcp.clone()), request);
        }
        match self.client.https(self.tcp.clone()) {
            Ok(https) => send(builder.build(https), request),
            Err(error) => HttpConnectorFuture::ready(Err(error)),
        }
    }
}

fn builder(prior_knowledge: bool) -> Builder {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http2_only(prior_knowledge)
        .http2_initial_stream_window_size(WINDOW)
        .http2_initial_connection_window_size(WINDOW)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .timer(TokioTimer::new());
    builder
}

fn send<C>(client: Client<C, SdkBody>, request: HttpRequest) -> HttpConnectorFuture
where
    C: Connect + Clone + Send + Sync + 'static,
{
    HttpConnectorFuture::new(async move {
        let request = request.try_into_http1x().map_err(|cause| ConnectorError::user(cause.into()))?;
        let response = client.request(request).await.map_err(|cause| ConnectorError::io(cause.into()))?;
        HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
            .map_err(|cause| ConnectorError::other(cause.into(), None))
    })
}

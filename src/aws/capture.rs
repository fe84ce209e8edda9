//! Keeps the raw bytes of a data page while the SDK does everything around them.
//!
//! The SDK signs and sends the request and reads status and headers; the body of a successful
//! answer goes to the caller as it came, and the SDK gets a small stub to parse in its place.
//! A body without an end is handed over unread.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::page::Millis;

/// Ends a body that never stops. A page of DynamoDB is at most 1 MB of data, and escapes can make
/// that six times as much text; a page of Kinesis is at most 10 MiB, a third more as base64, and has
/// 10,000 partition keys of 256 characters. So this refuses nothing that is real.
const MAX_BODY: usize = 64 << 20;

/// What one call leaves behind besides its output: the answer's body, time and sender.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    body: Option<Bytes>,
    /// The service's clock, from the `Date` header.
    pub server_time: Option<Millis>,
    /// Scheme, host and port that were asked.
    pub endpoint: Option<String>,
}

/// Asks the connector to keep what comes; given to one call as an interceptor.
#[derive(Clone, Debug)]
pub struct Keep {
    slot: Slot,
}

/// Travels with a request through the SDK to the connector.
#[derive(Clone, Debug)]
struct Slot {
    kept: Arc<Mutex<Kept>>,
    /// The body while it is still being sent.
    unread: Arc<Mutex<Option<SdkBody>>>,
    wanted: Wanted,
}

/// What of a successful answer's body is for the caller.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Nothing,
    /// All of it; the SDK gets these bytes instead.
    Whole(&'static [u8]),
    /// The body itself, unread; the SDK gets an empty one.
    Unread,
}

impl Keep {
    /// Keeps only what the headers say.
    pub fn headers() -> Self {
        Self::new(Wanted::Nothing)
    }

    /// Keeps the body too and shows the SDK `stub` instead, which must have the members its
    /// parser requires.
    pub fn body(stub: &'static [u8]) -> Self {
        Self::new(Wanted::Whole(stub))
    }

    /// Hands the body over as it arrives; the SDK sees an answer that ends at once.
    pub fn unread_body() -> Self {
        Self::new(Wanted::Unread)
    }

    fn new(wanted: Wanted) -> Self {
        Self { slot: Slot { kept: Arc::default(), unread: Arc::default(), wanted } }
    }

    pub fn kept(&self) -> Kept {
        self.slot.lock().clone()
    }

    pub fn take_body(&self) -> Option<Bytes> {
        self.slot.lock().body.take()
    }

    pub fn take_unread_body(&self) -> Option<SdkBody> {
        self.slot.lock_unread().take()
    }
}

impl Slot {
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_unread(&self) -> std::sync::MutexGuard<'_, Option<SdkBody>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Keep {
    fn name(&self) -> &'static str {
        "Keep"
    }

    /// For every attempt: a request that is cloned for another one loses its extensions.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *self.slot.lock() = Kept::default();
        *self.slot.lock_unread() = None;
        context.request_mut().add_extension(self.slot.clone());
        Ok(())
    }
}

/// An HTTP client that keeps answers for calls that ask for it.
#[derive(Debug)]
pub struct CapturingClient {
    inner: SharedHttpClient,
}

impl CapturingClient {
    pub fn new(inner: SharedHttpClient) -> Self {
        Self { inner }
    }
}

impl HttpClient for CapturingClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(CapturingConnector { inner, read_timeout: settings.read_timeout() })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_final_config(components, config)
    }
}

#[derive(Debug)]
struct CapturingConnector {
    inner: SharedHttpConnector,
    /// The connector's own read timeout ends with the headers, and the SDK's protection against
    /// stalled bodies comes too late to see this one: so each piece of it is waited for this long.
    read_timeout: Option<Duration>,
}

impl HttpConnector for CapturingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Some(slot) = request.extension::<Slot>().cloned() else { return self.inner.call(request) };
        slot.lock().endpoint = authority(request.uri());
        let (response, read_timeout) = (self.inner.call(request), self.read_timeout);
        HttpConnectorFuture::new(async move {
            let mut response = response.await?;
            slot.lock().server_time = date(&response);
            match slot.wanted {
                Wanted::Whole(stub) if response.status().is_success() => {
                    keep_body(response, &slot, stub, read_timeout).await
                }
                Wanted::Unread if response.status().is_success() => {
                    *slot.lock_unread() = Some(response.take_body());
                    *response.body_mut() = SdkBody::empty();
                    Ok(response)
                }
                _ => Ok(response),
            }
        })
    }
}

async fn keep_body(
    mut response: HttpResponse,
    slot: &Slot,
    stub: &'static [u8],
    read_timeout: Option<Duration>,
) -> Result<HttpResponse, ConnectorError> {
    let body = response.take_body();
    let body = collect(body, read_timeout).await.map_err(|broken| ConnectorError::io(Box::new(broken)))?;
    check_crc(&response, &body).map_err(|broken| ConnectorError::io(Box::new(broken)))?;
    slot.lock().body = Some(body);
    // The headers stay: the SDK reads request id and clock from them, the length from the stub.
    *response.body_mut() = SdkBody::from(stub);
    Ok(response)
}

/// A body that came in one piece is kept as it is.
async fn collect(mut body: SdkBody, read_timeout: Option<Duration>) -> Result<Bytes, BrokenBody> {
    let expected = usize::try_from(body.content_length().unwrap_or(0)).unwrap_or(MAX_BODY).min(MAX_BODY);
    let first = next_piece(&mut body, read_timeout).await?.unwrap_or_default();
    let Some(second) = next_piece(&mut body, read_timeout).await? else { return Ok(first) };
    let mut whole = BytesMut::with_capacity(expected.max(first.len() + second.len()));
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while let Some(piece) = next_piece(&mut body, read_timeout).await? {
        if whole.len() + piece.len() > MAX_BODY {
            return Err(BrokenBody::Endless);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

async fn next_piece(body: &mut SdkBody, read_timeout: Option<Duration>) -> Result<Option<Bytes>, BrokenBody> {
    loop {
        let frame = match read_timeout {
            Some(limit) => {
                tokio::time::timeout(limit, body.frame()).await.map_err(|_| BrokenBody::Stalled(limit))?
            }
            None => body.frame().await,
        };
        match frame {
            None => return Ok(None),
            Some(Err(cause)) => return Err(BrokenBody::CutShort(cause)),
            // Trailers carry nothing of the body.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => continue,
            },
        }
    }
}

/// The service sends the CRC-32 of the body; the Rust SDK does not look at it.
fn check_crc(response: &HttpResponse, body: &[u8]) -> Result<(), BrokenBody> {
    let Some(Ok(promised)) = response.headers().get("x-amz-crc32").map(str::parse::<u32>) else {
        return Ok(());
    };
    let received = crc32fast::hash(body);
    if promised == received { Ok(()) } else { Err(BrokenBody::Checksum { promised, received }) }
}

fn date(response: &HttpResponse) -> Option<Millis> {
    let date = DateTime::from_str(response.headers().get("date")?, Format::HttpDate).ok()?;
    date.to_millis().ok()
}

fn authority(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    Some(format!("{scheme}://{host}"))
}

/// A successful answer whose body did not come as promised.
#[derive(Debug)]
pub(super) enum BrokenBody {
    CutShort(BoxError),
    Stalled(Duration),
    Endless,
    Checksum { promised: u32, received: u32 },
}

impl fmt::Display for BrokenBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutShort(_) => f.write_str("the answer was cut short"),
            Self::Stalled(limit) => write!(f, "the answer stopped for {limit:?} (read_timeout)"),
            Self::Endless => write!(f, "the answer is longer than {} MiB", MAX_BODY >> 20),
            Self::Checksum { promised, received } => {
                write!(f, "the answer has CRC-32 {received} but the service announced {promised}")
            }
        }
    }
}

impl std::error::Error for BrokenBody {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::CutShort(cause) => Some(cause.as_ref()),
            _ => None,
        }
    }
}

//! Errors as data: a kind to decide on, a sentence to read, and where it happened.

use std::fmt;

use crate::position::{NotASequenceNumber, Position, ShardId};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as anybody has to decide on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option has a value that cannot work; nothing was contacted.
    Usage,
    /// The table, the stream or the shard does not exist (here, under these credentials).
    NotFound,
    /// The table has no stream, or its stream carries no new image.
    StreamUnusable,
    /// No credentials, or credentials the service does not accept.
    Credentials,
    /// The credentials are good but may not do this.
    AccessDenied,
    /// The service was not reached, or did not answer in time.
    Connection,
    /// The service asked for fewer requests.
    Throttled,
    /// The service failed on its side.
    Service,
    /// Another reader holds what was asked for.
    InUse,
    /// The iterator is older than the service keeps it.
    IteratorExpired,
    /// The position is older than the oldest record the service still has.
    Trimmed,
    /// The service refused the request as malformed.
    InvalidRequest,
    /// The answer is not what the service's protocol promises (cut short, not JSON).
    BadPage,
    /// One record cannot be decoded.
    BadRecord,
    /// Records are known to be lost.
    Gap,
    /// A shard made no successful call for too long.
    Stalled,
    /// The checkpoint cannot be read, or was written by a newer format.
    CheckpointCorrupt,
    /// The checkpoint belongs to another table.
    CheckpointMismatch,
    /// Another consumer holds the checkpoint.
    CheckpointBusy,
    /// The checkpoint store failed to read or write.
    CheckpointStore,
    /// The stream was used after it was closed.
    Closed,
    /// A bug in this library.
    Internal,
}

impl ErrorKind {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::Throttled
                | Self::Service
                | Self::InUse
                | Self::IteratorExpired
                | Self::BadPage
        )
    }

    /// The word that names this kind in Python, logs and tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::StreamUnusable => "stream_unusable",
            Self::Credentials => "credentials",
            Self::AccessDenied => "access_denied",
            Self::Connection => "connection",
            Self::Throttled => "throttled",
            Self::Service => "service",
            Self::InUse => "in_use",
            Self::IteratorExpired => "iterator_expired",
            Self::Trimmed => "trimmed",
            Self::InvalidRequest => "invalid_request",
            Self::BadPage => "bad_page",
            Self::BadRecord => "bad_record",
            Self::Gap => "gap",
            Self::Stalled => "stalled",
            Self::CheckpointCorrupt => "checkpoint_corrupt",
            Self::CheckpointMismatch => "checkpoint_mismatch",
            Self::CheckpointBusy => "checkpoint_busy",
            Self::CheckpointStore => "checkpoint_store",
            Self::Closed => "closed",
            Self::Internal => "internal",
        }
    }
}

type Cause = std::sync::Arc<dyn std::error::Error + Send + Sync>;

/// One failure: `Display` is the sentence for the user, `source()` the chain below it.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    retryable: bool,
    code: Option<String>,
    shard: Option<ShardId>,
    position: Option<Position>,
    cause: Option<Cause>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            retryable: kind.retryable(),
            code: None,
            shard: None,
            position: None,
            cause: None,
        }))
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The service's own name for the error, such as `TrimmedDataAccessException`.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    #[must_use]
    pub fn with_shard(mut self, shard: &ShardId) -> Self {
        self.0.shard = Some(shard.clone());
        self
    }

    #[must_use]
    pub fn with_position(mut self, position: Position) -> Self {
        self.0.position = Some(position);
        self
    }

    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.cause = Some(Cause::from(cause.into()));
        self
    }

    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn retryable(&self) -> bool {
        self.0.retryable
    }

    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    pub fn shard(&self) -> Option<&ShardId> {
        self.0.shard.as_ref()
    }

    pub fn position(&self) -> Option<&Position> {
        self.0.position.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind).field("message", &self.0.message);
        if let Some(shard) = &self.0.shard {
            out.field("shard", shard);
        }
        if let Some(code) = &self.0.code {
            out.field("code", code);
        }
        if let Some(cause) = &self.0.cause {
            out.field("cause", cause);
        }
        out.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<NotASequenceNumber> for Error {
    fn from(cause: NotASequenceNumber) -> Self {
        Self::usage(cause.to_string())
    }
}

//! The service's errors: a code, an HTTP status, a sentence.

use std::fmt;

pub type Result<T, E = AwsError> = std::result::Result<T, E>;

/// What the service would answer instead of a result.
///
/// Status 0 means that no answer comes at all (see `LOST_REPLY`, `HANG` and `RESET`):
/// only scripted faults do that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    pub code: String,
    pub status: u16,
    pub message: String,
}

impl AwsError {
    /// The request took effect, the answer never arrived.
    pub const LOST_REPLY: &'static str = "TwinLostReply";
    /// The request was accepted and nothing happens.
    pub const HANG: &'static str = "TwinHang";
    /// The connection was reset before the request took effect.
    pub const RESET: &'static str = "TwinReset";
    /// In-process only: the answer came, but its body is damaged.
    pub const BAD_BODY: &'static str = "TwinBadBody";

    pub fn new(code: impl Into<String>, status: u16, message: impl Into<String>) -> Self {
        Self { code: code.into(), status, message: message.into() }
    }

    pub(crate) fn no_reply(code: &str) -> Self {
        Self::new(code, 0, "no answer")
    }

    pub(crate) fn bad_body() -> Self {
        Self::new(Self::BAD_BODY, 200, "the answer's body is damaged")
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", 400, message)
    }

    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", 400, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFoundException", 400, message)
    }

    pub(crate) fn in_use(message: impl Into<String>) -> Self {
        Self::new("ResourceInUseException", 400, message)
    }

    pub(crate) fn trimmed() -> Self {
        Self::new(
            "TrimmedDataAccessException",
            400,
            "The operation attempted to read past the oldest stream record in a shard",
        )
    }

    pub(crate) fn expired() -> Self {
        Self::new("ExpiredIteratorException", 400, "Iterator expired")
    }

    pub(crate) fn throttled() -> Self {
        Self::new("ThrottlingException", 400, "Rate exceeded")
    }

    pub(crate) fn over_capacity() -> Self {
        Self::new(
            "ProvisionedThroughputExceededException",
            400,
            "The level of configured provisioned throughput for the table was exceeded",
        )
    }

    pub(crate) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", 400, message)
    }

    /// The error's full name on the wire; the namespace depends on which layer refuses.
    pub(crate) fn wire_type(&self) -> String {
        let namespace = match self.code.as_str() {
            "ValidationException" => "com.amazon.coral.validate",
            "SerializationException"
            | "MissingAuthenticationTokenException"
            | "UnknownOperationException"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "ExpiredTokenException"
            | "AccessDeniedException" => "com.amazon.coral.service",
            "ThrottlingException" => "com.amazon.coral.availability",
            _ => "com.amazonaws.dynamodb.v20120810",
        };
        format!("{namespace}#{}", self.code)
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for AwsError {}

//! What the service's errors mean: one table from code and status to kind and retry.

use std::error::Error as StdError;
use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::capture::BrokenBody;
use super::identity::IdentityFailure;
pub(crate) use super::identity::chain;
use crate::error::{Error, ErrorKind};

/// A call as an error names it.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Whose permission it needs, as policies name the service: `dynamodb`, `kinesis`.
    pub service: &'static str,
    pub operation: &'static str,
    /// What it was about, such as `shard shardId-…` or `table orders`.
    pub subject: &'a str,
    pub region: &'a str,
    /// Scheme, host and port, when the request came that far.
    pub endpoint: Option<String>,
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} in {}", self.operation, self.subject, self.place())
    }
}

impl Call<'_> {
    /// Where the call went, for sentences about it.
    pub fn place(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("region {} at {endpoint}", self.region),
            None => format!("region {}", self.region),
        }
    }

    /// Turns an SDK error into ours.
    ///
    /// The SDK's error is not kept as the cause: its chain prints whole answers, and the answer
    /// to a bad signature repeats the request with its session token.
    pub fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: StdError + ProvideErrorMetadata + 'static,
    {
        if let Some(failure) = find::<IdentityFailure>(error) {
            return self.no_identity(failure);
        }
        if let Some(broken) = find::<BrokenBody>(error) {
            return self.broken(broken);
        }
        match error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                self.refused(answer.err().code(), answer.err().message(), status)
            }
            SdkError::ResponseError(answer) => self.refused(None, None, answer.raw().status().as_u16()),
            SdkError::TimeoutError(_) => {
                self.unreached("no answer in time (attempt_timeout, operation_timeout)")
            }
            SdkError::DispatchFailure(failure) => {
                let cause = failure.as_connector_error().and_then(StdError::source);
                self.unreached(&chain(cause.unwrap_or(error)))
            }
            other => Error::internal(format!("{self} could not be built: {}", chain(other))),
        }
    }

    fn no_identity(&self, failure: &IdentityFailure) -> Error {
        let message = format!(
            "no usable AWS credentials for {self}: {}; give access_key_id and secret_access_key, profile or role_arn, \
             or set up the standard AWS chain",
            failure.reason()
        );
        Error::new(ErrorKind::Credentials, message).with_retryable(failure.is_temporary())
    }

    fn broken(&self, broken: &BrokenBody) -> Error {
        let kind = match broken {
            BrokenBody::CutShort(_) | BrokenBody::Stalled(_) => ErrorKind::Connection,
            BrokenBody::Checksum { .. } | BrokenBody::Endless => ErrorKind::BadPage,
        };
        Error::new(kind, format!("{self} failed: {}", chain(broken)))
    }

    fn unreached(&self, reason: &str) -> Error {
        Error::new(ErrorKind::Connection, format!("{self} was not answered: {reason}"))
    }

    /// What an answer that is not a success means, by the service's code for it.
    pub fn refused(&self, code: Option<&str>, message: Option<&str>, status: u16) -> Error {
        let (kind, retryable) = classify(code, status);
        let code_text = code.map_or_else(|| format!("HTTP status {status}"), str::to_owned);
        let said = match message.map(first_line).filter(|line| !line.is_empty()) {
            Some(line) => format!("{code_text} ({line})"),
            None => code_text,
        };
        let sentence = match code.and_then(key_trouble) {
            Some(advice) => format!("{self} failed: {said}; {advice}"),
            None => self.sentence(kind, &said),
        };
        let error = Error::new(kind, sentence).with_retryable(retryable);
        match code {
            Some(code) => error.with_code(code),
            None => error,
        }
    }

    fn sentence(&self, kind: ErrorKind, said: &str) -> String {
        match kind {
            ErrorKind::Credentials => format!(
                "{self}: the credentials were refused, {said}; check the keys, the session token and this machine's clock"
            ),
            ErrorKind::AccessDenied => {
                format!(
                    "{self} is not allowed, {said}; grant {}:{} to these credentials",
                    self.service, self.operation
                )
            }
            ErrorKind::BadPage => format!("{self}: the answer cannot be read, {said}"),
            _ => format!("{self} failed: {said}"),
        }
    }
}

/// The kind of an error answer and whether the same call may succeed later.
///
/// Codes are those of the services' API references (operations' and "Common Errors" pages).
/// A code that is not known goes by its HTTP class.
pub fn classify(code: Option<&str>, status: u16) -> (ErrorKind, bool) {
    let kind = match code.unwrap_or_default() {
        "ExpiredIteratorException" => ErrorKind::IteratorExpired,
        "TrimmedDataAccessException" => ErrorKind::Trimmed,
        "ResourceNotFoundException" | "TableNotFoundException" => ErrorKind::NotFound,
        "LimitExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "ProvisionedThroughputExceededException"
        | "KMSThrottlingException"
        | "RequestLimitExceeded" => ErrorKind::Throttled,
        "InternalServerError"
        | "InternalFailure"
        | "InternalFailureException"
        | "InternalServerException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => ErrorKind::Service,
        // Somebody has to put the key in order, and may do so while the stream waits.
        code if key_trouble(code).is_some() => ErrorKind::Service,
        "ExpiredTokenException"
        | "ExpiredToken"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => {
            // New credentials, or the clock corrected by the answer just received, may help.
            return (ErrorKind::Credentials, true);
        }
        "InvalidClientTokenId"
        | "AuthFailure"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => ErrorKind::Credentials,
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired" => {
            ErrorKind::AccessDenied
        }
        "ValidationException"
        | "InvalidArgumentException"
        | "SerializationException"
        | "UnknownOperationException" => ErrorKind::InvalidRequest,
        _ => return by_status(status),
    };
    (kind, kind.retryable())
}

/// What to do about a stream's encryption key that cannot be used (Kinesis API reference, GetRecords).
fn key_trouble(code: &str) -> Option<&'static str> {
    Some(match code {
        "KMSDisabledException" => "enable the KMS key of the stream",
        "KMSInvalidStateException" => {
            "the KMS key of the stream is pending deletion or unavailable: cancel its deletion, or wait for it"
        }
        "KMSAccessDeniedException" => "grant kms:Decrypt on the KMS key of the stream to these credentials",
        "KMSNotFoundException" => {
            "the KMS key of the stream does not exist: encrypt the stream with one that does"
        }
        "KMSOptInRequired" => "subscribe this account to KMS",
        _ => return None,
    })
}

fn by_status(status: u16) -> (ErrorKind, bool) {
    let kind = match status {
        200..=299 => ErrorKind::BadPage,
        401 => ErrorKind::Credentials,
        403 => ErrorKind::AccessDenied,
        429 => ErrorKind::Throttled,
        408 | 500.. => ErrorKind::Service,
        _ => ErrorKind::InvalidRequest,
    };
    (kind, kind.retryable())
}

/// Behind the first line, answers to a bad signature repeat the signed request.
fn first_line(message: &str) -> &str {
    let line = message.lines().next().unwrap_or_default().trim();
    match line.char_indices().nth(300) {
        Some((end, _)) => &line[..end],
        None => line,
    }
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_kind_and_retry() {
        use ErrorKind::*;
        let table = [
            ("ExpiredIteratorException", 400, IteratorExpired, true),
            ("TrimmedDataAccessException", 400, Trimmed, false),
            ("ResourceNotFoundException", 400, NotFound, false),
            ("LimitExceededException", 400, Throttled, true),
            ("ThrottlingException", 400, Throttled, true),
            ("ProvisionedThroughputExceededException", 400, Throttled, true),
            ("RequestLimitExceeded", 400, Throttled, true),
            ("KMSThrottlingException", 400, Throttled, true),
            ("KMSDisabledException", 400, Service, true),
            ("KMSInvalidStateException", 400, Service, true),
            ("KMSAccessDeniedException", 400, Service, true),
            ("KMSNotFoundException", 400, Service, true),
            ("KMSOptInRequired", 400, Service, true),
            ("InvalidArgumentException", 400, InvalidRequest, false),
            ("InternalServerError", 500, Service, true),
            ("InternalFailureException", 400, Service, true),
            ("ServiceUnavailable", 503, Service, true),
            ("ExpiredTokenException", 400, Credentials, true),
            ("InvalidSignatureException", 400, Credentials, true),
            ("RequestExpired", 400, Credentials, true),
            ("UnrecognizedClientException", 400, Credentials, true),
            ("MissingAuthenticationTokenException", 400, Credentials, false),
            ("AccessDeniedException", 400, AccessDenied, false),
            ("ValidationException", 400, InvalidRequest, false),
            ("SerializationException", 400, InvalidRequest, false),
            ("SomethingNewException", 400, InvalidRequest, false),
            ("SomethingNewException", 404, InvalidRequest, false),
            ("SomethingNewException", 429, Throttled, true),
            ("SomethingNewException", 500, Service, true),
            ("SomethingNewException", 599, Service, true),
            ("", 502, Service, true),
            ("", 403, AccessDenied, false),
            ("", 200, BadPage, true),
            ("", 302, InvalidRequest, false),
        ];
        for (code, status, kind, retryable) in table {
            let code = Some(code).filter(|code| !code.is_empty());
            assert_eq!(classify(code, status), (kind, retryable), "{code:?} with status {status}");
        }
    }

    #[test]
    fn an_error_names_call_place_and_code_and_only_the_first_line() {
        let endpoint = Some("http://127.0.0.1:1".to_owned());
        let call = Call {
            service: "dynamodb",
            operation: "GetRecords",
            subject: "shard s-1",
            region: "eu-west-1",
            endpoint,
        };
        let message = "The signature does not match.\n\nx-amz-security-token:SECRET";
        let error = call.refused(Some("InvalidSignatureException"), Some(message), 400);
        for part in
            ["GetRecords", "shard s-1", "eu-west-1", "http://127.0.0.1:1", "InvalidSignature", "not match"]
        {
            assert!(error.message().contains(part), "{error} does not say {part}");
        }
        assert!(!format!("{error:?} {error}").contains("SECRET"));
        assert_eq!(error.code(), Some("InvalidSignatureException"));
        assert!(StdError::source(&error).is_none());
    }

    #[test]
    fn trouble_with_the_key_and_with_permissions_says_what_to_do() {
        let call = Call {
            service: "kinesis",
            operation: "GetRecords",
            subject: "shard s-1",
            region: "eu-west-1",
            endpoint: None,
        };
        let error = call.refused(Some("KMSAccessDeniedException"), Some("no"), 400);
        assert!(error.message().contains("grant kms:Decrypt"), "{error}");
        let error = call.refused(Some("AccessDeniedException"), Some("no"), 400);
        assert!(error.message().contains("grant kinesis:GetRecords"), "{error}");
    }
}

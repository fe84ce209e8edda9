//! What the twin looks at of a signature: that there is one, and when it was made.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use crate::clock::{Millis, compact, moment};
use crate::error::{AwsError, Result};

/// # Errors
/// `MissingAuthenticationTokenException`, and `InvalidSignatureException` for a time that is not
/// `within` so many milliseconds of the twin's. Documented, the messages recorded.
pub(crate) fn check(headers: &HeaderMap, now: Millis, within: Option<Millis>) -> Result<()> {
    if !headers.contains_key(AUTHORIZATION) {
        let message = "Missing Authentication Token";
        return Err(AwsError::new("MissingAuthenticationTokenException", 400, message));
    }
    let Some(within) = within else { return Ok(()) };
    let given = headers.get("x-amz-date").and_then(|date| date.to_str().ok()).unwrap_or_default();
    let (earliest, latest) = (now.saturating_sub(within), now.saturating_add(within));
    let minutes = within / 60_000;
    let message = match moment(given) {
        None => format!("Date in Amz-Date must be in the format of '20060102T150405Z', got {given:?}"),
        Some(at) if at < earliest => format!(
            "Signature expired: {given} is now earlier than {} ({} - {minutes} min.)",
            compact(earliest),
            compact(now)
        ),
        Some(at) if at > latest => format!(
            "Signature not yet current: {given} is still later than {} ({} + {minutes} min.)",
            compact(latest),
            compact(now)
        ),
        Some(_) => return Ok(()),
    };
    Err(AwsError::new("InvalidSignatureException", 400, message))
}

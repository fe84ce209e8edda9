//! The client room: where the service is, who asks, how long to wait, and what its errors mean.

pub mod arn;
pub mod capture;
pub mod clients;
pub mod dedicated;
pub mod errors;
mod identity;
#[cfg(test)]
pub(crate) mod scripted;

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Result};

/// Where and as whom to connect. What is not given comes from the standard AWS chain.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connection {
    pub region: Option<String>,
    /// For every service used, STS included; `AWS_ENDPOINT_URL_STS` names another one for STS.
    pub endpoint_url: Option<String>,
    pub profile: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
    /// A role to assume with the credentials above.
    pub role_arn: Option<String>,
    pub external_id: Option<String>,
    /// Seconds until a connection stands, TLS included: 3.
    pub connect_timeout: Option<f64>,
    /// Seconds without a byte, until the answer begins and between its pieces: 10.
    pub read_timeout: Option<f64>,
    /// Seconds for one request and its answer: 30.
    pub attempt_timeout: Option<f64>,
    /// Seconds for a call with its retries, where it has any: 60.
    pub operation_timeout: Option<f64>,
}

impl Connection {
    const LONGEST_TIMEOUT: f64 = 3600.0;

    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// `Usage`, naming the option.
    pub fn check(&self) -> Result<()> {
        self.check_keys()?;
        if self.external_id.is_some() && self.role_arn.is_none() {
            return Err(Error::usage("external_id is given without role_arn; it belongs to a role"));
        }
        for (option, seconds) in self.timeouts() {
            if !(seconds > 0.0 && seconds <= Self::LONGEST_TIMEOUT) {
                return Err(Error::usage(format!(
                    "{option} is {seconds}; it must be more than 0 and at most 3600 seconds"
                )));
            }
        }
        self.region.as_deref().map_or(Ok(()), check_region)?;
        self.endpoint_url.as_deref().map_or(Ok(()), check_endpoint)
    }

    fn check_keys(&self) -> Result<()> {
        match (&self.access_key_id, &self.secret_access_key, &self.session_token) {
            (Some(_), None, _) => Err(Error::usage("access_key_id is given without secret_access_key")),
            (None, Some(_), _) => Err(Error::usage("secret_access_key is given without access_key_id")),
            (None, None, Some(_)) => {
                Err(Error::usage("session_token is given without access_key_id and secret_access_key"))
            }
            _ => Ok(()),
        }
    }

    /// As given, or the default.
    fn timeouts(&self) -> [(&'static str, f64); 4] {
        [
            ("connect_timeout", self.connect_timeout.unwrap_or(3.0)),
            ("read_timeout", self.read_timeout.unwrap_or(10.0)),
            ("attempt_timeout", self.attempt_timeout.unwrap_or(30.0)),
            ("operation_timeout", self.operation_timeout.unwrap_or(60.0)),
        ]
    }

    /// The region to use: the option, else the one in the ARN of what is asked for.
    ///
    /// # Errors
    /// `Usage` when they contradict each other.
    pub fn region_for(&self, home: Option<&str>) -> Result<Option<String>> {
        match (self.region.as_deref(), home) {
            (Some(region), Some(home)) if region != home => Err(Error::usage(format!(
                "region is {region:?} but the ARN is in {home:?}; leave region out"
            ))),
            (region, home) => Ok(region.or(home).map(str::to_owned)),
        }
    }
}

/// A region becomes part of a host name, so it may hold nothing that changes the host.
fn check_region(region: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !region.is_empty() && region.len() <= 64 && region.bytes().all(plain) {
        return Ok(());
    }
    Err(Error::usage(format!("region {region:?} is not the name of a region, such as \"eu-west-1\"")))
}

/// The value is not repeated in the errors: it may hold a password.
fn check_endpoint(url: &str) -> Result<()> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let Some(rest) = rest else {
        return Err(Error::usage("endpoint_url must begin with http:// or https://"));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Error::usage("endpoint_url must not hold a user or a password"));
    }
    if authority.is_empty() || rest.contains(['?', '#']) || !rest.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(Error::usage("endpoint_url must be like \"http://127.0.0.1:8000\""));
    }
    Ok(())
}

/// Whole milliseconds, so that a tiny value does not become "at once".
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX).max(Duration::from_millis(1))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "…");
        let mut out = f.debug_struct("Connection");
        out.field("region", &self.region).field("endpoint_url", &self.endpoint_url);
        out.field("profile", &self.profile);
        out.field("access_key_id", &hidden(&self.access_key_id));
        out.field("secret_access_key", &hidden(&self.secret_access_key));
        out.field("session_token", &hidden(&self.session_token));
        out.field("role_arn", &self.role_arn).field("external_id", &hidden(&self.external_id));
        for (option, seconds) in self.timeouts() {
            out.field(option, &seconds);
        }
        out.finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn parse(json: &str) -> Connection {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn bad_options_are_named() {
        let cases = [
            (r#"{"access_key_id": "AKIA"}"#, "access_key_id"),
            (r#"{"secret_access_key": "x"}"#, "secret_access_key"),
            (r#"{"session_token": "x"}"#, "session_token"),
            (r#"{"external_id": "x"}"#, "external_id"),
            (r#"{"connect_timeout": 0}"#, "connect_timeout"),
            (r#"{"read_timeout": -1}"#, "read_timeout"),
            (r#"{"attempt_timeout": 1e300}"#, "attempt_timeout"),
            (r#"{"operation_timeout": 3601}"#, "operation_timeout"),
            (r#"{"region": ""}"#, "region"),
            (r#"{"region": "eu-west-1.evil.example/"}"#, "region"),
            (r#"{"endpoint_url": "127.0.0.1:8000"}"#, "endpoint_url"),
            (r#"{"endpoint_url": "http://"}"#, "endpoint_url"),
            (r#"{"endpoint_url": "http://a b"}"#, "endpoint_url"),
            (r#"{"endpoint_url": "https://me:hidden@host"}"#, "endpoint_url"),
        ];
        for (options, name) in cases {
            let error = parse(options).check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.message().contains(name), "{options}: {error}");
            assert!(!error.message().contains("hidden"), "{error}");
        }
        assert!(parse(r#"{"region": null, "read_timeout": null}"#).check().is_ok());
        assert!(
            parse(r#"{"endpoint_url": "http://[::1]:8000/", "region": "us-gov-east-1"}"#).check().is_ok()
        );
        assert!(serde_json::from_str::<Connection>(r#"{"regoin": "x"}"#).is_err());
        let nan = Connection { read_timeout: Some(f64::NAN), ..Connection::default() };
        assert!(nan.check().is_err());
    }

    #[test]
    fn the_region_of_an_arn_serves_when_none_is_given() {
        let given = parse(r#"{"region": "eu-west-1"}"#);
        assert_eq!(given.region_for(None).unwrap().unwrap(), "eu-west-1");
        assert_eq!(given.region_for(Some("eu-west-1")).unwrap().unwrap(), "eu-west-1");
        assert_eq!(parse("{}").region_for(Some("us-east-1")).unwrap().unwrap(), "us-east-1");
        assert_eq!(parse("{}").region_for(None).unwrap(), None);
        let error = given.region_for(Some("us-east-1")).unwrap_err();
        assert!(error.message().contains("eu-west-1") && error.message().contains("us-east-1"), "{error}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let keys = r#"{"access_key_id": "AKHIDE", "secret_access_key": "SHIDE", "session_token": "THIDE"}"#;
        let printed = format!("{:?}", parse(keys));
        assert!(!printed.contains("HIDE"), "{printed}");
        assert!(printed.contains("connect_timeout: 3"), "{printed}");
    }
}

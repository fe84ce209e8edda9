//! The SDK's clients, made from a `Connection` and the standard chain.

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::capture::{CapturingClient, Keep};
use super::dedicated::DedicatedClient;
use super::errors::Call;
use super::identity::RenewableIdentity;
use super::{Connection, seconds};
use crate::error::{Error, ErrorKind, Result};

/// One connection pool and one set of credentials for the services a source talks to.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Makes one attempt per call: whether to try again is decided by the reader.
    pub streams: aws_sdk_dynamodbstreams::Client,
    /// Tries again by itself, as the SDK does by default.
    pub tables: aws_sdk_dynamodb::Client,
    /// For a table's items: makes one attempt per call, as `streams`.
    pub items: aws_sdk_dynamodb::Client,
    /// For Kinesis streams: makes one attempt per call, as `streams`.
    pub kinesis: aws_sdk_kinesis::Client,
    /// For answers that go on for minutes: each has a connection of its own.
    pub fan_out: aws_sdk_kinesis::Client,
    pub region: String,
    identity: RenewableIdentity,
}

impl Clients {
    /// Reads the chain's settings; no service is contacted, but credentials may be looked for.
    ///
    /// `home` is the region of the ARN that is asked for, if it is an ARN.
    ///
    /// # Errors
    /// `Usage` when no region is known, or an option cannot work.
    pub async fn connect(connection: &Connection, home: Option<&str>) -> Result<Self> {
        connection.check()?;
        let region = connection.region_for(home)?;
        let identity = RenewableIdentity::new();
        let config = load(connection, region, identity.clone()).await;
        let region = config.region().map(|region| region.as_ref().to_owned()).ok_or_else(no_region)?;
        let config = with_credentials(config, connection).await;
        Ok(Self {
            streams: aws_sdk_dynamodbstreams::Client::from_conf(streams_config(&config)),
            tables: aws_sdk_dynamodb::Client::new(&config),
            items: aws_sdk_dynamodb::Client::from_conf(items_config(&config)),
            kinesis: aws_sdk_kinesis::Client::from_conf(kinesis_config(&config)),
            fan_out: fan_out_client(&config, DedicatedClient::default()),
            region,
            identity,
        })
    }

    /// For tests of HTTP/2: subscriptions speak it without TLS.
    #[cfg(test)]
    pub(crate) fn with_prior_knowledge(mut self) -> Self {
        let http = SharedHttpClient::new(DedicatedClient::with_prior_knowledge());
        let http = SharedHttpClient::new(CapturingClient::new(http));
        let config = self.fan_out.config().to_builder().http_client(http).build();
        self.fan_out = aws_sdk_kinesis::Client::from_conf(config);
        self
    }

    /// What a failed call means. Credentials that were refused are forgotten: the next call asks
    /// for them again.
    pub fn failed<E>(
        &self,
        operation: &'static str,
        subject: &str,
        keep: &Keep,
        error: &SdkError<E, HttpResponse>,
    ) -> Error
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        self.failed_at("dynamodb", operation, subject, keep, error)
    }

    /// As `failed`, for a call to Kinesis.
    pub fn kinesis_failed<E>(
        &self,
        operation: &'static str,
        subject: &str,
        keep: &Keep,
        error: &SdkError<E, HttpResponse>,
    ) -> Error
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        self.failed_at("kinesis", operation, subject, keep, error)
    }

    fn failed_at<E>(
        &self,
        service: &'static str,
        operation: &'static str,
        subject: &str,
        keep: &Keep,
        error: &SdkError<E, HttpResponse>,
    ) -> Error
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let endpoint = keep.kept().endpoint;
        let error = Call { service, operation, subject, region: &self.region, endpoint }.failed(error);
        if error.kind() == ErrorKind::Credentials {
            self.identity.renew();
        }
        error
    }

    /// For a table that is not there, with the places to look for the mistake.
    pub fn no_table(&self, name: &str, keep: &Keep) -> Error {
        let endpoint = keep.kept().endpoint.unwrap_or_default();
        let region = &self.region;
        let message = format!(
            "there is no table {name} in region {region} at {endpoint}; check its name, region, endpoint_url and the account"
        );
        Error::new(ErrorKind::NotFound, message).with_code("ResourceNotFoundException")
    }
}

fn no_region() -> Error {
    Error::usage("region is not known; give region, or set AWS_REGION, or a region in the AWS profile")
}

fn http_client() -> SharedHttpClient {
    let tls = Provider::Rustls(CryptoMode::Ring);
    SharedHttpClient::new(CapturingClient::new(HttpBuilder::new().tls_provider(tls).build_https()))
}

fn timeouts(connection: &Connection) -> TimeoutConfig {
    let [connect, read, attempt, operation] = connection.timeouts().map(|(_, value)| seconds(value));
    TimeoutConfig::builder()
        .connect_timeout(connect)
        .read_timeout(read)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

async fn load(connection: &Connection, region: Option<String>, identity: RenewableIdentity) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .identity_cache(identity)
        .timeout_config(timeouts(connection));
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    if let Some(profile) = &connection.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(url) = &connection.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    loader.load().await
}

/// Keys that are given come first, then a profile that is named, then the chain; a role on top.
async fn with_credentials(config: SdkConfig, connection: &Connection) -> SdkConfig {
    let mut builder = config.clone().into_builder();
    if let (Some(id), Some(secret)) = (&connection.access_key_id, &connection.secret_access_key) {
        let keys = Credentials::new(id, secret, connection.session_token.clone(), None, "options");
        builder.set_credentials_provider(Some(SharedCredentialsProvider::new(keys)));
    } else if let Some(profile) = &connection.profile {
        builder.set_credentials_provider(Some(profile_provider(&config, profile)));
    }
    let config = builder.build();
    let Some(role) = &connection.role_arn else { return config };
    let provider = role_provider(&config, role, connection).await;
    config.into_builder().credentials_provider(provider).build()
}

/// The SDK's own chain would prefer keys in the environment to a profile that was named.
fn profile_provider(config: &SdkConfig, profile: &str) -> SharedCredentialsProvider {
    let mut settings = ProviderConfig::without_region().with_region(config.region().cloned());
    if let Some(http) = config.http_client() {
        settings = settings.with_http_client(http);
    }
    let provider = ProfileFileCredentialsProvider::builder().configure(&settings).profile_name(profile);
    SharedCredentialsProvider::new(NamedProfile { name: profile.to_owned(), provider: provider.build() })
}

/// Names the profile where the SDK only says that there was nothing to load.
#[derive(Debug)]
struct NamedProfile {
    name: String,
    provider: ProfileFileCredentialsProvider,
}

impl ProvideCredentials for NamedProfile {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            self.provider.provide_credentials().await.map_err(|error| match error {
                CredentialsError::CredentialsNotLoaded(_) => CredentialsError::not_loaded(format!(
                    "the AWS configuration has no profile {:?} with credentials",
                    self.name
                )),
                other => other,
            })
        })
    }
}

async fn role_provider(config: &SdkConfig, role: &str, connection: &Connection) -> SharedCredentialsProvider {
    let mut builder = config.clone().into_builder();
    if let Some(endpoint) = &connection.endpoint_url {
        builder.set_endpoint_url(sts_endpoint(endpoint, std::env::var("AWS_ENDPOINT_URL_STS").ok()));
    }
    let mut role = AssumeRoleProvider::builder(role).session_name("shardarrow").configure(&builder.build());
    if let Some(id) = &connection.external_id {
        role = role.external_id(id);
    }
    SharedCredentialsProvider::new(role.build().await)
}

/// An emulator serves every service at one address; an endpoint of AWS, such as one inside a
/// VPC, serves only its own.
fn sts_endpoint(endpoint_url: &str, for_sts: Option<String>) -> Option<String> {
    let host = endpoint_url.split("://").nth(1)?.split(['/', ':']).next()?;
    let of_aws =
        host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn") || host.ends_with(".api.aws");
    for_sts.filter(|url| !url.is_empty()).or_else(|| (!of_aws).then(|| endpoint_url.to_owned()))
}

fn streams_config(config: &SdkConfig) -> aws_sdk_dynamodbstreams::Config {
    aws_sdk_dynamodbstreams::config::Builder::from(config)
        .retry_config(RetryConfig::disabled())
        // It would watch the stub that stands for a captured body; capture has its own timeout.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}

fn items_config(config: &SdkConfig) -> aws_sdk_dynamodb::Config {
    aws_sdk_dynamodb::config::Builder::from(config)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}

fn kinesis_config(config: &SdkConfig) -> aws_sdk_kinesis::Config {
    aws_sdk_kinesis::config::Builder::from(config)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}

fn fan_out_client(config: &SdkConfig, http: DedicatedClient) -> aws_sdk_kinesis::Client {
    let http = SharedHttpClient::new(CapturingClient::new(SharedHttpClient::new(http)));
    let config = kinesis_config(config).to_builder().http_client(http).build();
    aws_sdk_kinesis::Client::from_conf(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sts_follows_an_emulator_but_not_an_endpoint_of_another_service() {
        let local = "http://127.0.0.1:4566";
        assert_eq!(sts_endpoint(local, None).as_deref(), Some(local));
        assert_eq!(sts_endpoint(local, Some("http://sts".into())).as_deref(), Some("http://sts"));
        assert_eq!(sts_endpoint("https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com", None), None);
        assert_eq!(sts_endpoint("https://streams-dynamodb.eu-west-1.api.aws/", None), None);
    }
}

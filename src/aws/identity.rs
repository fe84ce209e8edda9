//! Credentials, kept until they expire or the service refuses them.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::identity::{
    IdentityFuture, ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// An identity cache that can be told to forget.
///
/// The SDK's cache keeps credentials until the expiry they were given, whatever the service says
/// meanwhile. Making a new client instead would also drop its connections and the clock skew it
/// has learned from the service, which is what an invalid signature is often about.
#[derive(Clone, Debug)]
pub(super) struct RenewableIdentity(Arc<RwLock<SharedIdentityCache>>);

impl RenewableIdentity {
    pub(super) fn new() -> Self {
        Self(Arc::new(RwLock::new(fresh())))
    }

    /// The next request asks the credentials provider again.
    pub(super) fn renew(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh();
    }
}

/// Long enough for a role through SSO and STS on a slow line.
const LOAD_TIMEOUT: Duration = Duration::from_secs(20);

fn fresh() -> SharedIdentityCache {
    IdentityCache::lazy().load_timeout(LOAD_TIMEOUT).build()
}

impl ResolveCachedIdentity for RenewableIdentity {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        config: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let cache = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        IdentityFuture::new(async move {
            let identity = cache.resolve_cached_identity(resolver, components, config).await;
            identity.map_err(|cause| BoxError::from(IdentityFailure(cause)))
        })
    }
}

/// Marks an error as one of finding credentials, wherever the SDK then wraps it.
#[derive(Debug)]
pub(super) struct IdentityFailure(BoxError);

impl IdentityFailure {
    /// Whether asking again may help. A provider that was reached and failed, or did not answer in
    /// time, may recover; one that knows nothing, is set up wrongly or is not allowed stays so.
    pub(super) fn is_temporary(&self) -> bool {
        match self.0.downcast_ref::<CredentialsError>() {
            Some(CredentialsError::ProviderTimedOut(_)) => true,
            Some(cause @ CredentialsError::ProviderError(_)) => !chain(cause).contains("AccessDenied"),
            Some(_) => false,
            // What the cache adds to its provider's errors is its time limit.
            None => true,
        }
    }

    pub(super) fn reason(&self) -> String {
        chain(self.0.as_ref())
    }
}

impl fmt::Display for IdentityFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no usable credentials")
    }
}

impl StdError for IdentityFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.0.as_ref())
    }
}

/// An error and its causes in one line, each said once.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut line = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let text = text.lines().next().unwrap_or_default();
        if !line.contains(text) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(text);
        }
        next = error.source();
    }
    line
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_credential_types::Credentials;
    use aws_credential_types::provider::{ProvideCredentials, future};

    use super::*;
    use crate::aws::scripted::{Reply, Scripted};

    #[derive(Debug, Default, Clone)]
    struct Counting(Arc<AtomicUsize>);

    impl ProvideCredentials for Counting {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            self.0.fetch_add(1, Ordering::SeqCst);
            future::ProvideCredentials::ready(Ok(Credentials::new("id", "secret", None, None, "test")))
        }
    }

    #[tokio::test]
    async fn credentials_are_kept_until_they_are_renewed() {
        let server = Scripted::serve(|_, _| Reply::Say(200, "{}".into()));
        let (identity, provider) = (RenewableIdentity::new(), Counting::default());
        let config = aws_sdk_dynamodbstreams::Config::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::new("eu-west-1"))
            .endpoint_url(&server.endpoint)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .identity_cache(identity.clone())
            .credentials_provider(provider.clone());
        let client = aws_sdk_dynamodbstreams::Client::from_conf(config.build());
        let mut asked = Vec::new();
        for renew in [false, false, true, false] {
            if renew {
                identity.renew();
            }
            client.list_streams().send().await.unwrap();
            asked.push(provider.0.load(Ordering::SeqCst));
        }
        assert_eq!(asked, [1, 1, 2, 2]);
    }

    #[test]
    fn only_providers_that_may_recover_are_asked_again() {
        let temporary = |error: CredentialsError| IdentityFailure(error.into()).is_temporary();
        assert!(!temporary(CredentialsError::not_loaded("none found")));
        assert!(!temporary(CredentialsError::invalid_configuration("bad profile")));
        assert!(temporary(CredentialsError::provider_timed_out(Duration::from_secs(1))));
        assert!(temporary(CredentialsError::provider_error("connection refused")));
        assert!(!temporary(CredentialsError::provider_error("AccessDenied: not your role")));
        assert!(IdentityFailure("timed out".into()).is_temporary());
    }
}

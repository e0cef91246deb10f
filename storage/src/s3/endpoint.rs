//! Where the store is, and which setting says so.

use std::env;

use aws_types::{SdkConfig, service_config::ServiceConfigKey};

/// The variables that name an endpoint.
const VARIABLES: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

/// Whether an endpoint is named in the places where the SDK looks for one.
pub(super) fn is_named(sdk: &SdkConfig) -> bool {
    url(sdk).is_some()
}

/// The endpoint and what names it, or else what AWS makes it of.
pub(super) fn in_words(sdk: &SdkConfig) -> String {
    match (url(sdk), sdk.region()) {
        (Some(url), _) => {
            // A profile can come before the second one.
            let names_it = |name: &&str| env::var(name).is_ok_and(|named| named == url);
            let source = VARIABLES.into_iter().find(names_it);
            format!(
                "{url} ({})",
                source.unwrap_or("endpoint_url of the profile")
            )
        }
        (None, Some(region)) => {
            let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
            let source = ["AWS_REGION", "AWS_DEFAULT_REGION"]
                .into_iter()
                .find(is_set);
            let source = source.unwrap_or("the profile or the machine it runs on");
            format!("AWS in the region {region} ({source})")
        }
        (None, None) => "no endpoint".to_owned(),
    }
}

fn url(sdk: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .expect("all parts of the key are set");
    let of_service = sdk.service_config().and_then(|all| all.load_config(key));
    of_service.or_else(|| sdk.endpoint_url().map(str::to_owned))
}

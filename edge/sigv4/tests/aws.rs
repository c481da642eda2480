//! Signatures, compared with those of AWS's own crate.
#![cfg(test)]

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as SdkCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4::SigningParams;
use chargegate_core::UnixMillis;
use chargegate_sigv4::{AwsCredentials, SigningScope, UnsignedRequest, sign};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn sdk_headers(
    request: &UnsignedRequest<'_>,
    scope: SigningScope<'_>,
    [key, secret]: [&str; 2],
    token: Option<String>,
    at: UnixMillis,
) -> Vec<(String, String)> {
    let identity = SdkCredentials::new(key, secret, token, None, "test").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(SystemTime::UNIX_EPOCH + Duration::from_millis(at.0))
        .settings(SigningSettings::default());
    let url = format!("https://{}{}?{}", request.host, request.path, request.query);
    let headers = request.headers.iter().copied();
    let signable =
        SignableRequest::new(request.method, url, headers, SignableBody::Bytes(request.body)).unwrap();
    let params = params.build().unwrap().into();
    let (signed, _) = aws_sigv4::http_request::sign(signable, &params).unwrap().into_parts();
    let mut headers: Vec<_> =
        signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    headers.sort_unstable();
    headers
}

proptest! {
    #[test]
    fn any_request_is_signed_as_the_sdk_signs_it(
        method in "(GET|POST|PUT|DELETE)",
        host in "[a-z]{1,9}\\.[a-z]{1,9}(:[1-9][0-9]{3})?",
        // No empty segment and no dot segment.
        path in "(/|(/([A-Za-z0-9_~:@!$&'()*+,;=-]|%2[0-9A-E]){1,8}){1,4}/?)",
        query in "((([a-zA-Z0-9_.~-]|%2[0-9A-CF]|%C3%A4){1,6}=([a-zA-Z0-9_.~-]|%2[0-9A-CF]){0,6})(&([a-zA-Z0-9_.~-]|%2[0-9A-CF]){1,6}=([a-zA-Z0-9_.~-]|%2[0-9A-CF]){0,6}){0,4})?",
        // Names that the SDK does not skip, each once.
        headers in btree_map("[Xx]-[A-Za-z]{1,8}", "[!-~]{1,5}( {1,3}[!-~]{1,5}){0,2} {0,2}", 0..5),
        body in vec(any::<u8>(), 0..300),
        region in "[a-z]{2}-[a-z]{4,9}-[1-9]",
        service in "[a-z]{2,9}",
        key in "[A-Z0-9]{16,20}",
        secret in "[A-Za-z0-9/+]{20,80}",
        token in proptest::option::of("[A-Za-z0-9/+=]{1,400}"),
        at in 0..4_102_444_800_000_u64,
    ) {
        let mut names: Vec<_> = headers.keys().map(|name| name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        prop_assume!(names.len() == headers.len());
        let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let request = UnsignedRequest {
            method: &method, host: &host, path: &path, query: &query, headers: &headers, body: &body,
        };
        let scope = SigningScope { region: &region, service: &service };
        let credentials = AwsCredentials::new(&key, &secret, token.as_deref()).unwrap();
        let signature = sign(&request, scope, &credentials, UnixMillis(at));
        let mut actual: Vec<_> =
            signature.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        actual.sort_unstable();
        prop_assert_eq!(actual, sdk_headers(&request, scope, [&key, &secret], token.clone(), UnixMillis(at)));
    }
}

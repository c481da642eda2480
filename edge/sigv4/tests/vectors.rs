//! The cases of AWS's public test suite that concern the requests this crate signs.
#![cfg(test)]

use chargegate_core::UnixMillis;
use chargegate_sigv4::{AwsCredentials, SigningScope, UnsignedRequest, sign};

const SCOPE: SigningScope<'_> = SigningScope { region: "us-east-1", service: "service" };
/// 2015-08-30T12:36:00Z.
const AT: UnixMillis = UnixMillis(1_440_938_160_000);
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const GET: UnsignedRequest<'_> = UnsignedRequest {
    method: "GET",
    host: "example.amazonaws.com",
    path: "/",
    query: "",
    headers: &[],
    body: b"",
};
const POST: UnsignedRequest<'_> = UnsignedRequest { method: "POST", ..GET };

#[track_caller]
fn check_with(token: Option<&str>, request: &UnsignedRequest<'_>, signed: &str, signature: &str) {
    let credentials = AwsCredentials::new("AKIDEXAMPLE", SECRET, token).unwrap();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={signed}, Signature={signature}"
    );
    let mut expected = vec![("x-amz-date", "20150830T123600Z"), ("authorization", &authorization)];
    expected.extend(token.map(|token| ("x-amz-security-token", token)));
    let signature = sign(request, SCOPE, &credentials, AT);
    assert_eq!(signature.headers().collect::<Vec<_>>(), expected);
}

#[track_caller]
fn check(request: &UnsignedRequest<'_>, signed: &str, signature: &str) {
    check_with(None, request, signed, signature);
}

#[test]
fn plain_requests_match_the_suite() {
    let signed = "host;x-amz-date";
    check(&GET, signed, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    check(&POST, signed, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
    let no_path = UnsignedRequest { path: "", ..GET };
    check(&no_path, signed, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    let unreserved = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let unreserved = UnsignedRequest { path: unreserved, ..GET };
    check(&unreserved, signed, "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f");
}

#[test]
fn queries_match_the_suite() {
    for (query, signature) in [
        ("Param1=value1", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        ("Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        (
            "Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
            "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
        ),
        ("%E1%88%B4=bar", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
        (
            "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        ),
    ] {
        check(&UnsignedRequest { query, ..GET }, "host;x-amz-date", signature);
    }
}

#[test]
fn headers_match_the_suite() {
    let name = "My-Header1";
    let order = [(name, "value4"), (name, "value1"), (name, "value3"), (name, "value2")];
    let cases: [(_, &[_], _, _); 5] = [
        (
            GET,
            &[(name, "value2"), (name, "value2"), (name, "value1")],
            "host;my-header1;x-amz-date",
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        ),
        (
            GET,
            &order,
            "host;my-header1;x-amz-date",
            "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
        ),
        (
            GET,
            &[("My-Header2", " \"a   b   c\""), (name, " value1")],
            "host;my-header1;my-header2;x-amz-date",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            POST,
            &[(name, "value1")],
            "host;my-header1;x-amz-date",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        ),
        (
            POST,
            &[(name, "VALUE1")],
            "host;my-header1;x-amz-date",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
    ];
    for (request, headers, signed, signature) in cases {
        check(&UnsignedRequest { headers, ..request }, signed, signature);
    }
}

#[test]
fn bodies_match_the_suite() {
    let hash = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
    for (kind, signature) in [
        (
            "application/x-www-form-urlencoded",
            "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
        ),
        (
            "application/x-www-form-urlencoded; charset=utf-8",
            "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
        ),
    ] {
        let headers = [("Content-Type", kind), ("Content-Length", "13"), ("x-amz-content-sha256", hash)];
        let request = UnsignedRequest { headers: &headers, body: b"Param1=value1", ..POST };
        check(&request, "content-length;content-type;host;x-amz-content-sha256;x-amz-date", signature);
    }
}

#[test]
fn session_tokens_match_the_suite() {
    let signed = "host;x-amz-date;x-amz-security-token";
    check_with(
        Some("6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"),
        &GET,
        signed,
        "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
    );
    check_with(
        Some(
            "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
        ),
        &POST,
        signed,
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    );
}

#[test]
fn debug_output_contains_no_signature_and_no_token() {
    let credentials = AwsCredentials::new("AKIDEXAMPLE", SECRET, Some("token")).unwrap();
    let printed = format!("{:?}", sign(&GET, SCOPE, &credentials, AT));
    assert_eq!(printed, r#"AwsSignature { date: "20150830T123600Z", .. }"#);
}

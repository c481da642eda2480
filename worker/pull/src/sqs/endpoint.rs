//! The names of Amazon's hosts, queues and regions.

/// Returns the region in the name of an SQS host of Amazon: the label after `sqs` or `sqs-fips`, for a public endpoint,
/// one for IPv6, or one within a private network.
pub(super) fn region(host: &str) -> Option<&str> {
    let suffixes = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn"];
    let amazon_host = suffixes.into_iter().find_map(|suffix| host.strip_suffix(suffix))?;
    let labels = amazon_host.strip_suffix(".vpce").unwrap_or(amazon_host);
    let (before, region) = labels.rsplit_once('.')?;
    let service = before.rsplit('.').next()?;
    (matches!(service, "sqs" | "sqs-fips") && is_name(region)).then_some(region)
}

/// Returns `true` if `text` is valid as the name of a standard queue, an account or a region.
pub(super) fn is_name(text: &str) -> bool {
    let fits = (1..=80).contains(&text.len());
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_from_the_host_names_of_amazon() {
        for (host, expected) in [
            ("sqs.eu-central-1.amazonaws.com", Some("eu-central-1")),
            ("sqs.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("sqs-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("sqs.eu-west-1.api.aws", Some("eu-west-1")),
            ("vpce-0a1b-x.sqs.us-east-1.vpce.amazonaws.com", Some("us-east-1")),
            ("sqs.amazonaws.com", None),
            ("s3.eu-west-1.amazonaws.com", None),
            ("sqs.eu-west-1.amazonaws.com.evil.example", None),
            ("127.0.0.1", None),
            ("", None),
        ] {
            assert_eq!(region(host), expected, "{host}");
        }
    }
}

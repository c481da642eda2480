use super::*;

#[track_caller]
fn check(text: &str, expected: Result<(&str, &str), SqsQueueUrlError>) {
    let url = text.parse::<SqsQueueUrl>();
    let found = url.as_ref().map(|url| (url.in_calls(), url.region().to_owned()));
    let expected = expected.map(|(queue, region)| (queue.to_owned(), region.to_owned()));
    assert_eq!(found.map_err(|error| *error), expected, "{text}");
}

#[test]
fn amazons_host_names_contain_the_region() {
    for (host, region) in [
        ("sqs.eu-central-1.amazonaws.com", "eu-central-1"),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("sqs-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("sqs.eu-west-1.api.aws", "eu-west-1"),
        ("vpce-0a1b-x.sqs.us-east-1.vpce.amazonaws.com", "us-east-1"),
    ] {
        let queue = format!("https://{host}/123456789012/q");
        check(&format!("sqs://{host}/123456789012/q"), Ok((&queue, region)));
        check(&format!("sqs://{host}/123456789012/q?region=other"), Ok((&queue, "other")));
    }
    for host in [
        "localhost",
        "127.0.0.1:9324",
        "sqs.amazonaws.com",
        "s3.eu-west-1.amazonaws.com",
        "sqs.eu-west-1.amazonaws.com.evil.example",
    ] {
        check(&format!("sqs://{host}/1/q"), Err(SqsQueueUrlError::NoRegion));
        let queue = format!("http://{host}/1/q");
        check(&format!("sqs+http://{host}/1/q?region=r-1"), Ok((&queue, "r-1")));
    }
}

#[test]
fn the_host_is_as_the_client_sends_it() {
    check("sqs://H:443/1/q?region=r", Ok(("https://h/1/q", "r")));
    check("sqs+http://h:80/1/q?region=r", Ok(("http://h/1/q", "r")));
    check("sqs+http://h:443/1/q?region=r", Ok(("http://h:443/1/q", "r")));
    check("sqs+http://[::1]:7/1/q?region=r", Ok(("http://[::1]:7/1/q", "r")));
}

#[test]
fn a_fifo_queue_is_refused_as_such() {
    check("sqs://sqs.eu-west-1.amazonaws.com/1/q.fifo", Err(SqsQueueUrlError::Fifo));
    check("sqs://sqs.eu-west-1.amazonaws.com/1/.fifo", Err(SqsQueueUrlError::Malformed));
}

#[test]
fn other_texts_are_rejected() {
    let long = format!("sqs://h/1/{}?region=r", "q".repeat(81));
    for text in [
        "",
        "sqs:",
        "sqs://",
        "https://sqs.eu-west-1.amazonaws.com/1/q",
        "sqs://h",
        "sqs://h/1",
        "sqs://h/1/",
        "sqs://h//q?region=r",
        "sqs://h/1/q/?region=r",
        "sqs:///1/q?region=r",
        "sqs://user:s3cret@h/1/q?region=r",
        "sqs://h:x/1/q?region=r",
        "sqs://h:/1/q?region=r",
        "sqs://h:99999/1/q?region=r",
        "sqs://h/1/q?region=",
        "sqs://h/1/q?region=r&x=y",
        "sqs://h/1/q?x=y",
        "sqs://h/1/q#region=r",
        "sqs://h/1/q.x?region=r",
        &long,
    ] {
        check(text, Err(SqsQueueUrlError::Malformed));
    }
}

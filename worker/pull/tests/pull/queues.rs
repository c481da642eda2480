//! The queue suite.

pub(crate) mod cloudflare;
pub(crate) mod sqs;

mod on_cloudflare {
    chargegate_storage::queue_suite!(super::cloudflare::CloudflareTestQueue);
}

mod on_sqs {
    chargegate_storage::queue_suite!(super::sqs::SqsTestQueue);
}

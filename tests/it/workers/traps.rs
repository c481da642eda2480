//! Replacement of a module that trapped.

use super::support::{FakeBroker, TestWorker};
use crate::host::support::bounded;

#[test]
fn a_module_that_trapped_is_replaced() {
    bounded(async {
        let guest = TestWorker::guest(FakeBroker::start().await.0);
        for path in ["/trap", "/trap-later"] {
            for _ in 0..3 {
                assert_eq!(guest.get("/served").await.text(), "1", "the module is not fresh before {path}");
                assert_eq!(guest.get("/served").await.text(), "2", "the module was replaced needlessly");
                assert_eq!(guest.get(path).await.status, 500);
            }
        }
        assert_eq!(guest.get("/served").await.text(), "1");
    });
}

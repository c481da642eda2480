//! The page of figures for people.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use super::stats::{AclCallCounts, AclCallFigures, AclSecond};
use crate::timestamp::{UtcTimeOfDay, unix_millis};

/// The part of the page before its content.
const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta http-equiv=\"refresh\" content=\"2\">
<title>Authorization service</title>
<style>
body { font-family: sans-serif; margin: 2em }
table { border-collapse: collapse; margin-bottom: 2em }
th, td { padding: 0.2em 0.8em; text-align: right; border-bottom: 1px solid #ccc }
</style>
</head>
<body>
<h1>Reference authorization service</h1>
";

/// The figures as an HTML page that reloads itself, the newest second first.
pub(super) struct AclStatsPage<'a>(pub(super) &'a AclCallFigures);

impl fmt::Display for AclStatsPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AclCallFigures { totals, capacity, seconds } = self.0;
        let AclCallCounts { calls, in_flight, max_in_flight, answered, failed, unanswered } = totals;
        let capacity = capacity.map_or_else(|| "no limit".to_owned(), |capacity| capacity.to_string());
        f.write_str(HEAD)?;
        f.write_str("<table>\n")?;
        for (name, value) in [
            ("in flight now", in_flight.to_string()),
            ("in flight at most", max_in_flight.to_string()),
            ("capacity", capacity),
            ("calls", calls.to_string()),
            ("answered", answered.to_string()),
            ("failed", failed.to_string()),
            ("unanswered", unanswered.to_string()),
        ] {
            writeln!(f, "<tr><th>{name}</th><td>{value}</td></tr>")?;
        }
        f.write_str("</table>\n<table>\n<tr><th>UTC</th><th>calls</th><th>answered</th><th>failed</th>")?;
        f.write_str("<th>unanswered</th><th>in flight at most</th><th>in flight, mean</th><th>queue, mean</th></tr>\n")?;
        for second in seconds.iter().rev() {
            let AclSecond { time, calls, answered, failed, unanswered, .. } = second;
            let time = UtcTimeOfDay(unix_millis(UNIX_EPOCH + Duration::from_secs(*time)));
            write!(f, "<tr><td>{time}</td><td>{calls}</td><td>{answered}</td><td>{failed}</td>")?;
            let AclSecond { max_in_flight, mean_in_flight, mean_queue, .. } = second;
            write!(f, "<td>{unanswered}</td><td>{max_in_flight}</td><td>{mean_in_flight:.1}</td>")?;
            writeln!(f, "<td>{mean_queue:.1}</td></tr>")?;
        }
        f.write_str("</table>\n</body>\n</html>\n")
    }
}

//! The services of `--demo`: an authorization service with sample tokens, and a sink that prints callbacks.

use std::fmt;
use std::net::SocketAddr;

use chargegate_worker::AclUrl;
use tokio_util::sync::CancellationToken;

use super::UpCommandError;
use super::args::UpArgs;
use crate::acl::{AclService, AclSimulation, AclTable};
use crate::serve::listen;
use crate::{acl, output, sink, system};

/// The running services of a demo.
pub(super) struct DemoServices {
    acl: Option<SocketAddr>,
    sink: SocketAddr,
}

impl DemoServices {
    /// Starts the services, with an authorization service if `with_acl`; they run until `stop`.
    pub(super) async fn start(
        args: &UpArgs,
        with_acl: bool,
        stop: CancellationToken,
    ) -> Result<Self, UpCommandError> {
        let acl = if with_acl {
            let listener = listen(args.acl_listen, "--acl-listen or CHARGEGATE_ACL_LISTEN").await?;
            let address = listener.local_addr()?;
            let simulation = AclSimulation::new(args.acl_delay, args.acl_capacity);
            let service = AclService::new(AclTable::sample(), simulation, system::now, system::random());
            tokio::spawn(acl::serve(listener, service, stop.clone()));
            Some(address)
        } else {
            None
        };
        let listener = listen(args.sink_listen, "--sink-listen or CHARGEGATE_SINK_LISTEN").await?;
        let sink = listener.local_addr()?;
        tokio::spawn(sink::serve(listener, system::now, |callback| output::line(callback), stop));
        Ok(Self { acl, sink })
    }

    /// Returns the base URL of the demo's own authorization service.
    pub(super) fn acl_url(&self) -> Option<AclUrl> {
        format!("http://{}", self.acl?).parse().ok()
    }

    /// Returns the addresses of the services and a request to try.
    pub(super) fn banner(&self, edge: &str) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            if let Some(acl) = self.acl {
                writeln!(f, "acl       http://{acl}/v1/authorizations  (reference service, sample tokens)")?;
            }
            writeln!(f, "sink      http://{}/  (shows the callbacks it receives)", self.sink)?;
            writeln!(f)?;
            writeln!(
                f,
                "Try it; the callback shows below. Other tokens: driver-blocked-0000000001 (not_allowed),"
            )?;
            writeln!(f, "driver-revoked-0000000001 (invalid), any other (unknown).")?;
            writeln!(f)?;
            writeln!(f, "  curl -i {edge}/v1/charging-sessions -H 'content-type: application/json' \\")?;
            writeln!(
                f,
                "    -d '{{\"station_id\":\"123e4567-e89b-12d3-a456-426614174000\",\"driver_token\":\"driver-allowed-0000000001\",\"callback_url\":\"http://{}/callback\"}}'",
                self.sink
            )
        })
    }
}

//! The worker: takes accepted requests from a queue, asks the authorization service at a pace it can bear,
//! records each decision, and calls back until the callback arrives.

mod acl_gate;
mod authorizer;
mod callback;
#[cfg(test)]
mod certificates;
mod exhaustion;
#[cfg(test)]
mod fake_authorizer;
mod metric;
mod ops;
mod pipeline;
mod retry_after;
mod retry_until_done;
mod share_renewal;
mod worker;

pub use authorizer::{
    AclCallError, AclCheckReport, AclCheckResponse, AclClientError, AclClientIdentity, AclClientSettings,
    AclCredential, AclFile, AclFileError, AclFileFault, AclHealth, AclProfile, AclProfileError, AclTlsFiles,
    AclUrl, AclUrlError, AuthorizationRequest, Authorizer, HostResolver, HttpAuthorizer, SystemResolver,
};
pub use callback::{
    CallbackClient, CallbackKeyError, CallbackKeyFileError, CallbackKeys, CallbackProxy, CallbackProxyError,
    CallbackSigner, CallbackTls, CallbackTlsError, CallbackTlsFiles, DeliverySettings, DnsResolver,
    DnsResolverError, LookupError, ReceiverResolver,
};
pub use ops::{
    MetricsError, OperatorToken, OperatorTokenError, OperatorTokenFault, OpsServer, install_metrics,
};
pub use pipeline::{PipelineSettings, WorkerDependencies};
pub use worker::{Worker, WorkerSettings};

//! Access of operators to a store: directly, or through the ops port of the process that holds the data folder.

mod port;

use std::path::PathBuf;
use std::sync::Arc;

use chargegate_storage::inspect::Inspect;
use chargegate_storage::operate::{
    ActionId, AuditError, BulkAction, BulkProgress, CallbackBatch, ForgetBatch, ForgetProgress, HostAction,
    HostChange, HostRequest, OperatorIdentity, OperatorName, PoisonBatch, RequestError,
};
use chargegate_storage::{Effects, StoreError};
use chargegate_worker::OperatorToken;

use self::port::OpsPortClient;
pub(crate) use self::port::OpsPortError;
use crate::engines::{EngineOpenError, OpenOperators, inspect_folder, operate_folder, store_connector};
use crate::settings::{DatabaseArgs, SettingError};

/// Flags of the commands of operators.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct OperatorArgs {
    /// Data folder, used if no database URL is set
    #[arg(
        long,
        global = true,
        env = "CHARGEGATE_DATA_DIR",
        value_name = "PATH",
        default_value = ".chargegate"
    )]
    data_dir: PathBuf,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Ops port of the process that holds the data folder, through which a change is made
    #[arg(
        long,
        global = true,
        env = "CHARGEGATE_OPS_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:3001"
    )]
    ops_url: http::Uri,
    #[command(flatten)]
    token: OpsTokenArgs,
    /// Name of the operator in the audit trail [default: the name of the user]
    #[arg(long = "as", global = true, env = "CHARGEGATE_OPERATOR", value_name = "NAME")]
    operator: Option<OperatorName>,
    /// Print one JSON object
    #[arg(long, global = true, env = "CHARGEGATE_JSON")]
    pub(crate) json: bool,
}

/// Flag of the token of operators.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct OpsTokenArgs {
    /// File with the token of operators, at least 16 characters, which other users may not read
    #[arg(long, global = true, env = "CHARGEGATE_OPS_TOKEN_FILE", value_name = "PATH")]
    ops_token_file: Option<PathBuf>,
}

impl OpsTokenArgs {
    /// Reads the token, if there is one.
    ///
    /// # Errors
    /// [`SettingError::OpsToken`].
    pub(crate) async fn read(&self) -> Result<Option<OperatorToken>, SettingError> {
        match &self.ops_token_file {
            Some(path) => OperatorToken::read(path).await.map(Some).map_err(SettingError::OpsToken),
            None => Ok(None),
        }
    }
}

impl OperatorArgs {
    /// Opens the store for reading.
    ///
    /// # Errors
    /// [`OperatorCommandError`].
    pub(crate) async fn view(&self) -> Result<Arc<dyn Inspect>, OperatorCommandError> {
        Ok(match self.database.configured_url() {
            None => inspect_folder(&self.data_dir).await?,
            Some(_) => store_connector(&self.database)?.inspect().await?,
        }
        .into())
    }

    /// Opens the store for changes: a data folder that a process holds through the ops port of that process.
    ///
    /// # Errors
    /// [`OperatorCommandError`].
    pub(crate) async fn open(&self) -> Result<OperatorSession, OperatorCommandError> {
        let effects = Effects::system();
        let name = self.operator_name()?;
        let open = match self.database.configured_url() {
            None => operate_folder(&self.data_dir, &effects).await?,
            Some(_) => Some(store_connector(&self.database)?.operate().await?),
        };
        let action = ActionId::random(&*effects.random);
        let access = if let Some(open) = open {
            StoreAccess::Direct(open, OperatorIdentity { name, random: effects.random })
        } else {
            let path = self.token.ops_token_file.as_deref().ok_or(OperatorCommandError::NoToken)?;
            let token = OperatorToken::read_text(path).await.map_err(SettingError::OpsToken)?;
            StoreAccess::Port(OpsPortClient::new(&self.ops_url, &token, &name)?)
        };
        Ok(OperatorSession { access, action })
    }

    fn operator_name(&self) -> Result<OperatorName, OperatorCommandError> {
        if let Some(name) = &self.operator {
            return Ok(name.clone());
        }
        let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
        Ok(user.as_deref().unwrap_or("unknown").parse()?)
    }
}

/// One action of an operator on an open store. Batches by filter share one record in the audit trail; each batch of ids
/// has a record of its own, which names them.
pub(crate) struct OperatorSession {
    access: StoreAccess,
    action: ActionId,
}

enum StoreAccess {
    Direct(OpenOperators, OperatorIdentity),
    Port(OpsPortClient),
}

impl OperatorSession {
    /// Performs one batch of an action on callbacks.
    ///
    /// # Errors
    /// [`OperatorCommandError`]; the batch may be repeated.
    pub(crate) async fn change_callbacks(
        &self,
        action: BulkAction,
        batch: CallbackBatch,
    ) -> Result<BulkProgress, OperatorCommandError> {
        let action_id = batch.filter.is_some().then(|| self.action.clone());
        let batch = CallbackBatch { action_id, ..batch };
        Ok(match &self.access {
            StoreAccess::Direct(open, operator) => {
                open.operators.change_callbacks(action, batch, operator).await?
            }
            StoreAccess::Port(port) => {
                let path = match action {
                    BulkAction::Retry => "/callbacks/retry",
                    BulkAction::Discard => "/callbacks/discard",
                };
                port.post(path, &batch).await?
            }
        })
    }

    /// Pauses or resumes a host.
    ///
    /// # Errors
    /// [`OperatorCommandError`].
    pub(crate) async fn change_host(
        &self,
        action: HostAction,
        host: &HostRequest,
    ) -> Result<HostChange, OperatorCommandError> {
        Ok(match &self.access {
            StoreAccess::Direct(open, operator) => open.operators.change_host(action, host, operator).await?,
            StoreAccess::Port(port) => {
                let path = match action {
                    HostAction::Pause => "/hosts/pause",
                    HostAction::Resume => "/hosts/resume",
                };
                port.post(path, host).await?
            }
        })
    }

    /// Deletes poison messages.
    ///
    /// # Errors
    /// [`OperatorCommandError`]; the batch may be repeated.
    pub(crate) async fn discard_poison(
        &self,
        ids: Vec<String>,
    ) -> Result<BulkProgress, OperatorCommandError> {
        let batch = PoisonBatch { ids, action_id: None };
        Ok(match &self.access {
            StoreAccess::Direct(open, operator) => open.operators.discard_poison(batch, operator).await?,
            StoreAccess::Port(port) => port.post("/poison/discard", &batch).await?,
        })
    }

    /// Performs one batch of an erasure.
    ///
    /// # Errors
    /// [`OperatorCommandError`]; the batch may be repeated.
    pub(crate) async fn forget(&self, batch: ForgetBatch) -> Result<ForgetProgress, OperatorCommandError> {
        let batch = ForgetBatch { action_id: Some(self.action.clone()), ..batch };
        Ok(match &self.access {
            StoreAccess::Direct(open, operator) => open.operators.forget(batch, operator).await?,
            StoreAccess::Port(port) => port.post("/forget", &batch).await?,
        })
    }

    /// Closes the store.
    pub(crate) async fn close(self) {
        if let StoreAccess::Direct(open, _) = self.access {
            open.handle.close().await;
        }
    }
}

/// Error of a command of operators.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorCommandError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] EngineOpenError),
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Read(#[from] StoreError),
    /// The store refused the action, or failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The ops port refused the action, or failed.
    #[error(transparent)]
    Port(#[from] OpsPortError),
    /// A process holds the data folder, and no token is configured.
    #[error(
        "a process holds the data folder, and only that process may change it: start it with --ops-token-file or CHARGEGATE_OPS_TOKEN_FILE, and name the same file here"
    )]
    NoToken,
    /// The name of the operator is unusable.
    #[error("--as or CHARGEGATE_OPERATOR")]
    Operator(#[from] AuditError),
    /// Neither ids nor a filter select callbacks, or both do.
    #[error("name request ids, or a filter such as --host or --give-up, or --all")]
    Selection,
    /// Nothing has this id.
    #[error("{0}")]
    Unknown(&'static str),
}

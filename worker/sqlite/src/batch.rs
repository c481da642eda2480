//! The batch of operations that one transaction writes, grouped by kind.

use tokio::sync::oneshot;

use super::claim::Claim;
use super::messages::{Acknowledge, Enqueue, Lease, Release};
use super::operate::OperatorChange;
use super::operation::{Failure, Operation, Reply, Transaction};
use super::purge::Purge;
use super::receivers::{SyncReceivers, WakeCallbacks};
use super::record::Record;
use super::report::{ReleaseCallbacks, Report};

/// The pending operations of one kind.
pub(super) struct PendingOperations<O: Operation> {
    operations: Vec<O>,
    replies: Vec<Reply<O::Answer>>,
    answers: Vec<O::Answer>,
}

impl<O: Operation> Default for PendingOperations<O> {
    fn default() -> Self {
        Self { operations: Vec::new(), replies: Vec::new(), answers: Vec::new() }
    }
}

impl<O: Operation> PendingOperations<O> {
    fn push(&mut self, operation: O, reply: Reply<O::Answer>) {
        self.operations.push(operation);
        self.replies.push(reply);
    }

    async fn apply(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        if !self.operations.is_empty() {
            self.answers = O::apply(&self.operations, transaction).await?;
            debug_assert_eq!(self.answers.len(), self.operations.len(), "each operation has its answer");
        }
        Ok(())
    }

    fn succeed(self) {
        for (reply, answer) in self.replies.into_iter().zip(self.answers) {
            // The caller may have stopped waiting.
            let _ = reply.send(Ok(answer));
        }
    }

    fn fail(self, failure: &Failure) {
        for reply in self.replies {
            let _ = reply.send(Err(failure.clone()));
        }
    }
}

/// Defines [`Command`] and [`OperationGroup`] over the kinds of operations, in the order in which they are applied.
macro_rules! operations {
    ($($field:ident: $operation:ident),+ $(,)?) => {
        /// A command to the writer.
        pub(super) enum Command {
            $($operation($operation, Reply<<$operation as Operation>::Answer>),)+
            Close(oneshot::Sender<()>),
        }

        $(impl From<($operation, Reply<<$operation as Operation>::Answer>)> for Command {
            fn from((operation, reply): ($operation, Reply<<$operation as Operation>::Answer>)) -> Self {
                Self::$operation(operation, reply)
            }
        })+

        /// The operations of one transaction.
        #[derive(Default)]
        pub(super) struct OperationGroup {
            $($field: PendingOperations<$operation>,)+
        }

        impl OperationGroup {
            /// Adds a command; returns the reply channel of a request to close, which is not an operation.
            pub(super) fn push(&mut self, command: Command) -> Option<oneshot::Sender<()>> {
                match command {
                    $(Command::$operation(operation, reply) => self.$field.push(operation, reply),)+
                    Command::Close(reply) => return Some(reply),
                }
                None
            }

            pub(super) async fn apply(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
                $(self.$field.apply(transaction).await?;)+
                Ok(())
            }

            pub(super) fn succeed(self) {
                $(self.$field.succeed();)+
            }

            pub(super) fn fail(self, failure: &Failure) {
                $(self.$field.fail(failure);)+
            }

            /// Splits the group by kind: in a full database, operations that free space must not fail with those that
            /// need it.
            pub(super) fn into_kinds(self) -> Vec<Self> {
                let kinds = [$(Self { $field: self.$field, ..Self::default() },)+];
                kinds.into_iter().filter(|group| !group.is_empty()).collect()
            }

            pub(super) fn is_empty(&self) -> bool {
                $(self.$field.operations.is_empty())&&+
            }
        }
    };
}

// Concurrent callers expect no order between their operations, so the kinds may be applied in any order. Operations that
// free space come first, and leases last, so that they see the messages that arrived in the same transaction.
operations! {
    ack: Acknowledge,
    purge: Purge,
    report: Report,
    release_callbacks: ReleaseCallbacks,
    wake: WakeCallbacks,
    sync_receivers: SyncReceivers,
    operate: OperatorChange,
    claim: Claim,
    release: Release,
    record: Record,
    enqueue: Enqueue,
    lease: Lease,
}

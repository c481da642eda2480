//! Tasks that signal their end.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Spawns a task and cancels `ended` when it ends, also by a panic.
pub fn spawn_signalling_end<T: Send + 'static>(
    ended: &CancellationToken,
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let guard = ended.clone().drop_guard();
    tokio::spawn(async move {
        let _guard = guard;
        task.await
    })
}

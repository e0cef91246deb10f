//! Where the shards of a server run, but for the first, which runs where
//! [`serve`](crate::serve()) does.

use std::{
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use tokio::{
    runtime::Builder,
    sync::oneshot,
    task::{LocalSet, spawn_local},
};

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Workers {
    /// Each on a thread of its own, with a runtime of its own.
    #[default]
    Threads,
    /// All on the thread that serves, in turns: for simulation, where all that
    /// happens has to have one order.
    Tasks,
}

/// How a worker has ended. It is told once nothing of it is left; what it
/// panicked with, if it did.
pub(crate) type Ended = oneshot::Receiver<thread::Result<()>>;

impl Workers {
    /// Has somebody do something. What it is done by does not leave its thread.
    ///
    /// # Errors
    /// The system has no thread left, or no descriptor.
    pub(crate) fn start<W>(
        self,
        name: String,
        work: impl FnOnce() -> W + Send + 'static,
    ) -> io::Result<Ended>
    where
        W: Future<Output = ()> + 'static,
    {
        let (ending, ended) = oneshot::channel();
        match self {
            Self::Tasks => {
                let task = spawn_local(work());
                spawn_local(async move {
                    let end = task.await.map_err(tokio::task::JoinError::into_panic);
                    let _ = ending.send(end);
                });
            }
            Self::Threads => {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                thread::Builder::new().name(name).spawn(move || {
                    let done = AssertUnwindSafe(|| LocalSet::new().block_on(&runtime, work()));
                    let end = catch_unwind(done);
                    // Does not wait for a disk that hangs.
                    runtime.shutdown_background();
                    let _ = ending.send(end);
                })?;
            }
        }
        Ok(ended)
    }
}

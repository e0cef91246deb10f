//! SIGTERM and SIGINT.

use std::{future::poll_fn, io, process, task::Poll};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_local,
};
use tracing::{info, warn};

/// The signals that ask the process to end.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals from here on; they no longer end the process.
    ///
    /// # Errors
    /// The system does not let go of them.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the first signal. A second one ends the process at once.
    pub(crate) async fn shutdown(mut self) {
        let name = self.next().await;
        info!(
            signal = name,
            "shutting down; a second signal ends it at once"
        );
        spawn_local(async move {
            let name = self.next().await;
            warn!(signal = name, "second signal, unsaved changes are given up");
            process::exit(1);
        });
    }

    async fn next(&mut self) -> &'static str {
        poll_fn(|cx| {
            if self.terminate.poll_recv(cx).is_ready() {
                Poll::Ready("SIGTERM")
            } else if self.interrupt.poll_recv(cx).is_ready() {
                Poll::Ready("SIGINT")
            } else {
                Poll::Pending
            }
        })
        .await
    }
}

//! Where the writer works.

use std::{
    fmt, io,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::runtime::Builder;

use ysyncd_engine::{marks, planted};

use super::writer::Writer;

/// A place for a writer to work, beside those who call: its turns block.
///
/// Turns follow each other, each with its answers, until [`Writer::wait`] says
/// that there will be no more; then the writer is closed.
pub trait Workplace {
    /// Has a writer work.
    ///
    /// # Errors
    /// There is no place for it.
    fn start(&self, writer: Writer) -> io::Result<Box<dyn Work>>;
}

/// A writer's work under way.
pub trait Work: fmt::Debug + Send + Sync {
    /// Waits for the work to end, as long as it may take. Nobody can call any
    /// more. False if it has not ended.
    fn end(&mut self, most: Duration) -> bool;
}

/// A thread for each writer.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnThread;

impl Workplace for OwnThread {
    fn start(&self, writer: Writer) -> io::Result<Box<dyn Work>> {
        let (planted, marks) = (planted::here(), marks::here());
        let run = move || {
            planted.plant();
            marks.join();
            work(writer);
        };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(run)?;
        Ok(Box::new(Thread(Some(thread))))
    }
}

/// Works to the end.
fn work(mut writer: Writer) {
    // Nothing but time is needed to wait for calls.
    let runtime = match Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "the journal's thread cannot wait"),
    };
    while runtime.block_on(writer.wait()) {
        writer.take_turn().give();
    }
    writer.close();
}

#[derive(Debug)]
struct Thread(Option<JoinHandle<()>>);

impl Work for Thread {
    fn end(&mut self, most: Duration) -> bool {
        let start = Instant::now();
        let is_finished = |thread: &JoinHandle<()>| thread.is_finished();
        while !self.0.as_ref().is_none_or(is_finished) {
            if start.elapsed() >= most {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        if let Some(thread) = self.0.take() {
            // If it has panicked, that was reported when it did.
            let _ = thread.join();
        }
        true
    }
}

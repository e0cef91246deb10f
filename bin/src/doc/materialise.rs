//! Having a document built by yrs, in a process that may die of it.
//!
//! Content that is valid, but crafted, makes yrs crash, loop or overflow the
//! stack, and nothing in a process can contain these.

use std::{
    env,
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use bytes::Bytes;

use crate::failure::Failure;

/// Builds a document and returns its content as text, for people or as JSON.
///
/// # Errors
/// The process died, or was ended as it took too long.
pub(super) fn run(update: &Bytes, json: bool, time_limit: Duration) -> Result<String, Failure> {
    let mut child = start(json).map_err(Failure::outside)?;
    let content = talk(&mut child, update.clone(), time_limit);
    if content.is_none() {
        child.kill().map_err(Failure::outside)?;
    }
    // Its output ends when it does.
    let status = child.wait().map_err(Failure::outside)?;
    match content {
        None => Err(cannot_build(&format!("did not end within {time_limit:?}"))),
        Some(_) if !status.success() => Err(cannot_build(&fate(status))),
        Some(content) => String::from_utf8(content).map_err(Failure::outside),
    }
}

/// Without the environment, which may hold secrets.
fn start(json: bool) -> std::io::Result<Child> {
    Command::new(env::current_exe()?)
        .args(["doc", "materialise"])
        .args(json.then_some("--json"))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

/// Hands over the update and takes all that is answered; `None` if that does
/// not end in time.
fn talk(child: &mut Child, update: Bytes, time_limit: Duration) -> Option<Vec<u8>> {
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut stdout = child.stdout.take().expect("it is piped");
    // A process that has died takes no more, which its status tells.
    thread::spawn(move || _ = stdin.write_all(&update));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut content = Vec::new();
        let read = stdout.read_to_end(&mut content);
        let _ = sender.send(read.map(|_| content).unwrap_or_default());
    });
    receiver.recv_timeout(time_limit).ok()
}

fn fate(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (_, Some(code)) => format!("ended with code {code}"),
        _ => "ended".to_owned(),
    }
}

fn cannot_build(what: &str) -> Failure {
    Failure::document(format_args!(
        "yrs cannot build the content: its process {what}; the stored bytes are valid, but may be \
         crafted to break those who load them"
    ))
}

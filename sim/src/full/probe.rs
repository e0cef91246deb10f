//! Somebody who asks servers whether they take clients, as a proxy does: again and
//! again, over a connection that is kept.

use std::{io, rc::Rc};

use rand::RngExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use turmoil::net::TcpStream;

use super::{node, scene::Scene, swarm::Purpose};
use crate::{
    oracle::Invariant,
    swarm::{between, millis},
};

/// What a server says of itself. It goes from one to the next, and never back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Starting,
    Ready,
    Draining,
}

/// Asks one server after the other while things go wrong.
pub(super) async fn probe(scene: Rc<Scene>) -> turmoil::Result {
    let mut rng = scene.stream(Purpose::Probe);
    while !scene.is_healed() {
        let at = rng.random_range(0..scene.nodes.len());
        let lasting = between(&mut rng, &(millis(500)..millis(10_000)));
        // Who is not answered, or cut off, goes elsewhere.
        let _ = timeout(lasting, ask_again_and_again(&scene, at)).await;
        sleep(millis(20)).await;
    }
    std::future::pending().await
}

async fn ask_again_and_again(scene: &Scene, at: usize) -> io::Result<()> {
    let host = format!("node{at}");
    let mut stream = TcpStream::connect((host.as_str(), node::PORT)).await?;
    let mut last = Phase::Starting;
    loop {
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let phase = read_phase(&mut stream).await?;
        if phase < last {
            scene.violated(
                Invariant::Healthy,
                format_args!("{host} is {phase:?} after {last:?}"),
            );
        }
        last = phase;
        sleep(millis(30)).await;
    }
}

/// Reads one answer, which comes in one go: it is short.
async fn read_phase(stream: &mut TcpStream) -> io::Result<Phase> {
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((_, body)) = text
            .split_once("\r\n\r\n")
            .filter(|(_, body)| body.ends_with('\n'))
        else {
            continue;
        };
        return match body.split([':', '\n']).next() {
            Some("starting") => Ok(Phase::Starting),
            Some("ready") => Ok(Phase::Ready),
            Some("draining") => Ok(Phase::Draining),
            // There are too many who ask.
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        };
    }
}

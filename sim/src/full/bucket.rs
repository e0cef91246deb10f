//! The simulated S3: one bucket behind HTTP, with conditional writes, and
//! everything that can go wrong on the way.

mod answer;
mod fate;

use std::{collections::BTreeMap, rc::Rc};

use aws_smithy_types::date_time::{DateTime, Format};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Method, Request, Response, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use rand::rngs::ChaCha8Rng;
use sha2::{Digest, Sha256};
use tokio::{task::spawn_local, time::sleep};
use turmoil::net::TcpListener;
use ysyncd_engine::{DocId, update::Update};
use ysyncd_storage::object_name;

use self::{
    answer::Answer,
    fate::{Fate, Plan},
};
use super::{
    hostile, http_client, run,
    scene::Scene,
    swarm::{Purpose, stream},
    timeline::Lane,
    traffic::Told,
    wire::Tapped,
};
use crate::oracle::{Invariant, Violation};

/// The name of its host.
pub(super) const HOST: &str = "bucket";
/// Where it listens.
pub(super) const PORT: u16 = 9000;
/// The bucket's own name.
pub(super) const NAME: &str = "documents";
/// What the keys of documents begin with.
pub(super) const PREFIX: &str = "all";

/// What is stored. It outlives the host's crashes.
#[derive(Debug)]
pub(super) struct Bucket {
    rng: ChaCha8Rng,
    objects: BTreeMap<String, Object>,
    /// Etags that were ever told, by key.
    told: BTreeMap<String, Vec<String>>,
    writes: u64,
}

#[derive(Debug, Clone)]
struct Object {
    body: Bytes,
    etag: String,
}

/// A request that was understood.
#[derive(Debug, Clone)]
enum Command {
    Get {
        key: String,
    },
    Put {
        key: String,
        body: Bytes,
        condition: Condition,
        /// Which call of a store this is.
        call: Option<u64>,
    },
}

#[derive(Debug, Clone)]
enum Condition {
    Absent,
    Matches(String),
}

impl Bucket {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: stream(seed, Purpose::Bucket),
            objects: BTreeMap::new(),
            told: BTreeMap::new(),
            writes: 0,
        }
    }

    /// What is stored of a document.
    pub(super) fn body(&self, doc: &DocId) -> Option<&Bytes> {
        let key = format!("{PREFIX}/{}", object_name::object_name(doc));
        self.objects.get(&key).map(|object| &object.body)
    }

    /// Somebody removes what is stored of a document. False if nothing was.
    pub(super) fn remove(&mut self, doc: &DocId) -> bool {
        let key = format!("{PREFIX}/{}", object_name::object_name(doc));
        self.objects.remove(&key).is_some()
    }

    fn next_etag(&mut self, body: &[u8], of_content: bool) -> String {
        self.writes += 1;
        match of_content {
            true => format!("\"{:032x}\"", u128_of(&Sha256::digest(body))),
            false => format!("\"{:032x}\"", self.writes),
        }
    }
}

fn u128_of(digest: &[u8]) -> u128 {
    digest[..16]
        .iter()
        .fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}

/// Serves the bucket.
pub(super) async fn live(scene: Rc<Scene>) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn_local(serve(Rc::clone(&scene), stream));
    }
}

async fn serve(scene: Rc<Scene>, stream: turmoil::net::TcpStream) {
    let stream = Tapped::new(Told::accepted(stream), Rc::clone(&scene), Lane::Bucket);
    let service = service_fn(|request| answer(&scene, request));
    let served = http1::Builder::new()
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        scene.note(Lane::Bucket, format_args!("connection ends: {error}"));
    }
}

/// The connection breaks off.
#[derive(Debug, thiserror::Error)]
#[error("simulated")]
struct Broken;

/// One request, from its head to the head of its answer.
async fn answer(scene: &Rc<Scene>, request: Request<Incoming>) -> Result<Response<Answer>, Broken> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    let command = match read(&head.method, head.uri.path(), &head.headers, body) {
        Ok(command) => command,
        Err(detail) => {
            scene.violated(Invariant::Conditional, detail);
            return Err(Broken);
        }
    };
    check_etag(scene, &command);
    if is_skewed(&head.headers) {
        return Ok(Answer::error(403, "RequestTimeTooSkewed").into_response());
    }
    let Plan {
        fate,
        before,
        after,
    } = fate::plan(scene, &command);
    scene.note(Lane::Bucket, format_args!("{}: {fate:?}", command.name()));
    match fate {
        Fate::Served => {}
        Fate::Late(delay) => run::store_fails_until(scene.now() + before + delay, scene),
        _ => run::store_fails_until(scene.now() + before, scene),
    }
    sleep(before).await;
    let answer = match fate {
        Fate::Served => carry_out(scene, &command),
        Fate::Truncated(part) => carry_out(scene, &command).truncated(part),
        Fate::Refused(status, code) => Answer::error(status, code),
        Fate::InternalAfter => {
            carry_out(scene, &command);
            Answer::error(500, "InternalError")
        }
        Fate::ReplyLost => {
            carry_out(scene, &command);
            return Err(Broken);
        }
        Fate::RequestLost => return Err(Broken),
        Fate::Hangs { lands } => {
            if lands {
                carry_out(scene, &command);
            }
            std::future::pending().await
        }
        Fate::Late(delay) => {
            spawn_local(land_late(Rc::clone(scene), command, delay));
            return Err(Broken);
        }
    };
    sleep(after).await;
    Ok(answer.into_response())
}

async fn land_late(scene: Rc<Scene>, command: Command, delay: std::time::Duration) {
    sleep(delay).await;
    scene.note(Lane::Bucket, format_args!("{} lands late", command.name()));
    carry_out(&scene, &command);
}

/// Understands a request. A write has to be conditional, and whole.
fn read(method: &Method, path: &str, headers: &HeaderMap, body: Bytes) -> Result<Command, String> {
    let key = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let key = key.strip_prefix(&format!("/{NAME}/"));
    let key = key
        .ok_or_else(|| format!("a request goes to {path}"))?
        .to_owned();
    let text = |name: header::HeaderName| {
        let value = headers.get(name)?.to_str();
        Some(value.expect("the SDK sends ASCII").to_owned())
    };
    match *method {
        Method::GET => Ok(Command::Get { key }),
        Method::PUT => {
            let condition = match (text(header::IF_NONE_MATCH), text(header::IF_MATCH)) {
                (Some(all), None) if all == "*" => Condition::Absent,
                (None, Some(etag)) => Condition::Matches(etag),
                conditions => return Err(format!("{key} is written under {conditions:?}")),
            };
            let digest = text(header::HeaderName::from_static("x-amz-content-sha256"));
            let sent = data_encoding::HEXLOWER.encode(&Sha256::digest(&body));
            if digest.as_deref() != Some(&*sent) {
                return Err(format!("{key}: the body is not what was signed"));
            }
            Ok(Command::Put {
                key,
                body,
                condition,
                call: text(http_client::CALL).and_then(|call| call.parse().ok()),
            })
        }
        _ => Err(format!("{method} {path} is none of the server's business")),
    }
}

/// Whether a request was signed more than a quarter of an hour ago, or that
/// much too early.
fn is_skewed(headers: &HeaderMap) -> bool {
    let date = headers
        .get("x-amz-date")
        .and_then(|date| date.to_str().ok());
    let signed = date.and_then(seconds).expect("the SDK tells the time");
    let now = turmoil::since_epoch().unwrap_or_default().as_secs();
    now.abs_diff(signed) > 15 * 60
}

/// Seconds since 1970 of a time such as `20270115T080000Z`.
fn seconds(date: &str) -> Option<u64> {
    let (day, time) = date.split_once('T')?;
    let part = |text: &str, from: usize, to: usize| text.get(from..to).map(str::to_owned);
    let [year, month, date] = [part(day, 0, 4)?, part(day, 4, 6)?, part(day, 6, 8)?];
    let [hour, minute, second] = [part(time, 0, 2)?, part(time, 2, 4)?, part(time, 4, 6)?];
    let text = format!("{year}-{month}-{date}T{hour}:{minute}:{second}Z");
    let time = DateTime::from_str(&text, Format::DateTime).ok()?;
    time.secs().try_into().ok()
}

/// Nobody can know an etag that was never told.
fn check_etag(scene: &Scene, command: &Command) {
    let Command::Put {
        key,
        condition: Condition::Matches(etag),
        ..
    } = command
    else {
        return;
    };
    let is_probe = number(scene, key).is_none();
    let bucket = scene.bucket.borrow();
    let is_told = bucket.told.get(key).is_some_and(|told| told.contains(etag));
    if !is_probe && !is_told {
        let detail = format_args!("{key} is written under {etag}, which was never told");
        scene.violated(Invariant::Conditional, detail);
    }
}

/// The number of the document whose object has a key.
fn number(scene: &Scene, key: &str) -> Option<usize> {
    let doc = doc_id(key)?;
    scene.docs.iter().position(|other| *other == doc)
}

pub(super) fn doc_id(key: &str) -> Option<DocId> {
    let name = key.strip_prefix(PREFIX)?.strip_prefix('/')?;
    object_name::doc_id(name)
}

fn carry_out(scene: &Scene, command: &Command) -> Answer {
    let bucket = &mut *scene.bucket.borrow_mut();
    match command {
        Command::Get { key } => match bucket.objects.get(key) {
            Some(object) => {
                tell(&mut bucket.told, key, &object.etag);
                Answer::object(object.body.clone(), &object.etag)
            }
            None => Answer::error(404, "NoSuchKey"),
        },
        Command::Put {
            key,
            body,
            condition,
            call,
        } => {
            let stored = bucket.objects.get(key);
            match (condition, stored) {
                (Condition::Absent, None) => {}
                (Condition::Matches(etag), Some(stored)) if *etag == stored.etag => {}
                (Condition::Matches(_), None) => return Answer::error(404, "NoSuchKey"),
                _ => return Answer::error(412, "PreconditionFailed"),
            }
            let etag = bucket.next_etag(body, scene.swarm.bucket.content_etags);
            tell(&mut bucket.told, key, &etag);
            let object = Object {
                body: body.clone(),
                etag: etag.clone(),
            };
            bucket.objects.insert(key.clone(), object);
            scene.judge(judge_landed(scene, key, body));
            if let (Some(call), Some(doc)) = (call, doc_id(key)) {
                scene.calls.landed(*call, doc, body.clone(), &etag);
            }
            Answer::written(&etag)
        }
    }
}

fn judge_landed(scene: &Scene, key: &str, body: &Bytes) -> Result<(), Violation> {
    if let Some(doc) = number(scene, key) {
        return scene.ledger.borrow_mut().landed(doc, body);
    }
    // Of what somebody hostile made, clients must be able to read it.
    let hostile = DocId::new(hostile::DOCUMENT).expect("a valid name");
    let is_hostile = *key == format!("{PREFIX}/{}", object_name::object_name(&hostile));
    if is_hostile && let Err(error) = Update::decode(body) {
        let detail = format_args!("a stored snapshot is no update: {error}");
        return Err(Invariant::Monotone.violated(detail));
    }
    Ok(())
}

fn tell(told: &mut BTreeMap<String, Vec<String>>, key: &str, etag: &str) {
    let told = told.entry(key.to_owned()).or_default();
    if !told.iter().any(|known| known == etag) {
        told.push(etag.to_owned());
    }
}

impl Command {
    fn name(&self) -> String {
        match self {
            Self::Get { key } => format!("GET {key}"),
            Self::Put {
                key,
                body,
                condition,
                ..
            } => format!("PUT {key} ({} bytes) {condition:?}", body.len()),
        }
    }
}

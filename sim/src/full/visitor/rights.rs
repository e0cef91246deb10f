//! What a client may do, and for how long; and that some try to do more.

use std::{rc::Rc, time::Duration};

use rand::RngExt;
use tokio::time::Instant;
use ysyncd_engine::{
    auth::{Access, Claims, Documents},
    protocol,
};

use super::{Session, Visitor};
use crate::{
    full::{hostile, http_client::EPOCH, ledger::Sender, swarm::Token, timeline::Lane},
    oracle::{Invariant, Violation},
    swarm::between,
};

/// How long a JWT is good that does not expire here.
const LONG: Duration = Duration::from_secs(3_600);

/// How long a server may take to end what is over, and its word to come.
const WORD: Duration = Duration::from_secs(1);

/// How long a server may take to say that somebody may not write.
const ANSWER: Duration = Duration::from_secs(3);

impl Visitor {
    /// A token of its own kind, and when it expires.
    pub(super) fn token(&mut self) -> (String, Option<Duration>) {
        let scene = Rc::clone(&self.scene);
        let access = match scene.swarm.visitors[self.at].token {
            Token::Plain => return (scene.token.clone(), None),
            Token::Jwt => Access::Write,
            Token::Reads => Access::Read,
        };
        let lasts = scene.swarm.token_lasts.as_ref();
        let lasts = lasts.filter(|_| !scene.is_healed());
        let lasts = lasts.map_or(LONG, |lasts| between(&mut self.habits, lasts));
        // JWTs count in seconds.
        let until = Duration::from_secs((scene.now() + lasts).as_secs());
        let claims = Claims {
            user: scene.user.clone(),
            documents: Documents::All,
            access,
            expires: Some(EPOCH + until),
        };
        (scene.key.mint_jwt(&claims), Some(until))
    }

    pub(super) fn reads_only(&self) -> bool {
        self.scene.swarm.visitors[self.at].token == Token::Reads
    }

    /// Who may only read is not asked what it knows, and is told that it may
    /// not write.
    pub(super) fn is_told_to_a_reader(
        &self,
        session: &mut Session,
        message: &[u8],
    ) -> Result<(), Violation> {
        if message.starts_with(&[2, 0]) {
            session.forged_at = None;
            session.is_told = true;
        }
        let is_asked = message.starts_with(&[0, 0]);
        Invariant::ReadOnly.holds(!(is_asked && self.reads_only()), || {
            format!(
                "client{} may only read, and is asked what it knows",
                self.at
            )
        })
    }

    /// A connection does not outlast its token, and a reader that writes hears
    /// so, if nothing keeps the word from it.
    pub(super) fn ends_in_time(&self, session: &Session) -> Result<(), Violation> {
        let (now, scene) = (self.scene.now(), &self.scene);
        let host = scene.swarm.visitors[self.at].host;
        let stays = session.excuses.until.is_some_and(|until| {
            let since = until.saturating_sub(WORD);
            let Sender { node, opened } = session.sender;
            let is_sure = || {
                // Where streams are cut to pieces what is said before takes long.
                scene.swarm.piece_bytes_max.is_none()
                    && hostile::is_connected(scene, node, host, since)
                    && hostile::is_whole(scene, node, host, opened)
            };
            now > until + WORD && session.has_listened(WORD * 2) && is_sure()
        });
        Invariant::Expiry.holds(!stays, || {
            format!(
                "client{} stays though its token has expired: {:?}",
                self.at, session.excuses
            )
        })?;
        let waits = session
            .forged_at
            .filter(|_| session.is_peaceful && !session.is_told);
        let is_late = waits.is_some_and(|at| Instant::now() - at > ANSWER);
        Invariant::ReadOnly.holds(!is_late, || {
            format!(
                "client{} may only read, writes, and is not told so",
                self.at
            )
        })
    }

    /// Who may only read sends an edit now and then, which it does not make.
    pub(super) fn forge(&mut self, session: &mut Session) {
        if !self.rng.random_bool(0.3) {
            return;
        }
        let client = self.scene.clients[self.at].borrow();
        if let Some(update) = client.forged(&mut self.rng) {
            let text = format_args!("forges an edit: {} bytes", update.len());
            self.scene.note(Lane::Client(self.at), text);
            session.socket.send(&protocol::update(&update));
            session.forged_at.get_or_insert_with(Instant::now);
        }
    }
}

//! The connections to Redis, from the time when both are there until one is
//! lost.

use std::{future::Future, time::Duration};

use futures_util::{FutureExt, StreamExt};
use redis::{
    AsyncConnectionConfig, Client, Msg, RedisResult,
    aio::{MultiplexedConnection, PubSub, PubSubSink, PubSubStream},
    pipe,
};
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};
use tracing::debug;

use super::{
    super::{BusPort, Publication, Subscription},
    Channels, Failure,
};

/// How long it may take until a connection is there and let in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long Redis may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between two questions whether Redis is still there.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Channels that one command subscribes to.
const CHANNELS_MAX: usize = 1_000;

/// Bytes of messages that are published in one go, unless a single one is
/// larger. While they are on their way, the next ones gather.
const PUBLISHED_BYTES_MAX: usize = 1 << 20;

/// What is taken in at one go: it is worked off before anything else is read,
/// and people wait meanwhile. What is there beyond that is dropped.
const RECEIVED_BYTES_MAX: usize = 16 << 20;
const RECEIVED_MESSAGES_MAX: usize = 16_384;

/// One connection to publish on, and one that is subscribed.
pub(super) struct Connections {
    publishing: MultiplexedConnection,
    sink: PubSubSink,
    stream: PubSubStream,
}

impl Connections {
    /// Both of them, each known to answer.
    pub(super) async fn open(client: &Client) -> Result<Self, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        let publishing = client.get_multiplexed_async_connection_with_config(&config);
        let mut publishing = timeout(CONNECT_TIMEOUT, publishing).await??;
        answered(redis::cmd("PING").query_async::<()>(&mut publishing)).await?;
        let pubsub: PubSub = timeout(CONNECT_TIMEOUT, client.get_async_pubsub()).await??;
        let (mut sink, stream) = pubsub.split();
        answered(sink.ping::<redis::Value>()).await?;
        Ok(Self {
            publishing,
            sink,
            stream,
        })
    }

    /// Carries messages until one of the connections is lost, and says why.
    pub(super) async fn carry(self, port: &BusPort, channels: &Channels) -> Failure {
        let Self {
            publishing,
            sink,
            stream,
        } = self;
        tokio::select! {
            biased;
            failure = receive(stream, port, channels) => failure,
            failure = subscribe(sink.clone(), port, channels) => failure,
            failure = publish(publishing.clone(), port, channels) => failure,
            failure = watch(publishing, sink) => failure,
        }
    }
}

/// Waits for an answer, for so long and no longer.
async fn answered<T>(answer: impl Future<Output = RedisResult<T>>) -> Result<T, Failure> {
    Ok(timeout(ANSWER_TIMEOUT, answer).await??)
}

/// Hands on what comes. All that is there is taken at one go, so that nothing
/// piles up in the client; more than people should wait for is dropped.
async fn receive(mut stream: PubSubStream, port: &BusPort, channels: &Channels) -> Failure {
    loop {
        let mut received = Received::default();
        let mut next = Some(stream.next().await);
        while let Some(Some(message)) = &next {
            received.add(message, channels);
            next = stream.next().now_or_never();
        }
        received.hand_over(port);
        if let Some(None) = next {
            return Failure::Closed;
        }
        yield_now().await;
    }
}

#[derive(Default)]
struct Received {
    messages: Vec<Publication>,
    bytes: usize,
    overflowed: usize,
}

impl Received {
    fn add(&mut self, message: &Msg, channels: &Channels) {
        let Some(doc) = channels.doc(message.get_channel_name()) else {
            debug!("a message came of a channel that is no document's");
            return;
        };
        let payload = message.get_payload_bytes();
        self.bytes += payload.len();
        let is_full = self.bytes > RECEIVED_BYTES_MAX && !self.messages.is_empty();
        if is_full || self.messages.len() >= RECEIVED_MESSAGES_MAX {
            self.overflowed += 1;
            return;
        }
        let message = payload.to_vec().into();
        self.messages.push(Publication { doc, message });
    }

    fn hand_over(self, port: &BusPort) {
        if self.overflowed > 0 {
            port.overflowed(self.overflowed);
        }
        if !self.messages.is_empty() {
            port.received(self.messages);
        }
    }
}

/// Subscribes and unsubscribes, many at a time and in order.
async fn subscribe(mut sink: PubSubSink, port: &BusPort, channels: &Channels) -> Failure {
    loop {
        let changes = port.subscriptions().await;
        let is_same = |a: &Subscription, b: &Subscription| {
            matches!(a, Subscription::Begin(_)) == matches!(b, Subscription::Begin(_))
        };
        for some in changes
            .chunk_by(is_same)
            .flat_map(|run| run.chunks(CHANNELS_MAX))
        {
            if let Err(failure) = change(&mut sink, some, port, channels).await {
                return failure;
            }
        }
    }
}

/// Makes some changes that are all of one kind.
async fn change(
    sink: &mut PubSubSink,
    changes: &[Subscription],
    port: &BusPort,
    channels: &Channels,
) -> Result<(), Failure> {
    let names: Vec<_> = changes
        .iter()
        .map(|change| channels.of(change.doc()))
        .collect();
    match changes {
        [Subscription::Begin(_), ..] => {
            answered(sink.subscribe(&names)).await?;
            port.subscribed(changes.iter().map(|change| change.doc().clone()));
        }
        _ => answered(sink.unsubscribe(&names)).await?,
    }
    Ok(())
}

/// Publishes, many at a time and in order.
async fn publish(
    mut connection: MultiplexedConnection,
    port: &BusPort,
    channels: &Channels,
) -> Failure {
    loop {
        let messages = port.publications(PUBLISHED_BYTES_MAX).await;
        let mut commands = pipe();
        for Publication { doc, message } in &messages {
            let command = commands.cmd("PUBLISH").arg(channels.of(doc));
            command.arg(&message[..]).ignore();
        }
        match answered(commands.query_async::<()>(&mut connection)).await {
            Ok(()) => port.published(&messages),
            Err(failure) => {
                port.unpublished(messages.len());
                return failure;
            }
        }
    }
}

/// Asks from time to time whether Redis is there: a connection may be lost
/// without a word.
async fn watch(mut publishing: MultiplexedConnection, mut sink: PubSubSink) -> Failure {
    loop {
        sleep(PING_INTERVAL).await;
        if let Err(failure) = answered(redis::cmd("PING").query_async::<()>(&mut publishing)).await
        {
            return failure;
        }
        if let Err(failure) = answered(sink.ping::<redis::Value>()).await {
            return failure;
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn message(bytes: usize) -> Msg {
        let parts = [b"message".to_vec(), b"ysyncd::a".to_vec(), vec![0; bytes]];
        let parts = parts.into_iter().map(Value::BulkString).collect();
        Msg::from_owned_value(Value::Array(parts)).unwrap()
    }

    /// How many of these are taken in one go, and how many are dropped.
    fn taken(messages: impl IntoIterator<Item = Msg>) -> (usize, usize) {
        let (mut received, channels) = (Received::default(), Channels::new(""));
        for message in messages {
            received.add(&message, &channels);
        }
        (received.messages.len(), received.overflowed)
    }

    #[test]
    fn what_comes_at_once_is_bounded() {
        let many = (0..RECEIVED_MESSAGES_MAX + 5).map(|_| message(1));
        assert_eq!(taken(many), (RECEIVED_MESSAGES_MAX, 5));
        // However large, one is always taken.
        assert_eq!(taken([message(RECEIVED_BYTES_MAX + 1), message(1)]), (1, 1));
        let half = RECEIVED_BYTES_MAX / 2;
        assert_eq!(taken([message(half), message(half), message(1)]), (2, 1));
    }
}

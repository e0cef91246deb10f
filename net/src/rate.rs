//! How fast a client may send.

use std::time::Duration;

use tokio::time::Instant;

use ysyncd_engine::planted::{self, Bug};

use crate::Config;

/// A token bucket, kept as the one moment at which it will be full again (the
/// "generic cell rate algorithm"): no count has to be brought up to date.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u64,
    /// How long a bucket that is empty takes to fill.
    fill_time: Duration,
    full_at: Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: u64, burst: u64, now: Instant) -> Self {
        Self {
            per_second,
            fill_time: time_of(burst, per_second),
            full_at: now,
        }
    }

    /// Takes tokens, also ones that are not there: what has been read cannot
    /// be put back, and what comes next waits for it.
    pub(crate) fn take(&mut self, tokens: u64, now: Instant) {
        self.full_at = self.full_at.max(now) + time_of(tokens, self.per_second);
    }

    /// When there will be, or was, a token again.
    pub(crate) fn ready_at(&self) -> Instant {
        self.full_at
            .checked_sub(self.fill_time)
            .unwrap_or(self.full_at)
    }

    pub(crate) fn is_half_full(&self, now: Instant) -> bool {
        self.full_at <= now + self.fill_time / 2
    }

    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

/// How long `tokens` take to come. Far more than any life is as good as for
/// ever, and does not overflow a clock.
fn time_of(tokens: u64, per_second: u64) -> Duration {
    const FOR_EVER: Duration = Duration::from_secs(1 << 32);
    let nanos = u128::from(tokens) * 1_000_000_000 / u128::from(per_second.max(1));
    u64::try_from(nanos).map_or(FOR_EVER, |nanos| Duration::from_nanos(nanos).min(FOR_EVER))
}

/// What a client sends too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Excess {
    Bytes,
    Messages,
    /// Of what takes long. This is counted for users only.
    Time,
}

impl Excess {
    pub(crate) const OF_CONNECTION: [Self; 2] = [Self::Bytes, Self::Messages];

    pub(crate) const OF_USER: [Self; 3] = [Self::Bytes, Self::Messages, Self::Time];

    /// In a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Messages => "messages",
            Self::Time => "time",
        }
    }
}

/// Says when a connection may be read from.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// Both are `None` where there is no limit.
    bytes: Option<Bucket>,
    messages: Option<Bucket>,
    /// Since when the client sends as fast as it is let: set when a bucket is
    /// found empty, until both are half full.
    slowed_since: Option<Instant>,
    /// Whether there may be something to wait for. As long as there is not,
    /// nobody has to ask what time it is.
    may_wait: bool,
}

/// A client sends too fast, and is not to be read from before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooFast {
    pub(crate) until: Instant,
    pub(crate) excess: Excess,
    /// How long the client has been slowed down. Zero: it begins now.
    pub(crate) lasting: Duration,
}

impl Throttle {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        let bucket = |per_second: Option<u64>, burst| {
            per_second.map(|per_second| Bucket::new(per_second, burst, now))
        };
        // A message of the largest size is no fault.
        let burst = config.inbound_bytes_burst;
        let burst = burst.max(config.engine.frame_bytes_max as u64);
        Self {
            bytes: bucket(config.inbound_bytes_per_second, burst),
            messages: bucket(
                config.inbound_messages_per_second,
                config.inbound_messages_burst,
            ),
            slowed_since: None,
            may_wait: false,
        }
    }

    /// Counts what has been read.
    pub(crate) fn took(&mut self, bytes: usize, messages: u64, now: Instant) {
        if let Some(bucket) = &mut self.bytes {
            bucket.take(bytes as u64, now);
        }
        if let Some(bucket) = &mut self.messages {
            bucket.take(messages, now);
        }
        let mut buckets = self.bytes.iter().chain(&self.messages);
        self.may_wait = self.slowed_since.is_some() || buckets.any(|b| b.ready_at() > now);
    }

    /// Whether the connection has to wait, and for what.
    pub(crate) fn wait(&mut self, now: impl FnOnce() -> Instant) -> Option<TooFast> {
        if !self.may_wait {
            return None;
        }
        let now = now();
        let buckets = || self.bytes.iter().chain(&self.messages);
        if buckets().all(|bucket| bucket.is_half_full(now))
            && !(planted::is(Bug::ThrottleNeverRefills) && self.slowed_since.is_some())
        {
            self.slowed_since = None;
            return None;
        }
        let of = |bucket: &Option<Bucket>| bucket.as_ref().map_or(now, Bucket::ready_at);
        let (bytes, messages) = (of(&self.bytes), of(&self.messages));
        let until = bytes.max(messages);
        if until <= now {
            return None;
        }
        if planted::is(Bug::SlowedAnew) {
            self.slowed_since = None;
        }
        let since = *self.slowed_since.get_or_insert(now);
        Some(TooFast {
            until,
            excess: match bytes < messages {
                true => Excess::Messages,
                false => Excess::Bytes,
            },
            lasting: now - since,
        })
    }
}

/// Counts the frames in what a client sends, control frames and fragments
/// among them: to handle one costs the same however small it is, and
/// tungstenite tells only of whole messages. Knows, too, how much of a message
/// is here that is not whole.
#[derive(Debug, Default)]
pub(crate) struct FrameCounter {
    /// Payload of the message that has begun to come.
    unfinished: usize,
    /// Whether it has had its end since this was asked last.
    has_ended: bool,
    /// The first byte of the head of the frame whose payload comes.
    kind: u8,
    /// The head of a frame, as far as it is there.
    head: [u8; HEAD_BYTES_MAX],
    head_len: usize,
    /// Bytes of the frame's payload that are still to come.
    payload_left: u64,
    /// How the first frame begins that is not masked, as all have to be.
    unmasked: Option<[u8; 2]>,
}

/// Two bytes, eight of a long length, four of the mask.
const HEAD_BYTES_MAX: usize = 14;

/// In the first byte of a head: the last frame of a message.
const FINAL: u8 = 0x80;

/// In the first byte of a head: the opcode of a close frame.
const CLOSE: u8 = 0x08;

/// In the second byte of a head: the payload is masked.
const MASKED: u8 = 0x80;

impl FrameCounter {
    /// The number of frames whose heads end in these bytes, the next ones of
    /// the stream.
    pub(crate) fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut frames = 0;
        while !bytes.is_empty() {
            let skipped = bytes
                .len()
                .min(usize::try_from(self.payload_left).unwrap_or(usize::MAX));
            self.payload_left -= skipped as u64;
            bytes = &bytes[skipped..];
            if skipped > 0 {
                self.pass_payload(skipped);
            }
            let Some((first, rest)) = bytes.split_first() else {
                break;
            };
            self.head[self.head_len] = *first;
            self.head_len += 1;
            bytes = rest;
            if self.head_len >= 2 && self.head_len == self.head_size() {
                let is_free = self.head[0] & 0x08 != 0 && planted::is(Bug::ControlFramesUncounted);
                frames += u64::from(!is_free);
                self.payload_left = self.payload_size();
                self.head_len = 0;
                self.kind = self.head[0];
                if self.head[1] & MASKED == 0 {
                    self.unmasked.get_or_insert([self.head[0], self.head[1]]);
                }
                self.pass_payload(0);
            }
        }
        frames
    }

    /// Payload, as far as it is here, of the message that is not whole yet.
    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Whether a message has come whole since this was asked last.
    pub(crate) fn take_ended(&mut self) -> bool {
        std::mem::take(&mut self.has_ended)
    }

    /// Whether the last frame was a close frame, and is whole: nothing follows.
    pub(crate) fn has_closed(&self) -> bool {
        self.kind & 0x0f == CLOSE && self.payload_left == 0
    }

    /// Whether the first frame that is not masked is a close frame, and good but
    /// for that.
    pub(crate) fn has_closed_unmasked(&self) -> bool {
        const CONTROL_BYTES_MAX: u8 = 125;
        matches!(self.unmasked, Some([kind, len]) if kind == FINAL | CLOSE && len <= CONTROL_BYTES_MAX)
    }

    /// So much payload of a frame has come. The last frame of a message ends
    /// it; control frames, which may stand between, belong to none.
    fn pass_payload(&mut self, bytes: usize) {
        const CONTROL: u8 = 0x08;
        if self.kind & CONTROL != 0 {
            return;
        }
        self.unfinished += bytes;
        if self.kind & FINAL != 0 && self.payload_left == 0 {
            self.unfinished = 0;
            self.has_ended = true;
        }
    }

    fn head_size(&self) -> usize {
        let mask = if self.head[1] & MASKED == 0 { 0 } else { 4 };
        mask + match self.head[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    fn payload_size(&self) -> u64 {
        let [_, short, long @ ..] = self.head;
        let [a, b, c, d, e, f, g, h, ..] = long;
        match short & 0x7f {
            126 => u16::from_be_bytes([a, b]).into(),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            len => len.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ysyncd_engine::auth::{TokenKey, TokenVerifier};

    use super::*;

    fn throttle(tweak: impl FnOnce(&mut Config), now: Instant) -> Throttle {
        let mut config = Config::new(TokenVerifier::new(TokenKey::new(b"secret")), 1);
        config.engine.frame_bytes_max = 1;
        config.inbound_bytes_per_second = Some(100);
        config.inbound_bytes_burst = 1_000;
        config.inbound_messages_per_second = Some(10);
        config.inbound_messages_burst = 100;
        tweak(&mut config);
        Throttle::new(&config, now)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_free_and_what_is_more_waits_for_its_time() {
        let start = Instant::now();
        let mut throttle = throttle(|_| {}, start);
        throttle.took(1_000, 50, start);
        assert_eq!(throttle.wait(|| start), None);
        throttle.took(300, 1, start);
        let wait = |since: u32, now: u32| TooFast {
            until: start + 3 * SECOND,
            excess: Excess::Bytes,
            lasting: (now - since) * SECOND,
        };
        assert_eq!(throttle.wait(|| start), Some(wait(0, 0)));
        assert_eq!(throttle.wait(|| start + 2 * SECOND), Some(wait(0, 2)));
        assert_eq!(throttle.wait(|| start + 3 * SECOND), None);
        // Ten a second are as good as for ever, after a burst of a hundred.
        let now = start + 20 * SECOND;
        throttle.took(0, 200, now);
        let waits = throttle.wait(|| now).unwrap();
        assert_eq!(
            (waits.until, waits.excess),
            (now + 10 * SECOND, Excess::Messages)
        );
    }

    #[test]
    fn who_stays_at_the_limit_is_slowed_until_it_rests() {
        let start = Instant::now();
        let mut throttle = throttle(|_| {}, start);
        throttle.took(1_000, 0, start);
        for second in 0..60 {
            let now = start + second * SECOND;
            throttle.took(110, 0, now);
            let waits = throttle.wait(|| now).unwrap();
            assert_eq!(waits.lasting, second * SECOND);
        }
        let rested = start + 75 * SECOND;
        assert_eq!(throttle.wait(|| rested), None);
        throttle.took(1_000, 0, rested);
        assert_eq!(throttle.wait(|| rested).unwrap().lasting, Duration::ZERO);
    }

    #[test]
    fn without_a_limit_nothing_waits_and_no_number_is_too_large() {
        let start = Instant::now();
        let no_limit = |config: &mut Config| {
            config.inbound_bytes_per_second = None;
            config.inbound_messages_per_second = None;
        };
        let mut free = throttle(no_limit, start);
        free.took(usize::MAX, u64::MAX, start);
        assert_eq!(free.wait(|| start), None);
        let largest = |config: &mut Config| {
            config.inbound_bytes_per_second = Some(1);
            config.inbound_bytes_burst = u64::MAX;
        };
        let mut slow = throttle(largest, start);
        slow.took(usize::MAX, u64::MAX, start);
        assert!(slow.wait(|| start).is_some());
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let mut wire = Vec::new();
        let mut frames = 0;
        for len in [0_u64, 1, 125, 126, 70_000, 0, 0, 3] {
            for mask in [0, 0x80] {
                wire.push(0x82);
                match len {
                    0..126 => wire.push(mask | u8::try_from(len).unwrap()),
                    126..0x1_0000 => {
                        wire.push(mask | 126);
                        wire.extend(u16::try_from(len).unwrap().to_be_bytes());
                    }
                    _ => {
                        wire.push(mask | 127);
                        wire.extend(len.to_be_bytes());
                    }
                }
                wire.resize(wire.len() + if mask == 0 { 0 } else { 4 }, 0xff);
                wire.resize(wire.len() + usize::try_from(len).unwrap(), 0xff);
                frames += 1;
            }
        }
        for step in [1, 2, 3, 7, 1_000, wire.len()] {
            let mut counter = FrameCounter::default();
            let counted: u64 = wire.chunks(step).map(|part| counter.count(part)).sum();
            assert_eq!(counted, frames, "{step}");
        }
        // Fragments and what stands between them.
        let mut counter = FrameCounter::default();
        let mut step = |bytes: &[u8]| {
            counter.count(bytes);
            (counter.unfinished(), counter.take_ended())
        };
        assert_eq!(step(&[0x02, 3, 1]), (1, false));
        assert_eq!(step(&[1, 1, 0x89, 2, 0, 0]), (3, false));
        assert_eq!(step(&[0x00, 2, 1, 1]), (5, false));
        assert_eq!(step(&[0x80, 1]), (5, false));
        assert_eq!(step(&[1, 0x82, 2, 1]), (1, true));
        assert_eq!(step(&[1, 0x8a, 0]), (0, true));
        assert_eq!(step(&[0x82, 0, 0x89]), (0, true));
        assert_eq!(step(&[0, 0x02, 0]), (0, false));
        assert_eq!(step(&[0x80, 0]), (0, true));
        // The peer's close frame, with a code.
        let mut counter = FrameCounter::default();
        let mut closed = |bytes: &[u8]| {
            counter.count(bytes);
            counter.has_closed()
        };
        assert!(!closed(&[0x82, 1, 8]));
        assert!(!closed(&[0x88, 0x82, 0, 0, 0, 0, 3]));
        assert!(closed(&[0xe8]));
        // One that is not masked counts if it is the first of its kind, however it is cut.
        let unmasked = |parts: &[&[u8]]| {
            let mut counter = FrameCounter::default();
            parts.iter().for_each(|part| _ = counter.count(part));
            counter.has_closed_unmasked()
        };
        let masked = [0x82, 0x81, 0, 0, 0, 0, 0x88];
        assert!(unmasked(&[&masked, &[0x88, 2, 3, 233]]));
        assert!(unmasked(&[&[0x88], &[0], &[0x82, 0]]));
        assert!(!unmasked(&[&[0x88, 0x80, 0, 0, 0, 0]]));
        assert!(!unmasked(&[&[0x82, 1, 0x88, 0x88, 0]]));
        assert!(!unmasked(&[&[0x08, 0]]));
        assert!(!unmasked(&[&[0x88, 126, 0, 126]]));
        // One that promises more than there can be is one frame, for ever.
        let mut counter = FrameCounter::default();
        assert_eq!(
            counter.count(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]),
            1
        );
        assert_eq!(counter.count(&[0; 1_000]), 0);
    }
}

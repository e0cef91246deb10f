//! The full stack in one process: the very `serve` of production on a
//! simulated network (turmoil), the real S3 client against a simulated bucket,
//! the real journal on a simulated disk, and model clients that speak real
//! WebSocket bytes.
//!
//! ```text
//! run       the hosts, the troubles, and what must hold at the end
//! swarm     what a seed draws
//! scene     what all hosts share
//! node      a server: what the binary does
//! bucket    the simulated S3
//! visitor   a model client   websocket  its side of the wire
//! hostile   somebody who means no good
//! excuses   for what a server may close a connection
//! ledger    what must not be lost
//! presence  who is there, as clients are told
//! contract  whether the S3 client tells what the bucket did
//! journal   whether servers ask their journals what they may
//! bus       a bus between nodes that loses things
//! scatter   a journal that several ask
//! wire      streams, cut into pieces and written down
//! timeline  what happened    log   what servers say of it
//! narration the same as a story, to be drawn
//! traffic   what goes over connections, for the story
//! ```

mod bucket;
mod bus;
mod contract;
mod excuses;
mod hostile;
mod http_client;
mod journal;
mod ledger;
mod log;
mod look;
mod narration;
mod node;
mod panics;
mod presence;
mod probe;
mod run;
mod scatter;
mod scene;
mod swarm;
mod timeline;
mod traffic;
mod visitor;
mod websocket;
mod wire;

pub use self::{
    run::run,
    swarm::{
        BucketFaults, Caps, NetLimits, Place, Swarm, Token, Trouble, Twists, UserRates, Visitor,
    },
};

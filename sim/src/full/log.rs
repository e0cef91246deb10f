//! What servers log, as events of the run.

use std::{
    cell::{Cell, RefCell},
    fmt::{self, Write},
    rc::Rc,
};

use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    dispatcher::{self, DefaultGuard},
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
};

use super::{scene::Scene, timeline::Lane};

thread_local! {
    static SCENE: RefCell<Option<Rc<Scene>>> = const { RefCell::new(None) };
    static HOST: Cell<Lane> = const { Cell::new(Lane::World) };
}

/// Takes down what this thread logs until it is dropped.
pub(super) struct Log {
    _guard: DefaultGuard,
}

impl Log {
    pub(super) fn of(scene: &Rc<Scene>) -> Self {
        SCENE.set(Some(Rc::clone(scene)));
        let _guard = dispatcher::set_default(&Dispatch::new(Scribe));
        Self { _guard }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        SCENE.set(None);
    }
}

/// turmoil opens a span around a host's turn, which says whose it is.
struct Scribe;

impl Subscriber for Scribe {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match metadata.is_span() {
            true => metadata.name() == "node" && metadata.target().starts_with("turmoil"),
            false => metadata.target().starts_with("ysyncd") && *metadata.level() <= Level::DEBUG,
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut number = HostNumber(1);
        span.record(&mut number);
        Id::from_u64(number.0)
    }

    fn enter(&self, span: &Id) {
        HOST.set(match span.into_u64() {
            1 => Lane::World,
            number => Lane::Node(usize::try_from(number - 2).unwrap_or_default()),
        });
    }

    fn exit(&self, _: &Id) {
        HOST.set(Lane::World);
    }

    fn event(&self, event: &Event<'_>) {
        SCENE.with_borrow(|scene| {
            if let Some(scene) = scene {
                let mut line = Line(event.metadata().level().to_string());
                event.record(&mut line);
                scene.note(HOST.get(), line.0);
            }
        });
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}
}

/// A span's identity: which node it is about, plus two; one for no node.
struct HostNumber(u64);

impl Visit for HostNumber {
    fn record_str(&mut self, field: &Field, value: &str) {
        let number = value
            .strip_prefix("node")
            .and_then(|n| n.parse::<u64>().ok());
        if let ("name", Some(number)) = (field.name(), number) {
            self.0 = number + 2;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("a string takes all");
    }
}

//! What the engine merges and diffs, loaded into yrs, against yrs loading the
//! updates themselves. yrs does not survive every update, so it lives in a
//! child process, this program once more, that is started anew when it dies.
//!
//! The first byte chooses. If it is even, what follows is a script for honest
//! clients, and whatever the engine makes of their updates has to load to what
//! they wrote. Else it is an update from anywhere, and has to load alike before
//! and after it went through the engine, if yrs survives it both times.

#![no_main]

use std::{
    cell::RefCell,
    io::{self, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use ysyncd_engine::{
    document::DocumentState,
    lib0::{Reader, write_var_bytes},
    update::Update,
};
use ysyncd_fuzz::yrs_side::{self, Question};

/// Says to this program that it is the child.
const CHILD: &str = "YSYNCD_FUZZ_YRS";

/// How long yrs may think before it is taken to hang.
const PATIENCE: Duration = Duration::from_secs(3);

fuzz_target!(
    init: {
        if std::env::var_os(CHILD).is_some() {
            answer_all().expect("the parent reads what it asked for");
            std::process::exit(0);
        }
    },
    |input: &[u8]| {
        match input.split_first() {
            Some((choice, script)) if choice % 2 == 0 => honest(*choice, script),
            Some((_, update)) => any(update),
            None => {}
        }
    }
);

fn honest(choice: u8, script: &[u8]) {
    let Some(log) = ask(&Question::Write(script)) else {
        return;
    };
    let updates = list(&log);
    let Some(expected) = load(&updates) else {
        return;
    };
    // Not in order, and some of it twice.
    let mut disordered = updates.clone();
    for (at, byte) in script.iter().enumerate().take(updates.len()) {
        disordered.swap(at, usize::from(*byte) % updates.len());
    }
    disordered.extend(disordered.first().copied());
    let mut state = DocumentState::default();
    for update in disordered {
        state.apply(update).expect("yrs writes updates");
        state.check();
    }
    assert_loads_to(&[&state.encode()], &expected, "merged");
    // Somebody who knows a part gets the rest.
    let known = &updates[..updates.len() * usize::from(choice) / 256];
    let mut part = DocumentState::default();
    for update in known {
        part.apply(update).expect("yrs writes updates");
    }
    let brings_the_rest = |state: &DocumentState, what: &str| {
        let diff = state.diff(&part.state_vector());
        assert_loads_to(&[known, &[&diff]].concat(), &expected, what);
    };
    brings_the_rest(&state, "diff");
    for gc in [false, true] {
        let mut compacted = state.clone();
        compacted.compact(gc);
        compacted.check();
        assert_loads_to(&[&compacted.encode()], &expected, "compacted");
        brings_the_rest(&compacted, "diff of what was compacted");
    }
}

fn any(update: &[u8]) {
    if Update::decode(update).is_err() {
        return;
    }
    let mut state = DocumentState::default();
    state.apply(update).expect("it was decoded");
    let told = state.encode();
    if told == update {
        return;
    }
    if let (Some(expected), Some(found)) = (load(&[update]), load(&[&told])) {
        assert_eq!(text(&found), text(&expected), "after the engine, before");
    }
}

fn assert_loads_to(updates: &[&[u8]], expected: &[u8], what: &str) {
    if let Some(found) = load(updates) {
        assert_eq!(text(&found), text(expected), "{what}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What yrs makes of updates; `None` if it dies, hangs, refuses them, or waits
/// for more.
fn load(updates: &[&[u8]]) -> Option<Vec<u8>> {
    ask(&Question::Load(updates.to_vec())).filter(|content| !content.is_empty())
}

fn list(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    while let Ok(one) = reader.var_bytes() {
        all.push(one);
        bytes = reader.rest();
    }
    assert!(bytes.is_empty(), "the child writes whole lists");
    all
}

/// The child, as long as it lives.
struct Yrs {
    child: Child,
    input: ChildStdin,
    answers: Receiver<Vec<u8>>,
}

thread_local! {
    static YRS: RefCell<Option<Yrs>> = const { RefCell::new(None) };
}

fn ask(question: &Question<'_>) -> Option<Vec<u8>> {
    YRS.with_borrow_mut(|yrs| {
        let alive = yrs.get_or_insert_with(Yrs::start);
        let answer = alive.ask(&question.encode());
        if answer.is_none() {
            let _ = alive.child.kill();
            let _ = alive.child.wait();
            *yrs = None;
        }
        answer
    })
}

impl Yrs {
    fn start() -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .env(CHILD, "1")
            .env("ASAN_OPTIONS", "hard_rss_limit_mb=1024:detect_leaks=0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this program can be started");
        let input = child.stdin.take().expect("it is piped");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, answers) = channel();
        thread::spawn(move || {
            while let Ok(answer) = read_frame(&mut output) {
                if sender.send(answer).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            input,
            answers,
        }
    }

    fn ask(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        write_frame(&mut self.input, question).ok()?;
        self.answers.recv_timeout(PATIENCE).ok()
    }
}

/// The child's life.
fn answer_all() -> io::Result<()> {
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = io::stdout().lock();
    while let Ok(question) = read_frame(&mut input) {
        let answer = match Question::decode(&question) {
            Question::Load(updates) => yrs_side::load(&updates).unwrap_or_default().into_bytes(),
            Question::Write(script) => {
                let mut log = Vec::new();
                for update in yrs_side::write(script) {
                    write_var_bytes(&mut log, &update);
                }
                log
            }
        };
        write_frame(&mut output, &answer)?;
    }
    Ok(())
}

fn read_frame(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    input.read_exact(&mut len)?;
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn write_frame(output: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).expect("inputs are small");
    output.write_all(&len.to_le_bytes())?;
    output.write_all(bytes)?;
    output.flush()
}

//! Running the binary.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The binary, to be run in a folder with no environment but what is given.
pub(crate) fn ysyncd(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ysyncd"));
    command
        .current_dir(folder)
        .args(args)
        .env_clear()
        .envs(environment.iter().copied());
    command
}

/// Runs the binary to its end.
pub(crate) fn output(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    ysyncd(folder, args, environment).output().unwrap()
}

/// Runs the binary to its end, with something on its standard input.
pub(crate) fn output_of(folder: &Path, args: &[&str], stdin: &[u8]) -> Output {
    let mut child = ysyncd(folder, args, &[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // It may end without reading all of it.
    let writer = thread::spawn(move || _ = pipe.write_all(&stdin));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// A pipe that nobody reads any more.
pub(crate) fn closed() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

/// A server that runs until it is dropped, if not ended before.
pub(crate) struct Server {
    child: Child,
    /// What it printed on standard output until it was ready.
    pub(crate) greeting: String,
    pub(crate) port: u16,
    /// Kept open, so that printing does not fail.
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts a server that makes its own secret, and waits for its greeting.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    /// The same, with an environment.
    pub(crate) fn start_with(folder: &Path, environment: &[(&str, &str)]) -> Self {
        Self::spawn(ysyncd(folder, &["--port", "0"], environment))
    }

    /// The same, in a shell that has set limits.
    pub(crate) fn start_limited(folder: &Path, limits: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_ysyncd");
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", &format!("{limits}; exec '{program}' --port 0")])
            .current_dir(folder)
            .env_clear();
        Self::spawn(shell)
    }

    /// The same, with a standard output that may take nothing; so there is no
    /// greeting, and the log tells where it listens.
    pub(crate) fn start_unheard(
        folder: &Path,
        stdout: Stdio,
        environment: &[(&str, &str)],
    ) -> Self {
        let port = [("PORT", "0")];
        Self::start_logging(folder, stdout, &[environment, &port].concat())
    }

    /// The same, on a port that is known before.
    pub(crate) fn start_at(folder: &Path, port: u16, environment: &[(&str, &str)]) -> Self {
        let port = port.to_string();
        let port = [("PORT", port.as_str())];
        Self::start_logging(folder, Stdio::null(), &[environment, &port].concat())
    }

    fn start_logging(folder: &Path, stdout: Stdio, environment: &[(&str, &str)]) -> Self {
        let log = folder.join("log");
        let mut command = ysyncd(folder, &["--log-format", "json"], environment);
        let child = command
            .stdout(stdout)
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        let address = loop {
            let lines = fs::read_to_string(&log).unwrap();
            if lines.contains("\"message\":\"listening\"") {
                break between(&lines, "\"address\":\"127.0.0.1:", "\"").to_owned();
            }
            assert!(Instant::now() < deadline, "{lines}");
            thread::sleep(Duration::from_millis(10));
        };
        Self {
            child,
            port: address.parse().unwrap(),
            greeting: String::new(),
            _stdout: None,
        }
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (greeting, stdout) = within(move || {
            let mut stdout = BufReader::new(stdout);
            let mut greeting = String::new();
            while !greeting.contains("Ctrl-C") {
                assert!(stdout.read_line(&mut greeting).unwrap() > 0, "{greeting}");
            }
            (greeting, stdout)
        });
        let address = between(&greeting, "ws://127.0.0.1:", "/");
        Self {
            child,
            port: address.parse().unwrap(),
            greeting,
            _stdout: Some(stdout),
        }
    }

    /// The status with which a WebSocket handshake is answered.
    pub(crate) fn handshake(&self, path: &str, header: &str) -> String {
        self.status_of(&format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {header}\r\n"
        ))
    }

    /// The version and the status of the answer to a request.
    pub(crate) fn status_of(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut line = [0; 12];
        stream.read_exact(&mut line).unwrap();
        String::from_utf8(line.to_vec()).unwrap()
    }

    /// Time on a processor so far, in hundredths of a second.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name of the program, in parentheses, may hold anything.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    /// The names of its threads.
    pub(crate) fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let name = |task: PathBuf| fs::read_to_string(task.join("comm")).unwrap();
        tasks
            .map(|task| name(task.unwrap().path()).trim_end().to_owned())
            .collect()
    }

    /// Memory in use, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        between(&status, "VmRSS:", "kB").trim().parse().unwrap()
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What stands between two marks, the first time.
pub(crate) fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap();
    rest.split_once(to).unwrap().0
}

/// Does what may block, for so long and no longer.
fn within<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || done.send(what()));
    wait.recv_timeout(PATIENCE).expect("nothing came in time")
}

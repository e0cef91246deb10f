//! `ysyncd serve`: everything that stands between the settings and
//! [`ysyncd_net::serve`].

use std::{io, net::SocketAddr, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{
    net::{TcpListener, TcpSocket, lookup_host},
    runtime::{Builder, Runtime},
    task::LocalSet,
};
use tracing::{error, info, warn};
use ysyncd_engine::auth::{TokenKey, TokenVerifier, UserId};
use ysyncd_net::{Config, Demo, Drained, Inspector, Stores};

use crate::{
    cli::{AccessSettings, Expiry, RightSettings, ServeSettings},
    cluster, descriptors,
    failure::Failure,
    journal,
    secret::{self, Secret},
    signals::Signals,
    stdout, store, telemetry, token,
};

/// How long a store operation that is cut off may hold up the end.
const EXIT_GRACE: Duration = Duration::from_secs(1);

/// Serves until a signal comes.
///
/// # Errors
/// The settings do not fit together, something outside is in the way, or
/// documents stay unsaved.
pub(crate) fn run(settings: &ServeSettings) -> Result<(), Failure> {
    check(settings)?;
    telemetry::init(settings);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::outside)?;
    let ending = Ending(Some(runtime));
    let runtime = ending.0.as_ref().expect("it has not ended");
    LocalSet::new().block_on(runtime, serve(settings))
}

async fn serve(settings: &ServeSettings) -> Result<(), Failure> {
    let addresses = resolve(settings).await?;
    refuse_open_house(settings, &addresses)?;
    let secret = Secret::find_or_make(&settings.secret, &settings.store.folder.data_dir)?;
    let mut config = config(settings, &secret)?;
    let has_page = config.demo.is_some();
    let is_open = config.inspector == Some(Inspector::ThisMachine);
    journal::check(&settings.journal, &settings.store)?;
    let store = store::open(&settings.store).await?;
    let journal = journal::open(&settings.journal, &settings.store)?;
    let listener = listen(settings, &addresses)?;
    let address = listener.local_addr().map_err(Failure::outside)?;
    let signals = Signals::listen().map_err(Failure::outside)?;
    info!(
        %address,
        version = env!("CARGO_PKG_VERSION"),
        documents = store::place(&settings.store),
        journal = journal::describe(&settings.journal),
        "listening"
    );
    warn_of_strange_page(&config, address);
    let cluster = cluster::open(settings, address)?;
    if secret.file.is_some() {
        let auth = settings.access.kinds.auth;
        let token = token::mint(&secret.key, newcomer(), &RightSettings::default(), auth)?;
        let mut greeting = greeting(address, &token, has_page, is_open);
        if !auth.plain {
            greeting += "The token is good for an hour, as AUTH is jwt.\n\n";
        }
        if let Err(failure) = stdout::print(greeting.as_bytes()) {
            warn!(%failure, "how to connect is told to nobody");
        }
    }
    descriptors::fit(&mut config, descriptors::raise_limit());
    let stores = Stores {
        snapshots: store,
        journal,
    };
    let served = ysyncd_net::serve(listener, stores, cluster, config, signals.shutdown()).await;
    conclude(&served.map_err(Failure::outside)?)
}

/// Tells what the store lacks at the end.
fn conclude(left: &Drained) -> Result<(), Failure> {
    for doc in &left.journaled {
        info!(
            doc = doc.as_str(),
            "changes are in the journal alone, which keeps them until a server saves them"
        );
    }
    for doc in &left.unsaved {
        error!(
            doc = doc.as_str(),
            "unsaved changes are lost with this process"
        );
    }
    match (left.unsaved.len(), left.journaled.len()) {
        (0, 0) => info!("all documents are saved"),
        (0, journaled) => info!(journaled, "all documents are saved or in the journal"),
        (unsaved, _) => return Err(Failure::Unsaved(unsaved)),
    }
    Ok(())
}

/// Checks what one value alone does not tell.
fn check(settings: &ServeSettings) -> Result<(), Failure> {
    if settings.save_debounce > settings.save_max_wait {
        return Err(Failure::configuration(format_args!(
            "SAVE_DEBOUNCE is {:?}: expected no more than SAVE_MAX_WAIT, which is {:?}",
            settings.save_debounce, settings.save_max_wait
        )));
    }
    let previous = &settings.access.shared_secret_previous;
    secret::refuse_short("SYNC_SHARED_SECRET", &settings.secret.shared_secret)?;
    secret::refuse_short("SYNC_SHARED_SECRET_PREVIOUS", previous)?;
    cluster::check(settings)?;
    store::check(&settings.store)
}

async fn resolve(settings: &ServeSettings) -> Result<Vec<SocketAddr>, Failure> {
    let host = settings.host.trim_matches(['[', ']']);
    let addresses = lookup_host((host, settings.port)).await;
    let addresses = addresses.map(Iterator::collect).unwrap_or_default();
    if Vec::is_empty(&addresses) {
        return Err(Failure::configuration(format_args!(
            "HOST is {host:?}: expected an address or a host name that resolves to one"
        )));
    }
    Ok(addresses)
}

/// A secret that was made here is for this machine alone: whoever opens the
/// server to others must know what its secret is.
fn refuse_open_house(settings: &ServeSettings, addresses: &[SocketAddr]) -> Result<(), Failure> {
    let is_local = addresses.iter().all(|address| address.ip().is_loopback());
    if is_local || !settings.secret.shared_secret.is_empty() {
        return Ok(());
    }
    Err(Failure::configuration(format_args!(
        "HOST is {:?}, which others can reach: set SYNC_SHARED_SECRET to a secret of at least \
         {} bytes, for example from `openssl rand -base64 32`",
        settings.host,
        secret::BYTES_MIN
    )))
}

/// What the kernel keeps for a client that does not read, at most, in bytes
/// (Linux takes twice of it). Left alone it would be several MiB for each.
const SEND_BUFFER_BYTES: u32 = 256 << 10;

/// Connections that the kernel takes in while the server is busy.
const BACKLOG: u32 = 1_024;

/// Listens on the first of the addresses that can be had.
fn listen(settings: &ServeSettings, addresses: &[SocketAddr]) -> Result<TcpListener, Failure> {
    let mut listening = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in addresses {
        listening = listen_on(*address);
        if listening.is_ok() {
            break;
        }
    }
    listening.map_err(|error: io::Error| {
        let (host, port) = (&settings.host, settings.port);
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "; stop what listens there, or set PORT to another, as 0 to any that is free"
            }
            io::ErrorKind::PermissionDenied => {
                "; set PORT to 1024 or more and put a proxy in front, or give the program the \
                 right: setcap cap_net_bind_service=+ep"
            }
            io::ErrorKind::AddrNotAvailable => "; set HOST to an address of this machine",
            _ => "",
        };
        Failure::outside(format_args!(
            "cannot listen on {host}:{port}: {error}{hint}"
        ))
    })
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    // Connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn config(settings: &ServeSettings, secret: &Secret) -> Result<Config, Failure> {
    let seed = getrandom::u64().map_err(Failure::outside)?;
    let mut config = Config::new(verifier(settings, secret), seed);
    config
        .allowed_origins
        .clone_from(&settings.access.allowed_origins.0);
    config.demo = demo(&settings.access, secret);
    config.inspector = inspector(&settings.access, config.demo.as_ref())?;
    config.shards = settings.shards;
    config.shutdown_timeout = settings.shutdown_timeout;
    config.engine.gc = settings.gc;
    config.engine.save_debounce = settings.save_debounce;
    config.engine.save_wait_max = settings.save_max_wait;
    settings.limits.apply_to(&mut config.engine);
    settings.presence.apply_to(&mut config.engine);
    settings.handshakes.apply_to(&mut config);
    settings.connections.apply_to(&mut config);
    settings.rates.apply_to(&mut config);
    config.check().map_err(Failure::configuration)?;
    Ok(config)
}

/// Which tokens are accepted.
fn verifier(settings: &ServeSettings, secret: &Secret) -> TokenVerifier {
    let access = &settings.access;
    let mut verifier = TokenVerifier::new(secret.key.clone()).only(access.kinds.auth);
    let previous = access.shared_secret_previous.as_encoded_bytes();
    if !previous.is_empty() {
        verifier = verifier.and_previous(TokenKey::new(previous));
    }
    match access.jwt_exp {
        Expiry::Required => verifier,
        Expiry::Optional => verifier.without_expiry(),
    }
}

/// The page to try the server with. Where the secret was made here, nobody else
/// has one, and nobody but this machine comes: there the page needs no token.
fn demo(settings: &AccessSettings, secret: &Secret) -> Option<Demo> {
    let is_made_here = secret.file.is_some();
    settings.demo.0.unwrap_or(is_made_here).then(|| Demo {
        token: (is_made_here && settings.kinds.auth.plain).then(|| secret.key.mint(&newcomer())),
    })
}

/// The page that shows what the server does: for who has the token, or where
/// the page to try the server with needs none.
fn inspector(settings: &AccessSettings, demo: Option<&Demo>) -> Result<Option<Inspector>, Failure> {
    let token = settings.admin_token.to_str().unwrap_or(" ");
    if token.is_empty() {
        let is_open = demo.is_some_and(|demo| demo.token.is_some());
        return Ok(is_open.then_some(Inspector::ThisMachine));
    }
    let is_good = |byte: u8| byte.is_ascii_graphic();
    if token.len() < secret::BYTES_MIN || !token.bytes().all(is_good) {
        return Err(Failure::configuration(format_args!(
            "ADMIN_TOKEN must be at least {} letters, digits and signs without blanks, for \
             example from `openssl rand -base64 32`",
            secret::BYTES_MIN
        )));
    }
    Ok(Some(Inspector::Token(token.to_owned())))
}

/// Who is shown how to connect.
fn newcomer() -> UserId {
    UserId::new("demo").expect("it is a name")
}

/// The page opens documents as any other does, and may be of no origin that may.
/// Behind a proxy nobody here knows of which it is.
fn warn_of_strange_page(config: &Config, address: SocketAddr) {
    let (Some(_), Some(allowed)) = (&config.demo, &config.allowed_origins) else {
        return;
    };
    let port = address.port();
    let mut own = [
        format!("http://{address}"),
        format!("http://localhost:{port}"),
    ]
    .into_iter();
    if !own.any(|own| allowed.iter().any(|origin| origin.to_string() == own)) {
        warn!(
            "the page that DEMO shows may open no document where ALLOWED_ORIGINS does not name \
             its origin: add http://{address}, or what it is opened under through a proxy"
        );
    }
}

/// Shows a newcomer how to connect. Only where the secret was made here, and
/// so only on loopback: a token has no place in the output of a real server.
fn greeting(address: SocketAddr, token: &str, has_page: bool, is_open: bool) -> String {
    let encoded = utf8_percent_encode(token, NON_ALPHANUMERIC);
    let mut pages = String::new();
    if has_page {
        pages += &format!("  try it http://{address}/\n");
    }
    if is_open {
        pages += &format!("  look   http://{address}/inspector\n");
    }
    let program = std::env::args().next();
    let program = program.unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
    format!(
        "
ysyncd is ready. In a page (or in Node, where versions before 22 also need the
option WebSocketPolyfill with the class of the package ws):

  import {{ WebsocketProvider }} from 'y-websocket'
  new WebsocketProvider('ws://{address}/sync/v1', 'my-document', ydoc, {{ params: {{ token: '{token}' }} }})

{pages}  url    ws://{address}/sync/v1/my-document?token={encoded}
  token  {token}

`{program} token <userId>` prints tokens for others. Ctrl-C saves everything and ends.

"
    )
}

/// Ends the runtime, in a panic, too, without waiting for ever for a disk that hangs.
struct Ending(Option<Runtime>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(EXIT_GRACE);
        }
    }
}

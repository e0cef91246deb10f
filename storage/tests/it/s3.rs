//! Against real S3 servers, which `scripts/s3-servers` starts.

use std::{
    env,
    process::{self, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use aws_sdk_s3::{
    Client,
    config::{self, BehaviorVersion, Credentials, Region},
};
use bytes::Bytes;
use ysyncd_engine::{Condition, Etag, StoreError};
use ysyncd_storage::{
    SnapshotStore,
    s3::{S3Store, https_client},
};

use crate::conformance::{Stores, conformance, doc};

pub(crate) const SEAWEED: &str = "YSYNCD_TEST_S3_SEAWEED";
pub(crate) const MOTO: &str = "YSYNCD_TEST_S3_MOTO";

mod seaweed {
    async fn open() -> Option<super::Stores> {
        super::open(super::SEAWEED)
    }

    // It keeps objects as files, whose names have at most 255 bytes.
    super::conformance!(open, without long_ids);
}

mod moto {
    async fn open() -> Option<super::Stores> {
        super::open(super::MOTO)
    }

    // Moto compares and writes in two steps.
    super::conformance!(open, without races);
}

#[tokio::test]
async fn objects_lie_under_the_prefix_named_like_in_javascript() {
    let Some(server) = Server::named(SEAWEED) else {
        return;
    };
    let client = Client::from_conf(server.config().build());
    let unique = unique_prefix();
    for (prefix, key_prefix) in [
        (unique.clone(), format!("{unique}/")),
        (format!("/{unique}/b/"), format!("{unique}/b/")),
        (String::new(), String::new()),
    ] {
        let id = format!("{unique}/ä b+%");
        let store = S3Store::new(server.config(), &server.bucket, &prefix);
        let etag = create(&store, &id).await.unwrap();
        let key = format!("{key_prefix}{unique}%2F%C3%A4%20b%2B%25.bin");
        let object = client.get_object().bucket(&server.bucket).key(key);
        let object = object.send().await.unwrap();
        assert_eq!(object.e_tag.as_deref(), Some(&*etag.0));
        assert!(etag.0.starts_with('"') && etag.0.ends_with('"'), "{etag:?}");
        assert_eq!(object.body.collect().await.unwrap().into_bytes(), "body");
    }
}

#[tokio::test]
async fn a_missing_bucket_is_no_absence() {
    for name in [SEAWEED, MOTO] {
        let Some(server) = Server::named(name) else {
            continue;
        };
        let store = S3Store::new(server.config(), "ysyncd-no-such-bucket", "");
        let loaded = store.load(&doc("a")).await;
        let Err(StoreError::Denied(message)) = loaded else {
            panic!("{name}: {loaded:?}");
        };
        assert!(message.contains("S3_BUCKET"), "{message}");
        // SeaweedFS makes the bucket.
        if name == MOTO {
            let saved = create(&store, "a").await;
            assert!(matches!(saved, Err(StoreError::Denied(_))), "{saved:?}");
        }
    }
}

#[tokio::test]
async fn a_name_too_long_for_the_store_is_denied() {
    let Some(server) = Server::named(SEAWEED) else {
        return;
    };
    let store = S3Store::new(server.config(), &server.bucket, &unique_prefix());
    create(&store, &"a".repeat(251)).await.unwrap();
    let saved = create(&store, &"a".repeat(252)).await;
    let Err(StoreError::Denied(message)) = saved else {
        panic!("{saved:?}");
    };
    assert!(message.contains("KeyTooLongError"), "{message}");
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let Some(server) = Server::named(SEAWEED) else {
        return;
    };
    let wrong = Credentials::new("ysyncd-test", "wrong", None, None, "test");
    let config = server.config().credentials_provider(wrong);
    let store = S3Store::new(config, &server.bucket, &unique_prefix());
    let loaded = store.load(&doc("a")).await;
    assert!(matches!(loaded, Err(StoreError::Denied(_))), "{loaded:?}");
    let saved = create(&store, "a").await;
    assert!(matches!(saved, Err(StoreError::Denied(_))), "{saved:?}");
}

#[test]
fn the_standard_variables_are_enough() {
    let Some(server) = Server::named(SEAWEED) else {
        return;
    };
    // A name, since the SDK uses path style for an address anyway.
    let endpoint = server.endpoint.replace("127.0.0.1", "localhost");
    for with_region in [true, false] {
        let mut command = a_process("s3::environment_user");
        command
            .env("YSYNCD_TEST_S3_BUCKET", &server.bucket)
            .env("AWS_ENDPOINT_URL_S3", &endpoint)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        if with_region {
            command.env("AWS_REGION", "eu-central-1");
        }
        assert!(command.status().unwrap().success());
    }
}

#[test]
fn without_region_and_endpoint_there_is_no_store() {
    let mut command = a_process("s3::environment_user");
    command.env("YSYNCD_TEST_S3_BUCKET", "none");
    assert!(!command.status().unwrap().success());
}

/// What the processes of the two tests above do: save and load.
#[tokio::test]
#[ignore = "a process that other tests start"]
async fn environment_user() {
    let Ok(bucket) = env::var("YSYNCD_TEST_S3_BUCKET") else {
        return;
    };
    let store = S3Store::from_env(&bucket, &unique_prefix()).await.unwrap();
    create(&store, "a").await.unwrap();
    let snapshot = store.load(&doc("a")).await.unwrap().unwrap();
    assert_eq!(snapshot.body, "body");
}

async fn create(store: &S3Store, id: &str) -> Result<Etag, StoreError> {
    let body = Bytes::from("body");
    store.save(&doc(id), body, Condition::Absent).await
}

/// One ignored test of this binary, as a process without any AWS variables.
fn a_process(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", test, "--ignored"])
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdout(Stdio::null());
    command
}

const ACCESS_KEY: &str = "ysyncd-test";
const SECRET_KEY: &str = "ysyncd-test-secret";

/// A server to test against.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
}

impl Server {
    /// The server whose endpoint the variable names. Without it the test is
    /// skipped, but not in CI, where that would hide that nothing is tested.
    pub(crate) fn named(variable: &str) -> Option<Self> {
        let Ok(endpoint) = env::var(variable) else {
            assert!(
                env::var("CI").as_deref() != Ok("true"),
                "{variable} is not set: run this under scripts/s3-servers"
            );
            eprintln!("skipped, as {variable} is not set (see scripts/s3-servers)");
            return None;
        };
        let bucket = env::var("YSYNCD_TEST_S3_BUCKET").unwrap();
        Some(Self { endpoint, bucket })
    }

    pub(crate) fn config(&self) -> config::Builder {
        config_for(&self.endpoint)
    }
}

pub(crate) fn config_for(endpoint: &str) -> config::Builder {
    config::Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(https_client())
        .endpoint_url(endpoint)
        .force_path_style(true)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
}

fn open(variable: &str) -> Option<Stores> {
    let server = Server::named(variable)?;
    let prefix = unique_prefix();
    let [one, other] =
        [(); 2].map(|()| Arc::new(S3Store::new(server.config(), &server.bucket, &prefix)));
    Some(Stores::new(one, other))
}

/// A prefix that no other test uses, in this run or another.
pub(crate) fn unique_prefix() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("{}-{}-{count}", now.as_nanos(), process::id())
}

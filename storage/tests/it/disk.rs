use std::{
    fs::{self, File, Permissions},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tempfile::TempDir;
use ysyncd_engine::{Condition, Etag, StoreError};
use ysyncd_storage::{
    SnapshotStore,
    catalog::{Catalog, VersionId},
    disk::DiskStore,
};

use crate::{
    catalog::{self, catalog_conformance, list},
    conformance::{Stores, conformance, doc},
};

async fn open() -> Option<Stores> {
    let folder = TempDir::new().unwrap();
    let [one, other] = [(); 2].map(|()| Arc::new(DiskStore::open(folder.path()).unwrap()));
    Some(Stores::new(one, other).keeping(folder))
}

conformance!(open);

async fn open_catalog() -> Option<catalog::Place> {
    let folder = TempDir::new().unwrap();
    let place = catalog::Place::of(DiskStore::open(folder.path()).unwrap());
    let _kept = Some(Box::new(folder) as Box<dyn std::any::Any>);
    Some(catalog::Place { _kept, ..place })
}

catalog_conformance!(open_catalog);

#[tokio::test]
async fn what_is_no_document_is_not_listed() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(folder.path()).unwrap();
    create(&store, "a", "body").await.unwrap();
    for folder_name in ["b.bin", "c+", "journal"] {
        fs::create_dir(folder.path().join(folder_name)).unwrap();
    }
    for file in [
        "secret",
        "a b.bin",
        ".tmp-07",
        "d+",
        "c+/d.bin",
        "journal/e.bin",
    ] {
        fs::write(folder.path().join(file), "foreign").unwrap();
    }
    let listed = list(&store, "").await;
    assert_eq!(listed.keys().collect::<Vec<_>>(), [&doc("a")]);
    let age = listed[&doc("a")].modified.unwrap().elapsed().unwrap();
    assert!(age < Duration::from_secs(600), "{age:?}");
}

#[tokio::test]
async fn a_folder_keeps_no_versions_and_says_what_to_do() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(folder.path()).unwrap();
    let listed = store.versions(&doc("a")).await.map(drop);
    let version = VersionId("1".to_owned());
    let loaded = store.load_version(&doc("a"), &version).await.map(drop);
    for refused in [listed, loaded] {
        let Err(StoreError::Denied(message)) = refused else {
            panic!("{refused:?}");
        };
        assert!(message.contains("backup"), "{message}");
    }
}

#[tokio::test]
async fn a_folder_opened_to_read_is_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing");
    DiskStore::open_to_read(&missing).unwrap_err();
    assert!(!missing.exists());

    for file in ["a.bin", ".tmp-07"] {
        fs::write(folder.path().join(file), "body").unwrap();
    }
    let store = DiskStore::open_to_read(folder.path()).unwrap();
    assert_eq!(store.load(&doc("a")).await.unwrap().unwrap().body, "body");
    assert_eq!(list(&store, "").await.len(), 1);
    assert_eq!(files(folder.path()).len(), 2);
    assert!(!folder.path().join(".locks").exists());
}

#[tokio::test]
async fn a_snapshot_is_a_file_named_like_in_javascript() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(folder.path()).unwrap();
    create(&store, "notes/ä b", "body").await.unwrap();
    let file = folder.path().join("notes%2F%C3%A4%20b.bin");
    assert_eq!(fs::read(file).unwrap(), b"body");
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test]
async fn a_file_put_there_by_hand_is_a_snapshot() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(folder.path()).unwrap();
    fs::write(folder.path().join("a.bin"), "by hand").unwrap();
    let snapshot = store.load(&doc("a")).await.unwrap().unwrap();
    assert_eq!(snapshot.body, "by hand");
    let condition = Condition::Matches(snapshot.etag);
    let saved = store.save(&doc("a"), "by server".into(), condition).await;
    saved.unwrap();
    assert_eq!(fs::read(folder.path().join("a.bin")).unwrap(), b"by server");
}

#[tokio::test]
async fn what_was_saved_is_there_after_opening_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("made/when/missing");
    let long = "é".repeat(150);
    for id in ["a", &long] {
        let store = DiskStore::open(&path).unwrap();
        create(&store, id, id).await.unwrap();
        drop(store);
        let store = DiskStore::open(&path).unwrap();
        let snapshot = store.load(&doc(id)).await.unwrap().unwrap();
        assert_eq!(snapshot.body, id);
    }
}

#[tokio::test]
async fn what_people_write_is_for_its_owner_alone() {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let file = folder.path().join("a.bin");
    // Somebody has put it there for all to read.
    fs::write(&file, "before").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let store = DiskStore::open(folder.path()).unwrap();
    let stored = store.load(&doc("a")).await.unwrap().unwrap();
    let unchanged = Condition::Matches(stored.etag);
    let saved = store.save(&doc("a"), "after".into(), unchanged).await;
    saved.unwrap();
    create(&store, "b", "new").await.unwrap();
    for file in ["a.bin", "b.bin"] {
        let status = fs::metadata(folder.path().join(file)).unwrap();
        assert_eq!(status.mode() & 0o777, 0o600, "{file}");
    }
    // Whose folder it is says who may look into it.
    let status = fs::metadata(folder.path()).unwrap();
    assert_eq!(status.mode() & 0o777, 0o755);
}

#[test]
fn a_folder_that_takes_no_files_is_refused_at_once() {
    let folder = TempDir::new().unwrap();
    drop(DiskStore::open(folder.path()).unwrap());
    // The store's own folders are there, so that only a write fails.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(
        folder.path().join(".locks/00"),
        Permissions::from_mode(0o666),
    )
    .unwrap();
    // Others may not be let to where this was built, root's home perhaps.
    let everybodys = TempDir::new().unwrap();
    fs::set_permissions(everybodys.path(), Permissions::from_mode(0o755)).unwrap();
    let program = everybodys.path().join("opener");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut opener = Command::new(program);
    opener
        .args(["--exact", "disk::opener", "--ignored"])
        .env("YSYNCD_TEST_OPENER_FOLDER", folder.path())
        .stdout(Stdio::null());
    // Rights do not bind root.
    if fs::metadata(folder.path()).unwrap().uid() == 0 {
        opener.uid(NOBODY);
    }
    assert!(opener.status().unwrap().success());
    // So that the folder can be removed.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
}

/// What the process of the test above does.
#[test]
#[ignore = "a process that another test starts"]
fn opener() {
    let Ok(folder) = std::env::var("YSYNCD_TEST_OPENER_FOLDER") else {
        return;
    };
    let refused = DiskStore::open(&folder).unwrap_err().to_string();
    assert!(
        refused.contains(&folder) && refused.contains("denied"),
        "{refused}"
    );
}

/// The user without rights.
const NOBODY: u32 = 65_534;

#[test]
fn a_folder_in_which_nothing_can_be_renamed_is_refused_at_once() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join(".probe")).unwrap();
    let refused = DiskStore::open(folder.path()).unwrap_err().to_string();
    assert!(
        refused.contains(&folder.path().display().to_string()),
        "{refused}"
    );
    assert_eq!(files(folder.path()), [folder.path().join(".probe")]);
}

#[tokio::test]
async fn left_over_temp_files_are_removed_and_never_loaded() {
    let folder = TempDir::new().unwrap();
    let long = "x".repeat(300);
    create(&DiskStore::open(folder.path()).unwrap(), &long, "kept")
        .await
        .unwrap();
    let subfolder = folder.path().join(format!("{}+", "x".repeat(250)));
    let leftovers = [folder.path(), &subfolder].map(|folder| folder.join(".tmp-07"));
    let others = ["secret", "notes+", ".tmp-other"].map(|name| folder.path().join(name));
    for file in leftovers.iter().chain(&others) {
        fs::write(file, "cut o").unwrap();
    }

    let store = DiskStore::open(folder.path()).unwrap();
    assert!(leftovers.iter().all(|file| !file.exists()));
    assert!(others.iter().all(|file| file.exists()));
    assert!(store.load(&doc(&long)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_left_over_temp_file_does_not_hinder_a_save() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(folder.path()).unwrap();
    for n in 0..64 {
        fs::write(folder.path().join(format!(".tmp-{n:02}")), "a longer body").unwrap();
    }
    create(&store, "a", "body").await.unwrap();
    assert_eq!(fs::read(folder.path().join("a.bin")).unwrap(), b"body");
}

#[test]
fn a_temp_file_in_use_is_left_alone() {
    let folder = TempDir::new().unwrap();
    drop(DiskStore::open(folder.path()).unwrap());
    let temp_file = folder.path().join(".tmp-07");
    fs::write(&temp_file, "being writ").unwrap();
    let lock = File::create(folder.path().join(".locks/07")).unwrap();
    lock.lock().unwrap();
    drop(DiskStore::open(folder.path()).unwrap());
    assert!(temp_file.exists());
    drop(lock);
    drop(DiskStore::open(folder.path()).unwrap());
    assert!(!temp_file.exists());
}

#[tokio::test]
async fn a_folder_that_went_away_is_no_absence() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("data");
    let store = DiskStore::open(&path).unwrap();
    fs::rename(&path, parent.path().join("elsewhere")).unwrap();
    for replaced in [false, true] {
        if replaced {
            drop(DiskStore::open(&path).unwrap());
        }
        let loaded = store.load(&doc("a")).await;
        assert!(matches!(loaded, Err(StoreError::Unavailable(_))));
        let saved = create(&store, "a", "body").await;
        assert!(matches!(saved, Err(StoreError::Unavailable(_))));
        assert!(!path.join("a.bin").exists());
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_no_absence() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(folder.path()).unwrap();
    fs::create_dir(folder.path().join("a.bin")).unwrap();
    let loaded = store.load(&doc("a")).await;
    assert!(matches!(loaded, Err(StoreError::Denied(_))), "{loaded:?}");
    let saved = create(&store, "a", "body").await;
    assert!(matches!(saved, Err(StoreError::Denied(_))), "{saved:?}");
}

#[tokio::test]
async fn a_save_that_fails_on_the_way_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(folder.path()).unwrap();
    let etag = create(&store, "a", "body").await.unwrap();
    for n in 0..64 {
        fs::create_dir(folder.path().join(format!(".tmp-{n:02}"))).unwrap();
    }
    let condition = Condition::Matches(etag);
    let saved = store.save(&doc("a"), Bytes::from("new"), condition).await;
    assert!(matches!(saved, Err(StoreError::Denied(_))), "{saved:?}");
    assert_eq!(fs::read(folder.path().join("a.bin")).unwrap(), b"body");
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(folder.path()).unwrap();
    let locks = folder.path().join(".locks");
    fs::remove_dir_all(&locks).unwrap();
    for n in 0..64 {
        fs::create_dir_all(locks.join(format!("{n:02}"))).unwrap();
    }
    let Err(StoreError::Denied(told)) = create(&store, "a", "body").await else {
        panic!("a folder was locked");
    };
    let file = format!("{}/", locks.display());
    assert!(told.contains(&file), "{told}");

    let store = DiskStore::open_to_read(folder.path()).unwrap();
    fs::create_dir(folder.path().join("b.bin")).unwrap();
    let Err(StoreError::Denied(told)) = store.load(&doc("b")).await else {
        panic!("a folder was read");
    };
    assert!(told.contains("/b.bin: "), "{told}");
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "").unwrap();
    let error = DiskStore::open(&path).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_save_that_hangs_is_answered_in_time_and_may_still_happen() {
    let folder = TempDir::new().unwrap();
    let store = DiskStore::open(folder.path())
        .unwrap()
        .with_timeout(Duration::from_millis(200));
    let locks: Vec<_> = (0..64)
        .map(|n| File::create(folder.path().join(format!(".locks/{n:02}"))).unwrap())
        .inspect(|lock| lock.lock().unwrap())
        .collect();
    let start = Instant::now();
    let saved = create(&store, "a", "late").await;
    assert!(matches!(saved, Err(StoreError::Unknown(_))), "{saved:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(store.load(&doc("a")).await, Ok(None));
    drop(locks);
    while store.load(&doc("a")).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn processes_that_share_a_folder_lose_no_update() {
    const INCREMENTS: usize = 50;
    let folder = TempDir::new().unwrap();
    let counters: Vec<_> = (0..3)
        .map(|_| start_counter(folder.path(), INCREMENTS))
        .collect();
    for mut counter in counters {
        assert!(counter.wait().unwrap().success());
    }
    assert_eq!(read_count(folder.path()), 3 * INCREMENTS);
}

#[test]
fn a_killed_process_leaves_a_whole_snapshot_and_a_free_lock() {
    let folder = TempDir::new().unwrap();
    let mut last = 0;
    for _ in 0..5 {
        let mut counter = start_counter(folder.path(), usize::MAX);
        while !folder.path().join("count.bin").exists() || read_count(folder.path()) < last + 10 {
            std::thread::sleep(Duration::from_millis(1));
        }
        counter.kill().unwrap();
        counter.wait().unwrap();
        last = read_count(folder.path());
        drop(DiskStore::open(folder.path()).unwrap());
        assert_eq!(files(folder.path()), [folder.path().join("count.bin")]);
    }
    assert!(start_counter(folder.path(), 1).wait().unwrap().success());
    assert_eq!(read_count(folder.path()), last + 1);
}

/// What the processes of the two tests above do: count in a document.
#[tokio::test]
#[ignore = "a process that other tests start"]
async fn counter() {
    let Ok(folder) = std::env::var("YSYNCD_TEST_COUNTER_FOLDER") else {
        return;
    };
    let increments: usize = std::env::var("YSYNCD_TEST_COUNTER_INCREMENTS")
        .unwrap()
        .parse()
        .unwrap();
    let store = DiskStore::open(folder).unwrap();
    for _ in 0..increments {
        while let Err(error) = increment(&store).await {
            assert_eq!(error, StoreError::Conflict);
        }
    }
}

async fn increment(store: &DiskStore) -> Result<(), StoreError> {
    let (count, condition) = match store.load(&doc("count")).await? {
        None => (0, Condition::Absent),
        Some(snapshot) => (
            parse_count(&snapshot.body),
            Condition::Matches(snapshot.etag),
        ),
    };
    let body = format!("{:0>60000}", count + 1);
    store
        .save(&doc("count"), Bytes::from(body), condition)
        .await
        .map(drop)
}

fn start_counter(folder: &Path, increments: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk::counter", "--ignored"])
        .env("YSYNCD_TEST_COUNTER_FOLDER", folder)
        .env("YSYNCD_TEST_COUNTER_INCREMENTS", increments.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn read_count(folder: &Path) -> usize {
    parse_count(&fs::read(folder.join("count.bin")).unwrap())
}

fn parse_count(body: &[u8]) -> usize {
    assert_eq!(body.len(), 60_000);
    std::str::from_utf8(body).unwrap().parse().unwrap()
}

async fn create(store: &DiskStore, id: &str, body: &str) -> Result<Etag, StoreError> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    store.save(&doc(id), body, Condition::Absent).await
}

/// The files in a folder, but for the locks.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| !path.ends_with(".locks")).collect()
}

//! `ysyncd doc`, on a folder. `e2e/clients/doc.test.mjs` does it on S3.

use std::{
    fs,
    os::unix::fs::chown,
    path::PathBuf,
    process::{Output, Stdio},
    thread,
};

use tempfile::TempDir;
use yrs::{
    Doc, GetString, Map, ReadTxn, StateVector, Text, Transact, Update, updates::decoder::Decode,
};
use ysyncd_engine::lib0::write_var_uint;

use crate::{
    journal::journal_with_an_edit_of,
    process::{Server, output, output_of},
};

#[test]
fn what_is_imported_can_be_listed_shown_verified_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let update = update_of(|doc| {
        doc.get_or_insert_text("body")
            .push(&mut doc.transact_mut(), "Hello, world");
        doc.get_or_insert_map("meta")
            .insert(&mut doc.transact_mut(), "title", "Plan");
    });
    let told = done(output_of(
        folder.path(),
        &["doc", "import", "team/plan ü"],
        &update,
    ));
    assert!(told.contains("all of it was new"), "{told}");

    let listed = done(doc(&folder, &["list"]));
    let listed: Vec<_> = listed.lines().collect();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(listed[1].ends_with("  team/plan ü"), "{listed:?}");

    let shown = done(doc(&folder, &["show", "team/plan ü"]));
    for part in [
        "text \"body\"\n  Hello, world\n",
        "map \"meta\"",
        "\"title\": \"Plan\"",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    let shown: serde_json::Value =
        serde_json::from_str(&done(doc(&folder, &["show", "team/plan ü", "--json"]))).unwrap();
    assert_eq!(shown["id"], "team/plan ü");
    let roots = serde_json::json!([
        { "name": "body", "kind": "text", "content": "Hello, world" },
        { "name": "meta", "kind": "map", "content": { "title": "Plan" } },
    ]);
    assert_eq!(shown["roots"], roots);

    done(doc(&folder, &["verify", "team/plan ü"]));
    done(doc(&folder, &["verify", "--all"]));
    let exported = doc(&folder, &["export", "team/plan ü"]);
    assert_eq!(text(&load(&exported.stdout)), "Hello, world");
    assert_eq!(
        fs::read(file(&folder, "team%2Fplan%20%C3%BC")).unwrap(),
        exported.stdout
    );
}

#[test]
fn lists_are_sorted_by_id_and_can_be_narrowed() {
    let folder = tempfile::tempdir().unwrap();
    for id in ["b", "a/2", "ä", "a/10", "%2F"] {
        done(output_of(folder.path(), &["doc", "import", id], HI));
    }
    let ids = |args: &[&str]| -> Vec<String> {
        let listed = done(doc(&folder, args));
        let lines = listed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let id = |line: serde_json::Value| line["id"].as_str().unwrap().to_owned();
        lines.map(id).collect()
    };
    assert_eq!(ids(&["list", "--json"]), ["%2F", "a/10", "a/2", "b", "ä"]);
    assert_eq!(ids(&["list", "a/", "--json"]), ["a/10", "a/2"]);
    let none = doc(&folder, &["list", "nothing"]);
    assert!(none.status.success() && none.stdout.is_empty());
    let told = String::from_utf8(none.stderr).unwrap();
    assert!(
        told.ends_with(" whose ids begin with \"nothing\"\n"),
        "{told}"
    );
}

#[test]
fn an_import_merges_and_says_what_of_it_was_new() {
    let folder = tempfile::tempdir().unwrap();
    let import = |update: &[u8]| done(output_of(folder.path(), &["doc", "import", "a"], update));
    let first = update_of(|doc| {
        doc.get_or_insert_text("body")
            .push(&mut doc.transact_mut(), "one");
    });
    let second = update_of(|doc| {
        doc.transact_mut()
            .apply_update(Update::decode_v1(&first).unwrap())
            .unwrap();
        doc.get_or_insert_text("body")
            .push(&mut doc.transact_mut(), " two");
    });
    assert!(import(&first).contains("all of it was new"));
    assert!(import(&second).contains("part of it was new"));
    for old in [&first, &second] {
        assert!(import(old).contains("nothing was written"));
    }
    let exported = doc(&folder, &["export", "a"]).stdout;
    assert_eq!(text(&load(&exported)), "one two");
}

#[test]
fn root_writes_nothing_into_the_folder_of_another_user() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    done(output_of(folder.path(), &["doc", "import", "a"], HI));
    if chown(&data, Some(65_534), Some(65_533)).is_err() {
        // Only root gives folders away, and only root can do this harm.
        return;
    }
    let locks = || fs::read_dir(data.join(".locks")).unwrap().count();
    let before = locks();
    for (words, stdin) in [
        (&["doc", "import", "b"][..], HI),
        (&["doc", "delete", "a", "--yes"], b""),
    ] {
        let ended = output_of(folder.path(), words, stdin);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        let says = "setpriv --reuid=65534 --regid=65533 --clear-groups ysyncd doc";
        assert!(told.contains(says), "{told}");
    }
    assert_eq!(locks(), before);
    // Whoever serves there as root, as containers do, is told.
    let log = folder.path().join("log");
    let told = || fs::read_to_string(&log).unwrap();
    let server = Server::start_unheard(folder.path(), Stdio::null(), &[]);
    assert!(told().contains("belongs to user 65534"), "{}", told());
    drop(server);
    // Reading leaves nothing behind.
    assert!(done(doc(&folder, &["list"])).ends_with("  a\n"));
}

#[test]
fn imports_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let importers: Vec<_> = (0..6)
        .map(|n| {
            let update = update_of(|doc| {
                doc.get_or_insert_text("body")
                    .push(&mut doc.transact_mut(), &n.to_string());
            });
            let path = folder.path().to_owned();
            thread::spawn(move || done(output_of(&path, &["doc", "import", "a"], &update)))
        })
        .collect();
    for importer in importers {
        importer.join().unwrap();
    }
    let exported = doc(&folder, &["export", "a"]).stdout;
    let mut digits: Vec<_> = text(&load(&exported)).chars().collect();
    digits.sort_unstable();
    assert_eq!(String::from_iter(digits), "012345");
}

#[test]
fn what_is_no_update_is_not_imported() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in [&b""[..], b"hello", &[0, 0, 0]] {
        let told = failed(output_of(folder.path(), &["doc", "import", "a"], bytes), 1);
        assert!(told.contains("no Yjs update"), "{told}");
    }
    assert!(!file(&folder, "a").exists());
}

#[test]
fn a_damaged_document_is_found_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    done(output_of(folder.path(), &["doc", "import", "sound"], HI));
    fs::write(file(&folder, "bad"), b"damaged").unwrap();

    let ended = doc(&folder, &["verify", "--all"]);
    assert_eq!(ended.status.code(), Some(1));
    let found = String::from_utf8(ended.stdout).unwrap();
    assert!(found.starts_with("bad: damaged: "), "{found}");
    assert!(
        found.ends_with("\n2 documents: 1 sound (0 of them with gaps), 1 damaged or unreadable\n")
    );

    for command in ["verify", "show", "import"] {
        let told = failed(output_of(folder.path(), &["doc", command, "bad"], HI), 1);
        assert!(told.contains("\"bad\" is damaged"), "{told}");
    }
    let exported = doc(&folder, &["export", "bad"]);
    assert_eq!(
        (exported.status.code(), &*exported.stdout),
        (Some(1), &b"damaged"[..])
    );
    assert_eq!(fs::read(file(&folder, "bad")).unwrap(), b"damaged");
}

#[test]
fn gaps_are_told_and_are_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    // "!" after unit 1 of client 7, of whom nothing else is known.
    let update = [1, 1, 7, 2, 0x84, 7, 1, 1, b'!', 0];
    done(output_of(folder.path(), &["doc", "import", "a"], &update));
    for args in [&["verify", "a"][..], &["verify", "--all"], &["show", "a"]] {
        let told = done(doc(&folder, args));
        assert!(
            told.contains("runs of structs without predecessors: 1"),
            "{told}"
        );
    }
}

#[test]
fn content_that_breaks_yrs_is_told_and_breaks_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    done(output_of(
        folder.path(),
        &["doc", "import", "deep"],
        &nested_arrays(100_000),
    ));
    let ended = doc(&folder, &["show", "deep"]);
    assert_eq!(ended.status.code(), Some(1));
    let facts = String::from_utf8(ended.stdout).unwrap();
    assert!(facts.contains("clocks   1:100000"), "{facts}");
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.contains("yrs cannot build") && told.contains("signal"),
        "{told}"
    );
}

#[test]
fn content_that_takes_too_long_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    done(output_of(folder.path(), &["doc", "import", "a"], HI));
    let told = failed(doc(&folder, &["show", "a", "--time-limit", "0s"]), 1);
    assert!(told.contains("did not end within"), "{told}");
}

#[test]
fn what_is_deep_but_honest_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    done(output_of(
        folder.path(),
        &["doc", "import", "deep"],
        &nested_arrays(200),
    ));
    let shown = done(doc(&folder, &["show", "deep", "--json"]));
    assert!(shown.contains(&"[".repeat(200)), "{shown}");
}

#[test]
fn a_document_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    done(output_of(folder.path(), &["doc", "import", "a"], HI));
    for args in [
        &["show", "b"][..],
        &["verify", "b"],
        &["export", "b"],
        &["delete", "b", "--yes"],
    ] {
        let told = failed(doc(&folder, args), 1);
        assert!(told.contains("no document \"b\" in ./data"), "{told}");
    }
    let told = failed(doc(&folder, &["list", "--data-dir", "elsewhere"]), 1);
    assert!(told.contains("elsewhere"), "{told}");
    assert!(!folder.path().join("elsewhere").exists());
}

#[test]
fn a_document_is_deleted_only_with_a_word_of_consent() {
    let folder = tempfile::tempdir().unwrap();
    done(output_of(folder.path(), &["doc", "import", "a"], HI));
    let told = failed(doc(&folder, &["delete", "a"]), 2);
    assert!(told.contains("--yes"), "{told}");
    assert!(file(&folder, "a").exists());
    let ended = doc(&folder, &["delete", "a", "--yes"]);
    assert!(ended.status.success());
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.contains("makes it anew"), "{told}");
    assert!(!file(&folder, "a").exists());
}

#[test]
fn a_folder_has_no_versions_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    done(output_of(folder.path(), &["doc", "import", "a"], HI));
    let restore = ["restore", "a", "--version", "1", "--as", "b"];
    for args in [&["versions", "a"][..], &restore] {
        let told = failed(doc(&folder, args), 1);
        assert!(told.contains("backup"), "{told}");
    }
}

#[test]
fn wrong_usage_ends_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &[][..],
        &["show"],
        &["show", ""],
        &["show", "a", "--time-limit", "soon"],
        &["verify"],
        &["verify", "a", "--all"],
        &["restore", "a", "--version", "1"],
        &["restore", "a", "--version", "1", "--as", "b", "--offline"],
        &["paint", "a"],
    ] {
        assert_eq!(doc(&folder, args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn nothing_that_others_wrote_steers_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let evil = "a\u{1b}[2Jb\u{9b}c\u{202e}";
    let update = update_of(|doc| {
        doc.get_or_insert_text(evil)
            .push(&mut doc.transact_mut(), evil);
    });
    done(output_of(folder.path(), &["doc", "import", evil], &update));
    for args in [
        &["list"][..],
        &["show", evil],
        &["verify", evil],
        &["verify", "--all"],
    ] {
        let told = done(doc(&folder, args));
        let is_plain = |c: char| c == '\n' || !c.is_control() && c != '\u{202e}';
        assert!(told.chars().all(is_plain), "{told:?}");
    }
}

#[test]
fn edits_that_only_a_journal_holds_are_told() {
    let folder = tempfile::tempdir().unwrap();
    done(output_of(folder.path(), &["doc", "import", "a"], HI));
    let told = |args: &[&str]| {
        let ended = doc(&folder, args);
        assert!(ended.status.success());
        String::from_utf8(ended.stderr).unwrap()
    };
    assert_eq!(told(&["list"]), "");

    let running = journal_with_an_edit_of(folder.path(), "a", HI);
    let list = told(&["list"]);
    assert!(
        list.contains("edits of 1 document,") && list.contains("its server saves"),
        "{list}"
    );
    let show = told(&["show", "a"]);
    assert!(show.contains("edits of this document"), "{show}");
    done(output_of(folder.path(), &["doc", "import", "b"], HI));
    assert_eq!(told(&["show", "b"]), "");

    drop(running);
    let list = told(&["list"]);
    assert!(list.contains("once a server starts"), "{list}");
}

#[test]
fn documents_can_be_looked_after_while_a_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let _server = Server::start(folder.path());
    done(output_of(folder.path(), &["doc", "import", "a"], HI));
    done(doc(&folder, &["verify", "--all"]));
    done(doc(&folder, &["delete", "a", "--yes"]));
}

/// Client 7, clock 0: "hi" in the text "t".
const HI: &[u8] = &[1, 1, 7, 0, 4, 1, 1, b't', 2, b'h', b'i', 0];

fn doc(folder: &TempDir, args: &[&str]) -> Output {
    let args: Vec<_> = ["doc"].iter().chain(args).copied().collect();
    output(folder.path(), &args, &[])
}

/// What a command that must succeed says.
fn done(output: Output) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Why a command that must fail did.
fn failed(output: Output, code: i32) -> String {
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{told}");
    told
}

fn file(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(format!("data/{name}.bin"))
}

fn update_of(edit: impl FnOnce(&Doc)) -> Vec<u8> {
    let doc = Doc::new();
    edit(&doc);
    doc.transact()
        .encode_state_as_update_v1(&StateVector::default())
}

fn load(update: &[u8]) -> Doc {
    let doc = Doc::new();
    let update = Update::decode_v1(update).unwrap();
    doc.transact_mut().apply_update(update).unwrap();
    doc
}

/// The root "body".
fn text(doc: &Doc) -> String {
    doc.get_or_insert_text("body").get_string(&doc.transact())
}

/// Arrays in arrays, the outermost one in the root "a".
fn nested_arrays(depth: u64) -> Vec<u8> {
    let mut update = vec![1];
    write_var_uint(&mut update, depth);
    update.extend([1, 0]);
    update.extend([7, 1, 1, b'a', 0]);
    for parent in 0..depth - 1 {
        update.extend([7, 0, 1]);
        write_var_uint(&mut update, parent);
        update.push(0);
    }
    update.push(0);
    update
}

//! Notes which commit the simulator is built from, as a failing seed is worth
//! something only together with it.

use std::process::Command;

/// What a world depends on, seen from this folder.
const WATCHED: [&str; 8] = [
    "../.git/HEAD",
    "../.git/logs/HEAD",
    "../Cargo.lock",
    "../engine/src",
    "../net/src",
    "../storage/src",
    "src",
    "build.rs",
];

fn main() {
    for path in WATCHED {
        if std::path::Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rustc-env=YSYNCD_COMMIT={}", commit());
}

fn commit() -> String {
    let git = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .output();
    match git {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

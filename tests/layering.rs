//! Layers point downwards only, `proto` is pure, and `extern "C"` lives in one
//! place: read off the sources.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each layer with those that it may use.
const LAYERS: [(&str, &[&str]); 8] = [
    ("ffi", &["client", "message", "drive", "net", "error", "proto"]),
    ("client", &["drive", "net", "proxy", "proto", "error"]),
    ("message", &["drive", "net", "proto", "error"]),
    ("drive", &["net", "proxy", "proto", "error"]),
    ("net", &["proto", "error"]),
    ("proxy", &["proto", "error"]),
    ("proto", &["error"]),
    ("error", &[]),
];

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The code without its comments.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The layers named as `crate::layer` or, from a layer's own folder, by `super` chains that leave it.
fn used(text: &str) -> Vec<String> {
    let code = code(text);
    let names = code.split("crate::").skip(1);
    names.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned()).collect()
}

#[test]
fn layers_point_downwards() {
    let allowed: BTreeMap<&str, &[&str]> = LAYERS.into_iter().collect();
    for (layer, below) in &allowed {
        let files = sources(&source_folder().join(layer));
        assert!(!files.is_empty(), "{layer}");
        for (path, text) in files {
            for name in used(&text) {
                let fine = name == *layer || below.contains(&name.as_str());
                assert!(fine, "{} uses crate::{name}, which is not below {layer}", path.display());
            }
        }
    }
}

#[test]
fn every_layer_is_known_to_this_test() {
    for entry in std::fs::read_dir(source_folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(name == "lib" || LAYERS.iter().any(|(layer, _)| *layer == name), "{name}");
    }
}

#[test]
fn the_protocol_knows_no_sockets_clock_or_threads() {
    for layer in ["proto", "proxy", "error"] {
        let head = std::fs::read_to_string(source_folder().join(layer).join("mod.rs")).unwrap();
        assert!(head.contains("#![forbid(unsafe_code)]"), "{layer}");
        for (path, text) in sources(&source_folder().join(layer)) {
            let code = code(&text);
            for name in [
                "std::thread",
                "std::sync",
                "Instant",
                "SystemTime",
                "TcpStream",
                "std::fs",
                "std::env",
                "libc::",
                "socket2",
            ] {
                assert!(!code.contains(name), "{} names {name}", path.display());
            }
        }
    }
}

#[test]
fn the_operating_system_is_named_in_net_alone() {
    for layer in ["proto", "proxy", "error", "client", "message", "drive", "ffi"] {
        for (path, text) in sources(&source_folder().join(layer)) {
            let code = code(&text);
            for name in ["std::os::", "libc::", "cfg(unix)", "cfg(windows)", "target_os"] {
                assert!(!code.contains(name), "{} names {name}", path.display());
            }
        }
    }
}

#[test]
fn functions_for_c_are_in_ffi_and_go_through_the_wrapper() {
    for (path, text) in sources(&source_folder()) {
        let code = code(&text);
        let in_ffi = path.starts_with(source_folder().join("ffi"));
        for definition in code.split("extern \"C\" fn Smtp").skip(1) {
            assert!(in_ffi, "{}", path.display());
            let body = definition.split("#[unsafe(no_mangle)]").next().unwrap();
            let wrapped = ["on_client(", "on_message(", "from_client(", "plain(", "query("]
                .iter()
                .any(|wrapper| body.contains(wrapper));
            assert!(wrapped, "{}: Smtp{}", path.display(), definition.lines().next().unwrap());
        }
        // The types of functions in the system's libraries are none of ours.
        let defined = code.replace("extern \"C\" fn(", "");
        assert!(in_ffi || !defined.contains("extern \"C\""), "{}", path.display());
    }
}

#[test]
fn files_stay_small() {
    for (path, text) in sources(&source_folder()) {
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines", path.display());
    }
}

//! The layers of the crate: which module may use which other, and which crates.
//!
//! `domain` is pure; only `store` knows Redis; `worker`, `api` and `redfish` never meet; `app` wires them; `cli` is on top.

use std::fs;
use std::path::{Path, PathBuf};

/// A layer, the modules it may use besides itself, and whether it may use `fred`.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &["domain"]),
    ("telemetry", &["domain", "config"]),
    ("pem", &["telemetry"]),
    ("store", &["domain", "config", "telemetry", "pem"]),
    ("report", &["domain", "store"]),
    ("worker", &["domain", "config", "telemetry", "store"]),
    ("listener", &["domain", "config", "telemetry", "pem"]),
    (
        "api",
        &["domain", "config", "telemetry", "pem", "store", "report", "listener"],
    ),
    (
        "redfish",
        &["domain", "config", "telemetry", "pem", "store", "report", "listener"],
    ),
    (
        "app",
        &[
            "domain",
            "config",
            "telemetry",
            "pem",
            "store",
            "report",
            "worker",
            "listener",
            "api",
            "redfish",
        ],
    ),
    (
        "cli",
        &[
            "domain",
            "config",
            "telemetry",
            "pem",
            "store",
            "report",
            "worker",
            "listener",
            "api",
            "redfish",
            "app",
        ],
    ),
];

/// What would make the rules of delivery depend on a runtime, a clock or chance.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio_util",
    "fred",
    "reqwest",
    "hyper",
    "axum",
    "figment",
    "metrics",
    "tracing",
    "rand",
    "std::net::TcpStream",
    "std::fs",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
];

/// Every path that a source text mentions, with its line: `use` trees are spelt out, and paths elsewhere
/// (`fred::types::Value`) count as well. Comments and texts do not.
fn paths(source: &str) -> Vec<(usize, String)> {
    let mut code = without_comments_and_texts(source);
    let mut found = Vec::new();
    while let Some(start) = find_use(&code) {
        let end = code[start..].find(';').map_or(code.len(), |end| start + end);
        let line = code[..start].matches('\n').count() + 1;
        let tree = code[start..end]
            .trim_start()
            .trim_start_matches("use")
            .trim()
            .to_owned();
        found.extend(expand(&tree).into_iter().map(|path| (line, path)));
        let blank: String = code[start..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        code.replace_range(start..end, &blank);
    }
    for (number, line) in code.lines().enumerate() {
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let words = line.split(|c| !is_path(c)).filter(|word| word.contains("::"));
        found.extend(words.map(|word| (number + 1, word.trim_start_matches("::").to_owned())));
    }
    found
}

/// The first `use` keyword of the text.
fn find_use(code: &str) -> Option<usize> {
    let boundary = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    code.match_indices("use")
        .find(|(at, _)| boundary(code[..*at].chars().next_back()) && code[at + 3..].starts_with(char::is_whitespace))
        .map(|(at, _)| at)
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split_whitespace().next().unwrap_or_default();
        return vec![path.trim_start_matches("::").to_owned()];
    };
    let inner = tree[open + 1..].trim_end().trim_end_matches('}');
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(|part| expand(&close(part)))
        .map(|rest| format!("{}{rest}", tree[..open].trim_start_matches("::")))
        .collect()
}

/// Puts back a closing brace that was cut off with the outer one.
fn close(part: &str) -> String {
    let missing = part.matches('{').count().saturating_sub(part.matches('}').count());
    format!("{}{}", part.trim(), "}".repeat(missing))
}

/// The source with comments and string literals blanked, lines kept.
fn without_comments_and_texts(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let (mut rest, mut in_text) = (source, false);
    while let Some(c) = rest.chars().next() {
        let skip = match c {
            '/' if !in_text && rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '\\' if in_text => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            '\'' if !in_text && rest.starts_with("'\"'") => 3,
            '"' => {
                in_text = !in_text;
                1
            }
            _ if in_text => c.len_utf8(),
            _ => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
        };
        out.extend(rest[..skip].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[skip..];
    }
    out
}

/// What is wrong with one path used in `layer`; `None` when it is allowed.
fn breach(layer: &str, path: &str) -> Option<String> {
    let (_, allowed) = LAYERS.iter().find(|(name, _)| *name == layer)?;
    let under = |prefix: &str| path == prefix || path.starts_with(&format!("{prefix}::"));
    if under("fred") && layer != "store" {
        return Some("only store may use fred".to_owned());
    }
    if layer == "domain"
        && let Some(impure) = IMPURE.iter().find(|impure| under(impure))
    {
        return Some(format!("domain is pure and may not use {impure}"));
    }
    let inner = ["crate::", "holdfast::", "super::"]
        .iter()
        .find_map(|root| path.strip_prefix(root))?
        .trim_start_matches("super::");
    let module = inner.split("::").next().unwrap_or_default();
    let is_layer = LAYERS.iter().any(|(name, _)| *name == module);
    (is_layer && module != layer && !allowed.contains(&module)).then(|| format!("{layer} may not use {module}"))
}

/// Every breach in one file of `layer`.
fn breaches(layer: &str, file: &str, source: &str) -> Vec<String> {
    let found = paths(source).into_iter();
    found
        .filter_map(|(line, path)| breach(layer, &path).map(|why| format!("{file}:{line}: {path}: {why}")))
        .collect()
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory is there") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn no_layer_is_broken() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    let mut seen = 0;
    for (layer, _) in LAYERS {
        for file in rust_files(&src.join(layer)) {
            let source = fs::read_to_string(&file).expect("source text");
            broken.extend(breaches(layer, &file.display().to_string(), &source));
            seen += 1;
        }
    }
    assert!(seen > LAYERS.len(), "only {seen} files found below {}", src.display());
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_module_of_the_crate_is_in_a_layer() {
    let library = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("source text");
    let modules = library.lines().filter_map(|line| {
        let name = line.trim_start_matches("pub ").strip_prefix("mod ")?;
        name.strip_suffix(';')
    });
    for module in modules {
        assert!(LAYERS.iter().any(|(name, _)| *name == module), "{module} has no layer");
    }
}

#[test]
fn breaches_are_found_however_they_are_written() {
    for (layer, source) in [
        ("domain", "use tokio::time;"),
        ("domain", "use std::{fmt, time::{Duration, Instant}};"),
        ("domain", "let now = std::time::SystemTime::now();"),
        ("domain", "pub(crate) use crate::store::keys;"),
        ("domain", "fn f() -> crate::config::Retry { x() }"),
        (
            "store",
            "use crate::{\n    domain::ids,\n    worker::drain::{self, Drain},\n};",
        ),
        ("worker", "use fred::prelude::*;"),
        ("worker", "use crate::api::intake;"),
        ("worker", "let c = '\"'; use crate::api::intake;"),
        ("api", "use crate::worker::send as post;"),
        ("api", "use crate::redfish::router;"),
        ("redfish", "use crate::api::intake;"),
        ("redfish", "use crate::worker::send;"),
        ("listener", "use crate::store::Store;"),
        ("api", "let x = ::fred::types::Value::Null;"),
        ("app", "use holdfast::cli::demo;"),
        ("telemetry", "use crate::store;"),
        ("report", "use crate::telemetry::metrics;"),
        ("store", "use crate::report::Report;"),
        ("worker", "use crate::report::Report;"),
        ("api", "use super::super::worker::drain;"),
    ] {
        assert!(!breaches(layer, "file.rs", source).is_empty(), "{layer}: {source}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (layer, source) in [
        ("domain", "use std::time::Duration;\nuse crate::domain::units::Period;"),
        (
            "domain",
            "//! Unlike [`crate::store`], pure: no tokio::time.\nuse std::fmt; // fred::x",
        ),
        ("domain", "let text = \"use crate::store::keys; \\\" fred::types\";"),
        (
            "store",
            "use fred::prelude::*;\nuse crate::{config::Redis, domain::ids, telemetry::metrics};",
        ),
        ("worker", "use crate::{config, store::Store};"),
        ("cli", "use crate::app;"),
    ] {
        assert_eq!(breaches(layer, "file.rs", source), Vec::<String>::new(), "{source}");
    }
}

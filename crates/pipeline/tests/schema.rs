//! The published schema is the one of this version, and agrees with the parser.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde_json::{Value, json};
use thrifty_pipeline::{Pipeline, schema};

fn published() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/operation-file.schema.json")
}

#[test]
fn the_published_schema_is_the_one_of_this_version() {
    let written = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("THRIFTY_WRITE_SCHEMA").is_some() {
        std::fs::write(published(), &written).unwrap();
    }
    let found = std::fs::read_to_string(published()).unwrap();
    assert!(found == written, "write it anew with THRIFTY_WRITE_SCHEMA=1");
}

/// Whether the parser takes the document, and nothing is asked of what it refers to.
fn is_parsed(document: &Value) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.yaml");
    std::fs::write(&path, serde_json::to_string(document).unwrap()).unwrap();
    !matches!(
        Pipeline::read(&path, &[], &|_| None),
        Err(thrifty_pipeline::FileError::Syntax { .. })
    )
}

#[test]
fn schema_and_parser_agree() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let with = |field: &str, value: Value| {
        let mut operation = json!({"run": "x"});
        operation[field] = value;
        json!({"operations": {"a": operation}})
    };
    for (document, is_one) in [
        (with("retries", json!(2)), true),
        (with("retries", json!(-1)), false),
        (with("retries", json!({"limit": 2, "delay": "1s", "backoff": "exponential"})), true),
        (with("retries", json!({"delay": "1s"})), false),
        (with("retries", json!({"limit": 2, "backoff": "linear"})), false),
        (with("on_failure", json!("stop")), true),
        (with("on_failure", json!("ignore")), false),
        (with("checkpoints", json!("c/")), true),
        (with("tags", json!(["a"])), true),
        (with("outputs", json!({"m": {"metrics": "m"}, "p": {"plot": "p"}})), true),
        (with("run", json!(["a", "b"])), true),
        (with("run", json!({"a": "b"})), false),
        (with("rnu", json!("x")), false),
        (with("inputs", json!({"i": "a.csv", "j": {"from": "b.c", "to": "d"}})), true),
        (with("inputs", json!({"i": {"form": "b.c"}})), false),
        (with("inputs", json!({"i": 3})), false),
        (with("outputs", json!({"o": {"json": "m.json", "at": "/x"}, "p": "d/"})), true),
        (with("outputs", json!({"o": ["x"]})), false),
        (with("params", json!({"p": 1, "q": {"from": "a.b"}, "r": [1, {"x": null}]})), true),
        (with("env", json!({"A": "b", "C": null})), true),
        (with("env", json!({"A": 1, "B": true})), true),
        (with("env", json!({"A": ["x"]})), false),
        (with("cache", json!({"disable": true, "ttl": "7d", "io": ["p"]})), true),
        (with("cache", json!({"disable": "yes"})), false),
        (
            with("matrix", json!({"kind": "grid", "params": {"a": [1], "b": {"range": [1, 2]}}})),
            true,
        ),
        (with("matrix", json!({"kind": "gird", "params": {"a": [1]}})), false),
        (with("matrix", json!({"kind": "tpe", "runs": 9, "params": {"a": [1]}})), true),
        (with("matrix", json!({"kind": "iterative", "tuner": "a:b"})), true),
        (with("matrix", json!({"kind": "iterative", "tuner": ["a"]})), false),
        (with("matrix", json!({"params": {"a": [1]}})), true),
        (with("matrix", json!({"kind": "mapping", "values": [{"a": 1}]})), true),
        (with("matrix", json!({"kind": "random", "runs": -1})), false),
        (with("seeds", json!([1, 2])), true),
        (with("seeds", json!("{{ params.seeds }}")), true),
        (with("partitions", json!(["a", 1])), true),
        (with("partitions", json!({"form": "a.b"})), false),
        (with("aggregate", json!("seeds")), true),
        (with("aggregate", json!(["seeds", "partitions"])), true),
        (with("aggregate", json!("seed")), false),
        (with("timeout", json!("5m")), true),
        (with("needs", json!("b")), false),
        (json!({"operations": {}, "params": {"p": {"type": "int", "default": 1}}}), true),
        (json!({"operations": {}, "outputs": {"o": "a.b", "p": {"from": "a.b", "to": "c"}}}), true),
        (json!({"operations": {}, "outputs": {"o": {"to": "c"}}}), false),
        (json!({"params": {}, "include": ["a.yaml"]}), true),
        (json!({"include": "a.yaml"}), false),
        (
            json!({"operations": {}, "presets": {"p": {"env": {"A": "b"}, "operations": {"a": {"retries": 2}}}}}),
            true,
        ),
        (json!({"operations": {}, "presets": {"p": {"outputs": {}}}}), false),
        (
            json!({"operations": {"a": {"use": "b.yaml"}}, "inputs": {"i": null, "j": "x.csv"}}),
            true,
        ),
        (
            json!({"operations": {"a": {"operations": {"b": {"run": "x"}}, "outputs": {"o": "b.o"}}}}),
            true,
        ),
        (json!({"operations": {"a": {"operations": {"b": {"rnu": "x"}}}}}), false),
        (json!({"operations": [], "params": {}}), false),
    ] {
        assert_eq!(validator.is_valid(&document), is_one, "schema: {document}");
        assert_eq!(is_parsed(&document), is_one, "parser: {document}");
    }
}

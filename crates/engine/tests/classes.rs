//! Instances of classes as inputs: the code that their classes have now counts.

#![allow(clippy::unwrap_used)]

mod stage;

use std::sync::Arc;

use parking_lot::Mutex;
use stage::*;
use thrifty_engine::ClassCode;
use thrifty_engine::graph::{Made, Product};
use thrifty_engine::key::{Digest, plain};
use thrifty_engine::record::{Draft, Shape, Source};

/// A language in which every class has the code that the test gives, or none that can be told.
#[derive(Clone)]
struct Language(Arc<Mutex<Option<&'static str>>>);

impl ClassCode for Language {
    fn code(&self, class: &str) -> Option<Digest> {
        let code = (*self.0.lock())?;
        Some(plain::digest_text(&format!("{class}: {code}")))
    }
}

fn instance(value: i64) -> Draft {
    let mut bytes = value.to_le_bytes().to_vec();
    bytes.resize(20_000, 7);
    Draft::Object {
        codec: "number/1".to_owned(),
        digest: Digest::of_blob(&bytes),
        classes: vec!["model:Model".to_owned()],
        header: Vec::new(),
        buffers: vec![Source::Memory(Box::new(bytes))],
    }
}

/// An instance and a number, and an operation that takes the part of this index.
fn outcomes(stage: &Stage, index: i64) -> Vec<&'static str> {
    let make = |_: &[i64]| {
        let parts = vec![instance(1), Draft::Plain(plain::int(5))];
        let draft = Draft::Composite { container: Shape::Tuple, parts };
        Ok(Product::Made(Made::new(Arc::new((1_i64, 5_i64)), draft)))
    };
    let take = |inputs: &[i64]| Ok(number(inputs[0]));
    let nodes = vec![
        stage.scripted("make", Vec::new(), make),
        stage.scripted("take", vec![part(0, index)], take),
    ];
    stage.settle(nodes, &[1], 1).words()
}

#[test]
fn the_code_that_a_class_has_now_counts() {
    let code = Arc::new(Mutex::new(Some("old")));
    let stage = Stage::new();
    stage.cache.set_class_code(Language(Arc::clone(&code)));
    assert_eq!(outcomes(&stage, 0), ["computed", "computed"]);
    assert_eq!(outcomes(&stage, 0), ["hit-memory", "hit-memory"]);
    *code.lock() = Some("new");
    assert_eq!(outcomes(&stage, 0), ["hit-memory", "computed"]);
    let fresh = stage.again();
    fresh.cache.set_class_code(Language(Arc::clone(&code)));
    assert_eq!(outcomes(&fresh, 0), ["hit-local", "hit-local"]);
    *code.lock() = Some("old");
    assert_eq!(outcomes(&fresh, 0), ["hit-memory", "hit-local"]);
}

#[test]
fn code_that_cannot_be_told_leaves_the_consumer_without_a_key() {
    let stage = Stage::new();
    stage.cache.set_class_code(Language(Arc::new(Mutex::new(None))));
    assert_eq!(outcomes(&stage, 0), ["computed", "uncached"]);
    assert_eq!(outcomes(&stage, 0), ["hit-memory", "uncached"]);
    // Without a language nothing is known of any class.
    assert_eq!(outcomes(&stage.again(), 0), ["hit-local", "uncached"]);
}

#[test]
fn a_part_without_instances_does_not_follow_their_classes() {
    let code = Arc::new(Mutex::new(Some("old")));
    let stage = Stage::new();
    stage.cache.set_class_code(Language(Arc::clone(&code)));
    outcomes(&stage, 1);
    *code.lock() = Some("new");
    assert_eq!(outcomes(&stage, 1), ["hit-memory", "hit-memory"]);
}

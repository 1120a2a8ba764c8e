//! Keys of operations, records of outputs, and choices of modes.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_bytes::ByteBuf;
use thrifty_engine::graph::Made;
use thrifty_engine::key::plain::{self, Container};
use thrifty_engine::key::{Digest, Ingredients, Kind, Part, Preview};
use thrifty_engine::record::{
    Buffer, Draft, FORMAT, Object, Record, RecordError, Shape, Source, Step, contribution_of_part,
};
use thrifty_engine::store::BlobName;
use thrifty_engine::{Cache, Choices, Context, Mode, Operation, Rule};

fn digest(text: &str) -> Digest {
    plain::digest_text(text)
}

fn fixed(with: &[(Kind, &str, &str)]) -> Ingredients {
    let mut fixed = Ingredients::new();
    for (kind, name, value) in with {
        fixed.add(*kind, *name, digest(value), Preview::text(*value)).unwrap();
    }
    fixed
}

fn base() -> Vec<(Kind, &'static str, &'static str)> {
    Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::Inputs)
        .map(|kind| (kind, "p", "v"))
        .collect()
}

fn part(value: &str, preview: &str) -> Part {
    Part { digest: digest(value), preview: Preview::text(preview) }
}

#[test]
fn every_ingredient_is_in_the_key_and_no_preview_is() {
    let key = |with: &[(Kind, &str, &str)], inputs: &[(&str, &str)]| {
        let operation = Operation::new("f", fixed(with), Vec::new());
        let digests: Vec<_> = inputs.iter().map(|(name, value)| (*name, digest(value))).collect();
        let key = operation.key(digests.into_iter());
        let parts = inputs.iter().map(|(name, value)| ((*name).to_owned(), part(value, "any")));
        assert_eq!(operation.ingredients(parts).key(), key);
        key
    };
    let one = [("x", "1")];
    let mut keys = vec![key(&base(), &one), key(&base(), &[]), key(&base(), &[("x", "2")])];
    keys.push(key(&base(), &[("y", "1")]));
    keys.push(key(&base(), &[("x", "1"), ("y", "1")]));
    for index in 0..base().len() {
        for change in 0..3 {
            let mut changed = base();
            match change {
                0 => changed[index].2 = "w",
                1 => changed[index].1 = "q",
                _ => _ = changed.remove(index),
            }
            keys.push(key(&changed, &one));
        }
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count);

    let operation = Operation::new("f", fixed(&base()), Vec::new());
    let shown = |preview: &str| operation.ingredients([("x".to_owned(), part("1", preview))]).key();
    assert_eq!(shown("one"), shown("another"));
    // The name is for people; what tells operations apart is the ingredient.
    let renamed = Operation::new("g", fixed(&base()), Vec::new());
    assert_eq!(renamed.key([].into_iter()), operation.key([].into_iter()));
}

fn name(seed: u8) -> BlobName {
    BlobName {
        digest: Digest::from_bytes([seed; 32]),
        generation: u64::from(seed) << 40 | 5,
        length: 77,
    }
}

fn object(seed: u8) -> Record {
    Record::Object(Object {
        codec: "ndarray/1".to_owned(),
        digest: Digest::from_bytes([seed; 32]),
        classes: Vec::new(),
        header: vec![seed, 0, 255],
        buffers: vec![Buffer::Inline(vec![seed; 3]), Buffer::Blob(name(seed))],
    })
}

fn text(value: &str) -> Record {
    Record::Plain(plain::text(value))
}

fn dict(parts: Vec<(&str, Record)>) -> Record {
    let (keys, parts): (Vec<_>, Vec<_>) =
        parts.into_iter().map(|(key, part)| (ByteBuf::from(plain::text(key)), part)).unzip();
    Record::Composite { container: Shape::Dict(keys), parts }
}

fn sequence(container: Shape, parts: Vec<Record>) -> Record {
    Record::Composite { container, parts }
}

fn hashed(seed: u8, value: Record) -> Record {
    Record::Hashed { digest: Digest::from_bytes([seed; 32]), value: Box::new(value) }
}

fn records() -> impl Strategy<Value = Record> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|int| Record::Plain(plain::int(int))),
        ".{0,60}".prop_map(|it| text(&it)),
        any::<u8>().prop_map(object),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let parts = prop::collection::vec(inner.clone(), 0..5);
        prop_oneof![
            parts.clone().prop_map(|parts| sequence(Shape::Tuple, parts)),
            parts.clone().prop_map(|parts| sequence(Shape::List, parts)),
            parts.prop_map(|parts| {
                let names = ["a", "b", "c", "d", "e"];
                dict(names.into_iter().zip(parts).collect())
            }),
            (any::<u8>(), inner).prop_map(|(seed, value)| hashed(seed, value)),
        ]
    })
}

/// The plain encoding of a value, what cannot be written out standing as its digest.
fn written_out(record: &Record, writer: &mut plain::Writer) {
    match record {
        Record::Plain(encoding) => writer.encoded(encoding),
        Record::Object(object) => writer.digest(&object.digest),
        Record::Hashed { digest, .. } => writer.digest(digest),
        Record::Annotated { value, .. } => written_out(value, writer),
        Record::Composite { container, parts } => {
            let kind = match container {
                Shape::Tuple => Container::Tuple,
                Shape::List => Container::List,
                Shape::Dict(_) => Container::Dict,
            };
            writer.open(kind, parts.len());
            for (index, part) in parts.iter().enumerate() {
                if let Shape::Dict(keys) = container {
                    writer.encoded(&keys[index]);
                }
                written_out(part, writer);
            }
        }
    }
}

/// A draft of the same value.
fn draft(record: &Record) -> Draft {
    match record {
        Record::Plain(encoding) => Draft::Plain(encoding.clone()),
        Record::Object(object) => Draft::Object {
            codec: object.codec.clone(),
            digest: object.digest,
            classes: object.classes.clone(),
            header: object.header.clone(),
            buffers: vec![Source::Memory(Box::new(vec![1_u8; 3]))],
        },
        Record::Hashed { digest, value } => {
            Draft::Hashed { digest: *digest, value: Box::new(draft(value)) }
        }
        Record::Annotated { notes, value } => draft(value).annotated((**notes).clone()),
        Record::Composite { container, parts } => Draft::Composite {
            container: container.clone(),
            parts: parts.iter().map(draft).collect(),
        },
    }
}

proptest! {
    #[test]
    fn records_come_back_as_they_were(record in records()) {
        let bytes = record.to_bytes();
        prop_assert_eq!(bytes[0], FORMAT);
        prop_assert_eq!(Record::from_bytes(&bytes).unwrap(), record);
    }

    #[test]
    fn a_value_contributes_the_same_however_it_is_stored(record in records()) {
        let mut writer = plain::Writer::new();
        written_out(&record, &mut writer);
        let whole = plain::contribution(writer.as_bytes()).unwrap();
        prop_assert_eq!(&record.contribution().unwrap(), &whole);
        prop_assert_eq!(Made::new(std::sync::Arc::new(()), draft(&record)).contribution, Some(whole.clone()));
        let made = Made::new(std::sync::Arc::new(()), Draft::Stored(record));
        prop_assert_eq!(made.contribution, Some(whole));
    }

    #[test]
    fn what_is_kept_without_an_entry_is_the_value(record in records()) {
        let cache = Cache::in_memory().unwrap();
        let kept = cache.keep(draft(&record)).unwrap();
        prop_assert_eq!(kept.contribution().unwrap(), record.contribution().unwrap());
    }

    #[test]
    fn damaged_records_are_errors_or_other_records(
        record in records(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = record.to_bytes();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        if let Ok(read) = Record::from_bytes(&bytes) {
            let steps = [Step(plain::int(0)), Step(plain::text("a"))];
            _ = (read.contribution(), read.select(&steps[..1]), read.select(&steps[1..]), read.blobs());
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_crash(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(read) = Record::from_bytes(&bytes) {
            _ = (read.contribution(), read.select(&[Step(plain::int(-1))]), read.blobs());
        }
        let mut bytes = bytes;
        bytes.insert(0, FORMAT);
        _ = Record::from_bytes(&bytes);
        _ = Record::Plain(bytes.clone()).select(&[Step(bytes.clone())]);
        _ = text("x").select(&[Step(bytes)]);
    }
}

#[test]
fn another_format_says_so() {
    let mut bytes = text("x").to_bytes();
    bytes[0] = FORMAT + 1;
    let error = Record::from_bytes(&bytes).unwrap_err();
    assert!(matches!(error, RecordError::Format { found } if found == FORMAT + 1));
    assert_eq!(error.to_string(), "the record has format 2 and this version knows 1");
    assert_eq!(
        Record::from_bytes(&[]).unwrap_err().to_string(),
        "the record is damaged: it is empty"
    );
}

#[test]
fn parts_are_selected_as_subscripts_select_them() {
    let int = |value: i64| Step(plain::int(value));
    let key = |value: &str| Step(plain::text(value));
    let mut writer = plain::Writer::new();
    writer.open(Container::Dict, 2);
    for (name, value) in [("u", 1), ("v", 2)] {
        writer.encoded(&plain::text(name));
        writer.encoded(&plain::int(value));
    }
    let written = Record::Plain(writer.into_bytes());
    let inner = sequence(Shape::Tuple, vec![text("zero"), object(1), written]);
    let record =
        dict(vec![("t", inner.clone()), ("h", hashed(9, sequence(Shape::List, vec![text("in")])))]);
    let cases: [(&[Step], Option<Record>); 14] = [
        (&[], Some(record.clone())),
        (&[key("t")], Some(inner)),
        (&[key("t"), int(0)], Some(text("zero"))),
        (&[key("t"), int(1)], Some(object(1))),
        (&[key("t"), int(-3)], Some(text("zero"))),
        (&[key("t"), int(2), key("v")], Some(Record::Plain(plain::int(2)))),
        (&[key("h"), int(-1)], Some(text("in"))),
        (&[key("t"), int(3)], None),
        (&[key("t"), int(-4)], None),
        (&[key("t"), int(i64::MIN)], None),
        (&[key("t"), key("zero")], None),
        (&[key("t"), int(1), int(0)], None),
        (&[key("missing")], None),
        (&[int(0)], None),
    ];
    for (steps, expected) in cases {
        assert_eq!(record.select(steps), expected, "{steps:?}");
    }
    // What only loading would show stands for this subscript of that value.
    let whole = object(1).contribution().unwrap();
    let parts = [vec![int(0)], vec![int(1)], vec![int(0), int(1)], vec![]];
    let mut told: Vec<_> = parts.iter().map(|steps| contribution_of_part(&whole, steps)).collect();
    told.push(contribution_of_part(&text("x").contribution().unwrap(), &[int(0)]));
    let count = told.len();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), count);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Entries of every released version are read for ever: these lines never change.
#[test]
fn golden_records_are_read_and_written_as_ever() {
    let golden = [
        ("plain", text("kept")),
        ("object", object(1)),
        ("tuple", sequence(Shape::Tuple, vec![text("a"), object(2)])),
        ("list", sequence(Shape::List, vec![])),
        ("dict", dict(vec![("k", text("v")), ("l", object(3))])),
        ("hashed", hashed(4, text("h"))),
    ];
    let lines: Vec<_> =
        golden.iter().map(|(name, record)| format!("{name} {}", hex(&record.to_bytes()))).collect();
    let kept: Vec<_> = include_str!("records.txt").lines().collect();
    assert_eq!(lines, kept);
    let bytes = |hex: &str| -> Vec<u8> {
        let digits: Vec<_> = hex.chars().map(|c| c.to_digit(16).unwrap()).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
    };
    for (line, (_, record)) in kept.iter().zip(golden) {
        assert_eq!(Record::from_bytes(&bytes(line.split_once(' ').unwrap().1)).unwrap(), record);
    }
}

#[test]
fn a_record_may_be_nested_as_deep_as_a_workflow_returns_it() {
    let deep = (0..60).fold(text("core"), |inner, _| sequence(Shape::List, vec![inner]));
    assert_eq!(Record::from_bytes(&deep.to_bytes()).unwrap(), deep);
}

#[test]
fn a_record_nested_without_end_is_an_error_and_no_crash() {
    let level = hashed(1, text("")).to_bytes();
    let end = level.len() - Record::to_bytes(&text("")).len() + 1;
    let mut bytes = vec![FORMAT];
    (0..100_000).for_each(|_| bytes.extend(&level[1..end]));
    bytes.extend(&text("deep").to_bytes()[1..]);
    assert!(matches!(Record::from_bytes(&bytes), Err(RecordError::Damaged(_))));
}

#[test]
fn the_most_specific_choice_decides() {
    let choices =
        || [None, Some(Mode::On), Some(Mode::Refresh), Some(Mode::ReadOnly), Some(Mode::Off)];
    let rules = [
        Rule::OperationAtRunTime,
        Rule::Run,
        Rule::Invocation,
        Rule::Definition,
        Rule::Workflow,
        Rule::Project,
    ];
    let contexts = [
        (Context::Pipeline, Mode::On, Rule::Default),
        (Context::Lone, Mode::Off, Rule::Lone),
        (Context::Again, Mode::Off, Rule::Again),
    ];
    for (code, (context, mode, rule)) in
        (0..5_usize.pow(6)).flat_map(|code| contexts.map(|context| (code, context)))
    {
        let level = |level: u32| choices()[code / 5_usize.pow(level) % 5];
        let all = [level(0), level(1), level(2), level(3), level(4), level(5)];
        let decided = Choices {
            operation_at_run_time: all[0],
            run: all[1],
            invocation: all[2],
            definition: all[3],
            workflow: all[4],
            project: all[5],
            context,
        }
        .decide();
        let expected = match all.iter().position(Option::is_some) {
            Some(first) => (all[first].unwrap(), rules[first]),
            None => (mode, rule),
        };
        assert_eq!(decided, expected);
    }
    for mode in Mode::ALL {
        assert_eq!(Mode::from_word(mode.word()), Some(mode));
    }
    assert_eq!(Mode::from_word("ON"), None);
    let table = Mode::ALL.map(|mode| (mode.reads(), mode.writes()));
    assert_eq!(table, [(true, true), (false, true), (true, false), (false, false)]);
}

#[test]
fn the_key_of_secrets_is_made_once_and_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("new");
    let cache = Cache::in_memory().unwrap();
    let keys: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let make = || scope.spawn(|| cache.secret_key(&home).unwrap());
        let threads: Vec<_> = (0..16).map(|_| make()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 32));
    let files: Vec<_> = std::fs::read_dir(&home).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(files[0].path(), b"short").unwrap();
    let error = cache.secret_key(&home).unwrap_err();
    assert!(error.to_string().contains("is damaged; delete it"), "{error}");
}

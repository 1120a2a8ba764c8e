//! `thrifty check`, and runs that check: the request that arrives, what is written, exit codes.

#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thrifty_cli::{
    CheckReport, CheckRequest, Console, End, Host, HostError, PlanReport, RunReport, RunRequest,
    Which, main_in,
};
use thrifty_engine::check::{Checked, Verdict, is_proven};
use thrifty_engine::event::{Event, Listener};

/// A host that found this, and keeps what it was asked.
struct Found {
    checks: Result<Vec<Checked>, HostError>,
    asked: Mutex<Vec<CheckRequest>>,
    ran: Mutex<Vec<RunRequest>>,
}

impl Found {
    fn new(checks: Result<Vec<Checked>, HostError>) -> Self {
        Self { checks, asked: Mutex::default(), ran: Mutex::default() }
    }
}

impl Host for Found {
    fn is_interrupted(&self) -> bool {
        false
    }

    fn run_workflow(
        &self,
        request: &RunRequest,
        _listener: Arc<Listener>,
    ) -> Result<RunReport, HostError> {
        self.ran.lock().unwrap().push(request.clone());
        Ok(RunReport {
            run: None,
            end: End::Succeeded,
            result: Some("42".to_owned()),
            failures: Vec::new(),
            checks: self.checks.clone()?,
            notes: Vec::new(),
            given: thrifty_cli::Given::default(),
        })
    }

    fn plan_workflow(&self, _request: &RunRequest) -> Result<PlanReport, HostError> {
        unreachable!("nobody plans here")
    }

    fn check_workflow(
        &self,
        request: &CheckRequest,
        listener: Arc<Listener>,
    ) -> Result<CheckReport, HostError> {
        self.asked.lock().unwrap().push(request.clone());
        let checks = self.checks.clone()?;
        listener(&Event::Checking { operations: checks.len() });
        checks.iter().for_each(|checked| listener(&Event::Checked(checked.clone())));
        Ok(CheckReport { checks, stored: 4, unknown: 1 })
    }
}

fn checked(number: u32, verdict: Verdict) -> Checked {
    let is_finding = verdict.is_finding();
    Checked {
        number,
        operation: format!("m.op{number}"),
        key: None,
        verdict,
        differences: if is_finding { vec!["result: 1 → 2".to_owned()] } else { Vec::new() },
        reads: if is_finding { vec!["data.csv".to_owned()] } else { Vec::new() },
        causes: if is_finding { vec!["numpy was 1, and is 2".to_owned()] } else { Vec::new() },
        reason: match verdict {
            Verdict::NotCheckable => "it cannot be sent".to_owned(),
            _ => String::new(),
        },
        spent: Duration::from_millis(1_500),
    }
}

/// What a command gave: exit code, output, errors.
fn run(arguments: &[&str], host: &Found) -> (u8, String, String) {
    let home = tempfile::tempdir().unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let variables = |name: &str| (name == "THRIFTY_HOME").then(|| home.path().into());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        input: None,
        width: None,
        is_live: false,
        is_coloured: false,
        directory: home.path().to_owned(),
        variables: &variables,
    };
    let arguments = ["thrifty"].iter().chain(arguments).map(OsString::from).collect();
    let code = main_in(arguments, host, &mut console);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn asked(arguments: &[&str]) -> CheckRequest {
    let host = Found::new(Ok(vec![checked(0, Verdict::Same)]));
    let (code, _, err) = run(arguments, &host);
    assert_eq!(code, 0, "{err}");
    host.asked.into_inner().unwrap().pop().unwrap()
}

#[test]
fn the_request_is_what_the_arguments_say() {
    assert_eq!(asked(&["check", "m:w"]).which, Which::Share(0.2));
    assert_eq!(asked(&["check", "m:w", "--sample", "5%"]).which, Which::Share(0.05));
    assert_eq!(asked(&["check", "m:w", "--all"]).which, Which::Share(1.0));
    let whole = asked(&["check", "m:w", "a", "b*", "-p", "x=1", "--workers", "2"]);
    let parameters = vec![("x".to_owned(), "1".to_owned())];
    let which = Which::Named(vec!["a".to_owned(), "b*".to_owned()]);
    let (target, workers) = ("m:w".to_owned(), Some(2));
    assert_eq!(whole, CheckRequest { target, parameters, which, workers, json: false });
}

#[test]
fn wrong_use_is_said_before_anything_is_loaded() {
    for arguments in [
        &["check"][..],
        &["check", "m"],
        &["check", "m:w", "--sample", "0"],
        &["check", "m:w", "--sample", "101%"],
        &["check", "m:w", "--sample", "-1"],
        &["check", "m:w", "--sample", "nan"],
        &["check", "m:w", "--sample", "5%", "--all"],
        &["check", "m:w", "train", "--all"],
        &["check", "m:w", "--workers", "0"],
        &["run", "m:w", "--check", "5"],
    ] {
        let host = Found::new(Ok(Vec::new()));
        let (code, _, err) = run(arguments, &host);
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(host.asked.into_inner().unwrap().is_empty(), "{arguments:?}");
        assert!(host.ran.into_inner().unwrap().is_empty(), "{arguments:?}");
    }
}

#[test]
fn each_verdict_is_written_with_what_is_known() {
    let checks: Vec<_> =
        (0..).zip(Verdict::ALL).map(|(number, verdict)| checked(number, verdict)).collect();
    let (code, out, _) = run(&["check", "m:w", "--all"], &Found::new(Ok(checks)));
    assert_eq!(code, 1);
    assert_eq!(
        out,
        "same              op0 #0  1.5 s\n\
         nondeterministic  op1 #1  1.5 s\n    \
             result: 1 → 2\n    \
             perhaps: numpy was 1, and is 2\n    \
             reads data.csv without declaring it\n\
         differs           op2 #2  1.5 s\n    \
             result: 1 → 2\n    \
             perhaps: numpy was 1, and is 2\n    \
             reads data.csv without declaring it\n\
         failed            op3 #3  1.5 s\n    \
             result: 1 → 2\n    \
             perhaps: numpy was 1, and is 2\n    \
             reads data.csv without declaring it\n\
         not-checkable     op4 #4  1.5 s\n    \
             it cannot be sent\n\
         checked 5 of 4 operations with a stored result: 1 same, 1 nondeterministic, 1 differs, \
         1 failed, 1 not-checkable; 1 operation not stored, or behind one that is not\n"
    );
}

#[test]
fn the_exit_code_is_0_only_if_something_is_proven_and_nothing_in_doubt() {
    for verdict in Verdict::ALL {
        for other in Verdict::ALL {
            let checks = vec![checked(0, verdict), checked(1, other)];
            let proven = !verdict.is_finding()
                && !other.is_finding()
                && (verdict == Verdict::Same || other == Verdict::Same);
            assert_eq!(is_proven(&checks), proven);
            let (code, ..) = run(&["check", "m:w"], &Found::new(Ok(checks)));
            assert_eq!(code, u8::from(!proven), "{verdict:?} {other:?}");
        }
    }
    assert_eq!(run(&["check", "m:w"], &Found::new(Ok(Vec::new()))).0, 1);
}

#[test]
fn what_kept_it_from_beginning() {
    let codes = [
        (HostError::Usage("no such name".to_owned()), 2),
        (HostError::Unavailable("no python".to_owned()), 2),
        (HostError::Cache("no cache".to_owned()), 3),
        (HostError::Failed("ValueError: x".to_owned()), 1),
        (HostError::Interrupted, 130),
    ];
    for (error, code) in codes {
        let text = error.to_string();
        let (given, out, err) = run(&["check", "m:w"], &Found::new(Err(error)));
        assert_eq!((given, out.as_str()), (code, ""));
        assert!(err.contains(&text), "{err}");
    }
}

#[test]
fn json_has_a_row_for_each() {
    let host = Found::new(Ok(vec![checked(3, Verdict::Differs)]));
    let (code, out, _) = run(&["check", "m:w", "--json"], &host);
    assert_eq!(code, 1);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let row = serde_json::json!({
        "number": 3, "name": "op3", "operation": "m.op3", "key": null, "verdict": "differs",
        "differences": ["result: 1 → 2"], "reads": ["data.csv"],
        "causes": ["numpy was 1, and is 2"], "reason": "",
        "seconds": 1.5,
    });
    assert_eq!(told, serde_json::json!({"stored": 4, "unknown": 1, "checks": [row]}));
}

#[test]
fn a_run_says_what_is_in_doubt_and_succeeds() {
    let host = Found::new(Ok(vec![checked(0, Verdict::Same), checked(1, Verdict::Differs)]));
    let (code, out, err) = run(&["run", "m:w", "--check", "25%"], &host);
    assert_eq!((code, out.as_str()), (0, "42\n"));
    assert!(err.contains("m.op1, checked: differs: result: 1 → 2"), "{err}");
    assert!(!err.contains("op0"), "{err}");
    assert_eq!(host.ran.into_inner().unwrap()[0].check, Some(0.25));
}

#[test]
fn verdicts_have_words_of_their_own() {
    for verdict in Verdict::ALL {
        assert_eq!(Verdict::from_word(verdict.word()), Some(verdict));
    }
    assert_eq!(Verdict::from_word("fine"), None);
}

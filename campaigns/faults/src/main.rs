//! The worker, and the campaigns that drive it.
//!
//! `crash [KILLS]` kills at each named moment so many times and at every call once; `errors`
//! fails every call in every way, and a sample of pairs of them; `full` does every job with 0 to 2 MiB left on the disk;
//! `power [WAYS]` takes the power away after every change to the disk, in so many ways.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, process, thread};

use thrifty_faults::job::Job;
use thrifty_faults::stage::Setting;
use thrifty_faults::sweep::Tally;
use thrifty_faults::{crash, errors, full, job, power};

/// How long a worker may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match *words.as_slice() {
        ["work", word, home] => work(word, Path::new(home)),
        ["crash"] => crash(200),
        ["crash", kills] => kills.parse().map_err(Into::into).and_then(crash),
        ["errors"] => errors(1),
        ["errors", step] => step.parse().map_err(Into::into).and_then(errors),
        ["power"] => lose_power(20),
        ["power", ways] => ways.parse().map_err(Into::into).and_then(lose_power),
        ["full"] => campaign("steps of a disk filling up", |it| full::at_steps(it, 1)),
        _ => {
            Err("usage: thrifty-faults crash [KILLS] | errors [STEP] | full | power [WAYS]".into())
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn work(word: &str, home: &Path) -> Setting<ExitCode> {
    let job = Job::from_word(word).ok_or("no such job")?;
    thread::spawn(|| {
        thread::sleep(PATIENCE);
        eprintln!("it hangs");
        process::abort();
    });
    job::perform(job, home);
    Ok(ExitCode::SUCCESS)
}

fn crash(kills: usize) -> Setting<ExitCode> {
    let at_points = campaign("kills at named moments", |it| crash::at_points(it, kills))?;
    let at_calls = campaign("kills, one at each call", |it| crash::at_calls(it, 1))?;
    Ok(worst(at_points, at_calls))
}

fn lose_power(ways: u64) -> Setting<ExitCode> {
    campaign("losses of power", |it| power::at_changes(it, 1, ways))
}

fn errors(step: usize) -> Setting<ExitCode> {
    let at_calls = campaign("calls that failed", |it| errors::at_calls(it, step))?;
    let pairs = campaign("pairs of calls that failed", |it| errors::pairs(it, 400 / step))?;
    let syncs = campaign("syncs that failed", errors::syncs)?;
    Ok(worst(at_calls, worst(pairs, syncs)))
}

fn worst(one: ExitCode, other: ExitCode) -> ExitCode {
    if one == ExitCode::SUCCESS { other } else { one }
}

fn campaign(what: &str, run: impl Fn(&Path) -> Setting<Tally>) -> Setting<ExitCode> {
    let program: PathBuf = env::current_exe()?;
    let Tally { cases, violations } = run(&program)?;
    println!("{cases} {what}: {} violations", violations.len());
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

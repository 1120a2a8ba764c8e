//! `simulate`: the protocol under faults, one seed after the other.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use thrifty_simulation::{Campaign, Mark, Tally, simulate};

/// Simulates the protocol under faults and checks its invariants.
#[derive(Parser)]
struct Arguments {
    /// Simulate this seed alone, and print what happens.
    #[arg(long)]
    seed: Option<u64>,
    /// Simulate so many seeds.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Threads; as many as there are cores unless given.
    #[arg(long)]
    threads: Option<usize>,
    /// Fail unless every rare state was reached at least so often.
    #[arg(long, default_value_t = 0)]
    marks: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => one(seed),
        None => many(&arguments),
    }
}

fn one(seed: u64) -> ExitCode {
    let report = simulate(seed, true);
    println!("{:#?}", report.options);
    report.log.iter().for_each(|line| println!("{line}"));
    match report.violation {
        Some(violation) => {
            println!("seed {seed}: {violation}");
            ExitCode::FAILURE
        }
        None => {
            println!("seed {seed}: {} steps, nothing wrong", report.steps);
            ExitCode::SUCCESS
        }
    }
}

fn many(arguments: &Arguments) -> ExitCode {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or_else(cores);
    let began = Instant::now();
    let campaign = Campaign { first: arguments.first, count: arguments.seeds, threads };
    let tally = campaign.run();
    let rare: Vec<_> =
        Mark::ALL.into_iter().filter(|mark| tally.marks.count(*mark) < arguments.marks).collect();
    for mark in Mark::ALL {
        println!("{:>10}  {mark:?}", tally.marks.count(mark));
    }
    tell(&tally, began.elapsed().as_secs_f64());
    for mark in &rare {
        println!("reached too rarely: {mark:?}");
    }
    if tally.broken.is_empty() && rare.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(tally: &Tally, seconds: f64) {
    for report in &tally.broken {
        let seed = report.options.seed;
        println!("{:#?}", report.options);
        if let Some(violation) = &report.violation {
            println!("seed {seed}: {violation}");
        }
        println!("replay it with `simulate --seed {seed}`");
    }
    println!(
        "{} seeds, {} steps, {seconds:.1} s: {} violations",
        tally.seeds,
        tally.steps,
        tally.broken.len()
    );
}

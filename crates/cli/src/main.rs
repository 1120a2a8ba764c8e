//! The command for those who start it outside of a Python environment: workflows are run by the
//! `python3` on the path, everything else right here.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use thrifty_cli::{
    CheckReport, CheckRequest, Host, HostError, PlanReport, RunReport, RunRequest, Telling, Which,
};
use thrifty_engine::Mode;
use thrifty_engine::event::Listener;

/// Hands the run over to Python; this process becomes that one.
struct Python;

impl Host for Python {
    fn run_workflow(
        &self,
        request: &RunRequest,
        _listener: Arc<Listener>,
    ) -> Result<RunReport, HostError> {
        Err(hand_over(&request.target, arguments(request)))
    }

    fn plan_workflow(&self, request: &RunRequest) -> Result<PlanReport, HostError> {
        Err(hand_over(&request.target, arguments(request)))
    }

    fn check_workflow(
        &self,
        request: &CheckRequest,
        _listener: Arc<Listener>,
    ) -> Result<CheckReport, HostError> {
        Err(hand_over(&request.target, check_arguments(request)))
    }

    /// The system ends this process, and with it what runs.
    fn is_interrupted(&self) -> bool {
        false
    }
}

/// Becomes the command in Python; returns only if that cannot be started.
fn hand_over(target: &str, arguments: Vec<String>) -> HostError {
    let error = Command::new("python3").args(["-m", "thrifty"]).args(arguments).exec();
    HostError::Unavailable(format!(
        "cannot start python3 to run `{target}`: {error}; install Python 3.11 or newer, and \
         thrifty in it with `pip install thrifty`"
    ))
}

/// The arguments that ask for this check.
fn check_arguments(request: &CheckRequest) -> Vec<String> {
    let CheckRequest { target, parameters, which, workers, json } = request;
    let mut arguments = vec!["check".to_owned(), target.clone()];
    match which {
        Which::Share(share) => arguments.push(format!("--sample={share}")),
        Which::Named(names) => arguments.extend(names.iter().cloned()),
    }
    for (name, value) in parameters {
        arguments.extend(["-p".to_owned(), format!("{name}={value}")]);
    }
    if let Some(workers) = workers {
        arguments.extend(["--workers".to_owned(), workers.to_string()]);
    }
    arguments.extend(json.then(|| "--json".to_owned()));
    arguments
}

/// The arguments that ask for this request.
fn arguments(request: &RunRequest) -> Vec<String> {
    let RunRequest {
        target,
        parameters,
        mode,
        refresh,
        executor,
        workers,
        now,
        fail_fast,
        check,
        dry_run,
        seed,
    } = request;
    let mut arguments = vec!["run".to_owned(), target.clone()];
    for (name, value) in parameters {
        arguments.extend(["-p".to_owned(), format!("{name}={value}")]);
    }
    match mode {
        Some(Mode::Off) => arguments.push("--no-cache".to_owned()),
        Some(Mode::ReadOnly) => arguments.push("--read-only".to_owned()),
        Some(Mode::Refresh) if refresh.is_empty() => arguments.push("--refresh".to_owned()),
        Some(Mode::On) => arguments.push("--cache".to_owned()),
        Some(Mode::Refresh) | None => {}
    }
    arguments.extend(refresh.iter().map(|name| format!("--refresh={name}")));
    if let Some(executor) = executor {
        arguments.extend(["--executor".to_owned(), executor.word().to_owned()]);
    }
    if let Some(workers) = workers {
        arguments.extend(["--workers".to_owned(), workers.to_string()]);
    }
    arguments.extend(now.then(|| "--now".to_owned()));
    arguments
        .extend(fail_fast.map(|it| if it { "--fail-fast" } else { "--keep-going" }.to_owned()));
    arguments.extend(check.map(|share| format!("--check={share}")));
    match dry_run {
        None => {}
        Some(Telling::Text) => arguments.push("--dry-run".to_owned()),
        Some(Telling::Json) => arguments.extend(["--dry-run".to_owned(), "--json".to_owned()]),
    }
    if let Some(seed) = seed {
        arguments.extend(["--seed".to_owned(), seed.number().to_string()]);
    }
    arguments
}

fn main() -> ExitCode {
    ExitCode::from(thrifty_cli::main(std::env::args_os().collect(), &Python))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use thrifty_engine::Seed;
    use thrifty_engine::config::Executor;

    use super::*;

    /// Keeps what it was asked.
    struct Asked(Mutex<Option<RunRequest>>, Mutex<Option<CheckRequest>>);

    impl Host for Asked {
        fn run_workflow(
            &self,
            request: &RunRequest,
            _listener: Arc<Listener>,
        ) -> Result<RunReport, HostError> {
            *self.0.lock().unwrap() = Some(request.clone());
            Err(HostError::Unavailable("asked".to_owned()))
        }

        fn plan_workflow(&self, request: &RunRequest) -> Result<PlanReport, HostError> {
            *self.0.lock().unwrap() = Some(request.clone());
            Err(HostError::Unavailable("asked".to_owned()))
        }

        fn check_workflow(
            &self,
            request: &CheckRequest,
            _listener: Arc<Listener>,
        ) -> Result<CheckReport, HostError> {
            *self.1.lock().unwrap() = Some(request.clone());
            Err(HostError::Unavailable("asked".to_owned()))
        }

        fn is_interrupted(&self) -> bool {
            false
        }
    }

    #[test]
    fn the_arguments_handed_over_ask_for_the_same_check() {
        for which in [Which::Share(0.05), Which::Named(vec!["train".to_owned(), "c*".to_owned()])] {
            let request = CheckRequest {
                target: "m:w".to_owned(),
                parameters: vec![("note".to_owned(), "a=b".to_owned())],
                which,
                workers: Some(3),
                json: true,
            };
            let asked = Asked(Mutex::default(), Mutex::default());
            let command = std::iter::once("thrifty".to_owned()).chain(check_arguments(&request));
            thrifty_cli::main(command.map(Into::into).collect(), &asked);
            assert_eq!(asked.1.into_inner().unwrap(), Some(request));
        }
    }

    #[test]
    fn the_arguments_handed_over_ask_for_the_same_request() {
        let modes = std::iter::once(None).chain(Mode::ALL.map(Some));
        for (mode, refresh) in modes.flat_map(|mode| [(mode, vec![]), (mode, vec!["t*"])]) {
            // To refresh everything leaves nothing to be named.
            if mode == Some(Mode::Refresh) && !refresh.is_empty() {
                continue;
            }
            let request = RunRequest {
                target: "m:w".to_owned(),
                parameters: vec![("note".to_owned(), "a=b --x".to_owned())],
                mode,
                refresh: refresh.into_iter().map(str::to_owned).collect(),
                executor: Some(Executor::Processes),
                workers: Some(3),
                now: true,
                fail_fast: mode.map(|mode| mode == Mode::Off),
                check: Some(0.25),
                dry_run: match mode {
                    None => None,
                    Some(Mode::Off) => Some(Telling::Json),
                    Some(_) => Some(Telling::Text),
                },
                seed: Seed::new(0),
            };
            let asked = Asked(Mutex::default(), Mutex::default());
            let command = std::iter::once("thrifty".to_owned()).chain(arguments(&request));
            thrifty_cli::main(command.map(Into::into).collect(), &asked);
            assert_eq!(asked.0.into_inner().unwrap(), Some(request));
        }
    }
}

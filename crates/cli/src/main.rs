//! The command for those who start it outside of a Python environment: workflows are run by the
//! `python3` on the path, everything else right here.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use thrifty_cli::{Host, HostError, RunReport, RunRequest};
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
        let error = Command::new("python3")
            .args(["-m", "thrifty"])
            .args(arguments(request))
            .exec();
        Err(HostError::Unavailable(format!(
            "cannot start python3 to run `{}`: {error}; install Python 3.11 or newer, and \
             thrifty in it with `pip install thrifty`",
            request.target
        )))
    }
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
    } = request;
    let mut arguments = vec!["run".to_owned(), target.clone()];
    for (name, value) in parameters {
        arguments.extend(["-p".to_owned(), format!("{name}={value}")]);
    }
    match mode {
        Some(Mode::Off) => arguments.push("--no-cache".to_owned()),
        Some(Mode::ReadOnly) => arguments.push("--read-only".to_owned()),
        Some(Mode::Refresh) if refresh.is_empty() => arguments.push("--refresh".to_owned()),
        Some(Mode::Refresh | Mode::On) | None => {}
    }
    arguments.extend(refresh.iter().map(|name| format!("--refresh={name}")));
    if let Some(executor) = executor {
        arguments.extend(["--executor".to_owned(), executor.word().to_owned()]);
    }
    if let Some(workers) = workers {
        arguments.extend(["--workers".to_owned(), workers.to_string()]);
    }
    arguments
}

fn main() -> ExitCode {
    ExitCode::from(thrifty_cli::main(std::env::args_os().collect(), &Python))
}

//! The schedule of a file, as other schedulers read it.

use std::fmt::Write;
use std::path::Path;

use thrifty_pipeline::{Overlap, Ticks};

use super::{Arguments, For, absolute};
use crate::console::Console;
use crate::failure::Failure;

/// What has another scheduler run the file.
///
/// # Errors
///
/// It cannot say the same.
pub(super) fn write(
    arguments: &Arguments,
    target: For,
    ticks: &Ticks,
    console: &Console<'_>,
) -> Result<String, Failure> {
    let usage = |reason: String| Failure::Usage(format!("{}: {reason}", arguments.file));
    let file = absolute(&arguments.file, console);
    let words = words(arguments, &file, &program(console));
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let above = file.parent().unwrap_or(&file);
    let mut text = match target {
        For::Cron => cron(ticks, &words).map_err(usage)?,
        For::Systemd => systemd(ticks, &name, above, &words).map_err(usage)?,
        For::Kubernetes => {
            let image = arguments.image.as_deref().ok_or_else(|| {
                usage("--emit kubernetes needs --image, with thrifty and the file in it".to_owned())
            })?;
            kubernetes(ticks, &name, image, &words).map_err(usage)?
        }
    };
    if ticks.is_bounded() {
        text += "\n# `start`, `end` and `max_runs` are not known here: take it away in time.";
    }
    if ticks.overlap == Overlap::Queue {
        text += "\n# `overlap: queue` is not known here: a tick during a run is left out, or runs beside it.";
    }
    Ok(text)
}

/// The program, by its path if it is on the caller's: other schedulers have a short one.
fn program(console: &Console<'_>) -> String {
    let path = (console.variables)("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|it| it.join("thrifty")).find(|it| it.is_file());
    found.map_or_else(|| "thrifty".to_owned(), |found| found.display().to_string())
}

fn words(arguments: &Arguments, file: &Path, program: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![program.to_owned(), "schedule".to_owned()];
    words.extend([file.display().to_string(), "--once".to_owned()]);
    for name in &arguments.presets {
        words.extend(["--preset".to_owned(), name.clone()]);
    }
    for (name, value) in &arguments.parameters {
        words.extend(["-p".to_owned(), format!("{name}={value}")]);
    }
    words
}

fn cron(ticks: &Ticks, words: &[String]) -> Result<String, String> {
    let (pattern, zone) = ticks.cron()?;
    let quoted = words.iter().map(|word| shlex::try_quote(word).map(std::borrow::Cow::into_owned));
    let quoted: Vec<_> = quoted.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    // A percent sign ends the command in a crontab, quoted or not.
    let command = quoted.join(" ").replace('%', "\\%");
    Ok(format!("CRON_TZ={zone}\n{pattern} {command}"))
}

fn systemd(ticks: &Ticks, name: &str, above: &Path, words: &[String]) -> Result<String, String> {
    let calendar = ticks.calendar()?;
    let quoted: Vec<_> = words.iter().map(|word| quoted_for_systemd(word)).collect();
    let mut text = format!("# {name}.timer\n[Unit]\nDescription=Ticks of {name}\n\n[Timer]\n");
    for line in calendar {
        _ = writeln!(text, "OnCalendar={line}");
    }
    text += "Persistent=true\nAccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n";
    _ = write!(
        text,
        "\n# {name}.service\n[Unit]\nDescription=A tick of {name}\n\n[Service]\nType=oneshot\nWorkingDirectory={}\nExecStart={}",
        above.display().to_string().replace('%', "%%"),
        quoted.join(" ")
    );
    Ok(text)
}

fn quoted_for_systemd(word: &str) -> String {
    let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{}\"", word.replace('$', "$$"))
}

fn kubernetes(ticks: &Ticks, name: &str, image: &str, words: &[String]) -> Result<String, String> {
    let (pattern, zone) = ticks.cron()?;
    let container = serde_json::json!({"name": "thrifty", "image": image, "command": words});
    let job = serde_json::json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": label(name)},
        "spec": {
            "schedule": pattern,
            "timeZone": zone,
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [container],
            }}}},
        },
    });
    // JSON is YAML, too.
    serde_json::to_string_pretty(&job).map_err(|error| error.to_string())
}

/// A name as Kubernetes takes it: lower case, digits and `-`, at most 52 for a `CronJob`.
fn label(name: &str) -> String {
    let kept = name.chars().map(|letter| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9') => letter,
        _ => '-',
    });
    let label: String = kept.take(52).collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "thrifty".to_owned() } else { label.to_owned() }
}

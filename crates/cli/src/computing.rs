//! What is computed now, of the operations that are computed one at a time, and by whom.

use serde::Serialize;
use thrifty_engine::catalog::{Reservation, Time};
use thrifty_engine::process::number_in;
use thrifty_engine::units::show_duration;

use crate::console::Console;
use crate::failure::Failure;
use crate::show::{age, count, timestamp};

/// A reservation in force, for programs.
#[derive(Serialize)]
pub(crate) struct ComputingJson {
    key: String,
    operation: String,
    project: String,
    domain: String,
    host: String,
    process: Option<u32>,
    since: String,
    lease_seconds: f64,
    held_up: u64,
}

impl ComputingJson {
    pub(crate) fn of(reservation: &Reservation) -> Self {
        let held = &reservation.held;
        Self {
            key: reservation.key.to_string(),
            operation: held.holder.operation.clone(),
            project: reservation.scope.project.clone(),
            domain: reservation.scope.domain.clone(),
            host: held.holder.host.clone(),
            process: number_in(&held.holder.process),
            since: timestamp(held.since),
            lease_seconds: held.left.as_secs_f64(),
            held_up: reservation.waiting,
        }
    }
}

/// Writes them as a table.
pub(crate) fn write(
    reservations: &[Reservation],
    now: Time,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let rows = reservations.iter().map(|reservation| {
        let Reservation { key, held, waiting, .. } = reservation;
        [
            held.holder.operation.clone(),
            key.short(),
            held.holder.host.clone(),
            number_in(&held.holder.process)
                .map_or_else(|| "?".to_owned(), |number| number.to_string()),
            age(now, held.since),
            show_duration(held.left),
            waiting.to_string(),
        ]
    });
    let heading = ["computing now", "key", "host", "process ", "since", "lease left ", "held up "];
    console.table(heading, rows)
}

/// Who computes a key, in one line.
pub(crate) fn shown(reservation: &Reservation, now: Time) -> String {
    let held = &reservation.held;
    let process =
        number_in(&held.holder.process).map_or_else(String::new, |it| format!("process {it} "));
    let since = age(now, held.since);
    let left = show_duration(held.left);
    let waiting = count(reservation.waiting, "other");
    format!(
        "by {process}on {}, begun {since}, lease of {left} left, {waiting} held up",
        held.holder.host
    )
}

//! Durations, sizes and shares as people write and read them: `7d`, `20GB`, `5%`.

use std::time::Duration;

/// Units of time, longest first, with their seconds.
const TIMES: [(&str, f64); 6] =
    [("w", 604_800.0), ("d", 86_400.0), ("h", 3_600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001)];

/// Units of size, largest first, with their bytes. Those with an `i` are powers of 1024.
const SIZES: [(&str, f64); 9] = [
    ("TIB", 1_099_511_627_776.0),
    ("GIB", 1_073_741_824.0),
    ("MIB", 1_048_576.0),
    ("KIB", 1_024.0),
    ("TB", 1e12),
    ("GB", 1e9),
    ("MB", 1e6),
    ("KB", 1e3),
    ("B", 1.0),
];

/// The text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a duration: write numbers with units, such as `90s`, `7d` or `1h30m` \
     (units: w, d, h, m, s, ms)"
)]
pub struct ParseDurationError {
    text: String,
}

/// The text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a size: write a number with a unit, such as `500MB` or `20GB` \
     (units: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)"
)]
pub struct ParseSizeError {
    text: String,
}

/// The text is no share of a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a share: write a percentage such as `5%`, or a number from 0 to 1")]
pub struct ParseShareError {
    text: String,
}

/// Reads a duration: numbers with units, one after the other.
///
/// # Errors
///
/// [`ParseDurationError`] if there is no number, no unit, an unknown unit, or more than a
/// [`Duration`] holds.
///
/// ```
/// use std::time::Duration;
/// use thrifty_engine::units::parse_duration;
///
/// assert_eq!(parse_duration("1h30m")?, Duration::from_secs(5_400));
/// assert!(parse_duration("7").is_err());
/// # Ok::<(), thrifty_engine::units::ParseDurationError>(())
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let wrong = || ParseDurationError { text: text.to_owned() };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = number(rest).ok_or_else(wrong)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, seconds) = TIMES.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = after.trim_start();
    }
    Ok(total)
}

/// Reads a size in bytes: a number with a unit, upper or lower case.
///
/// # Errors
///
/// [`ParseSizeError`] if there is no number, no unit, an unknown unit, or more than 16 EiB.
///
/// ```
/// use thrifty_engine::units::parse_size;
///
/// assert_eq!(parse_size("1.5 kB"), Ok(1_500));
/// assert_eq!(parse_size("1KiB"), Ok(1_024));
/// ```
pub fn parse_size(text: &str) -> Result<u64, ParseSizeError> {
    let read = || {
        let (number, unit) = number(text.trim())?;
        let unit = unit.trim_start().to_ascii_uppercase();
        let (_, bytes) = SIZES.into_iter().find(|(name, _)| *name == unit)?;
        let bytes = (number * bytes).round();
        // Below 2^64 and not negative, so the conversion keeps the value.
        (bytes < 18_446_744_073_709_551_616.0).then_some(bytes as u64)
    };
    read().ok_or_else(|| ParseSizeError { text: text.to_owned() })
}

/// Reads a share of a whole: a percentage, or a number from 0 to 1.
///
/// # Errors
///
/// [`ParseShareError`] if there is no number, or one below nothing or above the whole.
///
/// ```
/// use thrifty_engine::units::parse_share;
///
/// assert_eq!(parse_share("5%"), Ok(0.05));
/// assert_eq!(parse_share("0.05"), Ok(0.05));
/// assert!(parse_share("5").is_err());
/// ```
pub fn parse_share(text: &str) -> Result<f64, ParseShareError> {
    let read = || {
        let (number, unit) = number(text.trim())?;
        let share = match unit {
            "" => number,
            "%" => number / 100.0,
            _ => return None,
        };
        (0.0..=1.0).contains(&share).then_some(share)
    };
    read().ok_or_else(|| ParseShareError { text: text.to_owned() })
}

/// A number without sign or exponent at the beginning, and what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    Some((number.parse().ok()?, rest.trim_start()))
}

/// A duration for people: `340 µs`, `12 ms`, `1.5 s`, `3 m 20 s`, `2 d 4 h`.
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.as_micros() < 1_000 => format!("{} µs", duration.as_micros()),
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3_600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A size for people: `17 B`, `1.5 kB`, `20.0 GB`.
pub fn show_size(bytes: u64) -> String {
    let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let number = bytes as f64;
    units
        .into_iter()
        .find(|(_, unit)| number >= *unit)
        .map_or_else(|| format!("{bytes} B"), |(name, unit)| format!("{:.1} {name}", number / unit))
}

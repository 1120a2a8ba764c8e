//! Which call goes wrong, and how.

use std::fmt;

use rustix::io::Errno;

/// What happens at the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// The process is killed.
    Kill,
    /// The process is suspended.
    Stop,
    /// Half the bytes are read or written.
    Short,
    /// The call fails and does nothing.
    Fail(Errno),
}

/// Whether the call has happened by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It has not.
    Before,
    /// It has.
    After,
    /// Half of what was to be written is.
    Half,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault<'a> {
    /// The kind of call; any if `None`.
    pub call: Option<&'a str>,
    /// A pattern for the path below the cache directory.
    pub path: &'a str,
    /// Which of these calls, from 1.
    pub nth: usize,
    /// How many from there on; 0 for all.
    pub times: usize,
    /// Before it, or after it.
    pub when: When,
    /// What happens.
    pub deed: Deed,
}

impl Fault<'_> {
    /// The environment that tells the library of the fault, by what its variables begin with.
    pub fn environment(&self, prefix: &str) -> Vec<(String, String)> {
        let Self { call, path, nth, times, when, deed } = *self;
        let mut environment = vec![
            ("PATH", path.to_owned()),
            ("NTH", nth.to_string()),
            ("TIMES", times.to_string()),
            ("WHEN", when.word().to_owned()),
            ("DO", deed.word()),
        ];
        environment.extend(call.map(|call| ("CALL", call.to_owned())));
        environment.into_iter().map(|(name, text)| (format!("{prefix}{name}"), text)).collect()
    }
}

impl When {
    const fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Half => "half",
        }
    }
}

impl Deed {
    fn word(self) -> String {
        match self {
            Self::Kill => "kill".to_owned(),
            Self::Stop => "stop".to_owned(),
            Self::Short => "short".to_owned(),
            Self::Fail(errno) => errno.raw_os_error().to_string(),
        }
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, path, nth, times, when, deed } = self;
        let call = call.unwrap_or("any call");
        let on = if *times == 1 { "" } else { " and on" };
        write!(f, "{} {} {call} {nth}{on} on {path}", deed.word(), when.word())
    }
}

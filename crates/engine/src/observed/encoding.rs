//! Observations as an entry keeps them.

use thrifty_key::plain::{Container, PlainError, Reader, Token, Writer};

use super::{Aspect, Change, How, Observation, Observed, Place, Right, State};

/// The version of the format; the first byte of all that is not empty.
const FORMAT: u8 = 1;

/// What an entry keeps of its observations cannot be read. The entry is treated as a miss.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// It was written by a version that knows more.
    #[error("its observations have format {found} and this version knows {FORMAT}")]
    Format {
        /// Its format.
        found: u8,
    },
    /// It is damaged.
    #[error("its observations are damaged: {0}")]
    Damaged(String),
}

impl From<PlainError> for Undecodable {
    fn from(error: PlainError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// The bytes an entry keeps: none for no observation. The order and repetition of what is given
/// do not matter.
///
/// # Errors
///
/// [`Change`], if one thing was seen in two states: no lookup could find both.
pub fn encode(observations: &[Observation]) -> Result<Vec<u8>, Change> {
    if observations.is_empty() {
        return Ok(Vec::new());
    }
    let mut sorted: Vec<_> = observations.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].what == pair[1].what) {
        return Err(Change { what: pair[0].what.clone(), how: How::Changed });
    }
    let mut writer = Writer::new();
    writer.open(Container::List, sorted.len());
    sorted.into_iter().for_each(|observation| write(observation, &mut writer));
    let mut bytes = vec![FORMAT];
    bytes.extend(writer.into_bytes());
    Ok(bytes)
}

fn write(observation: &Observation, writer: &mut Writer) {
    let (kind, base, name) = words(&observation.what);
    writer.open(Container::Tuple, 4);
    writer.text(kind.as_bytes());
    writer.text(base.as_bytes());
    writer.text(name.as_bytes());
    match &observation.state {
        State::Absent => writer.none(),
        State::Digest(digest) => writer.digest(digest),
    }
}

/// Kind, what a path hangs on, and name.
fn words(what: &Observed) -> (&'static str, &'static str, &str) {
    let (kind, place) = match what {
        Observed::File(place) => ("file", place),
        Observed::Presence(place) => ("presence", place),
        Observed::Listing(place) => ("listing", place),
        Observed::Variable(name) => return ("variable", "", name),
        Observed::WorkingDirectory => return ("working directory", "", ""),
        Observed::Parameter(aspect, path) => return ("parameter", aspect.word(), path),
        Observed::Permission(right, place) => (kind_of(*right), place),
    };
    match place {
        Place::Absolute(path) => (kind, "absolute", path),
        Place::Working(path) => (kind, "working", path),
        Place::Project(path) => (kind, "project", path),
    }
}

const fn kind_of(right: Right) -> &'static str {
    match right {
        Right::Read => "permission to read",
        Right::Write => "permission to write",
        Right::Execute => "permission to execute",
    }
}

fn observed(kind: &[u8], base: &[u8], name: String) -> Option<Observed> {
    let place = |name| match base {
        b"absolute" => Some(Place::Absolute(name)),
        b"working" => Some(Place::Working(name)),
        b"project" => Some(Place::Project(name)),
        _ => None,
    };
    match (kind, base, name.as_str()) {
        (b"file", ..) => place(name).map(Observed::File),
        (b"presence", ..) => place(name).map(Observed::Presence),
        (b"listing", ..) => place(name).map(Observed::Listing),
        (b"variable", b"", _) => Some(Observed::Variable(name)),
        (b"working directory", b"", "") => Some(Observed::WorkingDirectory),
        (b"parameter", ..) => {
            let aspect = Aspect::from_word(std::str::from_utf8(base).ok()?)?;
            Some(Observed::Parameter(aspect, name))
        }
        _ => {
            let right = Right::ALL.into_iter().find(|it| kind_of(*it).as_bytes() == kind)?;
            place(name).map(|place| Observed::Permission(right, place))
        }
    }
}

/// Reads the bytes of an entry. Only what [`encode`] writes is read.
///
/// # Errors
///
/// [`Undecodable`] for another format, for what is damaged, and for what this version cannot look
/// at: no such entry may answer.
pub fn decode(bytes: &[u8]) -> Result<Vec<Observation>, Undecodable> {
    let list = match bytes {
        [] => return Ok(Vec::new()),
        [FORMAT, list @ ..] => list,
        [found, ..] => return Err(Undecodable::Format { found: *found }),
    };
    let mut reader = Reader::new(list);
    let Token::Open(Container::List, count) = reader.token()? else {
        return Err(unexpected(&reader));
    };
    let mut observations: Vec<Observation> = Vec::with_capacity(count.min(1_000));
    for _ in 0..count {
        let observation = read(&mut reader)?;
        if observations.last().is_some_and(|last| last.what >= observation.what) {
            return Err(Undecodable::Damaged("they are not in order".to_owned()));
        }
        observations.push(observation);
    }
    if count == 0 || !reader.is_at_end() {
        return Err(unexpected(&reader));
    }
    Ok(observations)
}

fn read(reader: &mut Reader<'_>) -> Result<Observation, Undecodable> {
    let Token::Open(Container::Tuple, 4) = reader.token()? else {
        return Err(unexpected(reader));
    };
    let (kind, base, name) = (text(reader)?, text(reader)?, text(reader)?);
    let name = String::from_utf8(name.to_vec()).map_err(|_| unexpected(reader))?;
    let what = observed(kind, base, name).ok_or_else(|| unexpected(reader))?;
    let state = match reader.token()? {
        Token::None => State::Absent,
        Token::Digest(digest) => State::Digest(digest),
        _ => return Err(unexpected(reader)),
    };
    Ok(Observation { what, state })
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Undecodable> {
    match reader.token()? {
        Token::Text(text) => Ok(text),
        _ => Err(unexpected(reader)),
    }
}

fn unexpected(reader: &Reader<'_>) -> Undecodable {
    PlainError::Mismatch { at: reader.position() }.into()
}

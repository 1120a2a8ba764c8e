//! The words of a command, as far as the shell's grammar tells them without running it.
//!
//! This is no shell: variables, globs and functions are not looked into. A word that is missed
//! is a script that the command does not find, which it says at once.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::path::Path;
use std::str::Chars;

use crate::document::Run;
use crate::pipeline::{Program, Runs};

/// How deep commands within words of commands are looked for: `sh -c "sh -c '…'"`.
const DEEPEST: usize = 4;

/// Words behind which a program is named.
const BEFORE: [&str; 16] = [
    "!", "do", "elif", "else", "env", "exec", "if", "nice", "nohup", "setsid", "then", "time",
    "until", "while", "xargs", "{",
];
/// Programs behind whose word `run` a program is named.
const RUNNERS: [&str; 7] = ["hatch", "pdm", "pipenv", "pixi", "poetry", "rye", "uv"];
/// Programs and modules that run the first script of Python they are given.
const LAUNCHERS: [&str; 5] =
    ["accelerate", "deepspeed", "torch.distributed.launch", "torch.distributed.run", "torchrun"];

/// What the words of a command say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mentioned {
    /// Words that may be paths.
    pub(crate) words: Vec<String>,
    /// Those of them that name something otherwise than to have it run.
    pub(crate) read: BTreeSet<String>,
    /// The programs in Python.
    pub(crate) programs: Vec<Program>,
    /// What it assigns to variables, in the order of the text.
    pub(crate) assigned: Vec<(String, String)>,
}

impl Mentioned {
    /// What a command says whose templates are filled in.
    pub(crate) fn by(run: &Run) -> Self {
        let mut mentioned = Self::default();
        match run {
            Run::Shell(text) => mentioned.text(text, 0),
            Run::Words(words) => {
                mentioned.command(&Simple { words: words.clone(), fed: None }, 0);
            }
        }
        mentioned
    }

    fn text(&mut self, text: &str, depth: usize) {
        Reading::through(text).iter().for_each(|simple| self.command(simple, depth));
    }

    fn command(&mut self, simple: &Simple, depth: usize) {
        let (program, script) = simple.program().unzip();
        let script = script.flatten();
        let (begins, launched) = (simple.begins(), simple.launched());
        self.programs.extend(simple.assigned());
        self.programs.extend(program.clone());
        for (at, word) in simple.words.iter().enumerate() {
            let assigned =
                assignment(word).map(|(name, value)| (name.to_owned(), value.to_owned()));
            self.assigned.extend(assigned);
            let value = word.split_once('=').map(|(_, value)| value.to_owned());
            self.read.extend(value.clone());
            self.words.extend(value);
            self.words.push(word.clone());
            if ![begins, launched, script].contains(&Some(at)) {
                self.read.insert(word.clone());
            }
            if word.contains(char::is_whitespace) && depth < DEEPEST {
                self.text(word, depth + 1);
            }
        }
        match &simple.fed {
            Some(Fed::File(path)) => {
                let is_run = |program: &Program| program.runs == Runs::File(path.clone());
                if !program.as_ref().is_some_and(is_run) {
                    self.read.insert(path.clone());
                }
                self.words.push(path.clone());
            }
            Some(Fed::Text(text)) if depth < DEEPEST => self.text(text, depth + 1),
            _ => {}
        }
    }
}

/// A program with its words, and what its standard input is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Simple {
    words: Vec<String>,
    fed: Option<Fed>,
}

#[derive(Debug, PartialEq, Eq)]
enum Fed {
    File(String),
    Text(String),
}

impl Simple {
    /// The interpreters that it assigns to variables, through which anything may be run.
    fn assigned(&self) -> impl Iterator<Item = Program> {
        let values = self.words.iter().filter_map(|word| Some(assignment(word)?.1));
        values
            .filter(|value| is_interpreter(value))
            .map(|value| Program { interpreter: value.to_owned(), runs: Runs::Unknown })
    }

    /// Where the word is that names the program.
    fn begins(&self) -> Option<usize> {
        let is_before = |at: usize, word: &str| {
            let follows = at > 0 && word == "run" && RUNNERS.contains(&self.words[at - 1].as_str());
            let runs =
                RUNNERS.contains(&word) && self.words.get(at + 1).is_some_and(|next| next == "run");
            follows || runs || BEFORE.contains(&word)
        };
        let mut words = self.words.iter().enumerate();
        let found = words.find(|(at, word)| {
            !word.starts_with('-') && assignment(word).is_none() && !is_before(*at, word)
        });
        found.map(|(at, _)| at)
    }

    /// Where the script is that a launcher is given.
    fn launched(&self) -> Option<usize> {
        let launcher = self.words.iter().position(|word| LAUNCHERS.contains(&word.as_str()))?;
        let script = self.words[launcher..].iter().position(|word| word.ends_with(".py"))?;
        Some(launcher + script)
    }

    /// The program in Python, and which word is the script that it runs, if one is.
    fn program(&self) -> Option<(Program, Option<usize>)> {
        let at = self.words.iter().position(|word| is_interpreter(word))?;
        let mut rest = self.words.iter().enumerate().skip(at + 1);
        let (mut runs, mut script) = (None, None);
        while let Some((at, word)) = rest.next() {
            let Some(flags) = word.strip_prefix('-') else {
                (runs, script) = (Some(Runs::File(word.clone())), Some(at));
                break;
            };
            match (flags.chars().last(), rest.len()) {
                _ if flags.starts_with('-') => {}
                (None, _) => break,
                (Some('m'), 1..) => runs = rest.next().map(|(_, it)| Runs::Module(it.clone())),
                (Some('c'), 1..) => runs = rest.next().map(|(_, it)| Runs::Text(it.clone())),
                (Some('X' | 'W'), _) => _ = rest.next(),
                _ => {}
            }
            if runs.is_some() {
                break;
            }
        }
        let runs = runs.unwrap_or_else(|| match &self.fed {
            Some(Fed::File(path)) => Runs::File(path.clone()),
            Some(Fed::Text(text)) => Runs::Text(text.clone()),
            None => Runs::Unknown,
        });
        Some((Program { interpreter: self.words[at].clone(), runs }, script))
    }
}

/// The name and the value of a word that assigns to a variable.
fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let begins = name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_');
    (begins && name.chars().all(is_name)).then_some((name, value))
}

/// Whether a word is an interpreter of Python by its name: no option, no assignment and, by its
/// end, no directory.
pub(super) fn is_interpreter(word: &str) -> bool {
    if word.starts_with('-') || word.contains('=') || word.ends_with('/') {
        return false;
    }
    let name = Path::new(word).file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_prefix("python"))
        .is_some_and(|version| version.chars().all(|it| it.is_ascii_digit() || it == '.'))
}

/// For what the word that is being read stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Word,
    /// What follows `<`.
    Fed,
    /// What follows `>`: the command makes it.
    Made,
    /// What follows `<<`.
    Delimiter,
}

/// A text for the shell, read from left to right.
#[derive(Default)]
struct Reading {
    commands: Vec<Simple>,
    current: Simple,
    word: Option<String>,
    part: Part,
    /// Here-documents that begin at the next line, each with the position of its command.
    awaited: Vec<(usize, String)>,
}

impl Reading {
    fn through(text: &str) -> Vec<Simple> {
        let mut reading = Self::default();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            reading.take(letter, &mut letters);
        }
        reading.end_command();
        reading.commands
    }

    fn take(&mut self, letter: char, letters: &mut Peekable<Chars<'_>>) {
        match letter {
            '\\' => match letters.next() {
                Some('\n') | None => {}
                Some(it) => self.letter(it),
            },
            '\'' => {
                self.word.get_or_insert_default();
                letters.by_ref().take_while(|it| *it != '\'').for_each(|it| self.letter(it));
            }
            '"' => self.quoted(letters),
            '#' if self.word.is_none() => while letters.next_if(|it| *it != '\n').is_some() {},
            '<' => self.fed(letters),
            '>' => {
                // The number of a descriptor is no word.
                self.word.take_if(|word| word.chars().all(|it| it.is_ascii_digit()));
                self.end_word();
                while letters.next_if(|it| matches!(it, '>' | '&' | '|')).is_some() {}
                self.part = Part::Made;
            }
            '$' if letters.next_if_eq(&'(').is_some() => self.end_command(),
            ';' | '|' | '&' | '(' | ')' | '`' => self.end_command(),
            '\n' => {
                self.end_command();
                self.documents(letters);
            }
            it if it.is_whitespace() => self.end_word(),
            it => self.letter(it),
        }
    }

    fn letter(&mut self, letter: char) {
        self.word.get_or_insert_default().push(letter);
    }

    fn quoted(&mut self, letters: &mut Peekable<Chars<'_>>) {
        self.word.get_or_insert_default();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => return,
                '\\' => {
                    let escaped = letters.next_if(|it| matches!(it, '"' | '\\' | '$' | '`'));
                    self.letter(escaped.unwrap_or('\\'));
                }
                it => self.letter(it),
            }
        }
    }

    fn fed(&mut self, letters: &mut Peekable<Chars<'_>>) {
        self.end_word();
        self.part = Part::Fed;
        if letters.next_if_eq(&'<').is_some() {
            // `<<<` feeds a word.
            self.part = match letters.next_if_eq(&'<') {
                Some(_) => Part::Word,
                None => Part::Delimiter,
            };
            _ = letters.next_if_eq(&'-');
        }
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        match std::mem::take(&mut self.part) {
            Part::Word => self.current.words.push(word),
            Part::Fed => self.current.fed = Some(Fed::File(word)),
            Part::Made => {}
            Part::Delimiter => self.awaited.push((self.commands.len(), word)),
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.part = Part::Word;
        let current = std::mem::take(&mut self.current);
        let is_awaited = self.awaited.last().is_some_and(|(at, _)| *at == self.commands.len());
        if !current.words.is_empty() || current.fed.is_some() || is_awaited {
            self.commands.push(current);
        }
    }

    /// The here-documents of the line that has just ended.
    fn documents(&mut self, letters: &mut Peekable<Chars<'_>>) {
        for (at, delimiter) in std::mem::take(&mut self.awaited) {
            let mut document = String::new();
            while letters.peek().is_some() {
                let line: String = letters.by_ref().take_while(|it| *it != '\n').collect();
                if line.trim_start_matches('\t') == delimiter {
                    break;
                }
                document.push_str(&line);
                document.push('\n');
            }
            if let Some(command) = self.commands.get_mut(at) {
                command.fed = Some(Fed::Text(document));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Mentioned::by(&Run::Shell(text.to_owned())).words
    }

    fn programs(text: &str) -> Vec<(String, Runs)> {
        let mentioned = Mentioned::by(&Run::Shell(text.to_owned()));
        mentioned.programs.into_iter().map(|it| (it.interpreter, it.runs)).collect()
    }

    #[test]
    fn words_are_told_as_the_shell_tells_them() {
        for (text, expected) in [
            (
                "python 'a b.py' > out # not this\nsh x.sh",
                vec!["python", "a b.py", "a", "b.py", "sh", "x.sh"],
            ),
            ("a&&b;c|d 2>e 2>&1 <f", vec!["a", "b", "c", "d", "f"]),
            ("a \"b\\\"c\" \\\n d", vec!["a", "b\"c", "d"]),
            ("x=$(cat y)", vec!["", "x=", "cat", "y"]),
            ("tool --in=f.txt", vec!["tool", "f.txt", "--in=f.txt"]),
            ("sh -c 'cat a.txt'", vec!["sh", "-c", "cat a.txt", "cat", "a.txt"]),
            ("cat <<E > x\nsee y\nE\nz", vec!["cat", "see", "y", "z"]),
            ("echo \"unclosed", vec!["echo", "unclosed"]),
            ("", vec![]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn programs_are_found_wherever_they_stand() {
        let file = |name: &str| Runs::File(name.to_owned());
        let text = |text: &str| Runs::Text(text.to_owned());
        for (command, interpreter, runs) in [
            ("python a.py b.py", "python", file("a.py")),
            ("env X=1 nice python3.12 -u -X dev a.py", "python3.12", file("a.py")),
            ("cd x && .venv/bin/python a", ".venv/bin/python", file("a")),
            ("python -um a.b -c x", "python", Runs::Module("a.b".to_owned())),
            ("python -c 'import a'", "python", text("import a")),
            ("python < a.py", "python", file("a.py")),
            ("python - x <<'E'\nimport a\nE\n", "python", text("import a\n")),
            ("cat a.py | python", "python", Runs::Unknown),
            ("bash -c \"python a.py\"", "python", file("a.py")),
            ("x=\"$(python a.py)\"", "python", file("a.py")),
            ("ls | xargs python a.py", "python", file("a.py")),
            ("P=/x/python3; $P a.py", "/x/python3", Runs::Unknown),
        ] {
            assert_eq!(programs(command), [(interpreter.to_owned(), runs)], "{command}");
        }
        for none in ["pythonic a.py; Rscript b.R", "a --with=/x/python -python", "mkdir x/python/"]
        {
            assert_eq!(programs(none), [], "{none}");
        }
    }

    #[test]
    fn what_is_named_otherwise_than_to_be_run_is_told() {
        for (command, is_read) in [
            ("python s.py", false),
            ("X=1 env Y=2 nice python -u -X dev s.py x", false),
            ("python < s.py", false),
            ("s.py", false),
            ("if s.py; then true; fi", false),
            ("ls | xargs s.py", false),
            ("uv run s.py", false),
            ("uv run python s.py", false),
            ("uv run torchrun --nproc-per-node 2 s.py --fast", false),
            ("python -m torch.distributed.run s.py", false),
            ("wc -l s.py", true),
            ("uv run wc -l s.py", true),
            ("wc -l < s.py", true),
            ("python s.py s.py", true),
            ("python s.py; cat s.py", true),
            ("python -m ruff s.py", true),
            ("sh -c 'cat s.py'", true),
            ("tool --in=s.py", true),
            ("X=s.py; python $X", true),
        ] {
            let mentioned = Mentioned::by(&Run::Shell(command.to_owned()));
            assert_eq!(mentioned.read.contains("s.py"), is_read, "{command}");
        }
    }

    #[test]
    fn assignments_are_told_wherever_they_stand() {
        let assigned = |text: &str| Mentioned::by(&Run::Shell(text.to_owned())).assigned;
        let expected = [("A", "1"), ("PATH", "$A/bin:$PATH"), ("B_2", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(assigned("A=1; env PATH=\"$A/bin:$PATH\" x --c=d B_2=$(e)"), expected);
        // What is a command to another program reads as a value, too.
        let both = [("A".to_owned(), "1 x".to_owned()), expected[0].clone()];
        assert_eq!(assigned("sh -c 'A=1 x'"), both);
    }
}

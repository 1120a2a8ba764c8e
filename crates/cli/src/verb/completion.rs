//! `thrifty completion`: completion for shells.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::console::Console;
use crate::failure::Failure;

/// Write the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  thrifty completion bash > ~/.local/share/bash-completion/completions/thrifty
  thrifty completion zsh > ~/.zfunc/_thrifty
  thrifty completion fish > ~/.config/fish/completions/thrifty.fish")]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let shell = match arguments.shell.as_str() {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::Command::command(), "thrifty", &mut script);
    Ok(console.out.write_all(&script)?)
}
